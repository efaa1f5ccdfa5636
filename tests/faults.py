"""A plugin with a wire that can be cut: a TCP proxy in front of a real node.

``faulty_wire`` stands between the registry and the node, passes everything on, and does to one chosen
request what networks do: loses it, or loses or delays its answer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

import pytest


class Fault(Enum):
    """What happens to the chosen request."""

    LOSE_REQUEST = "the connection ends before the node sees it"
    LOSE_ANSWER = "the connection ends once the node has answered"
    HOLD_ANSWER = "the answer waits for the test"
    HOLD_REQUEST = "the request waits for the test"


@dataclass
class Plan:
    """A fault that waits for the request whose bytes hold ``marker``.

    ``met`` is set when that request comes, ``answered`` when the node has answered it; the test
    sets ``release`` to let what is held go on.
    """

    marker: bytes
    fault: Fault
    times: int = 1
    met: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


class Wire:
    """What a test tells the proxy to do, and what the proxy has seen."""

    def __init__(self, node: str) -> None:
        parts = urlsplit(node)
        self._node = (parts.hostname or "", parts.port or 0)
        self._plans: list[Plan] = []
        self.requests: list[bytes] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def plan(self, marker: bytes, fault: Fault, times: int = 1) -> Plan:
        """Have this happen to the next requests whose bytes hold ``marker``, ``times`` times."""
        self._plans.append(Plan(marker, fault, times))
        return self._plans[-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the registry's."""
        if (task := asyncio.current_task()) is not None:
            self.tasks.add(task)
        up_reader, up_writer = await asyncio.open_connection(*self._node)
        met: list[Plan] = []
        try:
            down = asyncio.ensure_future(self._down(up_reader, writer, met))
            while data := await reader.read(1 << 20):
                self.requests.append(data)
                plan = self._met(data)
                if plan is not None:
                    met[:] = [plan]
                    plan.met.set()
                    if plan.fault is Fault.LOSE_REQUEST:
                        break
                    if plan.fault is Fault.HOLD_REQUEST:
                        await plan.release.wait()
                up_writer.write(data)
            if met and met[0].fault in {Fault.HOLD_ANSWER, Fault.HOLD_REQUEST}:
                # The client may have lost its patience; what the node was asked, it still does.
                await met[0].answered.wait()
            down.cancel()
        except (ConnectionError, asyncio.CancelledError):
            pass  # either side has left, or the test is over
        finally:
            up_writer.close()
            writer.close()

    async def _down(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, met: list[Plan]
    ) -> None:
        while data := await reader.read(1 << 20):
            for plan in met:
                plan.answered.set()
            if met and met[0].fault is Fault.LOSE_ANSWER:
                break
            if met and met[0].fault is Fault.HOLD_ANSWER:
                await met[0].release.wait()
            writer.write(data)
        writer.close()

    def _met(self, data: bytes) -> Plan | None:
        for plan in self._plans:
            if plan.marker in data:
                plan.times -= 1
                if plan.times == 0:
                    self._plans.remove(plan)
                return plan
        return None


@asynccontextmanager
async def _wire(node: str) -> AsyncIterator[Wire]:
    wire = Wire(node)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    wire.url = f"http://{host}:{port}"
    try:
        yield wire
    finally:
        server.close()
        for task in wire.tasks:
            task.cancel()
        await asyncio.gather(*wire.tasks, return_exceptions=True)


@pytest.fixture
async def faulty_wire(elasticsearch: str) -> AsyncIterator[Wire]:
    """Return a wire to the node."""
    async with _wire(elasticsearch) as wire:
        yield wire
