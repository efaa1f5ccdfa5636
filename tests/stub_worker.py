"""Workers without anything to do, for tests of what keeps workers running.

``SCRIPT`` reads its command line as a real worker does, and then does what ``body`` says.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from served import LIMIT_S

SCRIPT = """
import signal, sys
from pathlib import Path
from signals_proxy.telemetry.status import *
options = dict(option.lstrip("-").split("=") for option in sys.argv[1:])
pipe = StatusPipe(int(options["status"]))
{body}
"""
SERVES = "pipe.tell(Started()); signal.pause()"
STUBBORN = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVES}"
FAILS = "pipe.tell(Failed('no', 'do', '/f', 3, 'a.b')); sys.exit(2)"


def command(body: str, python: Path | str = sys.executable) -> tuple[str, ...]:
    """Return the command line of a worker that does what ``body``, a piece of Python, says."""
    return (str(python), "-c", SCRIPT.format(body=body))


def program(folder: Path) -> Path:
    """Write a program that is Python, and that a test can take away."""
    file = folder / "python"
    file.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    file.chmod(0o700)
    return file


class News(logging.Handler):
    """Lets a test wait for something that is logged or told by a generation."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[logging.LogRecord] = []
        self._happened = asyncio.Event()

    def __call__(self) -> None:
        """Take notice of a change."""
        self._happened.set()

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record)
        self._happened.set()

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until ``happened`` is true, which is looked at after every piece of news."""
        async with asyncio.timeout(LIMIT_S):
            while not happened():
                self._happened.clear()
                await self._happened.wait()

    async def event(self, event: str) -> dict[str, object]:
        """Wait until ``event`` is logged and return its fields."""

        def found() -> list[logging.LogRecord]:
            return [record for record in self._records if record.getMessage() == event]

        await self.until(lambda: bool(found()))
        fields: dict[str, object] = found()[0].__dict__["fields"]
        return fields
