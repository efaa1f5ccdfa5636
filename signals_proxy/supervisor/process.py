"""One worker process, as its supervisor sees it.

Three things connect the two. The listening sockets are inherited. On the *status* pipe the worker
tells what it is up to (``telemetry/status.py``). On the *life line*, a pipe on which nothing is
ever written, the worker sees the end of its supervisor, however it comes: then it drains and ends.

Secrets take none of these ways: the worker reads the configuration and the keyring itself.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from signals_proxy.telemetry import status
from signals_proxy.telemetry.status import ClusterState, Failed, Started

if TYPE_CHECKING:
    from signals_proxy.errors import ConfigError

__all__ = ["START_LIMIT_S", "WorkerProcess"]

START_LIMIT_S: Final = 60.0
"""Time within which a worker has to serve: without a cluster it needs about one second."""


class WorkerProcess:
    """A worker that was started, and what it told so far."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        status_end: int,
        changed: Callable[[], None],
        start_limit_s: float,
    ) -> None:
        self.serves = False
        self.cluster: ClusterState | None = None
        self.failure: ConfigError | None = None
        self._process = process
        self._changed = changed
        self._start_limit_s = start_limit_s
        self._first_news = asyncio.Event()
        self._ended = asyncio.create_task(self._watch(status_end))

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        sockets: Sequence[socket.socket],
        life_line: int,
        changed: Callable[[], None],
        start_limit_s: float = START_LIMIT_S,
    ) -> "WorkerProcess":
        """Start ``command`` with the sockets. ``changed`` is called whenever it tells something.

        If it does not serve within ``start_limit_s`` it is killed.

        :raises OSError: if the system gives no further process.
        """
        reading, writing = os.pipe()
        listeners = [listener.fileno() for listener in sockets]
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                f"--sockets={','.join(map(str, listeners))}",
                f"--status={writing}",
                f"--life-line={life_line}",
                stdin=subprocess.DEVNULL,
                pass_fds=(*listeners, writing, life_line),
                # Ctrl-C at the terminal is for the supervisor, which then drains its workers.
                start_new_session=True,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return cls(process, reading, changed, start_limit_s)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether the process has not ended."""
        return not self._ended.done()

    async def first_news(self) -> None:
        """Wait until the worker serves, or has ended without."""
        await self._first_news.wait()

    async def ended(self) -> int:
        """Wait until the process has ended, and return its exit status (negative: a signal)."""
        return await asyncio.shield(self._ended)

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
            async for line in reader:
                if not line.endswith(b"\n"):
                    break  # killed in the middle of it
                self._take(status.read(line))
                if self.serves:
                    too_slow.cancel()
                self._changed()
            return await self._process.wait()
        finally:
            too_slow.cancel()
            transport.close()
            self.serves = False
            self._first_news.set()
            self._changed()

    def _take(self, news: status.Status) -> None:
        match news:
            case Started():
                self.serves = True
                self._first_news.set()
            case ClusterState():
                self.cluster = news
            case Failed():
                self.failure = news.error()
