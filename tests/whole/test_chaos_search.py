"""A client that leaves during a long search: a real node's task list shows it cancelled within a second."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import trustme
from certified import Certified
from served import LIMIT_S, Address, configure, serve

LIMIT_OF_A_CANCELLATION_S = 1.0
SHARDS, DOCUMENTS, VALUES = 10, 5000, 20
"""A search that takes seconds: one shard after the other, and in each document VALUES³ buckets."""


def terms(depth: int) -> dict[str, object]:
    one: dict[str, object] = {"terms": {"field": "n"}}
    return {"each": one | ({"aggs": terms(depth - 1)} if depth > 1 else {})}


SEARCH = json.dumps({"size": 0, "aggs": terms(3)})
TARGET = "/long-search/_search?request_cache=false&max_concurrent_shard_requests=1"
HEAD = b"HEAD /long-search HTTP/1.1\r\nHost: c\r\n\r\n"


class Node:
    """A node, and what it is at work on."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def is_cancelled(self, search: str) -> bool | None:
        """Tell whether every task of a search was told to end; None if it is at work on none."""
        target = "/_tasks?detailed&actions=indices:data/read/search*"
        async with self._session.get(target) as answer:
            nodes = (await answer.json())["nodes"].values()
        tasks = [task for node in nodes for task in node["tasks"].values()]
        its = [task["cancelled"] for task in tasks if task["headers"].get("X-Opaque-Id") == search]
        return all(its) if its else None


@asynccontextmanager
async def with_documents(url: str) -> AsyncIterator[Node]:
    settings = {"number_of_shards": SHARDS, "number_of_replicas": 0}
    values = {"n": {"type": "integer", "index": False}}
    index = {
        "settings": settings,
        "mappings": {"_source": {"enabled": False}, "properties": values},
    }
    lines = ('{"index": {}}\n' + json.dumps({"n": list(range(VALUES))}) + "\n") * DOCUMENTS
    async with aiohttp.ClientSession(url, raise_for_status=True) as session:
        (await session.put("/long-search", json=index)).release()
        try:
            target = "/long-search/_bulk?refresh=true"
            kind = {"Content-Type": "application/x-ndjson"}
            (await session.post(target, data=lines, headers=kind)).release()
            yield Node(session)
        finally:
            (await session.delete("/long-search")).release()


def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def half_close(writer: asyncio.StreamWriter) -> None:
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()


def pipeline_and_close(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + HEAD[:-2])
    writer.close()


def vanish(writer: asyncio.StreamWriter) -> None:
    """With TLS: without saying so in its terms."""
    writer.transport.abort()


async def leave_in_each_way(node: Node, at: Address, tls: dict[str, Any]) -> None:
    for leave in (close, half_close, pipeline_and_close, vanish):
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port, **tls)
        writer.write(HEAD)  # so that the connections on both sides are used again
        await reader.readuntil(b"\r\n\r\n")
        head = (
            f"POST {TARGET} HTTP/1.1\r\nHost: c\r\nX-Opaque-Id: {leave.__name__}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(SEARCH)}\r\n\r\n"
        )
        writer.write((head + SEARCH).encode())
        async with asyncio.timeout(LIMIT_S):
            while await node.is_cancelled(leave.__name__) is not False:
                await asyncio.sleep(0.01)
        leave(writer)
        async with asyncio.timeout(LIMIT_OF_A_CANCELLATION_S):
            while await node.is_cancelled(leave.__name__) is False:
                await asyncio.sleep(0.01)
        writer.close()


async def test_in_the_clear(tmp_path: Path, elasticsearch: str) -> None:
    async with (
        with_documents(elasticsearch) as node,
        serve(configure(tmp_path, elasticsearch)) as it,
    ):
        await leave_in_each_way(node, await it.served(), {})


async def test_over_tls(tmp_path: Path, elasticsearch_8: str) -> None:
    authority = Certified(trustme.CA(), tmp_path)
    authority.files("proxy")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.authority.configure_trust(tls)
    file = configure(tmp_path, elasticsearch_8, "tls: {certificate: proxy.pem, key: proxy.key}\n")
    async with with_documents(elasticsearch_8) as node, serve(file) as it:
        await leave_in_each_way(
            node, await it.served(), {"ssl": tls, "server_hostname": "proxy.test"}
        )
