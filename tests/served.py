"""A proxy as an operator starts it, and an upstream to put behind it.

``Served`` runs ``signals-proxy serve`` as a child process and reads its log: a test waits for the
event that it needs, never for a time.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from signals_proxy.account import keyring

_FIELD = re.compile(r'([\w-]+)=("(?:[^"\\]|\\.)*"|\S*)')

LIMIT_S = 30
"""When a test gives up, and fails. Everything here takes about a second."""

CONFIG = """\
listen: 127.0.0.1:0
upstream:
  hosts: {upstream}
keyring: {{file: keyring}}
authorization: {{backend: none}}
health: {{listen: "127.0.0.1:0"}}
"""


def configure(folder: Path, upstream: str, more: str = "") -> Path:
    """Write a configuration on free ports, with a keyring, and return its path."""
    ring = folder / "keyring"
    if not ring.exists():
        ring.touch(0o600)
        ring.write_text(keyring.generate())
    file = folder / "proxy.yaml"
    file.write_text(CONFIG.format(upstream=upstream) + more)
    file.chmod(0o600)
    return file


class Served:
    """A running ``signals-proxy serve``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._taken: set[int] = set()
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def event(self, name: str, **wanted: str) -> dict[str, str]:
        """Return the first event with this name and these fields that was not returned yet."""

        def matches(line: str) -> bool:
            fields = fields_of(line)
            return fields.get("event") == name and wanted.items() <= fields.items()

        async with asyncio.timeout(LIMIT_S), self._news:
            while True:
                for at, line in enumerate(self.lines):
                    if at not in self._taken and matches(line):
                        self._taken.add(at)
                        return fields_of(line)
                if self._reading.done():
                    raise AssertionError(f"no {name!r} in:\n" + "\n".join(self.lines))
                await self._news.wait()

    async def served(self) -> "Address":
        """Wait until it serves and return where."""
        health = await self.event("health listener")
        serving = await self.event("serving")
        return Address(serving["addresses"], health["address"])

    def workers(self) -> list[int]:
        """Return the process ids of all workers that were started so far."""
        events = map(fields_of, self.lines)
        return [int(event["pid"]) for event in events if event.get("event") == "worker started"]

    async def ended(self) -> int:
        """Return the exit status once it and all its workers have ended."""
        async with asyncio.timeout(LIMIT_S):
            # The end of its standard error, which its workers share.
            await self._reading
            return await self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def reloaded(self) -> dict[str, str]:
        """Send SIGHUP and return the event of the reload that ends well."""
        self.signal(signal.SIGHUP)
        await self.event("reloading")
        return await self.event("serving")

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            async with self._news:
                self.lines.append(line.decode().rstrip("\n"))
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()


class Address:
    """Where a proxy serves clients, and where it tells about its health."""

    def __init__(self, proxy: str, health: str) -> None:
        self.host, _, port = proxy.partition(",")[0].rpartition(":")
        self.port = int(port)
        self.health_port = int(health.rpartition(":")[2])

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)

    async def get(self, target: str = "/") -> tuple[int, bytes]:
        """Return status and body of one request to the proxy, on a connection of its own."""
        return await _get(self.port, target)

    async def health(self, target: str) -> tuple[int, Any]:
        """Return status and body of one request to the health listener."""
        status, body = await _get(self.health_port, target)
        return status, json.loads(body) if status != 404 else None


async def _get(port: int, target: str) -> tuple[int, bytes]:
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(
                b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % target.encode()
            )
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    return int(head.split()[1]), body


def fields_of(line: str) -> dict[str, str]:
    """Take a line of the log apart."""
    return {
        name: json.loads(value) if value.startswith('"') else value
        for name, value in _FIELD.findall(line)
    }


@contextlib.asynccontextmanager
async def serve(file: Path, environ: Mapping[str, str] | None = None) -> AsyncIterator[Served]:
    """Run the proxy; whatever is left of it at the end is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "signals_proxy",
        "serve",
        "--config",
        str(file),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )
    served = Served(process)
    try:
        yield served
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        # Its workers see the end of their life line, drain and end.
        await served.ended()


class Upstream:
    """Stands behind a proxy: answers 200, or waits with it while it is told to.

    ``/slow`` is answered when ``slow_answer`` is set, whatever becomes of other requests.
    """

    def __init__(self) -> None:
        self.url = ""
        self.heads: list[bytes] = []
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()
        self.slow_asked = asyncio.Event()
        self.slow_answer = asyncio.Event()
        self._open: set[asyncio.StreamWriter] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                if head.startswith(b"GET /slow "):
                    self.slow_asked.set()
                    await self.slow_answer.wait()
                elif not head.startswith(b"GET / "):  # the proxy's own question, always answered
                    self.asked.set()
                    await self.answer.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._open.discard(writer)
            writer.close()

    def cut(self) -> None:
        """End all connections."""
        for writer in self._open:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def upstream(**options: Any) -> AsyncIterator[Upstream]:
    """Run an upstream; ``options`` are those of ``asyncio.start_server``."""
    stands = Upstream()
    if "sock" not in options:
        options |= {"host": "127.0.0.1", "port": 0}
    server = await asyncio.start_server(stands.talk, **options)
    host, port = server.sockets[0].getsockname()
    stands.url = f"{'https' if options.get('ssl') else 'http'}://{host}:{port}"
    try:
        yield stands
    finally:
        server.close()
        stands.answer.set()
        stands.slow_answer.set()
        stands.cut()
        await server.wait_closed()
