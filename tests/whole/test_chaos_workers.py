"""Workers that are killed, replaced and ended while clients work: who else is served loses nothing."""

import asyncio
import contextlib
import os
import signal
import ssl
from pathlib import Path

import trustme
from certified import Certified
from processes import wait_for_ends, watch
from served import Address, configure, serve, upstream

GET = b"GET /_search HTTP/1.1\r\nHost: c\r\n\r\n"
SLOW = GET.replace(b"/_search", b"/slow")


class Client:
    """A connection that is used again until the proxy says that it closes it."""

    def __init__(self, at: Address, tls: ssl.SSLContext | None = None) -> None:
        self._at = at
        self._tls = tls
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader
        self.port = 0

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(
            *("127.0.0.1", self._at.port),
            **({"ssl": self._tls, "server_hostname": "proxy.test"} if self._tls else {}),
        )
        self.port = self._writer.get_extra_info("sockname")[1]

    async def ask(self, request: bytes = GET) -> int:
        if self._writer is None:
            await self.connect()
        assert self._writer is not None
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        await self._reader.readexactly(2)
        if b"connection: close" in head:
            assert await self._reader.read() == b""
            self.close()
        return int(head.split()[1])

    async def lives(self) -> bool:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            return await self.ask() == 200
        return False

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def clients_of(worker: int, port: int) -> set[int]:
    """Return the ports of the clients whose connections a process has accepted on ``port``."""
    sockets = set()
    for name in Path(f"/proc/{worker}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(name))  # noqa: PTH115 - no path
    found = set()
    for line in Path(f"/proc/{worker}/net/tcp").read_text().splitlines()[1:]:
        _, ours, theirs, _, _, _, _, _, _, inode, *_ = line.split()
        if int(ours.partition(":")[2], 16) == port and f"socket:[{inode}]" in sockets:
            found.add(int(theirs.partition(":")[2], 16))
    return found - {0}  # that of who listens


async def test_one_of_two_is_killed(tmp_path: Path) -> None:
    """Its own connections break, and no others; whoever comes then is served, by two again."""
    async with (
        upstream() as stands,
        serve(configure(tmp_path, stands.url, "workers: 2\n")) as proxy,
    ):
        at = await proxy.served()
        clients = [Client(at) for _ in range(40)]
        assert [await client.ask() for client in clients] == [200] * 40
        dead, other = proxy.workers()
        its_own = clients_of(dead, at.port)
        assert its_own | clients_of(other, at.port) == {client.port for client in clients}
        under_way = [asyncio.create_task(client.lives()) for client in clients]
        os.kill(dead, signal.SIGKILL)
        await asyncio.gather(*under_way)  # the dead one may have answered some
        lives = [await client.lives() for client in clients]
        assert {it.port for it, lived in zip(clients, lives, strict=True) if not lived} == its_own
        await proxy.event("worker died", pid=str(dead), exit="-9")
        for client in clients:
            client.close()
        assert [await client.ask() for client in clients] == [200] * 40
        assert len(proxy.workers()) == 3
        for client in clients:
            client.close()


async def test_tls_clients(tmp_path: Path) -> None:
    """Under load over TLS, reloads and the end neither refuse a client nor cut an answer."""
    authority = Certified(trustme.CA(), tmp_path)
    authority.files("proxy")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.authority.configure_trust(tls)
    more = "workers: 2\ntls: {certificate: proxy.pem, key: proxy.key}\n"
    async with upstream() as stands, serve(configure(tmp_path, stands.url, more)) as proxy:
        at = await proxy.served()
        await proxy.event("ready")
        stop, done = asyncio.Event(), [0]

        async def work(*, keep: bool) -> None:
            client = Client(at, tls)
            while not stop.is_set():
                assert await client.ask() == 200
                done[0] += 1
                if not keep:
                    client.close()
                await asyncio.sleep(0.01)
            client.close()

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(work(keep=number % 2 == 0))
            for _ in range(2):
                slow = Client(at, tls)
                under_way = group.create_task(slow.ask(SLOW))
                await stands.slow_asked.wait()
                old = proxy.workers()[-2:]
                await proxy.reloaded()
                before = done[0]
                while done[0] < before + 100:
                    await asyncio.sleep(0.01)
                stands.slow_answer.set()
                assert await under_way == 200
                slow.close()  # it may have been answered before its worker knew that it retires
                stands.slow_asked.clear()
                stands.slow_answer.clear()
                await ended(old)
            stop.set()
        clients = [Client(at, tls) for _ in range(20)]
        stands.heads.clear()
        waiting = [asyncio.create_task(client.ask(SLOW)) for client in clients]
        while sum(b"/slow" in head for head in stands.heads) < len(clients):
            await asyncio.sleep(0.01)
        proxy.signal(signal.SIGTERM)
        await proxy.event("draining")
        stands.slow_answer.set()
        assert await asyncio.gather(*waiting) == [200] * len(clients)
        assert await proxy.ended() == 0


async def ended(processes: list[int]) -> None:
    """Wait until these processes have ended."""
    watched = []
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            watched += watch([process])
    await asyncio.to_thread(wait_for_ends, watched)
