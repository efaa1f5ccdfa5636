"""The relay's side towards a client: one connection, on which one exchange follows another.

    ==========  ==========================================  ====================================
    phase       what has happened                           what comes next
    ==========  ==========================================  ====================================
    READY       nothing, or part of a head                  a head: EXCHANGING; a bad one:
                                                            CLOSING
    EXCHANGING  a head                                      see ``exchange``: READY or CLOSING
    CLOSING     our last word was said, and our side        the client's end, or too much waiting
                closed                                      for it: CLOSED
    CLOSED      the connection has ended
    ==========  ==========================================  ====================================

Rule of the file: reading stops for reasons, each a bit of ``_holds``, and goes on when none is
left. Nobody else pauses or resumes reading on this transport.
"""

import asyncio
import enum
import re
from collections.abc import Callable
from typing import Final, Protocol, cast

from signals_proxy.errors import SignalsError
from signals_proxy.relay.deciding import ByBody, DecidingExchange
from signals_proxy.relay.exchange import Exchange
from signals_proxy.relay.head import METHODS, Malformed, Request, refuse_early
from signals_proxy.relay.pool import Destination
from signals_proxy.relay.refusal import refusal
from signals_proxy.relay.sockets import keep_alive, reset, unsent
from signals_proxy.relay.tally import Access, Ended, Tally

__all__ = ["Awaited", "ClientConnection", "Phase", "Switchboard"]

READ_AHEAD: Final = 64 * 1024
"""Bytes kept of what a client sends before its time: its next requests, or an early body."""

LINGER_BYTES: Final = 8 * 1024 * 1024
"""How much is still read and thrown away so that our last word is not lost to a reset (RFC 9112
9.6)."""


class Phase(enum.Enum):
    """See the table on top of the file."""

    READY = enum.auto()
    EXCHANGING = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Awaited(enum.Enum):
    """What a client owes: a request, the rest of a head or of a body, to read, or to leave."""

    REQUEST = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    READER = enum.auto()
    END = enum.auto()
    NOTHING = enum.auto()


# Looked up once, not at each event.
READY, EXCHANGING, CLOSING, CLOSED = Phase

_EMPTY_LINES: Final = re.compile(rb"\A(?:\r\n)+")

_NODE_IS_FULL: Final = 1
_READ_ENOUGH: Final = 2


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


class ClientConnection(asyncio.Protocol):
    """A client's connection."""

    __slots__ = (
        "_ahead",
        "_discarded",
        "_exchange",
        "_holds",
        "_noted",
        "_phase",
        "_seen",
        "_sent",
        "_started",
        "_switchboard",
        "peer",
        "since",
        "stuck",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._phase = READY
        self._exchange: Exchange | None = None
        self._ahead = bytearray()
        self._seen = 0  # bytes of an unfinished head that were looked at
        self._holds = 0
        self._discarded = 0
        self._started = switchboard.now  # the request, and what was sent for it, and noted of it
        self._sent = 0
        self._noted: object = None
        self.peer: object = None
        self.stuck = False  # the client does not read what was written
        self.since = switchboard.now  # when it last did what a time-out waits for

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
            self.since = self._switchboard.now
            assert self._exchange is not None  # noqa: S101
            self._exchange.upload(data)
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
            self.since = self._switchboard.now  # a head's time begins with its first byte
            self._read(data)

    def pause_writing(self) -> None:
        """See ``asyncio.BaseProtocol``."""
        self.stuck = True
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
                refuse_early(data, self._seen)
                self._limit_head(data, len(data))
                self._seen = len(data)
                self._ahead += data
                return
            self._seen = 0
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

    # What its exchange asks of it: see ``exchange.Waiting``.

    @property
    def draining(self) -> bool:
        """Whether the answer that begins is to be the last."""
        # Who retires answers what has come already: only a stop has reason to leave it.
        return self._switchboard.draining or (self._switchboard.retiring and not self._ahead)

    def pass_on(self, data: bytes) -> None:
        """Write bytes of the answer."""
        self._sent += len(data)
        self.transport.write(data)

    def read_ahead(self, data: bytes) -> None:
        """Keep what came before its time, and let no more of it come than a little."""
        self._ahead += data
        self._hold(_READ_ENOUGH, len(self._ahead) >= READ_AHEAD)

    def take_ahead(self) -> bytes:
        """Return what was kept, and forget it."""
        data = bytes(self._ahead)
        self._ahead.clear()
        self._hold(_READ_ENOUGH, False)
        return data

    def node_is_full(self, full: bool) -> None:
        """Stop, or go on, reading."""
        self._hold(_NODE_IS_FULL, full)

    def done(self, *, close: bool) -> None:
        """Go on with the next request, or close."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._ended(exchange, exchange.status)
        self._hold(_NODE_IS_FULL, False)
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
        self._ahead.clear()
        self._hold(_READ_ENOUGH | _NODE_IS_FULL, False)
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

    def _hold(self, reason: int, on: bool) -> None:
        before = self._holds
        self._holds = before | reason if on else before & ~reason
        if bool(before) is bool(self._holds) or self.transport.is_closing():
            return
        if self._holds:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    # Time.

    def is_held(self) -> bool:
        """Tell whether the client's end would not be noticed.

        So it is while reading is paused; and with TLS while the client does not read.
        """
        return (self._holds != 0 or self.stuck) and self._phase is not CLOSED

    def awaited(self) -> Awaited:
        """Return what the client owes, for which there is a limit of time."""
        exchange = self._exchange
        if exchange is not None:
            stalled = not exchange.request_is_sent and not self._holds
            return Awaited.BODY if stalled else Awaited.NOTHING
        if self._phase is CLOSING:
            return Awaited.READER if unsent(self.transport) else Awaited.END
        if self.stuck:
            return Awaited.READER
        return Awaited.HEAD if self._ahead else Awaited.REQUEST

    def expire(self) -> None:
        """End a connection whose client took too long."""
        awaited, exchange = self.awaited(), self._exchange
        begun = exchange is not None and exchange.answer_has_begun
        if awaited is Awaited.HEAD or (awaited is Awaited.BODY and not begun):
            self.refuse(408, "the request did not come in time", is_head=False)
        else:
            self.end()
