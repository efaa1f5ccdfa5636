"""An upstream that keeps what it was sent, byte for byte, and reads it more strictly than anybody.

Rules of the file

- It shares no line with the relay's own parsers: two readers must come to the same conclusion.
- What it cannot read is kept in ``unread``, and its connection ends.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

__all__ = ["Message", "Recorder", "plain_answer", "recording"]

_REQUEST_LINE = re.compile(rb"([A-Za-z]+) ([!-~\x80-\xff]+) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")


@dataclass(frozen=True)
class Message:
    """One request: the bytes of its head and of its body, framing included."""

    head: bytes
    body: bytes
    content: bytes

    @property
    def method(self) -> bytes:
        return self.head.split(b" ", 1)[0]

    @property
    def target(self) -> bytes:
        return self.head.split(b" ", 2)[1]

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of every field of a name."""
        fields = [_FIELD.fullmatch(line) for line in self.head.split(b"\r\n")[1:-2]]
        return [found[2] for found in fields if found and found[1].lower() == name.lower()]


def plain_answer(message: Message) -> bytes:
    """Answer 200 with the target in a field, and what was sent as the body."""
    answer = b"HTTP/1.1 200 OK\r\nX-Target: %b\r\nContent-Length: %d\r\n\r\n"
    content = b"" if message.method == b"HEAD" else message.content
    return answer % (message.target, len(message.content)) + content


@dataclass
class Recorder:
    """See the top of the file; ``answer`` returns the bytes that a request is answered with."""

    answer: Callable[[Message], bytes] = plain_answer
    url: str = ""
    messages: list[Message] = field(default_factory=list)
    unread: list[bytes] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the proxy's."""
        self.writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.raw += head
                if re.search(rb"\r\n(?i:expect): *100-continue\r\n", head):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                message = await self._message(head, reader)
                if message is None:
                    self.unread.append(head)
                    break
                self.messages.append(message)
                writer.write(self.answer(message))
        self.writers.discard(writer)
        writer.close()

    async def _message(self, head: bytes, reader: asyncio.StreamReader) -> Message | None:
        line, *lines = head.split(b"\r\n")[:-2]
        if not _REQUEST_LINE.fullmatch(line) or not all(map(_FIELD.fullmatch, lines)):
            return None
        message = Message(head, b"", b"")
        lengths, codings = message.values(b"content-length"), message.values(b"transfer-encoding")
        if len(message.values(b"host")) != 1 or len(lengths) + len(codings) > 1:
            return None
        if lengths:
            body = await reader.readexactly(int(lengths[0])) if lengths[0].isdigit() else None
            self.raw += body or b""
            return None if body is None else Message(head, body, body)
        if codings:
            body, content = await self._chunks(reader)
            return Message(head, body, content) if body else None
        return message

    async def _chunks(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        body, content = bytearray(), bytearray()
        while True:
            line = await reader.readuntil(b"\r\n")
            body += line
            size = re.fullmatch(rb"([0-9A-Fa-f]+)(;[^\r\n]+)?\r\n", line)
            if size is None:
                return b"", b""
            if int(size[1], 16) == 0:
                break
            data = await reader.readexactly(int(size[1], 16) + 2)
            body += data
            content += data[:-2]
            if data[-2:] != b"\r\n":
                return b"", b""
        while line != b"\r\n":
            line = await reader.readuntil(b"\r\n")
            body += line
        self.raw += body
        return bytes(body), bytes(content)


@contextlib.asynccontextmanager
async def recording(answer: Callable[[Message], bytes] = plain_answer) -> AsyncIterator[Recorder]:
    """Run a recorder."""
    recorder = Recorder(answer)
    server = await asyncio.start_server(recorder.talk, "127.0.0.1", 0, limit=1 << 22)
    host, port = server.sockets[0].getsockname()
    recorder.url = f"http://{host}:{port}"
    try:
        yield recorder
    finally:
        server.close()
        for writer in recorder.writers:
            writer.transport.abort()
        await server.wait_closed()
