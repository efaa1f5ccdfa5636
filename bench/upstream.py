"""What stands behind every proxy: a server that costs little, the same for all.

``/bytes/N`` and ``/chunked/N`` are answered with N bytes, with Content-Length or chunked; everything
else with one small answer, once the request's body is there whole. ``X-Opaque-Id`` comes back as
from Elasticsearch, so that different requests have different answers.

It reads what proxies write, one request at a time, and is no server for anything else.
"""

import asyncio
import re
import sys
from typing import Final, cast

import uvloop

__all__ = ["BODY"]

BODY: Final = b'{"_index":"bench","_id":"1","found":true,"_source":{"text":"%b"}}' % (b"x" * 220)
"""The small answer's."""
_FIELDS: Final = b"X-elastic-product: Elasticsearch\r\ncontent-type: application/json\r\n"
_END: Final = b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
_OK: Final = b"HTTP/1.1 200 OK\r\n"
_SMALL: Final = _OK + _FIELDS + _END

_PIECE: Final = memoryview(b"x" * (256 * 1024))
_CHUNK: Final = memoryview(b"40000\r\n" + _PIECE + b"\r\n")
_LAST: Final = b"0\r\n\r\n"

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED: Final = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
_OPAQUE: Final = re.compile(rb"(?i)\r\n(x-opaque-id:[^\r]*\r\n)")
_STREAM: Final = re.compile(rb"GET /(bytes|chunked)/(\d+) ")


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.read = bytearray()
        self.head = b""
        self.missing = 0  # bytes of the request's body that are still to come
        self.chunked = False
        self.piece = _PIECE
        self.pieces = 0  # still to be written
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self.head:
            self.read += data
            head, end, body = self.read.partition(b"\r\n\r\n")
            if not end:
                return
            self.head = bytes(head + end)
            self.chunked = _CHUNKED.search(self.head) is not None
            length = _LENGTH.search(self.head)
            self.missing = int(length[1]) if length else 0
            self.read.clear()
            data = bytes(body)
        if self.chunked:
            self.read = self.read[-len(_LAST) :] + data[-len(_LAST) :]
            if not self.read.endswith(_LAST):  # which no chunk of the load holds
                return
        else:
            self.missing -= len(data)
            if self.missing:
                return
        self.read.clear()
        self.answer(self.head)
        self.head = b""

    def answer(self, head: bytes) -> None:
        if stream := _STREAM.match(head):
            size = int(stream[2])
            self.pieces = size // len(_PIECE)
            if stream[1] == b"bytes":
                self.piece, framing = _PIECE, b"content-length: %d" % size
            else:
                self.piece, framing = _CHUNK, b"transfer-encoding: chunked"
            self.transport.write(_OK + _FIELDS + framing + b"\r\n\r\n")
            self.stream()
        elif opaque := _OPAQUE.search(head):
            self.transport.write(_OK + opaque[1] + _FIELDS + _END)
        else:
            self.transport.write(_SMALL)

    def stream(self) -> None:
        while self.pieces and not self.paused:
            self.pieces -= 1
            self.transport.write(self.piece)
            if not self.pieces and self.piece is _CHUNK:
                self.transport.write(_LAST)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.stream()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
