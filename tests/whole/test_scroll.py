"""Scrolls of the registry and of the cluster at the one standard place, through a whole proxy."""

import asyncio
import gzip
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from aiohttp import ClientSession
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk
from served import configure, serve
from yarl import URL

COUNT = 250
JSON = {"Content-Type": "application/json"}
SCROLL = "/_search/scroll"
SEARCH = "/_signals/account/_search?scroll=25s"


class Proxied:
    """A whole proxy whose every byte to the node is seen, and a client of it."""

    def __init__(self, session: ClientSession, port: int, wire: Any) -> None:
        self.session = session
        self.port = port
        self.wire = wire

    async def ask(
        self, method: str, target: str, body: Any = None, **fields: str
    ) -> tuple[int, Any]:
        """Return status and body; what is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url = URL(f"http://127.0.0.1:{self.port}{target}", encoded=True)
        given = {name.replace("_", "-"): value for name, value in fields.items()}
        headers = {**(JSON if data is not None else {}), **given}
        async with self.session.request(method, url, data=data, headers=headers) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text else None

    async def raw(self, *pieces: bytes) -> bytes:
        """Send the bytes piece by piece, and return all that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def first(self, size: int = 2) -> str:
        """Return the scroll id of a first page of accounts."""
        status, page = await self.ask("POST", SEARCH, {"size": size})
        assert status == 200, page
        return str(page["_scroll_id"])

    async def foreign(self, index: str) -> str:
        """Return a scroll id of the cluster's own."""
        status, page = await self.ask("POST", f"/{index}/_search?scroll=1m", {"size": 1})
        assert status == 200, page
        return str(page["_scroll_id"])

    def seen(self) -> bytes:
        """What the node was sent since this was last asked."""
        seen = b"".join(self.wire.requests)
        self.wire.requests.clear()
        return seen


@pytest.fixture
async def proxied(faulty_wire: Any, tmp_path: Path) -> AsyncIterator[Proxied]:
    """The proxy, with an index ``scrolled`` of the cluster's own behind it."""
    more = f"registry: {{index: .scroll_{tmp_path.name.replace('-', '_').lower()}}}\n"
    async with (
        serve(configure(tmp_path, faulty_wire.url, more)) as proxy,
        ClientSession() as session,
    ):
        address = await proxy.served()
        await proxy.event("ready")
        proxied = Proxied(session, address.port, faulty_wire)
        await proxied.ask("PUT", "/scrolled/_bulk?refresh=true", b'{"index":{}}\n{"n":1}\n' * 5)
        proxied.seen()
        yield proxied
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0


async def put_accounts(proxied: Proxied, count: int, canary: Any) -> None:
    """Put accounts ``a000`` and so on, each with a password of its own."""
    for n in range(count):
        body = {"host": "smtp.example.com", "port": 465, "enable_tls": True, "user": "u"}
        status, answer = await proxied.ask(
            "PUT", f"/_signals/account/email/a{n:03}", {**body, "password": canary("password")}
        )
        assert status == 201, answer


async def test_the_reference_client_lists_all_accounts(proxied: Proxied, canary: Any) -> None:
    """Its sequence: a search that scrolls for 25 s, then the standard place until no hits come."""
    await put_accounts(proxied, COUNT, canary)
    proxied.seen()
    status, page = await proxied.ask("POST", SEARCH, {"query": {"match": {"type": "email"}}})
    found, pages = [], 0
    while status == 200 and page["hits"]["hits"]:
        pages += 1
        assert page["hits"]["total"]["value"] == COUNT
        assert all(hit["_source"]["password"] == "::es_redacted::" for hit in page["hits"]["hits"])
        found += [hit["_id"] for hit in page["hits"]["hits"]]
        status, page = await proxied.ask(
            "POST", SCROLL, {"scroll": "25s", "scroll_id": page["_scroll_id"]}
        )
    assert (status, pages, sorted(found)) == (200, 25, [f"email/a{n:03}" for n in range(COUNT)])
    assert await proxied.ask("DELETE", SCROLL, {"scroll_id": page["_scroll_id"]}) == (
        200,
        {"succeeded": True, "num_freed": 1},
    )
    assert b"scroll" not in proxied.seen().replace(b"/.scroll_", b"")


