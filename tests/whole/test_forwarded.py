"""Fields that clients must not send, before real nodes that do odd things with bodies they refuse.

``X-Opaque-Id`` stands for a field of identity: every node says it back.
"""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from served import LIMIT_S, configure, serve

JSON = b"Content-Type: application/json\r\n"


def put(fields: bytes, body: bytes) -> bytes:
    """Return a request with a body of which more may be promised than there is."""
    return b"PUT /x/_doc/1 HTTP/1.1\r\nHost: localhost\r\n" + JSON + fields + b"\r\n" + body


def smuggled(name: str) -> bytes:
    """Return a request that makes an index, if anybody takes it for one."""
    head = f"PUT /smuggled-{name} HTTP/1.1\r\nHost: localhost\r\nX-Opaque-Id: evil\r\n"
    return head.encode() + b"Content-Length: 0\r\n\r\n"


ATTACKS = {
    "unmet": lambda body: put(b"Expect: tea\r\nContent-Length: %d\r\n" % len(body), body),
    "unmet-too": lambda body: put(b"Expect:\r\nContent-Length: %d\r\n" % len(body), body),
    "large": lambda body: put(b"Expect: 100-continue\r\nContent-Length: 999999999\r\n", body),
    "large-at-once": lambda body: put(b"Content-Length: 999999999\r\n", body * 3),
    "long-head": lambda body: put(
        b"a: %b\r\nContent-Length: %d\r\n" % (b"a" * 30_000, len(body)), body
    ),
    "odd-method": lambda body: put(b"Content-Length: %d\r\n" % len(body), body).replace(
        b"PUT /x", b"ODD /x"
    ),
    "odd-target": lambda body: put(b"Content-Length: %d\r\n" % len(body), body).replace(
        b"/x/", b"/%zz/"
    ),
}
REAL = {"unmet", "unmet-too", "large"}
"""Those which Elasticsearch 8.19 falls for, were there no proxy."""


async def sent(port: int, data: bytes, *, answers: int = 1) -> bytes:
    """Send a request, and return the head of its answer once there are so many."""
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        head, *_ = [await reader.readuntil(b"\r\n\r\n") for _ in range(answers)]
        writer.close()
        return head


async def made(session: aiohttp.ClientSession, node: str) -> set[str]:
    """Return which of the smuggled indices there are, and delete them."""
    async with session.get(f"{node}/_cluster/health?wait_for_events=languid"):
        pass
    async with session.get(f"{node}/_cat/indices/smuggled-*?format=json&h=index") as answer:
        found = {one["index"] for one in await answer.json()}
    for name in found:
        async with session.delete(f"{node}/{name}"):
            pass
    return {name.removeprefix("smuggled-") for name in found}


@pytest.mark.parametrize("version", ["elasticsearch", "elasticsearch_8"])
async def test_a_field_that_clients_must_not_send(
    version: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """No node learns of it: from a head, nor by being brought to run what stands in a body."""
    node: str = request.getfixturevalue(version)
    async with (
        serve(configure(tmp_path, node, "forward: {strip_fields: X-Opaque-Id}\n")) as served,
        aiohttp.ClientSession() as session,
    ):
        proxy = await served.served()
        for field in (b"X-Opaque-Id", b"x-opaque-ID", b"X_Opaque_Id"):
            head = await sent(proxy.port, b"GET / HTTP/1.1\r\nHost: c\r\n%b: evil\r\n\r\n" % field)
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"evil" not in head
        for name, attack in ATTACKS.items():
            head = await sent(proxy.port, attack(smuggled(name)))
            assert head[9:12] in {b"400", b"405", b"413", b"417"}, name
        assert await made(session, node) == set()
        if version == "elasticsearch_8":
            for name in REAL:
                await sent(int(node.rpartition(":")[2]), ATTACKS[name](smuggled(name)), answers=2)
            assert await made(session, node) == REAL


async def test_a_cluster_that_thinks_for_too_long(elasticsearch: str, tmp_path: Path) -> None:
    """A request that the cluster does not answer in time is a 504 in its own shape."""
    slow = "_cluster/health?wait_for_nodes=7&timeout=60s"
    async with (
        serve(
            configure(
                tmp_path,
                elasticsearch,
                "limits: {answer_timeout: 1s}\n",
            )
        ) as served,
        aiohttp.ClientSession() as session,
    ):
        proxy = await served.served()
        async with session.get(f"http://localhost:{proxy.port}/{slow}") as answer:
            assert answer.status == 504
            told = await answer.json()
        assert told["error"]["type"] == "receive_timeout_transport_exception"
