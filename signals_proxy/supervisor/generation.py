"""Workers that were started together, with one configuration, on the supervisor's sockets.

A generation is a value of its own so that two can live side by side: the successor starts on the
same sockets while the one before it retires. What it is told to read at its start is what a worker
that replaces a dead one is told, too.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final

from signals_proxy.errors import ConfigError
from signals_proxy.supervisor.process import START_LIMIT_S, WorkerProcess
from signals_proxy.telemetry.counters import Ledger
from signals_proxy.telemetry.log import Log
from signals_proxy.telemetry.status import Order

__all__ = ["Generation", "pause_before"]

STABLE_S: Final = 30.0
"""A worker that lived as long as this did not die at once."""

_LONGEST_PAUSE_S: Final = 10.0

_log = Log("supervisor")


def pause_before(start: int) -> float:
    """Return the seconds to wait before the ``start``-th start in a row of a worker that dies.

    The first replacement comes at once: connections wait for it in the backlog.
    """
    return 0.0 if start <= 1 else min(0.1 * 2.0 ** min(start, 10), _LONGEST_PAUSE_S)


class Generation:
    """Keeps one worker running for each set of ``sockets``, with its set of ``accounts``, which are
    for the account API alone.
    """

    def __init__(
        self,
        command: Sequence[str],
        sockets: Sequence[Sequence[socket.socket]],
        accounts: Sequence[Sequence[socket.socket]],
        record: bytes,
        ledger: Ledger,
        changed: Callable[[], None],
        start_limit_s: float = START_LIMIT_S,
    ) -> None:
        self.workers: list[WorkerProcess] = []
        self._command = command
        self._sockets = sockets
        self._accounts = accounts
        self._record = record
        self._ledger = ledger
        self._changed = changed
        self._start_limit_s = start_limit_s
        self._serving = False
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def lives(self) -> bool:
        """Whether one of its workers has not ended."""
        return any(worker.lives for worker in self.workers)

    async def start(self) -> None:
        """Start all workers and wait until they are able to serve; see :meth:`serve`.

        :raises ConfigError: if one of them cannot; then none is left.
        """
        failure: ConfigError | None = None
        try:
            for position in range(len(self._sockets)):
                if not self._stopping.is_set():
                    self.workers.append(await self._worker(position))
        except OSError as error:
            failure = ConfigError(f"no worker can be started: {error.strerror}")
        for worker in self.workers:
            await worker.first_news()
            if not worker.serves:
                failure = (
                    failure
                    or worker.failure
                    or ConfigError(
                        "a worker ended before it served",
                        remedy="its own lines stand above; please report them if they do not help",
                    )
                )
        if self._stopping.is_set():
            return
        if failure is not None:
            await self.stop(0)
            raise failure
        self._keepers = [asyncio.create_task(self._keep(at)) for at in range(len(self.workers))]

    async def informed(self) -> None:
        """Wait until every worker has told whether the cluster answers."""
        for worker in self.workers:
            await worker.informed()

    def serve(self) -> None:
        """Have all workers serve, and those that will replace them."""
        self._serving = True
        for worker in self.workers:
            worker.tell(Order.SERVE)

    async def retire(self, limit_s: float) -> None:
        """Have all workers leave their clients to a successor; otherwise like :meth:`stop`."""
        self._stopping.set()
        for worker in self.workers:
            worker.tell(Order.RETIRE)
        await self._end(limit_s)

    async def stop(self, limit_s: float) -> None:
        """Drain all workers and wait for their ends; after ``limit_s`` seconds they are killed."""
        self._stopping.set()
        for worker in self.workers:
            worker.terminate()
        await self._end(limit_s)

    async def _end(self, limit_s: float) -> None:
        ends = [asyncio.create_task(worker.ended()) for worker in self.workers]
        if ends:
            _, late = await asyncio.wait(ends, timeout=limit_s)
            if late:
                _log.warning("workers are killed: draining took too long", limit_s=limit_s)
                self.kill()
        await asyncio.gather(*ends, *self._keepers)

    def kill(self) -> None:
        """End all workers at once."""
        self._stopping.set()
        for worker in self.workers:
            worker.kill()

    async def _worker(self, position: int) -> WorkerProcess:
        worker = await WorkerProcess.start(
            self._command,
            self._sockets[position],
            self._accounts[position],
            self._record,
            self._ledger,
            self._changed,
            self._start_limit_s,
        )
        _log.info("worker started", pid=worker.pid)
        if self._stopping.is_set():  # it came too late to be told
            worker.kill()
            await worker.ended()
        elif self._serving:
            worker.tell(Order.SERVE)
        return worker

    async def _keep(self, position: int) -> None:
        """Replace the worker at ``position`` whenever it ends, until the generation stops."""
        loop = asyncio.get_running_loop()
        deaths = 0
        while True:
            worker, began = self.workers[position], loop.time()
            exit_status = await worker.ended()
            if self._stopping.is_set():
                return
            deaths = 1 if loop.time() - began > STABLE_S else deaths + 1
            _log.error("worker died", pid=worker.pid, exit=exit_status, reason=worker.failure or "")
            while not await self._stops_within(pause_before(deaths)):
                try:
                    self.workers[position] = await self._worker(position)
                    break
                except OSError as error:
                    _log.error("no worker can be started", reason=error.strerror)
                    deaths += 1
            else:
                return

    async def _stops_within(self, pause_s: float) -> bool:
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((stop,), timeout=pause_s)
        stop.cancel()
        return self._stopping.is_set()