async def test_every_way_to_continue(proxied: Proxied, canary: Any) -> None:
    """The id may stand in the body, plain or gzip, in the path, in a parameter or in ``source``."""
    await put_accounts(proxied, 4, canary)
    scroll_id = await proxied.first()
    body = {"scroll": "25s", "scroll_id": scroll_id}
    packed = gzip.compress(json.dumps(body).encode())
    source = urlencode({"source": json.dumps(body), "source_content_type": "application/json"})
    pages = [
        await proxied.ask("POST", SCROLL, body),
        await proxied.ask("GET", SCROLL, body),
        await proxied.ask("POST", SCROLL, packed, Content_Encoding="gzip"),
        await proxied.ask("GET", f"{SCROLL}/{scroll_id}"),
        await proxied.ask("POST", f"{SCROLL}/{scroll_id}?scroll=25s"),
        await proxied.ask("POST", f"{SCROLL}/{scroll_id}", {"scroll": "25s"}),
        await proxied.ask("GET", f"{SCROLL}?scroll=25s&scroll_id={scroll_id}"),
        await proxied.ask("POST", f"{SCROLL}?scroll_id={scroll_id}"),
        await proxied.ask("GET", f"{SCROLL}?{source}"),
        await proxied.ask("POST", f"{SCROLL}?scroll_id=other", body),
    ]
    for status, page in pages:
        assert (status, [hit["_id"] for hit in page["hits"]["hits"]]) == (
            200,
            ["email/a002", "email/a003"],
        )
    status, page = await proxied.ask("POST", f"{SCROLL}?rest_total_hits_as_int=true", body)
    assert (status, page["hits"]["total"]) == (200, 4)


async def test_every_way_to_clear(proxied: Proxied) -> None:
    """One id or several, wherever they stand; the cluster is not asked."""
    one = await proxied.first()
    packed = gzip.compress(json.dumps({"scroll_id": [one]}).encode())
    source = urlencode({"source": json.dumps({"scroll_id": one})})
    source += "&source_content_type=application%2Fjson"
    proxied.seen()
    cleared = [
        (1, await proxied.ask("DELETE", SCROLL, {"scroll_id": one})),
        (2, await proxied.ask("DELETE", SCROLL, {"scroll_id": [one, one]})),
        (1, await proxied.ask("DELETE", SCROLL, packed, Content_Encoding="gzip")),
        (1, await proxied.ask("DELETE", f"{SCROLL}/{one}")),
        (2, await proxied.ask("DELETE", f"{SCROLL}/{one},{one}")),
        (2, await proxied.ask("DELETE", f"{SCROLL}?scroll_id={one}%2C{one}")),
        (1, await proxied.ask("DELETE", f"{SCROLL}?{source}")),
    ]
    for freed, answer in cleared:
        assert answer == (200, {"succeeded": True, "num_freed": freed})
    assert proxied.seen() == b""


async def test_ids_of_both_are_cleared_at_once(proxied: Proxied) -> None:
    """The cluster clears its own, asked with the caller's fields and with nothing of ours."""
    ours = await proxied.first()
    for target in (SCROLL, f"{SCROLL}/{{}}", f"{SCROLL}?scroll_id={{}}"):
        theirs = [await proxied.foreign("scrolled"), await proxied.foreign("scrolled")]
        ids = [theirs[0], ours, theirs[1]]
        proxied.seen()
        status, answer = await proxied.ask(
            "DELETE",
            target.format(quote(",".join(ids), safe="")),
            {"scroll_id": ids} if target == SCROLL else None,
            Authorization="Basic b3BzOm9wcw==",
            X_Opaque_Id="mixed",
        )
        assert (status, answer) == (200, {"succeeded": True, "num_freed": 3})
        seen = proxied.seen()
        assert b"signals-proxy-scroll" not in seen
        assert (seen.count(b"Basic b3BzOm9wcw=="), seen.count(b"X-Opaque-Id: mixed")) == (1, 1)
        for one in theirs:
            status, _ = await proxied.ask("POST", SCROLL, {"scroll_id": one})
            assert status == 404


async def test_ids_that_the_cluster_does_not_know(proxied: Proxied) -> None:
    """What is gone counts as not freed; what is no id is the cluster's own 400."""
    ours, theirs = await proxied.first(), await proxied.foreign("scrolled")
    ids = {"scroll_id": [ours, theirs]}
    assert await proxied.ask("DELETE", SCROLL, ids) == (200, {"succeeded": True, "num_freed": 2})
    assert await proxied.ask("DELETE", SCROLL, ids) == (200, {"succeeded": True, "num_freed": 1})
    status, answer = await proxied.ask("DELETE", SCROLL, {"scroll_id": [ours, "nonsense"]})
    expected = await proxied.ask("DELETE", SCROLL, {"scroll_id": ["nonsense"]})
    assert (status, answer) == expected
    assert (status, answer["error"]["type"]) == (400, "illegal_argument_exception")


