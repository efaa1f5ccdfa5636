"""The proxy beside the development cluster: a child process, started as in production."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from signals_proxy.embedded.data import writing
from signals_proxy.embedded.fate import end_with_parent
from signals_proxy.errors import ConfigError

__all__ = ["serving"]

_START_LIMIT_S: Final = 30.0
_STOP_LIMIT_S: Final = 6.0
"""Above the time in which the proxy ends by itself: the 3 s to drain that it is given, and 2 s."""


@contextmanager
def serving(
    config: Path, log: Path, health: tuple[str, int], *, inherited: Sequence[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``signals-proxy serve --config …``; yield the process once ``/ready`` says so.

    What it prints goes to ``log``, anew at each start. At the end it is stopped, by force if that
    takes longer than 6 s. Raises ``ConfigError`` if it ends before, or is not ready within 30 s.
    """
    with writing(log):
        output = log.open("wb")
    with output:
        process = subprocess.Popen(  # noqa: S603 - our own program, and no shell
            # -P: as with the installed command, no module is taken from the current folder.
            [sys.executable, "-P", "-m", "signals_proxy", "serve", "--config", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=inherited,
            # Ctrl-C in a terminal reaches a whole process group; this one is stopped by us alone.
            start_new_session=True,
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - this process has no other threads
        )
    try:
        _wait_until_ready(process, log, health)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, health: tuple[str, int]) -> None:
    limit = time.monotonic() + _START_LIMIT_S
    while (reason := _unready(health)) and time.monotonic() < limit:
        if process.poll() is not None:
            raise _told(log)
        time.sleep(0.05)
    if reason:
        raise ConfigError(
            f"the proxy is not ready after {_START_LIMIT_S:.0f} s: {reason}",
            remedy=f"its log says more: {log}",
        )


def _unready(health: tuple[str, int]) -> str:
    """Return why the proxy does not welcome requests, or nothing if it does."""
    connection = http.client.HTTPConnection(*health, timeout=5)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        words = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"its health listener does not answer ({type(error).__name__})"
    finally:
        connection.close()
    return "" if answer.status == 200 else str(words.get("reason", answer.status))


def _told(log: Path) -> ConfigError:
    """Return the error that the proxy told before it ended, as one of ours."""
    told = {"error": "the proxy ended while it started", "hint": "please report it"}
    for line in log.read_text(errors="replace").splitlines():
        for kind in told:
            prefix = f"signals-proxy: {kind}: "
            if line.startswith(prefix):
                told[kind] = line.removeprefix(prefix)
    return ConfigError(told["error"], remedy=f"{told['hint']} (its log: {log})")
