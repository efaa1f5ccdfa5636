"""The data folder of ``signals-proxy run``: ours alone, and used by one run at a time.

Rules of the file: nothing is written into a folder that holds anything and lacks our mark. The lock
is the kernel's and goes with the last process that holds it, so there is no stale one to clear.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from signals_proxy.errors import ConfigError

__all__ = ["claimed", "write", "writing"]

_MARK: Final = "signals-proxy.run"
_ELSEWHERE: Final = "name another folder: make run DATA=/path/to/folder"
_ENDING_LIMIT_S: Final = 10.0


@contextmanager
def claimed(folder: Path) -> Iterator[int]:
    """Make the folder if need be (mode 0700) and hold its lock; yield the lock's descriptor.

    A child that inherits the descriptor holds the lock too, so that no second run begins while
    something of the first, however it went, still uses the data. Raises ``ConfigError`` if the
    folder is not ours, cannot be written or is in use.
    """
    with writing(folder):
        lock = _open(folder)
    try:
        _lock(lock, folder)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield lock
    finally:
        os.close(lock)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says against writing to ``path`` into a ``ConfigError``."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}",
            remedy=f"make it writable and room on its disk, or {_ELSEWHERE}",
        ) from error


def write(path: Path, text: str, *, mode: int) -> None:
    """Write a file whole or not at all, with these permissions from its first moment on.

    Raises ``ConfigError`` if the system does not let it be written.
    """
    part = path.with_name(f".{path.name}.part")
    with writing(path):
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "w") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        part.replace(path)


def _open(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / _MARK).is_file():
        if found := sorted(path.name for path in folder.iterdir()):
            raise ConfigError(
                f"{folder} is no data folder of signals-proxy: it holds {found[0]}",
                remedy=_ELSEWHERE,
            )
        folder.chmod(0o700)
    return os.open(folder / _MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(lock: int, folder: Path) -> None:
    limit = time.monotonic() + _ENDING_LIMIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(lock, 32, 0).decode().strip()
            # The run itself may be gone and a child of it about to go.
            if _lives(owner) or time.monotonic() > limit:
                raise ConfigError(
                    f"the data folder {folder} is in use by another run (process {owner})",
                    remedy="end that one with Ctrl-C, or name another folder with DATA= "
                    "and another address with LISTEN=",
                ) from error
            time.sleep(0.05)
        else:
            return


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