async def test_what_is_no_id(proxied: Proxied) -> None:
    """A forged or an old id, and whatever else is wrong with a request for ours, is a 400."""
    ours = await proxied.first()
    for body, expected in (
        ({"scroll_id": ours[:-1]}, "Cannot parse scroll id"),
        ({"scroll_id": "signals-proxy-scroll-1."}, "Cannot parse scroll id"),
        ({"scroll_id": [ours, ours]}, "One scroll id"),
        ({"scroll_id": ours, "scroll": "1x"}, "time value"),
        ({"scroll_id": ours, "scroll": "2d"}, "too large"),
    ):
        status, answer = await proxied.ask("POST", SCROLL, body)
        assert (status, answer["status"]) == (400, 400)
        assert expected in answer["error"]
    status, answer = await proxied.ask("GET", f"{SCROLL}/{ours}?pretyt")
    assert (
        status,
        "unrecognized parameter: [pretyt] -> did you mean [pretty]?" in str(answer),
    ) == (
        400,
        True,
    )
    status, answer = await proxied.ask("PUT", f"{SCROLL}/{ours}")
    assert (status, "allowed: [GET, POST, DELETE]" in answer["error"]) == (405, True)


async def test_the_clusters_own_scrolls_pass_as_they_came(proxied: Proxied) -> None:
    """Whatever is not clearly ours reaches the node byte for byte, and its answer the client."""
    theirs = await proxied.foreign("scrolled")
    head = b"POST /_search/scroll?pretty HTTP/1.1\r\nhOst: localhost\r\nX-odd:  a \r\nX-odd: b\r\n"
    content = json.dumps({"scroll": "1m", "scroll_id": theirs}).encode()
    plain = head + b"Content-Type: application/json\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(it), it) for it in (content[:9], content[9:]))
    get = b"GET /_search/scroll/%b?scroll=1m HTTP/1.1\r\nHost: localhost\r\n\r\n" % theirs.encode()
    end = b"GET /scrolled/_count HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    requests = [
        plain + b"Content-Length: %d\r\n\r\n" % len(content) + content,
        plain + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n",
        get,
    ]
    proxied.seen()
    for each in requests:
        for size in (len(each), 7):
            pieces = [each[at : at + size] for at in range(0, len(each), size)]
            answer = await proxied.raw(*pieces, end)  # pipelined behind it
            statuses = [
                line.split()[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")
            ]
            assert statuses == [b"200", b"200"]
            assert b"_scroll_id" in answer
            assert each in proxied.seen()


async def test_bodies_over_the_limit_pass(proxied: Proxied) -> None:
    """A body over 64 KiB is the cluster's, and so is one that inflates to more, even with our id."""
    ours = await proxied.first()
    body = json.dumps({"scroll_id": ours}).encode()
    for sent, fields in (
        (body.ljust(64 * 1024 + 1), {}),
        (gzip.compress(body.ljust(64 * 1024 + 1)), {"Content_Encoding": "gzip"}),
    ):
        status, answer = await proxied.ask("POST", SCROLL, sent, **fields)
        assert (status, answer["error"]["type"]) == (400, "illegal_argument_exception")
    status, _ = await proxied.ask("POST", SCROLL, body.ljust(64 * 1024))
    assert status == 200


async def test_a_request_behind_a_page_of_ours(proxied: Proxied) -> None:
    """Pipelined requests of both kinds are answered in order, however slowly they come."""
    ours = await proxied.first()
    body = json.dumps({"scroll_id": ours}).encode()
    page = b"POST /_search/scroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    page += b"Content-Length: %d\r\n\r\n" % len(body) + body
    end = b"GET /scrolled/_count HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    sent = page + page + end
    for size in (len(sent), 50):
        answer = await proxied.raw(*(sent[at : at + size] for at in range(0, len(sent), size)))
        assert answer.count(b"HTTP/1.1 200 OK\r\n") == 3
        assert answer.count(b"_scroll_id") == 2
        assert answer.rindex(b"_scroll_id") < answer.index(b'"count":')


def scrolled(client: Elasticsearch, index: str) -> tuple[set[str], int, int]:
    """Scroll through an index by hand; return the ids, the pages and how many were freed."""
    page = client.search(index=index, scroll="1m", size=100)
    found: set[str] = set()
    pages = 0
    while page["hits"]["hits"]:
        found |= {hit["_id"] for hit in page["hits"]["hits"]}
        pages += 1
        page = client.scroll(scroll_id=page["_scroll_id"], scroll="1m")
    return found, pages, client.clear_scroll(scroll_id=[page["_scroll_id"]])["num_freed"]


async def test_the_official_client(proxied: Proxied) -> None:
    """Its scrolls through an index of the cluster's end as they should, gzip or not."""

    def run() -> None:
        for compress in (False, True):
            with Elasticsearch(
                f"http://127.0.0.1:{proxied.port}", http_compress=compress
            ) as client:
                actions = ({"_index": "many", "_id": str(n), "n": n} for n in range(1000))
                bulk(client, actions, refresh=True)
                assert scrolled(client, "many") == ({str(n) for n in range(1000)}, 10, 1)
                client.indices.delete(index="many")

    await asyncio.to_thread(run)
