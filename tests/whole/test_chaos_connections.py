"""Ten thousand idle connections, a thousand slow ones, huge bodies and heads: and then all is as before."""

import asyncio
import hashlib
import os
import re
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from processes import LIMIT_S
from served import Address, configure, serve

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE
GIBIBYTE = 1024 * MEBIBYTE
PIECE = os.urandom(MEBIBYTE)
GET = b"GET /x HTTP/1.1\r\nHost: c\r\n\r\n"


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer ``/body/N`` with N bytes, ``/head/N`` with a head of N, and the rest with a digest."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            what, _, size = head.split(b" ", 2)[1][1:].partition(b"/")
            match what:
                case b"body":
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % size)
                    for piece in pieces(int(size)):
                        writer.write(piece)
                        await writer.drain()
                case b"head":
                    start, end = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nWarning: ", b"\r\n\r\n"
                    writer.write(start.ljust(int(size) - len(end), b"w") + end)
                case _:
                    digest = await digest_of(reader, length_in(head)) if b"POST" in head else b"ok"
                    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
                    writer.write(answer % (len(digest), digest))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def pieces(size: int) -> Iterator[bytes]:
    for _ in range(size // MEBIBYTE):
        yield PIECE
    if size % MEBIBYTE:
        yield PIECE[: size % MEBIBYTE]


def length_in(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


async def digest_of(reader: asyncio.StreamReader, size: int) -> bytes:
    """Read so many bytes and return what tells them from others."""
    digest = hashlib.blake2b()
    while size:
        piece = await reader.read(min(size, MEBIBYTE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest().encode()


class Worker:
    """The only worker of a proxy, and what it holds."""

    def __init__(self, at: Address, process: int) -> None:
        self.at = at
        self._process = Path(f"/proc/{process}")

    def descriptors(self) -> int:
        return len(list((self._process / "fd").iterdir()))

    def memory(self, which: str = "VmRSS") -> int:
        """Return its resident bytes; of ``VmHWM`` the most that they ever were."""
        found = re.search(rf"{which}:\s+(\d+) kB", (self._process / "status").read_text())
        assert found
        return int(found[1]) * KIBIBYTE

    async def holds(self, descriptors: int) -> None:
        """Wait until it has at most so many descriptors, and see that it serves."""
        async with asyncio.timeout(LIMIT_S):
            while self.descriptors() > descriptors:
                await asyncio.sleep(0.02)
        assert (await self.at.get("/x"))[0] == 200


@asynccontextmanager
async def proxied(folder: Path, more: str = "") -> AsyncIterator[Worker]:
    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=4 * MEBIBYTE)
    url = "http://{}:{}".format(*server.sockets[0].getsockname())
    async with serve(configure(folder, url, more)) as proxy:
        worker = Worker(await proxy.served(), proxy.workers()[0])
        await proxy.event("ready")
        assert (await worker.at.get("/x"))[0] == 200
        yield worker
    server.close()


@pytest.fixture
def many() -> Iterator[int]:
    """Return how many connections this process may have, up to 10,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(10_000, hard - 500) if hard != resource.RLIM_INFINITY else 10_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(stack: ExitStack, at: Address, receives: int = 0) -> socket.socket:
    one = stack.enter_context(socket.socket())
    if receives:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    one.settimeout(LIMIT_S)
    one.connect((at.host, at.port))
    return one


async def test_idle_ones(tmp_path: Path, many: int) -> None:
    """Each of 10,000 clients that had an answer may stay; a newcomer is served among them.

    What they cost is given back, also to the kernel for those who come afterwards.
    """

    def come_and_go(at: Address) -> int:
        with ExitStack() as stack:
            for _ in range(many):
                one = connected(stack, at)
                one.sendall(GET)
                assert one.recv(4096).startswith(b"HTTP/1.1 200 ")
            last = connected(stack, at)
            last.sendall(GET)
            assert last.recv(4096).startswith(b"HTTP/1.1 200 ")
            return worker.descriptors()

    async with proxied(tmp_path, f"limits: {{connections: {many + 10}}}\n") as worker:
        before, memory = worker.descriptors(), worker.memory()
        assert await asyncio.to_thread(come_and_go, worker.at) > many
        await worker.holds(before)
        assert worker.memory() - memory < 32 * MEBIBYTE


async def test_slow_ones(tmp_path: Path) -> None:
    """A thousand with half a head, half a body, or an unread answer keep nobody else waiting."""
    half_body = b"POST /x HTTP/1.1\r\nHost: c\r\nContent-Length: 10\r\n\r\nhello"

    def come_and_wait(stack: ExitStack, at: Address) -> None:
        for _ in range(333):
            connected(stack, at).sendall(GET[:-4])
            connected(stack, at).sendall(half_body)
            one = connected(stack, at, receives=4096)
            one.sendall(b"GET /body/1048576 HTTP/1.1\r\nHost: c\r\n\r\n")
            assert one.recv(1) == b"H"

    async with proxied(tmp_path) as worker:
        before = worker.descriptors()
        for round_ in range(2):
            with ExitStack() as stack:
                await asyncio.to_thread(come_and_wait, stack, worker.at)
                assert worker.descriptors() > before + 999
                assert (await worker.at.get("/x"))[0] == 200
            await worker.holds(before)
            if round_ == 0:
                memory = worker.memory()
        # What was needed once is not returned to the system, but it is enough for the next.
        assert worker.memory() - memory < 16 * MEBIBYTE


async def test_a_gibibyte_both_ways(tmp_path: Path) -> None:
    """It arrives as it was sent, up and down, and the proxy keeps next to nothing of it."""
    digest = hashlib.blake2b()
    for piece in pieces(GIBIBYTE):
        digest.update(piece)
    expected = digest.hexdigest().encode()
    async with proxied(tmp_path) as worker:
        before = worker.memory("VmHWM")
        reader, writer = await asyncio.open_connection(
            worker.at.host, worker.at.port, limit=2 * MEBIBYTE
        )
        writer.write(b"POST /x HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n" % GIBIBYTE)
        for piece in pieces(GIBIBYTE):
            writer.write(piece)
            await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(length_in(head)) == expected
        writer.write(b"GET /body/%d HTTP/1.1\r\nHost: c\r\n\r\n" % GIBIBYTE)
        assert length_in(await reader.readuntil(b"\r\n\r\n")) == GIBIBYTE
        assert await digest_of(reader, GIBIBYTE) == expected
        writer.close()
        assert worker.memory("VmHWM") - before < 16 * MEBIBYTE


async def test_bounds(tmp_path: Path) -> None:
    """Bodies of 0, 1 and 64 Ki bytes; heads at their limits, and beyond."""
    async with (
        proxied(tmp_path) as worker,
        aiohttp.ClientSession(f"http://127.0.0.1:{worker.at.port}") as session,
    ):
        for size in (0, 1, 64 * KIBIBYTE - 1, 64 * KIBIBYTE, 64 * KIBIBYTE + 1):
            async with session.post("/x", data=PIECE[:size]) as answer:
                assert await answer.read() == hashlib.blake2b(PIECE[:size]).hexdigest().encode()
            async with session.get(f"/body/{size}") as answer:
                assert await answer.read() == PIECE[:size]
        for size, status in ((MEBIBYTE, b"200"), (MEBIBYTE + 1, b"502")):
            head = await answer_to(worker.at, b"GET /head/%d HTTP/1.1\r\nHost: c\r\n\r\n" % size)
            assert (head[9:12], len(head) == size) == (status, status == b"200")
        for size, status in ((64 * KIBIBYTE, b"200"), (64 * KIBIBYTE + 1, b"431")):
            request = b"GET /x HTTP/1.1\r\nHost: c\r\nX: ".ljust(size - 4, b"x") + b"\r\n\r\n"
            assert (await answer_to(worker.at, request))[9:12] == status


async def answer_to(at: Address, request: bytes) -> bytes:
    """Return the head of an answer."""
    reader, writer = await asyncio.open_connection(at.host, at.port, limit=2 * MEBIBYTE)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return head
