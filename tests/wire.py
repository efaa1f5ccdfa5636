"""Dialogues on the wire, as data: what is sent on either side of the relay, and what arrives.

A file of dialogues holds several, each begun by a line ``### what it shows``. A dialogue is a list
of steps, each begun by a line in brackets:

    [client]        these bytes are sent by the client     [client ends]      it closes its side
    [node]          these bytes are sent by the node       [node ends]        it closes its side
    [node sees]     these bytes arrive at the node         [node sees the end]
    [client gets]   these bytes arrive at the client       [client gets the end], [client is cut off]
    [new node]      what follows happens on a new connection to the node

Every line of a step ends with CRLF, unless it ends with ``|``, which stands for nothing. Escapes
are those of Python: ``\\n``, ``\\x00``. At the end nothing else may have been sent to anybody.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signals_proxy.relay import Forwarding, Limits, Relay
from signals_proxy.relay.client import ClientConnection
from signals_proxy.relay.node import NodeConnection
from signals_proxy.relay.tally import Tally

ACTIONS = {
    "client",
    "client ends",
    "node",
    "node ends",
    "node sees",
    "node sees the end",
    "client gets",
    "client gets the end",
    "client is cut off",
    "new node",
}


@dataclass(frozen=True)
class Step:
    """One step of a dialogue."""

    action: str
    data: bytes


@dataclass(frozen=True)
class Dialogue:
    """A dialogue, and the sentence that says what it shows."""

    title: str
    steps: tuple[Step, ...]


def read_dialogues(folder: Path) -> list[Dialogue]:
    """Return the dialogues of every file of a folder."""
    return [one for file in sorted(folder.glob("*.txt")) for one in _parse(file)]


def _parse(file: Path) -> Iterator[Dialogue]:
    for text in file.read_text().split("\n### ")[1:]:
        title, _, rest = text.partition("\n")
        # The blank line before the next title is also the one that ends a head.
        parts = re.split(r"^\[([a-z ]+)\]\n", rest.rstrip("\n") + "\n\n", flags=re.MULTILINE)
        steps = []
        for action, lines in zip(parts[1::2], parts[2::2], strict=True):
            assert action in ACTIONS, f"{file.name}: {title}: [{action}]"
            steps.append(Step(action, _bytes(lines)))
        yield Dialogue(f"{file.stem}: {title}", tuple(steps))


def _bytes(lines: str) -> bytes:
    if not lines.strip("\n"):
        return b""
    if lines.rstrip("\n").endswith("|"):
        lines = lines.rstrip("\n") + "\n"
    content = b""
    for line in lines.removesuffix("\n").split("\n"):
        raw = line.encode("latin-1").decode("unicode_escape").encode("latin-1")
        content += raw[:-1] if raw.endswith(b"|") else raw + b"\r\n"
    return content


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.ended = False
        self.aborted = False
        self.reading = True
        self.closed = False
        self.protocol: asyncio.Protocol | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 4711) if name == "peername" else default

    def write(self, data: Any) -> None:
        assert not self.ended, "written after the end"
        if not self.closed:
            self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._tell)

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def _tell(self) -> None:
        if self.protocol is not None:
            self.protocol.connection_lost(None)


class PlayedDestination:
    """A destination whose connections are wires."""

    response_head_size = 1024 * 1024

    def __init__(self, *, patient: bool = False) -> None:
        self.patient = patient
        self.tally = Tally("played")
        self.kept: list[NodeConnection] = []
        self.wires: list[Wire] = []

    def idle(self, _peer: object) -> NodeConnection | None:
        return self.kept.pop() if self.kept else None

    async def connect(self, _peer: object, *, new: bool = False) -> NodeConnection:  # noqa: ARG002
        connection = NodeConnection(self, b"node:9200", None)
        wire = Wire()
        wire.protocol = connection
        connection.connection_made(wire)
        self.wires.append(wire)
        return connection

    def take_back(self, connection: NodeConnection) -> None:
        self.kept.append(connection)

    def forget(self, connection: NodeConnection) -> None:
        if connection in self.kept:
            self.kept.remove(connection)

    def tick(self, _now: float) -> None:
        """Nothing ages here."""

    def close(self) -> None:
        """Nothing stays open here."""


class Play:
    """Plays dialogues against a relay in memory, so that each byte is a step of its own."""

    def __init__(self, limits: Limits | None = None, forwarding: Forwarding | None = None) -> None:
        self.destination = PlayedDestination()
        self.relay = Relay(
            *(lambda _: self.destination, [self.destination], limits or Limits()),
            forwarding=forwarding,
        )
        self.wire = Wire()
        self.client = ClientConnection(self.relay)
        self.wire.protocol = self.client
        self.client.connection_made(self.wire)
        self._connections = 1
        self._node_seen = 0
        self._client_got = 0

    @property
    def node(self) -> Wire:
        """The connection to the node that is spoken of."""
        assert len(self.destination.wires) >= self._connections, "no connection to the node"
        return self.destination.wires[self._connections - 1]

    async def run(
        self, dialogue: Dialogue, cut: int | None = None, every: int | None = None
    ) -> None:
        """Play every step; ``cut`` splits what is sent at that byte, ``every`` in pieces of a size.

        ``cut`` counts the bytes of all sent steps together.
        """
        at = 0
        for step in dialogue.steps:
            if step.action in {"client", "node"}:
                pieces = list(_split(step.data, None if cut is None else cut - at, every))
                at += len(step.data)
                for piece in pieces:
                    await self._deliver(step.action, piece)
            else:
                await self._step(step)
        await settle()
        assert bytes(self.wire.written[self._client_got :]) == b"", "the client got more"
        if self._connections <= len(self.destination.wires):
            assert bytes(self.node.written[self._node_seen :]) == b"", "the node saw more"
        assert len(self.destination.wires) in {self._connections, 0}, "another connection was made"
        self.relay.close()
        await settle()
        assert len(self.relay) == 0

    async def _deliver(self, who: str, data: bytes) -> None:
        wire = self.wire if who == "client" else self.node
        if not wire.closed and wire.protocol is not None:
            wire.protocol.data_received(data)
        await settle()

    async def _step(self, step: Step) -> None:
        await settle()
        match step.action:
            case "client ends":
                self.client.eof_received()
            case "node ends":
                protocol = self.node.protocol
                assert protocol is not None
                protocol.eof_received()
                self.node.close()
            case "new node":
                assert bytes(self.node.written[self._node_seen :]) == b""
                self._connections += 1
                self._node_seen = 0
            case "node sees":
                end = self._node_seen + len(step.data)
                assert bytes(self.node.written[self._node_seen : end]) == step.data
                self._node_seen = end
            case "client gets":
                end = self._client_got + len(step.data)
                assert bytes(self.wire.written[self._client_got : end]) == step.data
                self._client_got = end
            case "node sees the end":
                assert self.node.closed
            case "client gets the end":
                assert self.wire.ended
                assert not self.wire.aborted
            case "client is cut off":
                assert self.wire.aborted
                assert not self.wire.ended
        await settle()


def _split(data: bytes, cut: int | None, every: int | None) -> Iterator[bytes]:
    if every is not None:
        for start in range(0, len(data), every):
            yield data[start : start + every]
    elif cut is not None and 0 < cut < len(data):
        yield data[:cut]
        yield data[cut:]
    elif data:
        yield data


async def settle() -> None:
    """Let everything that is ready happen."""
    for _ in range(6):
        await asyncio.sleep(0)
