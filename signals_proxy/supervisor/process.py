"""One worker process, as its supervisor sees it.

Five things connect the two. The listening sockets are inherited. On standard input the worker gets
the record of its configuration, secrets included, which nobody can read on its command line, in
its environment or on a disk. On the *status* pipe it tells what it is up to, and from that with
*orders* it hears what to do (``telemetry/status.py``); the end of the latter is the end of its
supervisor, however it comes: then it drains and ends. What it counts, it writes into memory that
both have (``telemetry/counters.py``).
"""

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from signals_proxy.errors import ConfigError
from signals_proxy.telemetry import status
from signals_proxy.telemetry.counters import Ledger
from signals_proxy.telemetry.status import ClusterState, Failed, Order, Started

__all__ = ["START_LIMIT_S", "WorkerProcess"]

START_LIMIT_S: Final = 60.0
"""Time within which a worker has to serve: without a cluster it needs about one second."""


class WorkerProcess:
    """A worker that was started, and what it told so far."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        status_end: int,
        orders_end: int,
        ended: Callable[[], None],
        changed: Callable[[], None],
        start_limit_s: float,
    ) -> None:
        self.serves = False
        self.cluster: ClusterState | None = None
        self.failure: ConfigError | None = None
        self._process = process
        self._has_ended = ended
        self._changed = changed
        self._start_limit_s = start_limit_s
        # Nobody else has this end, so it is closed by whatever ends this process.
        self._orders = os.fdopen(orders_end, "wb", buffering=0)
        self._first_news = asyncio.Event()
        self._informed = asyncio.Event()
        self._ended = asyncio.create_task(self._watch(status_end))

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        sockets: Sequence[socket.socket],
        accounts: Sequence[socket.socket],
        record: bytes,
        ledger: Ledger,
        changed: Callable[[], None],
        start_limit_s: float = START_LIMIT_S,
    ) -> "WorkerProcess":
        """Start ``command`` with its sockets and the record of its configuration.

        ``accounts`` are the sockets for the account API alone. ``ledger`` gets what it counts.

        ``changed`` is called whenever it tells something.

        If it does not serve within ``start_limit_s`` it is killed.

        :raises OSError: if the system gives no further process.
        """
        listeners, alone = ([each.fileno() for each in share] for share in (sockets, accounts))
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as its_own:
            status_end, its_status = os.pipe()
            undo.callback(os.close, status_end)
            its_own.callback(os.close, its_status)
            its_orders, orders_end = os.pipe()
            undo.callback(os.close, orders_end)
            its_own.callback(os.close, its_orders)
            counters = ledger.open()
            undo.callback(ledger.close, counters)
            process = await asyncio.create_subprocess_exec(
                *command,
                f"--sockets={','.join(map(str, listeners))}",
                f"--accounts={','.join(map(str, alone))}",
                f"--status={its_status}",
                f"--orders={its_orders}",
                f"--counters={counters}",
                stdin=subprocess.PIPE,
                pass_fds=(*listeners, *alone, its_status, its_orders, counters),
                # Ctrl-C at the terminal is for the supervisor, which then drains its workers.
                start_new_session=True,
            )
            undo.pop_all()
            ledger.started += 1
        assert process.stdin is not None  # noqa: S101
        process.stdin.write(record)
        process.stdin.close()
        ended = partial(ledger.close, counters)
        return cls(process, status_end, orders_end, ended, changed, start_limit_s)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether the process has not ended."""
        return not self._ended.done()

    async def first_news(self) -> None:
        """Wait until the worker is able to serve, or has ended without."""
        await self._first_news.wait()

    async def informed(self) -> None:
        """Wait until the worker has told whether the cluster answers it, or has ended without."""
        await self._informed.wait()

    async def ended(self) -> int:
        """Wait until the process has ended, and return its exit status (negative: a signal)."""
        return await asyncio.shield(self._ended)

    def tell(self, order: Order) -> None:
        """Give an order to serve, or to retire."""
        with contextlib.suppress(BrokenPipeError, ValueError):  # it has ended
            self._orders.write(order.value)

    def terminate(self) -> None:
        """Ask it to drain and to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _watch(self, descriptor: int) -> int:
        loop = asyncio.get_running_loop()
        too_slow = loop.call_later(self._start_limit_s, self.kill)
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
        )
        try:
            await self._listen(reader, too_slow)
            return await self._process.wait()
        finally:
            too_slow.cancel()
            transport.close()
            self._orders.close()
            self._has_ended()
            self.serves = False
            self._first_news.set()
            self._informed.set()
            self._changed()

    async def _listen(self, reader: asyncio.StreamReader, too_slow: asyncio.TimerHandle) -> None:
        try:
            async for line in reader:
                if not line.endswith(b"\n"):
                    return  # killed in the middle of it
                self._take(status.read(line))
                if self.serves:
                    too_slow.cancel()
                self._changed()
        except ValueError:  # unknown, or endless
            self.failure = ConfigError(
                "a worker speaks as another version of this program does",
                remedy="restart the proxy: the program was upgraded while it ran",
            )
            self.kill()

    def _take(self, news: status.Status) -> None:
        match news:
            case Started():
                self.serves = True
                self._first_news.set()
            case ClusterState():
                self.cluster = news
                self._informed.set()
            case Failed():
                self.failure = news.error()
