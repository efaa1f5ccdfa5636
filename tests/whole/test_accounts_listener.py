"""``accounts.listen``: the account API by itself, with no way to the cluster."""

import asyncio
import json
from pathlib import Path
from typing import Any

from processes import free_ports
from served import LIMIT_S, Served, configure, serve, upstream

ACCOUNT = "/_signals/account/email/default"


async def ask(
    port: int, method: str, target: str, body: str = "", host: str = "localhost", origin: str = ""
) -> tuple[int, Any]:
    """Return status and body of one request."""
    page = f"Origin: {origin}\r\nSec-Fetch-Site: same-origin\r\n" if origin else ""
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"{method} {target} HTTP/1.0\r\nHost: {host}\r\n{page}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    return int(head.split()[1]), json.loads(content)


async def refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_accounts_alone(tmp_path: Path, elasticsearch: str, canary: Any, index: str) -> None:
    """Accounts are served there as elsewhere, with each worker; everything else is a 404."""
    more = f"workers: 2\nregistry: {{index: {index}}}\naccounts: {{listen: '127.0.0.1:0'}}\n"
    async with serve(configure(tmp_path, elasticsearch, more)) as proxy:
        serving = await proxy.event("serving")
        await proxy.event("ready")
        both, alone = (int(serving[it].rpartition(":")[2]) for it in ("addresses", "accounts"))
        body = {"host": "a.test", "port": 465, "user": "u", "password": canary("password")}
        assert (await ask(alone, "PUT", ACCOUNT, json.dumps(body)))[0] == 201
        for port in [both] + [alone] * 8:  # whichever worker it is
            status, shown = await ask(port, "GET", ACCOUNT)
            assert (status, shown["integrity"]) == (200, "verified")
        assert (await ask(both, "GET", f"/{index}/_count"))[0] == 200
        scroll = json.dumps({"scroll": "1m", "scroll_id": "abc"})
        for method, target in (
            ("GET", "/"),
            ("GET", f"/{index}/_count"),
            ("POST", "/_search/scroll"),
            ("DELETE", "/_search/scroll/_all"),
        ):
            found = await ask(alone, method, target, scroll)
            assert found == (404, {"status": 404, "error": "Not found"})
        assert (await ask(alone, "GET", "//_signals/account/email/default"))[0] == 400
        assert (await ask(alone, "GET", ACCOUNT, host="evil.test"))[0] == 403


async def test_web_pages(tmp_path: Path) -> None:
    """Its own may call it, others may not; where the cluster's are served, too, none may."""
    async with (
        upstream() as stands,
        serve(configure(tmp_path, stands.url, "accounts: {listen: '127.0.0.1:0'}\n")) as proxy,
    ):
        serving = await proxy.event("serving")
        both, alone = (int(serving[it].rpartition(":")[2]) for it in ("addresses", "accounts"))
        schema = "/_signals/account/_schema"
        for port, origin, expected in (
            (alone, alone, 200),
            (alone, both, 403),
            (both, both, 403),
            (both, alone, 403),
        ):
            host, page = f"127.0.0.1:{port}", f"http://127.0.0.1:{origin}"
            assert (await ask(port, "GET", schema, "", host, page))[0] == expected


