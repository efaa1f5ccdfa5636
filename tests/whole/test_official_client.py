"""The official Python client, through the proxy and past it: the answers are the same."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import (
    AsyncElasticsearch,
    BadRequestError,
    ConflictError,
    Elasticsearch,
    NotFoundError,
)
from elasticsearch.helpers import async_bulk, bulk, scan
from served import configure, serve

COUNT = 20_000
# What differs between two runs of the same request, and between two indices made the same way.
VARIES = {"took", "_scroll_id", "pit_id", "id", "_index", "index", "index_uuid", "error_trace"}


def same(answer: Any) -> Any:
    """Return what must be equal of an answer."""
    if isinstance(answer, dict):
        return {name: same(value) for name, value in answer.items() if name not in VARIES}
    if isinstance(answer, list):
        return [same(value) for value in answer]
    return answer


def documents(index: str) -> Any:
    """Yield the actions of a bulk request."""
    return ({"_index": index, "_id": str(n), "n": n, "text": f"document {n}"} for n in range(COUNT))


def dialogue(client: Elasticsearch, index: str) -> list[Any]:
    """Use the client as programs do, and return everything that it was told."""
    told: list[Any] = []

    def note(answer: Any) -> None:
        told.append((same(answer.body), answer.meta.status, answer.meta.http_version))

    note(client.indices.create(index=index, settings={"number_of_replicas": 0}))
    told.append(bulk(client, documents(index), chunk_size=5000, refresh=True))
    note(client.index(index=index, id="new/+ü", document={"n": -1}, refresh=True))
    note(client.get(index=index, id="new/+ü"))
    note(client.update(index=index, id="new/+ü", doc={"n": -2}, refresh=True))
    note(client.search(index=index, query={"range": {"n": {"lt": 3}}}, sort=["n"]))
    note(client.count(index=index))
    told.append(sum(1 for _ in scan(client, index=index, size=1000)))
    pit = client.open_point_in_time(index=index, keep_alive="1m")
    note(client.search(pit={"id": pit["id"]}, size=2, sort=[{"n": "desc"}], source=False))
    note(client.close_point_in_time(id=pit["id"]))
    note(client.delete(index=index, id="new/+ü", refresh=True))
    told.append(client.cat.count(index=index, h=["count"]).body)
    told.append(client.exists(index=index, id="nobody").body)
    for refused in (
        lambda: client.get(index=index, id="nobody"),
        lambda: client.search(index=index, query={"no_such_query": {}}),
        lambda: client.create(index=index, id="1", document={}),
    ):
        with pytest.raises((NotFoundError, BadRequestError, ConflictError)) as error:
            refused()
        told.append((type(error.value), error.value.status_code, same(error.value.body)))
    note(client.indices.delete(index=index))
    return told


@asynccontextmanager
async def proxied(folder: Path, upstream: str) -> AsyncIterator[tuple[str, int]]:
    """Run the whole proxy in front of a node; yield its URL and its worker's process id."""
    async with serve(configure(folder, upstream)) as proxy:
        address = await proxy.served()
        await proxy.event("ready")
        yield f"http://127.0.0.1:{address.port}", proxy.workers()[0]
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0


def peak_memory(process: int) -> int:
    """Return the most resident memory that a process ever had, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def test_synchronous(elasticsearch: str, tmp_path: Path) -> None:
    """A program that uses the synchronous client cannot tell whether there is a proxy."""
    async with proxied(tmp_path, elasticsearch) as (url, _):
        with Elasticsearch(elasticsearch) as direct, Elasticsearch(url) as through:
            expected = await asyncio.to_thread(dialogue, direct, "direct")
            assert await asyncio.to_thread(dialogue, through, "through") == expected


async def test_asynchronous(elasticsearch: str, tmp_path: Path) -> None:
    """A program that uses the asynchronous client, many requests at once, cannot tell either."""
    told = []
    async with proxied(tmp_path, elasticsearch) as (through, _):
        for url, index in ((elasticsearch, "async-direct"), (through, "async-through")):
            async with AsyncElasticsearch(url, http_compress=True) as client:
                done, _ = await async_bulk(client, documents(index), refresh=True)
                searches = (
                    client.search(index=index, query={"term": {"n": n}}, source=["text"])
                    for n in range(200)
                )
                told.append([done, *(same(each.body) for each in await asyncio.gather(*searches))])
                await client.indices.delete(index=index)
    assert told[0] == told[1]


async def test_large_bodies_cost_no_memory(elasticsearch: str, tmp_path: Path) -> None:
    """A bulk of 90 MB and an answer of 100 MB pass; the proxy's memory grows by less than 16 MB."""

    def exchange(client: Elasticsearch, worker: int) -> tuple[int, int]:
        line = "x" * 1_000_000
        mappings, settings = {"dynamic": False}, {"number_of_replicas": 0}
        client.indices.create(index="large", mappings=mappings, settings=settings)
        before = peak_memory(worker)
        actions = [action for n in range(90) for action in ({"index": {"_id": n}}, {"line": line})]
        assert client.bulk(index="large", operations=actions)["errors"] is False
        for n in range(90, 100):
            client.index(index="large", id=str(n), document={"line": line})
        client.indices.refresh(index="large")
        hits = client.search(index="large", size=100)["hits"]["hits"]
        grown = peak_memory(worker) - before
        client.indices.delete(index="large")
        return sum(len(hit["_source"]["line"]) for hit in hits), grown

    async with proxied(tmp_path, elasticsearch) as (url, worker):
        with Elasticsearch(url, request_timeout=120) as client:
            size, grown = await asyncio.to_thread(exchange, client, worker)
    assert size == 100_000_000
    assert grown < 16 * 1024 * 1024
