"""A plugin with a cluster that answers as it is told: for what no test can make a real node say."""

import asyncio
from collections.abc import AsyncIterator

import pytest


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
