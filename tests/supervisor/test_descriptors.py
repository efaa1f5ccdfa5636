"""How many descriptors the processes may have, and what becomes of clients when there are none left."""

import asyncio
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Upstream, configure, serve, upstream

HELD = b"GET /held HTTP/1.1\r\nHost: c\r\n\r\n"
HAVE_PLACE = 8


@pytest.fixture
def hard() -> Iterator[int]:
    """Return the hard limit, while the soft one is as low as services are started with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_all_that_are_allowed(tmp_path: Path, hard: int) -> None:
    """A worker may use all that the system allows, and it is told if those are too few."""
    file = configure(tmp_path, "http://127.0.0.1:1", f"limits: {{connections: {hard // 2 + 1}}}")
    async with serve(file) as proxy:
        told = await proxy.event("too few descriptors")
        await proxy.served()
        (worker,) = proxy.workers()
        assert resource.prlimit(worker, resource.RLIMIT_NOFILE) == (hard, hard)
        wanted = 2 * (hard // 2 + 1)
        assert (
            f"a worker needs {wanted} files and sockets; the system allows it {hard}"
            in (told["reason"])
        )
        file.write_text(file.read_text().replace(str(hard // 2 + 1), str(hard // 2)))
        await proxy.reloaded()
        assert sum("too few descriptors" in line for line in proxy.lines) == 1


async def test_none_is_left(tmp_path: Path) -> None:
    """Who comes then is turned away, without a busy worker; afterwards all is as it was."""
    async with (
        upstream() as one,
        upstream() as two,
        serve(configure(tmp_path, f"[{one.url}, {two.url}]")) as proxy,
    ):
        at = await proxy.served()
        await proxy.event("ready")
        (worker,) = proxy.workers()
        assert (await at.get("/before"))[0] == 200
        _, limit = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{worker}/fd"))  # noqa: PTH208 - only their number
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 30, limit))
        one.answer.clear()
        two.answer.clear()
        clients = []
        for number in range(60):
            reader, writer = await at.connect()
            writer.write(HELD)
            clients.append((asyncio.create_task(_answer(reader)), writer))
            while number < HAVE_PLACE and _held(one, two) <= number:
                await asyncio.sleep(0.01)
        answers = [answer for answer, _ in clients]
        await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        before = time.clock_gettime((~worker << 3) | 2)  # its own clock: clock_getcpuclockid(3)
        await asyncio.sleep(0.5)
        assert time.clock_gettime((~worker << 3) | 2) - before < 0.1
        one.answer.set()
        two.answer.set()
        statuses = await asyncio.gather(*answers)
        assert set(statuses) <= {b"200", b"503", b""}
        assert statuses.count(b"200") >= HAVE_PLACE
        for _, writer in clients:
            writer.close()
        for stands in (one, two):  # neither is taken for dead
            stands.heads.clear()
        # What the clients have left is closed by the worker a moment later.
        while len(os.listdir(f"/proc/{worker}/fd")) > used + 20:  # noqa: PTH208
            await asyncio.sleep(0.01)
        for _ in range(4):
            assert (await at.get("/after"))[0] == 200
        assert all(any(b"/after" in head for head in stands.heads) for stands in (one, two))


def _held(*upstreams: Upstream) -> int:
    return sum(head.startswith(b"GET /held ") for each in upstreams for head in each.heads)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """Return the status of an answer; nothing if the connection ends without one."""
    try:
        return (await reader.readuntil(b"\r\n\r\n"))[9:12]
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
