"""A file of lines, which all workers append to: of the audit trail, or of the access log.

Rules of the file:

- The event loop never waits for the disk: a thread of its own does, and so many lines at most wait
  for that thread.
- A line is one write, under a lock that all workers take. It begins where a line begins, also if
  the one before it was cut because the disk was full.
- What the file does not take goes elsewhere. Why is told once, and once when it is over.
"""

import asyncio
import fcntl
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from signals_proxy.errors import ConfigError
from signals_proxy.telemetry.log import Log

__all__ = ["LineFile"]

MOST_WAITING: Final = 10_000

_log = Log("telemetry")


class LineFile:
    """Appends lines to ``file``, which it makes, for its owner alone, if there is none.

    ``elsewhere`` gets the lines that the file does not take, ``most_waiting`` bounds those that
    wait for the disk. ``setting`` names the file in the configuration; ``troubled`` and ``well`` are
    the events in the log. ``failed`` counts the lines that it did not take.

    :raises ConfigError: if it cannot be opened, or is no regular file.
    """

    def __init__(
        self,
        file: Path,
        elsewhere: Callable[[str], None],
        most_waiting: int = MOST_WAITING,
        *,
        setting: str = "audit.file",
        troubled: str = "audit lines go to the log",
        well: str = "audit lines go to their file again",
    ) -> None:
        self.failed = 0
        self._file = file
        self._troubled = troubled
        self._well = well
        self._elsewhere = elsewhere
        self._descriptor = _opened(file, setting)
        self._thread = ThreadPoolExecutor(1, setting)
        self._most_waiting = most_waiting
        self._waiting = 0
        self._told: set[str] = set()

    def append(self, line: str) -> asyncio.Future[bool]:
        """Append a line, or several at once; return what tells, once it is known, whether the file took it.

        To be called in the event loop. Who gives up waiting leaves the future as it is.
        """
        loop = asyncio.get_running_loop()
        took: asyncio.Future[bool] = loop.create_future()
        if self._waiting >= self._most_waiting:
            took.set_result(self._noted(line, "the disk does not keep up"))
            return took
        self._waiting += 1

        def written(write: asyncio.Future[str]) -> None:
            self._waiting -= 1
            took.set_result(self._noted(line, write.result()))

        data = line.encode() + b"\n"
        loop.run_in_executor(self._thread, _write, self._descriptor, data).add_done_callback(
            written
        )
        return took

    async def close(self) -> None:
        """Close the file once all lines are written."""
        await asyncio.to_thread(self._thread.shutdown)
        os.close(self._descriptor)

    def _noted(self, line: str, failure: str) -> bool:
        if failure:
            self.failed += 1 + line.count("\n")
            self._elsewhere(line)
            if failure not in self._told:
                self._told.add(failure)
                _log.error(self._troubled, file=self._file, reason=failure)
        elif self._told and not self._waiting:
            self._told.clear()
            _log.info(self._well, file=self._file)
        return not failure


def _opened(file: Path, setting: str) -> int:
    try:
        # O_NONBLOCK: opening what is no file could wait for somebody.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(file, flags, 0o600)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigError(
            f"{file}: cannot be opened: {(reason or 'no name of a file').lower()}",
            remedy="name a file, in a folder that exists, that this program's user may write",
            path=setting,
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigError(
            f"{file}: not a regular file",
            remedy=f"name one; without {setting} the lines go to the log, on standard error",
            path=setting,
        )
    return descriptor


def _write(descriptor: int, data: bytes) -> str:
    """Append whole lines; return why that failed, or nothing."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            status = os.fstat(descriptor)
            if not status.st_nlink:
                return "the file has been deleted: reload to make another"
            size = status.st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data
            while data:  # what is left after a short write fails, and tells the reason
                data = data[os.write(descriptor, data) :]
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError as error:
        return (error.strerror or "unknown error").lower()
    return ""
