"""When a client is read, what is kept of what comes too soon, and for what of it one waits.

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
from typing import Final, Protocol

from signals_proxy.relay.exchange import Exchange
from signals_proxy.relay.sockets import unsent

__all__ = ["READ_AHEAD", "Awaited", "Phase", "Reading"]

READ_AHEAD: Final = 64 * 1024
"""Bytes kept of what a client sends before its time: its next requests, or an early body."""


class Phase(enum.Enum):
    """See the table on top of the file."""

    READY = enum.auto()
    EXCHANGING = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Awaited(enum.Enum):
    """What is owed: by a client a request, the rest of a head or of a body, to read, or to leave.

    By the cluster to ask for a body that is there, or an answer; by nobody anything while one comes.
    """

    REQUEST = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()
    READER = enum.auto()
    END = enum.auto()
    CONTINUE = enum.auto()
    ANSWER = enum.auto()
    NOTHING = enum.auto()


_NODE_IS_FULL: Final = 1
_READ_ENOUGH: Final = 2


class Clock(Protocol):
    """``now`` is the event loop's time at the last tick, in seconds."""

    now: float


class Reading(asyncio.Protocol):
    """A client's connection as far as it is read."""

    __slots__ = ("_ahead", "_clock", "_exchange", "_holds", "_phase", "since", "stuck", "transport")

    transport: asyncio.Transport

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._phase = Phase.READY
        self._exchange: Exchange | None = None
        self._ahead = bytearray()
        self._holds = 0
        self.stuck = False  # the client does not read what was written
        self.since = clock.now  # when last was done what a time-out waits for

    # What its exchange asks of it: see ``waiting``.

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

    def _forget_ahead(self) -> None:
        self._ahead.clear()
        self._hold(_READ_ENOUGH | _NODE_IS_FULL, False)

    def _hold(self, reason: int, on: bool) -> None:
        before = self._holds
        self._holds = before | reason if on else before & ~reason
        if bool(before) is bool(self._holds) or self.transport.is_closing():
            return
        if self._holds:
            self.transport.pause_reading()
        else:
            self.since = self._clock.now  # until now nothing could be done
            self.transport.resume_reading()

    # Time.

    def is_held(self) -> bool:
        """Tell whether the client's end would not be noticed.

        So it is while reading is paused; and with TLS while the client does not read.
        """
        return (self._holds != 0 or self.stuck) and self._phase is not Phase.CLOSED

    def awaited(self) -> Awaited:
        """Return what is owed, for which there is a limit of time."""
        exchange = self._exchange
        if exchange is not None:
            if not exchange.request_is_sent:
                if exchange.holds_body and self._ahead and not exchange.answer_has_begun:
                    return Awaited.CONTINUE
                if not (exchange.holds_body or self._holds):
                    return Awaited.BODY
            if self.stuck:
                return Awaited.READER
            waits = exchange.answer_has_begun or exchange.destination.patient
            return Awaited.NOTHING if waits else Awaited.ANSWER
        if self._phase is Phase.CLOSING:
            return Awaited.READER if unsent(self.transport) else Awaited.END
        if self.stuck:
            return Awaited.READER
        return Awaited.HEAD if self._ahead else Awaited.REQUEST
