"""Nothing that was meant for the registry ever reaches the cluster: the whole proxy is watched."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rawhttp import exchange
from served import configure, serve

JSON = "Content-Type: application/json"
PATH = "/_signals/account/email/default"

# Each line: what it is, request line, further fields, body, expected status.
BAD = [
    ("broken JSON", f"PUT {PATH}", JSON, '{"password": "%s"', 400),
    ("duplicate keys", f"PUT {PATH}", JSON, '{"password": "%s", "password": "b"}', 400),
    ("wrong types", f"PUT {PATH}", JSON, '{"host": 1, "port": "x", "password": "%s"}', 400),
    ("a typo", f"PUT {PATH}", JSON, '{"host": "a.example", "port": 1, "passwrod": "%s"}', 400),
    ("no host", f"PUT {PATH}", JSON, '{"port": 465, "user": "u", "password": "%s"}', 400),
    ("no user", f"PUT {PATH}", JSON, '{"host": "a", "port": 1, "password": "%s"}', 400),
    ("too large", f"PUT {PATH}", JSON, '{"password": "%s' + "x" * 1_100_000 + '"}', 413),
    ("no media type", f"PUT {PATH}", "X-Other: 1", '{"password": "%s"}', 415),
    ("another media type", f"PUT {PATH}", "Content-Type: text/plain", '{"password": "%s"}', 415),
    ("a wrong method", f"PATCH {PATH}", JSON, '{"password": "%s"}', 405),
    ("POST", f"POST {PATH}", JSON, '{"password": "%s"}', 405),
    ("an unknown type", "PUT /_signals/account/fax/default", JSON, '{"password": "%s"}', 400),
    ("no id", "PUT /_signals/account/email", JSON, '{"password": "%s"}', 400),
    ("a message", f"POST {PATH}/_send", JSON, '{"text": "%s"}', 400),
    ("two slashes", f"PUT /{PATH}", JSON, '{"password": "%s"}', 400),
    ("an encoded letter", "PUT /%5Fsignals/account/email/default", JSON, '{"password": "%s"}', 400),
    ("encoded twice", "PUT /%255Fsignals/account/email/a", JSON, '{"password": "%s"}', 400),
    ("an encoded slash", "PUT /%2F_signals/account/email/a", JSON, '{"password": "%s"}', 400),
    ("dot segments", "PUT /x/../_signals/account/email/a", JSON, '{"password": "%s"}', 400),
    ("encoded dots", "PUT /x/%2e%2E/_signals/account/email/a", JSON, '{"password": "%s"}', 400),
    ("an absolute target", f"PUT http://localhost{PATH}", JSON, '{"password": "%s"}', 400),
    ("a backslash", "PUT /_signals\\account\\email\\a", JSON, '{"password": "%s"}', 400),
    ("a parameter in the path", "PUT /_signals;a=b/account/email/a", JSON, '{"password": "%s"}', 400),
    ("capital letters", "PUT /_SIGNALS/account/email/a", JSON, '{"password": "%s"}', 400),
    ("a fragment", f"PUT {PATH}#x", JSON, '{"password": "%s"}', 400),
    ("a Host for another machine", f"PUT {PATH}", JSON, '{"password": "%s"}', 403),
]  # fmt: skip


@pytest.fixture
async def proxied(faulty_wire: Any, tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    """The address of a whole proxy whose every byte to the node is seen."""
    async with serve(configure(tmp_path, faulty_wire.url)) as proxy:
        address = await proxy.served()
        await proxy.event("ready")
        yield ("127.0.0.1", address.port)
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0


async def test_bad_input(proxied: tuple[str, int], faulty_wire: Any, canary: Any, saw: Any) -> None:
    """Each mistake is a clear 4xx, stores nothing, and its body goes nowhere."""
    for name, line, field, body, expected in BAD:
        secret = canary("password")
        content = (body % secret).encode()
        host = "evil.example" if "another machine" in name else "localhost"
        head = (
            f"{line} HTTP/1.1\r\nHost: {host}\r\n{field}\r\nX-Opaque-Id: {name}\r\n"
            f"Connection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        got, rest = await exchange(proxied, head.encode() + content)
        saw(name, got + rest)
        answer = json.loads(rest)
        assert (name, answer["status"], got.split()[1]) == (name, expected, b"%d" % expected)
        assert answer["error"], name
    seen = b"".join(faulty_wire.requests)
    assert b"password" not in seen
    assert b"_bulk" not in seen
    assert b"X-Opaque-Id" not in seen  # not one of these requests was passed on


async def test_everything_else_is_passed_on(proxied: tuple[str, int], faulty_wire: Any) -> None:
    """What only sounds like the registry's is the cluster's."""
    for path in ("/_signals", "/_signals/watch/x", "/signals/account", "/_signal/account/email/x"):
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        await exchange(proxied, head.encode())
        assert f"GET {path} HTTP/1.1\r\n".encode() in b"".join(faulty_wire.requests)


async def test_a_client_that_leaves_cancels_its_request(
    elasticsearch: str, proxied: tuple[str, int]
) -> None:
    """A request that the cluster is still working on is cancelled there when its client leaves."""
    reader, writer = await asyncio.open_connection(*proxied)
    writer.write(
        b"GET /_cluster/health?wait_for_nodes=7&timeout=30s HTTP/1.1\r\nHost: localhost\r\n"
        b"X-Opaque-Id: leaving\r\n\r\n"
    )
    while await is_cancelled(elasticsearch, "leaving") is not False:
        await asyncio.sleep(0.01)
    writer.close()
    while await is_cancelled(elasticsearch, "leaving") is not True:
        await asyncio.sleep(0.01)
    assert await reader.read() == b""


async def is_cancelled(node: str, opaque_id: str) -> bool | None:
    """Tell whether the node has cancelled a request; None if it is not at work on it."""
    async with aiohttp.ClientSession() as session, session.get(f"{node}/_tasks?detailed") as answer:
        nodes = (await answer.json())["nodes"].values()
    for task in (task for each in nodes for task in each["tasks"].values()):
        if task["headers"].get("X-Opaque-Id") == opaque_id:
            return bool(task["cancelled"])
    return None
