"""The programs that a comparison needs: whether they are here, and each as a child process."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.meters import wait_until_calm
from signals_proxy.embedded.fate import end_with_parent
from signals_proxy.errors import ConfigError

__all__ = ["executable", "free_ports", "missing", "run"]

_PACKAGES: Final = MappingProxyType({"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk"})
_PROJECT: Final = Path(__file__).parents[1]
_START_LIMIT_S: Final = 30.0
_STOP_LIMIT_S: Final = 10.0


def executable(name: str) -> str:
    """Return the path of a program that is installed.

    :raises ConfigError: if it is not.
    """
    if (found := _find(name)) is None:
        raise ConfigError(f"there is no {name} here", remedy="start with `make bench`")
    return found


def missing(names: Sequence[str] = tuple(_PACKAGES)) -> ConfigError | None:
    """Return what is to be said if programs are not installed here."""
    absent = [name for name in names if _find(name) is None]
    if not absent:
        return None
    packages = " ".join(_PACKAGES.get(name, name) for name in absent)
    return ConfigError(
        f"the comparison needs programs that are not installed: {', '.join(absent)}",
        remedy=f"on Debian and Ubuntu: apt install {packages}",
    )


@contextmanager
def run(command: Sequence[str], folder: Path, port: int, workers: int = 1) -> Iterator[int]:
    """Run a server until the end of the block; its process id, once it takes connections.

    :raises ConfigError: if it does not start.
    """
    environ = {**os.environ, "GOMAXPROCS": str(workers), "XDG_DATA_HOME": str(folder)}
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own arguments, and no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ,
            cwd=_PROJECT,
            start_new_session=True,  # Ctrl-C in a terminal reaches this process, which ends them
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - one thread only
        )
    try:
        end = time.monotonic() + _START_LIMIT_S
        while not _listens(port) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        with contextlib.suppress(OSError):  # it has ended
            wait_until_calm(process.pid)  # some listen before all of their processes are ready
        if process.poll() is not None or not _listens(port):
            raise ConfigError(f"{command[0]} does not start: {log.read_text()[-500:].strip()}")
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_LIMIT_S)
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody has."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [each.getsockname()[1] for each in sockets]


def _find(name: str) -> str | None:
    # Debian has some in a folder for root alone; Caddy is in our own environment.
    places = (os.environ.get("PATH", os.defpath), "/usr/sbin", str(Path(sys.executable).parent))
    return shutil.which(name, path=os.pathsep.join(places))


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
