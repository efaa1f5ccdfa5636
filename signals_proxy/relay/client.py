"""The relay's side towards a client: one connection, on which one exchange follows another."""

import asyncio
import re
from collections.abc import Callable
from typing import Final, Protocol, cast

from signals_proxy.errors import SignalsError, TimedOut
from signals_proxy.relay.deciding import ByBody, DecidingExchange
from signals_proxy.relay.exchange import Exchange
from signals_proxy.relay.head import METHODS, Malformed, Request, refuse_early
from signals_proxy.relay.pool import Destination
from signals_proxy.relay.reading import Awaited, Phase, Reading
from signals_proxy.relay.refusal import refusal
from signals_proxy.relay.sockets import keep_alive, reset, unsent
from signals_proxy.relay.tally import Access, Ended, Tally

__all__ = ["ClientConnection", "Switchboard"]

LINGER_BYTES: Final = 8 * 1024 * 1024
"""How much is still read and thrown away so that our last word is not lost to a reset (RFC 9112
9.6). A transport of TLS does that by itself: there only the time for it is bounded."""


# Looked up once, not at each event.
READY, EXCHANGING, CLOSING, CLOSED = Phase

_EMPTY_LINES: Final = re.compile(rb"\A(?:\r\n)+")


class Switchboard(Protocol):
    """What the connections of a relay share."""

    head_size: int
    now: float
    draining: bool
    retiring: bool
    tally: Tally
    access: Access | None
    clock: Callable[[], float]

    def understand(self, head: bytes) -> tuple[Request, Destination | ByBody]:
        """Return what a head means and where it goes. Raises ``Malformed``, ``SignalsError``."""
        ...

    def joined(self, client: "ClientConnection") -> bool:
        """Take notice of a connection; false if there are too many."""
        ...

    def left(self, client: "ClientConnection") -> None:
        """Take notice of a connection's end."""
        ...


