"""The relay as a whole: what its connections share, and its clock."""

import asyncio
import math
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from signals_proxy.relay.client import ClientConnection
from signals_proxy.relay.deciding import ByBody
from signals_proxy.relay.forwarding import Forwarding
from signals_proxy.relay.head import Request, parse_request
from signals_proxy.relay.memory import Memory
from signals_proxy.relay.pool import Destination
from signals_proxy.relay.reading import Awaited
from signals_proxy.relay.secured import Handshakes
from signals_proxy.relay.sockets import Vanished, whose_peers_left
from signals_proxy.relay.tally import Access, Tally

__all__ = ["Limits", "Relay"]

LINGER_S: Final = 2.0
"""How long a client may take to leave after our last word was sent."""

_TICK_S: Final = 1.0
_MEMORABLE_CUTS: Final = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings of the relay, and of its cluster: see ``limits`` in ``config.example.yaml``.

    Sizes are in bytes.
    """

    head_size: int = 64 * 1024
    head_timeout_s: float = 60.0
    idle_timeout_s: float = 600.0
    connections: int = 10_000
    drain_s: float = 30.0
    response_head_size: int = 1024 * 1024
    in_flight: int | None = None
    place_timeout_s: float = 5.0
    answer_timeout_s: float | None = None


class Relay:
    """Makes the protocols of a listener's connections: pass it to ``loop.create_server``.

    ``route`` names the destination of a request target, or how its body decides on it, or raises a
    ``SignalsError`` to refuse it.
    Every one of ``destinations`` is closed with the relay. ``access`` is told of every request.
    """

    def __init__(
        self,
        route: Callable[[str], Destination | ByBody],
        destinations: Sequence[Destination],
        limits: Limits,
        access: Access | None = None,
        forwarding: Forwarding | None = None,
    ) -> None:
        self.head_size = limits.head_size
        self.draining = False
        self.retiring = False
        self._loop = asyncio.get_running_loop()
        self.clock = self._loop.time
        self.now = self.clock()
        self.tally = Tally("none")
        self.accepted = self.refused = 0
        self.access = access
        self._route = route
        self._destinations = destinations
        self._limits = limits
        self._forwarding = forwarding
        self._patience_s = {
            Awaited.REQUEST: limits.idle_timeout_s,
            Awaited.HEAD: limits.head_timeout_s,
            Awaited.BODY: limits.idle_timeout_s,
            Awaited.READER: limits.idle_timeout_s,
            Awaited.END: LINGER_S,
            Awaited.CONTINUE: min(limits.idle_timeout_s, limits.answer_timeout_s or math.inf),
            Awaited.ANSWER: limits.answer_timeout_s or math.inf,
            Awaited.NOTHING: math.inf,
        }
        self._clients: set[ClientConnection] = set()
        self._handshakes = Handshakes(self, limits.head_timeout_s, limits.idle_timeout_s)
        self.failed_handshakes = self._handshakes.failed
        self._vanished = Vanished()
        self._looked = self.now
        self._empty = asyncio.Event()
        self.understand = Memory(self._understand, limit=4096).__call__
        self._timer = self._loop.call_later(_TICK_S, self._tick)

    def __call__(self) -> ClientConnection:
        """Return the protocol of a new connection."""
        return ClientConnection(self)

    def over(self, tls: ssl.SSLContext) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocols of a listener whose clients speak TLS."""

        def protocol() -> asyncio.Protocol:
            limits = self._limits
            is_full = self.draining or len(self) >= limits.connections
            return self._handshakes.protocol(tls, LINGER_S if is_full else limits.head_timeout_s)

        return protocol

    def __len__(self) -> int:
        """Return the number of connections, handshakes included."""
        return len(self._clients) + len(self._handshakes)

    def joined(self, client: ClientConnection) -> bool:
        """See ``client.Switchboard``."""
        self._handshakes.forget(client)
        self._clients.add(client)
        self.accepted += 1
        if len(self) <= self._limits.connections:
            return True
        self.refused += 1
        return False

    def left(self, client: ClientConnection) -> None:
        """See ``client.Switchboard``."""
        self._clients.discard(client)
        if not len(self):
            self._empty.set()

    async def retire(self) -> None:
        """Let each client's next answer be its last: to be called when a successor listens.

        An idle connection stays open, for its client may be about to use it. Returns when every
        client has left, or after ``Limits.drain_s``.
        """
        self.retiring = True
        await self._emptied()

    async def drain(self) -> None:
        """Let exchanges end, and no new ones begin: to be called when nobody listens any more.

        Returns when every client has left, or after ``Limits.drain_s``.
        """
        self.draining = True
        # A connection may still come in that was accepted before: it gets a moment to ask.
        self._patience_s[Awaited.REQUEST] = _TICK_S
        for client in list(self._clients):
            if client.awaited() is Awaited.REQUEST:
                client.expire()
        self._handshakes.hurry(self._loop.time() + _TICK_S)
        await self._emptied()

    async def _emptied(self) -> None:
        await asyncio.sleep(0)  # who was accepted last joins
        try:
            async with asyncio.timeout(self._limits.drain_s):
                while len(self):
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """Cut what is left."""
        self._timer.cancel()
        self._handshakes.tick(math.inf)
        for client in list(self._clients):
            client.end()
        for destination in self._destinations:
            destination.close()

    def _understand(self, head: bytes) -> tuple[tuple[Request, Destination | ByBody], bool]:
        request, target = parse_request(head)
        destination, forwarding = self._route(target), self._forwarding
        if forwarding is not None:
            within = _forwarded(forwarding.within, head, request)
            if isinstance(destination, ByBody):
                request = replace(_forwarded(forwarding, head, request), within=within)
            elif destination.patient:
                request = within
            else:
                request = _forwarded(forwarding, head, request)
        return (request, destination), len(request.cuts) <= _MEMORABLE_CUTS

    def _tick(self) -> None:
        # One timer for all time-outs: exact to a second, and free while nothing is late.
        now = self.now = self._loop.time()
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        held = {}
        for client in list(self._clients):
            if client.is_held():
                held[client.transport] = client
            if now - client.since > self._patience_s[client.awaited()]:
                client.expire()
        self._handshakes.tick(now)
        for transport in whose_peers_left(held):
            held[transport].gone()
        for destination in self._destinations:
            destination.tick(now)
        if now - self._looked >= Vanished.EVERY_S:
            self._looked = now
            self._end_vanished()

    def _end_vanished(self) -> None:
        clients = {client.transport: client for client in self._clients}
        nodes = [it for destination in self._destinations for it in destination.transports()]
        for transport in self._vanished.among([*clients, *nodes]):
            if transport in clients:
                clients[transport].end()
            else:
                transport.abort()  # its client learns of it as of any lost connection


def _forwarded(forwarding: Forwarding, head: bytes, request: Request) -> Request:
    cuts, said = forwarding.of(head, request.cuts)
    return replace(request, cuts=cuts, strip=forwarding.taken, forwarded_for=said)