async def test_scrolls(tmp_path: Path, elasticsearch: str, canary: Any, index: str) -> None:
    """A scroll of ours goes on there; the cluster's ids lead nowhere, alone or among ours."""
    more = f"registry: {{index: {index}}}\naccounts: {{listen: '127.0.0.1:0'}}\n"
    async with serve(configure(tmp_path, elasticsearch, more)) as proxy:
        serving = await proxy.event("serving")
        await proxy.event("ready")
        both, alone = (int(serving[it].rpartition(":")[2]) for it in ("addresses", "accounts"))
        body = {"host": "a.test", "port": 465, "user": "u", "password": canary("password")}
        for n in range(3):
            target = f"/_signals/account/email/a{n}"
            assert (await ask(alone, "PUT", target, json.dumps(body)))[0] == 201
        search = "/_signals/account/_search?scroll=1m"
        found = []
        page = (await ask(alone, "POST", search, '{"size": 2}'))[1]
        ours = page["_scroll_id"]
        while page["hits"]["hits"]:
            found += [hit["_id"] for hit in page["hits"]["hits"]]
            again = json.dumps({"scroll": "1m", "scroll_id": page["_scroll_id"]})
            status, page = await ask(alone, "POST", "/_search/scroll", again)
            assert status == 200, page
        assert sorted(found) == ["email/a0", "email/a1", "email/a2"]
        theirs = (await ask(both, "POST", f"/{index}/_search?scroll=1m", "{}"))[1]["_scroll_id"]
        for ids in ([theirs], [ours, theirs], ["_all"]):
            status, _ = await ask(
                alone, "DELETE", "/_search/scroll", json.dumps({"scroll_id": ids})
            )
            assert status == 404
        more_of_theirs = json.dumps({"scroll": "1m", "scroll_id": theirs})
        assert (await ask(alone, "POST", "/_search/scroll", more_of_theirs))[0] == 404
        assert (await ask(both, "POST", "/_search/scroll", more_of_theirs))[0] == 200
        for target in (f"/_search/scroll/{ours}", f"/_search/scroll?scroll_id={ours}"):
            status, cleared = await ask(alone, "DELETE", target)
            assert (status, cleared) == (200, {"succeeded": True, "num_freed": 1})


async def test_nothing_is_forwarded(tmp_path: Path) -> None:
    """The cluster hears nothing of what comes here, and no credentials of it."""
    async with (
        upstream() as stands,
        serve(configure(tmp_path, stands.url, "accounts: {listen: '127.0.0.1:0'}\n")) as proxy,
    ):
        serving = await proxy.event("serving")
        await proxy.event("ready")
        alone = int(serving["accounts"].rpartition(":")[2])
        assert (await ask(alone, "PUT", "/email/default", "{}"))[0] == 404
        assert not stands.asked.is_set()


async def whole_answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        return await reader.read()


async def put_half(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Begin a PUT whose body is awaited: it is under way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"PUT {ACCOUNT}?dry_run HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n".encode()
    )
    assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_stop(tmp_path: Path) -> None:
    """What is under way is answered whole before the worker ends."""
    async with (
        upstream() as stands,
        serve(configure(tmp_path, stands.url, "accounts: {listen: '127.0.0.1:0'}\n")) as proxy,
    ):
        serving = await proxy.event("serving")
        reader, writer = await put_half(int(serving["accounts"].rpartition(":")[2]))
        proxy.process.terminate()
        await proxy.event("draining")
        writer.write(b"{}")
        answer = await whole_answer(reader)
        writer.close()
        assert b"connection: close" in answer.lower()
        assert answer.endswith(b"}")
        assert await proxy.ended() == 0


async def test_reloads(tmp_path: Path) -> None:
    """One reload adds the listener, another one takes it away: answers under way stay whole."""
    (port,) = free_ports(1)
    async with upstream() as stands:
        file = configure(tmp_path, stands.url)
        without = file.read_text()
        async with serve(file) as proxy:
            await proxy.served()
            assert await refused(port)
            file.write_text(without + f"accounts: {{listen: '127.0.0.1:{port}'}}\n")
            assert (await reloaded(proxy))["accounts"] == f"127.0.0.1:{port}"
            assert (await ask(port, "GET", "/"))[0] == 404
            assert (await reloaded(proxy))["accounts"] == f"127.0.0.1:{port}"  # kept as it is
            reader, writer = await put_half(port)
            file.write_text(without)
            assert "accounts" not in await reloaded(proxy)
            writer.write(b"{}")
            assert (await whole_answer(reader)).endswith(b"}")
            writer.close()
            while not await refused(port):  # the old worker closes it with its own copy
                await asyncio.sleep(0.01)


async def reloaded(proxy: Served) -> dict[str, str]:
    event = await proxy.reloaded()
    assert proxy.process.returncode is None
    return event
