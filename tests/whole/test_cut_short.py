"""Bodies beyond all measure, and connections that end anywhere: nothing is kept, nothing leaks."""

import asyncio
import contextlib
import os
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from served import Address, configure, serve

MEBIBYTE = 1024 * 1024
BODY = 256 * MEBIBYTE
PIECE = bytes(range(256)) * 1024
REQUEST = b"POST /x HTTP/1.1\r\nHost: c\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /x HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """Talks as a test says on every connection but those of the proxy's own questions."""

    def __init__(self) -> None:
        self.talk: Talk
        self.url = ""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET / "):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            else:
                await self.talk(reader, writer)
        writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """What stands behind the proxy."""
    upstream = Upstream()
    server = await asyncio.start_server(upstream.accept, "127.0.0.1", 0)
    upstream.url = "http://{}:{}".format(*server.sockets[0].getsockname())
    yield upstream
    server.close()


class Proxy:
    """The whole proxy, and what its only worker holds."""

    def __init__(self, address: Address, worker: int) -> None:
        self.address = address
        self.process = Path(f"/proc/{worker}")

    def sockets(self) -> int:
        """Return how many sockets are open in the worker."""
        found = 0
        for name in (self.process / "fd").iterdir():
            with contextlib.suppress(OSError):
                found += os.readlink(name).startswith("socket:")  # noqa: PTH115 - no path
        return found

    def peak(self) -> int:
        """Return the most memory that the worker ever had, in bytes."""
        status = (self.process / "status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024


@pytest.fixture
async def proxy(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Proxy]:
    """The whole proxy."""
    async with serve(configure(tmp_path, upstream.url)) as served:
        address = await served.served()
        yield Proxy(address, served.workers()[0])


def in_chunks(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_large_body_both_ways(proxy: Proxy, upstream: Upstream, framing: str) -> None:
    """A body of 256 MiB passes both ways at once, whole, and next to nothing of it is kept."""
    piece = PIECE if framing == "length" else in_chunks(PIECE)
    end = b"" if framing == "length" else b"0\r\n\r\n"
    count = BODY // len(PIECE)
    field = b"Content-Length: %d" % BODY if framing == "length" else b"Transfer-Encoding: chunked"

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % field)
        for _ in range(count):
            writer.write(await reader.readexactly(len(piece)))
            await writer.drain()
        writer.write(await reader.readexactly(len(end)))

    upstream.talk = echo
    before = proxy.peak()
    reader, writer = await asyncio.open_connection(
        proxy.address.host, proxy.address.port, limit=4 * MEBIBYTE
    )

    async def upload() -> None:
        writer.write(b"POST /x HTTP/1.1\r\nHost: c\r\n%b\r\n\r\n" % field)
        for _ in range(count):
            writer.write(piece)
            await writer.drain()
        writer.write(end)

    async with asyncio.TaskGroup() as group:
        group.create_task(upload())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        for _ in range(count):
            assert await reader.readexactly(len(piece)) == piece
        assert await reader.readexactly(len(end)) == end
    writer.close()
    assert proxy.peak() - before < 16 * MEBIBYTE


@pytest.mark.parametrize("request_", [REQUEST, CHUNKED], ids=["length", "chunks"])
async def test_a_client_that_resets_anywhere(
    proxy: Proxy, upstream: Upstream, request_: bytes
) -> None:
    """A reset after any byte of a request ends it at the node too, and leaves no socket behind."""
    seen = asyncio.Event()

    async def until_the_end(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        seen.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        over.set()

    upstream.talk = until_the_end
    assert (await proxy.address.get("/"))[0] == 200
    before = proxy.sockets()
    head = request_.index(b"\r\n\r\n") + 4
    for size in range(len(request_) + 1):
        seen, over = asyncio.Event(), asyncio.Event()
        client = await asyncio.get_running_loop().run_in_executor(None, connected, proxy)
        client.sendall(request_[:size])
        if size >= head:
            await seen.wait()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        if size >= head:
            await over.wait()
    await nothing_left(proxy, before)


@pytest.mark.parametrize("answer", ANSWERS, ids=["length", "chunks"])
async def test_a_node_that_ends_anywhere(proxy: Proxy, upstream: Upstream, answer: bytes) -> None:
    """An answer that ends after any of its bytes is a 502, or a connection that is cut; never whole."""
    size = 0

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        writer.write(answer[:size])

    upstream.talk = cut
    assert (await proxy.address.get("/"))[0] == 200
    before = proxy.sockets()
    head = answer.index(b"\r\n\r\n") + 4
    for size in range(len(answer) + 1):
        reader, writer = await proxy.address.connect()
        writer.write(REQUEST)
        got, cut_off = b"", False
        try:
            while data := await reader.read(4096):
                got += data
                if got == answer:
                    break
        except ConnectionResetError:
            cut_off = True
        writer.close()
        if size < head:
            assert got.startswith(b"HTTP/1.1 502 ")
            assert not cut_off
        elif size < len(answer):
            assert answer.startswith(got)
            assert got != answer
            assert cut_off
        else:
            assert got == answer
    await nothing_left(proxy, before)


def connected(proxy: Proxy) -> socket.socket:
    """Return a connection whose end is a test's to choose."""
    return socket.create_connection((proxy.address.host, proxy.address.port))


async def nothing_left(proxy: Proxy, before: int) -> None:
    """Wait until the worker holds no more sockets than it did, and see that it serves."""
    while proxy.sockets() > before:
        await asyncio.sleep(0.005)
    assert (await proxy.address.get("/"))[0] == 200
