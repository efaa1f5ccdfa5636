"""A plugin with servers that answer as they are told: for what no test can make a real one say."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web


class Played:
    """A server on a socket that answers every request alike, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[bytes, bytes] = {}
        self.requests: list[bytes] = []
        self.url = ""

    def answer(
        self,
        marker: bytes,
        status: int,
        body: bytes,
        fields: bytes = b"",
        kind: bytes = b"application/json",
    ) -> None:
        """Have requests whose bytes hold ``marker`` answered so."""
        length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(body)
        self.answers[marker] = (
            b"HTTP/1.1 %d Whatever\r\nX-elastic-product: Elasticsearch\r\n"
            b"Content-Type: %s\r\n%s%s\r\n" % (status, kind, length, fields)
        ) + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            self.requests.append(data)
            answer = next((it for marker, it in self.answers.items() if marker in data), None)
            if answer is not None:
                writer.write(answer)
        writer.close()


@pytest.fixture
async def played() -> AsyncIterator[Played]:
    """A cluster that answers as it is told."""
    played = Played()
    server = await asyncio.start_server(played.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    played.url = f"http://{host}:{port}"
    yield played
    server.close()


class Reference:
    """Another registry: it gives its accounts out in clear, a page at a time.

    ``pages`` are the sources by ``_id``; ``asked`` are the requests, each with its credentials.
    """

    def __init__(self) -> None:
        self.pages: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str | None]] = []
        self.changed: dict[str, Any] = {}
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(
            (f"{request.method} {request.path_qs}", request.headers.get("Authorization"))
        )
        body = await request.json()
        if request.method == "DELETE":
            return web.json_response({"succeeded": True, "num_freed": 1})
        first = request.path == "/_signals/account/_search"
        page = 0 if first else int(body["scroll_id"])
        hits = [
            {"_index": ".signals_accounts", "_id": name, "_score": 1.0, "_source": source}
            for name, source in (self.pages[page] if page < len(self.pages) else {}).items()
        ]
        total = {"value": sum(map(len, self.pages)), "relation": "eq"}
        return web.json_response(
            {
                "_scroll_id": str(page + 1),
                "took": 1,
                "timed_out": False,
                "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
                "hits": {"total": total, "max_score": 1.0, "hits": hits},
                **self.changed,
            }
        )


@pytest.fixture
async def reference() -> AsyncIterator[Reference]:
    """A registry that gives its accounts out in clear, as the reference product does."""
    reference = Reference()
    app = web.Application()
    app.router.add_post("/_signals/account/_search", reference.answer)
    app.router.add_route("*", "/_search/scroll", reference.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reference.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield reference
    await runner.cleanup()