class ClientConnection(Reading):
    """A client's connection."""

    __slots__ = (
        "_discarded",
        "_noted",
        "_seen",
        "_sent",
        "_started",
        "_switchboard",
        "peer",
    )

    def __init__(self, switchboard: Switchboard) -> None:
        super().__init__(switchboard)
        self._switchboard = switchboard
        self._seen = 0  # bytes of an unfinished head that were looked at
        self._discarded = 0
        self._started = switchboard.now  # the request, and what was sent for it, and noted of it
        self._sent = 0
        self._noted: object = None
        self.peer: object = None

    # What the event loop tells it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.BaseProtocol``."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self.peer = transport.get_extra_info("peername")
        keep_alive(transport)
        if not self._switchboard.joined(self):
            self.refuse(503, "too many connections", is_head=False)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        if self._phase is EXCHANGING:
            exchange = self._exchange
            assert exchange is not None  # noqa: S101
            if not exchange.request_is_sent:
                self.since = self._switchboard.now
            exchange.upload(data)
        elif self._phase is CLOSING:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.end()
        elif self.stuck:
            self.read_ahead(data)
        elif self._ahead:
            self._ahead += data
            self._read(self.take_ahead())
        else:
            self._read(data)

    def pause_writing(self) -> None:
        """See ``asyncio.BaseProtocol``."""
        self.stuck = True
        self.since = self._switchboard.now
        if self._exchange is not None:
            self._exchange.client_is_stuck(True)

    def resume_writing(self) -> None:
        """See ``asyncio.BaseProtocol``."""
        self.stuck = False
        if self._exchange is not None:
            self._exchange.client_is_stuck(False)
        elif self._phase is READY and self._ahead:
            self._read(self.take_ahead())

    def eof_received(self) -> None:
        """See ``asyncio.Protocol``. Elasticsearch takes a half-close for a close; so do we."""
        self.gone()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """See ``asyncio.BaseProtocol``."""
        self._phase = CLOSED
        self._abandon()
        self._switchboard.left(self)

    def gone(self) -> None:
        """End the connection, whose other end is closed."""
        if self._phase is CLOSING:
            self.transport.close()
        else:
            self.end()

    def end(self) -> None:
        """End the connection now, such that an answer that is cut by it cannot be taken for whole."""
        exchange = self._exchange
        begun = exchange is not None and exchange.answer_has_begun
        self._abandon()
        if begun or unsent(self.transport):
            reset(self.transport)
        else:
            self.transport.abort()

    # Requests.

    def _read(self, data: bytes) -> None:
        """Read a head at the start of ``data``, and begin its exchange with what is behind it."""
        switchboard, self._sent = self._switchboard, 0
        # RFC 9112 2.2: some clients end a body with a line too many; Elasticsearch takes any number.
        if data.startswith(b"\r\n"):
            data = _EMPTY_LINES.sub(b"", data, 1)
        end = data.find(b"\r\n\r\n", max(0, self._seen - 3)) + 4
        try:
            if end < 4:
                if not self._seen:
                    self.since = switchboard.now  # a head's time begins with its first byte
                refuse_early(data, self._seen)
                self._limit_head(data, len(data))
                self._seen = len(data)
                self._ahead += data
                return
            self._seen = 0
            if end > switchboard.head_size:
                self._limit_head(data, end)
            head = data[:end]
            self._started = switchboard.clock()
            if switchboard.access is not None:
                self._noted = switchboard.access.note(head, self.peer)
            request, destination = switchboard.understand(head)
        except Malformed as malformed:
            self.refuse(malformed.status, malformed.reason, is_head=data.startswith(b"HEAD "))
        except SignalsError as error:
            self.refuse(error.status, error, is_head=data.startswith(b"HEAD "))
        else:
            self._phase = EXCHANGING
            self.since = switchboard.now  # and an answer's with the last byte of its request
            if isinstance(destination, ByBody):
                self._exchange = DecidingExchange(self, request, destination, head)
            else:
                self._exchange = Exchange(self, request, destination, head)
            self._exchange.begin(data[end:])

    def _limit_head(self, data: bytes, size: int) -> None:
        limit = self._switchboard.head_size
        if size > limit:
            # As Elasticsearch, which tells a line that is too long from fields that are.
            status = 431 if b"\r\n" in data[:limit] else 400
            raise Malformed("the request head is too long", status)

    # What its exchange asks of it: see ``waiting``.

    @property
    def draining(self) -> bool:
        """Whether the answer that begins is to be the last."""
        # Who retires answers what has come already: only a stop has reason to leave it.
        return self._switchboard.draining or (self._switchboard.retiring and not self._ahead)

    def pass_on(self, data: bytes) -> None:
        """Write bytes of the answer."""
        self._sent += len(data)
        self.transport.write(data)

    def take_body(self) -> bytes:
        """Return what was kept of a body, whose time begins now."""
        self.since = self._switchboard.now
        return self.take_ahead()

    def done(self, *, close: bool) -> None:
        """Go on with the next request, or close."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._ended(exchange, exchange.status)
        if self._holds:
            self.node_is_full(False)
        if close or self._switchboard.draining:
            self._say_no_more()
            return
        self._phase = READY
        self.since = self._switchboard.now
        if self._ahead and not self.stuck:
            self._read(self.take_ahead())

    def refuse(self, status: int, reason: str | SignalsError, *, is_head: bool) -> None:
        """Answer in our own words, and close."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
        if not self.transport.is_closing():
            self.pass_on(refusal(status, reason, is_head=is_head))
        self._ended(exchange, status)
        self._say_no_more()

    def cut_off(self) -> None:
        """End the connection such that the client cannot take the answer for whole."""
        self._abandon()
        reset(self.transport)

    # The end.

    def _say_no_more(self) -> None:
        """Half-close, and read on for a while: a reset would take our last words away."""
        self._phase = CLOSING
        self.since = self._switchboard.now
        self._forget_ahead()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()  # of TLS, which reads on by itself until the client leaves

    def _abandon(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon()
            exchange.destination.tally.cut += exchange.answer_has_begun
            self._ended(exchange, exchange.status, is_cut=True)

    def _ended(self, exchange: Exchange | None, status: int, is_cut: bool = False) -> None:
        """Count a request that has ended; without an exchange it never had a destination."""
        # Done for each request: nothing is in it that could have been done before.
        switchboard, sent = self._switchboard, self._sent
        if exchange is None:
            tally, series, received, seconds = switchboard.tally, 0, 0, 0.0
        else:
            tally, received = exchange.destination.tally, exchange.received
            series = exchange.request.series
            seconds = switchboard.clock() - self._started
        tally.count(series + status, received, sent, seconds)
        if switchboard.access is not None:
            noted, self._noted = self._noted, None
            place, method = tally.destination, METHODS[series // 1000]
            ended = Ended(place, method, status, is_cut, received, sent, seconds)
            switchboard.access.ended(noted, self.peer, ended)

    # Time.

    def expire(self) -> None:
        """End a connection on which something took too long."""
        awaited, exchange = self.awaited(), self._exchange
        begun = exchange is not None and exchange.answer_has_begun
        is_head = self._ahead.startswith(b"HEAD ") if exchange is None else exchange.request.is_head
        if awaited is Awaited.ANSWER:
            late = TimedOut("the cluster did not answer in time (limits.answer_timeout)")
            self.refuse(late.status, late, is_head=is_head)
        elif awaited is Awaited.CONTINUE:
            late = TimedOut("the cluster did not ask in time for the body that was sent")
            self.refuse(late.status, late, is_head=is_head)
        elif awaited is Awaited.HEAD or (awaited is Awaited.BODY and not begun):
            self.refuse(408, "the request did not come in time", is_head=is_head)
        else:
            self.end()
