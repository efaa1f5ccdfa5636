"""Nodes that die, stall and come back under guarded writes: none is lost, none is done twice.

The nodes are played, by processes that write down what they execute; `make soak` does the same to
three real ones.
"""

import asyncio
import collections
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import guarded_node
from processes import free_ports
from served import LIMIT_S, Address, configure, serve

CLIENTS = 20
PAUSE_S = CLIENTS / 500
"""Between two writes of a client, that all of them make 500 a second."""


class Node:
    """A played node, which may be ended and started again."""

    def __init__(self, port: int, file: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._file = file
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, guarded_node.__file__, str(self._port), str(self._file)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert await self.process.stdout.readline() == b"listens\n"

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    def executed(self) -> list[str]:
        return self._file.read_text().split()

    async def works(self) -> None:
        """Wait until it is given writes."""
        before = len(self.executed())
        async with asyncio.timeout(LIMIT_S):
            while len(self.executed()) < before + 10:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def three(folder: Path) -> AsyncIterator[list[Node]]:
    nodes = [Node(port, folder / f"executed-{port}") for port in free_ports(3)]
    await asyncio.gather(*(node.start() for node in nodes))
    try:
        yield nodes
    finally:
        await asyncio.gather(*(node.kill() for node in nodes if node.process.returncode is None))


class Writers:
    """Clients that write again and again, on connections that they use until the proxy closes them."""

    def __init__(self, at: Address) -> None:
        self._at = at
        self._ids = count()
        self._clock = asyncio.get_running_loop().time
        self._stop = False
        self.sent: set[str] = set()
        self.acknowledged: set[str] = set()
        self.failed: list[tuple[float, str]] = []
        """When each was sent that was not acknowledged, and what came instead."""

    async def write(self) -> None:
        reader, writer = await self._at.connect()
        turn = self._clock()
        while not self._stop:
            which, began = str(next(self._ids)), self._clock()
            self.sent.add(which)
            head = f"PUT /i/_create/{which} HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\n{{}}"
            writer.write(head.encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
            await reader.readexactly(
                int(answer.lower().partition("content-length: ")[2].split()[0])
            )
            if answer.startswith("HTTP/1.1 201 "):
                self.acknowledged.add(which)
            else:
                self.failed.append((began, answer.partition("\r\n")[0]))
            if "connection: close" in answer.lower():
                writer.close()
                reader, writer = await self._at.connect()
            turn = max(turn + PAUSE_S, began)
            await asyncio.sleep(turn - self._clock())
        writer.close()

    def stop(self) -> None:
        self._stop = True


async def test_guarded_writes(tmp_path: Path) -> None:
    """Each node is killed, stopped and continued, and started again, at 500 writes a second."""
    async with three(tmp_path) as nodes:
        hosts = ", ".join(node.url for node in nodes)
        file = configure(tmp_path, f"[{hosts}]\n  connect_timeout: 500ms")
        async with serve(file) as proxy:
            writers = Writers(await proxy.served())
            clock = asyncio.get_running_loop().time
            async with asyncio.TaskGroup() as group:
                for _ in range(CLIENTS):
                    group.create_task(writers.write())
                deaths = []
                for node, after in zip(nodes, [*nodes[1:], nodes[0]], strict=True):
                    await node.works()
                    asked = clock()
                    await node.kill()
                    deaths.append((asked, clock()))
                    await after.works()
                    await node.start()
                    after.process.send_signal(signal.SIGSTOP)
                    await node.works()  # while that one says nothing
                    after.process.send_signal(signal.SIGCONT)
                    await after.works()
                writers.stop()
    executed = collections.Counter(one for node in nodes for one in node.executed())
    assert writers.acknowledged <= set(executed)
    assert [one for one, times in executed.items() if times > 1] == []
    assert len(writers.sent) == len(writers.acknowledged) + len(writers.failed)
    # What was sent when its node was there, and had no answer when it was not, is an error; for
    # each death there are some, or nothing was shown, and no more than there were clients.
    for asked, gone in deaths:
        errors = [what for began, what in writers.failed if asked - 1 < began <= gone]
        assert set(errors) == {"HTTP/1.1 502 Bad Gateway"}
        assert len(errors) <= CLIENTS
    assert all(
        any(asked - 1 < began <= gone for asked, gone in deaths) for began, _ in writers.failed
    )
