"""A proxy with users of its own, in front of a cluster without security."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

from aiohttp import ClientSession
from applications import Client
from nacl.pwhash import argon2id
from served import CONFIG, configure, serve, upstream

ACCOUNT = {"host": "smtp.example.com", "port": 465, "user": "u"}
CHEAP = (1, 10 << 20)
COSTLY = (10, 64 << 20)
NONE = "authorization: {{backend: none}}"
STATIC = """\
authorization:
  backend: static
  roles:
    administrator: [{{actions: '*', accounts: '*'}}]
    operator: [{{actions: [get, search], accounts: email/*}}]
  users:
"""


def configured(folder: Path, url: str, *users: tuple[str, str, str], more: str = "") -> Path:
    """Write a configuration with users: name, hash and role of each."""
    lines = [f"    {name}: {{password_hash: '{it}', roles: {role}}}\n" for name, it, role in users]
    assert NONE in CONFIG
    file = configure(folder, url, more)
    static = STATIC.format() + "".join(lines).rstrip("\n")
    file.write_text(file.read_text().replace(NONE.format(), static))
    return file


def hashed(password: str, cost: tuple[int, int]) -> str:
    return argon2id.str(password.encode(), *cost).decode()


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


async def test_users(
    tmp_path: Path, elasticsearch: str, index: str, canary: Callable[[str], str]
) -> None:
    """Users log in, do what their roles allow and no more; guessing is slowed down, they are not."""
    kims, zoes = canary("kim's"), canary("zoe's")
    kim, zoe, nobody = (basic(it) for it in (f"kim:{kims}", f"zoe:{zoes}", f"nobody:{kims}"))
    file = configured(
        tmp_path,
        elasticsearch,
        ("kim", hashed(kims, CHEAP), "administrator"),
        ("zoe", hashed(zoes, CHEAP), "operator"),
        more=f"registry: {{index: {index}}}\n",
    )
    async with serve(file) as proxy, ClientSession() as session:
        address = await proxy.served()
        await proxy.event("ready")
        url = f"http://127.0.0.1:{address.port}"
        client = Client(session, url)
        for fields in ({}, {"Authorization": "ApiKey x"}, {"Authorization": nobody}):
            answer = await client.put(ACCOUNT, **fields)
            assert answer.status == 401
            challenge = answer.fields["WWW-Authenticate"]
            assert challenge == 'Basic realm="signals_proxy", charset="UTF-8"'
        assert (await client.put(ACCOUNT, Authorization=kim)).status == 201
        assert (await client.get(Authorization=zoe)).status == 200
        answer = await client.put(ACCOUNT, Authorization=zoe)
        assert (answer.status, answer.json["error"]) == (
            403,
            "No right to put the account email/default.",
        )
        assert (await client.get("slack/x", Authorization=zoe)).status == 403
        assert (await client.get("slack/x", Authorization=kim)).status == 404
        failed = 0
        while (answer := await client.get(Authorization=basic(f"zoe:{failed}"))).status == 401:
            failed += 1
        wait_s = answer.fields["Retry-After"]
        assert failed >= 5
        assert (answer.status, answer.json["error"]) == (
            429,
            f"Too many log-ins have failed; try again in {wait_s} s.",
        )
        for right in (kim, zoe):
            assert (await client.get(Authorization=right)).status == 200
        async with session.get(f"{url}/{index}/_count") as counted:  # without any log-in
            assert (counted.status, (await counted.json())["count"]) == (200, 1)


async def test_the_data_plane_never_waits(tmp_path: Path, canary: Callable[[str], str]) -> None:
    """While one log-in is hashed, many requests to the cluster are answered, one after another."""
    password = canary("password")
    user = ("kim", hashed(password, COSTLY), "administrator")
    async with (
        upstream() as stands,
        serve(configured(tmp_path, stands.url, user)) as proxy,
        ClientSession() as session,
    ):
        address = await proxy.served()
        client = Client(session, f"http://127.0.0.1:{address.port}")
        log_in = asyncio.create_task(client.get(Authorization=basic(f"kim:{password}x")))
        answered = 0
        while not log_in.done() and answered < 20:
            assert await address.get("/index/_search") == (200, b"ok")
            answered += 1
        assert answered == 20
        assert (await log_in).status == 401
