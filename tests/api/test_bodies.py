"""How a body comes: its media type, its coding, its size."""

import gzip
import tracemalloc
from typing import Any

import aiohttp
import pytest
from refused import VALID, check, encoded, large

from signals_proxy.api.receive import MAX_BODY, _inflate
from signals_proxy.errors import BodyTooLarge


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/jsonp",
        "application/x-ndjson",
        "application/yaml",
        "application/cbor",
        "application/vnd.elasticsearch+x-ndjson; compatible-with=8",
        "text/json",
        "application",
        "application/json, text/plain",
    ],
)
async def test_media_types(client: Any, cluster: Any, kind: str) -> None:
    """What is not said to be JSON is a 415, in the reference product's words."""
    error = check(await client.put(encoded(VALID), Content_Type=kind), 415)
    assert error["error"] == "Accounts must be of content type application/json"
    assert not cluster.exists()


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=UTF-8",
        "application/json;charset=iso-8859-1",
        "application/vnd.elasticsearch+json",
        "application/vnd.elasticsearch+json; compatible-with=8",
        "application/vnd.elasticsearch+json;compatible-with=9",
    ],
)
async def test_media_types_that_are_json(client: Any, kind: str) -> None:
    """JSON may be called by any of its names."""
    assert (await client.put(encoded(VALID), Content_Type=kind)).status == 201


async def test_sizes(client: Any, cluster: Any) -> None:
    """A body may have 1 MiB and not one byte more."""
    check(await client.put(large(1024 * 1024 + 1)), 413)
    assert not cluster.exists()
    assert (await client.put(large(1024 * 1024))).status == 201


async def test_chunked_sizes(client: Any, cluster: Any) -> None:
    """So it is where no length was announced."""

    async def pieces(size: int) -> Any:
        body = large(size)
        for at in range(0, size, 50_000):
            yield body[at : at + 50_000]

    async with aiohttp.ClientSession() as session:
        url = f"{client.url}/_signals/account/email/default"
        for size, status in ((1024 * 1024 + 1, 413), (1024 * 1024, 201)):
            async with session.put(
                url, data=pieces(size), headers={"Content-Type": "application/json"}
            ) as answer:
                assert answer.status == status
    assert cluster.source()["host"] == "smtp.example.com"


async def test_gzip(client: Any, cluster: Any) -> None:
    """A gzip body is inflated, and counts as what comes out."""
    for coding in ("gzip", "x-gzip", "GZIP"):
        answer = await client.put(gzip.compress(encoded(VALID)), Content_Encoding=coding)
        assert answer.status in {200, 201}, answer.text
    assert cluster.source()["host"] == "smtp.example.com"
    assert (await client.put(encoded(VALID), Content_Encoding="identity")).status == 200


def test_bombs_cost_little() -> None:
    """A bomb is stopped while it is inflated, not afterwards."""
    bomb = gzip.compress(b" " * 50_000_000, 1)
    tracemalloc.start()
    with pytest.raises(BodyTooLarge):
        _inflate(bomb, MAX_BODY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (gzip.compress(large(1024 * 1024 + 1)), 413, "larger"),
        (gzip.compress(b" " * 50_000_000, 1), 413, "larger"),
        (encoded(VALID), 400, "not gzip"),
        (gzip.compress(encoded(VALID))[:-1], 400, "cut short"),
        (gzip.compress(encoded(VALID)) + b"x", 400, "follows"),
        (gzip.compress(encoded(VALID)) * 2, 400, "follows"),
        (b"", 400, "cut short"),
    ],
    ids=["large", "bomb", "plain", "cut", "more", "double", "empty"],
)
async def test_broken_gzip(client: Any, cluster: Any, body: bytes, status: int, words: str) -> None:
    """A bomb, something else, a half and a double are refused."""
    error = check(await client.put(body, Content_Encoding="gzip"), status)
    assert words in error["error"]
    assert not cluster.exists()


@pytest.mark.parametrize(
    "coding", ["deflate", "br", "zstd", "compress", "gzip, gzip", "x", "utf-8"]
)
async def test_other_codings(client: Any, cluster: Any, coding: str) -> None:
    """A coding that is not gzip is a 415, and no attempt is made at it."""
    check(await client.put(gzip.compress(encoded(VALID)), Content_Encoding=coding), 415)
    assert not cluster.exists()
