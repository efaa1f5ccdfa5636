"""What the relay asks of sockets beyond asyncio: whether their peers are still there, mostly."""

import asyncio
import contextlib
import fcntl
import select
import socket
import struct
import sys
import termios
from collections.abc import Callable, Iterable
from typing import Final

__all__ = [
    "Vanished", "input_poll", "is_silent", "keep_alive", "reset", "unsent", "whose_peers_left",
]  # fmt: skip

# A peer that vanished without a word (a cable, a firewall that forgot) is noticed within 2 minutes:
# by these probes (60 + 4 x 15 s) while nothing is sent, by ``Vanished`` otherwise. The kernel's own
# TCP_USER_TIMEOUT is no help: it also ends connections whose peer is there and only does not read.
_OPTIONS: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
]
_NO_LINGER: Final = struct.pack("ii", 1, 0)

_TCP_INFO_SIZE: Final = 60
_SILENT_LOOKS: Final = 4


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Have the kernel probe the other end of a TCP connection on which nothing is sent."""
    connection = _tcp(transport)
    if connection is not None:
        for level, option, value in _OPTIONS:
            connection.setsockopt(level, option, value)


def reset(transport: asyncio.Transport) -> None:
    """End a connection such that its peer cannot take the end for a regular one.

    A plain close is how an answer without a length ends; one that was cut must end otherwise.
    """
    connection = _tcp(transport)
    if connection is not None:
        with contextlib.suppress(OSError):  # closed by the peer meanwhile
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def unsent(transport: asyncio.Transport) -> int:
    """Return how many bytes are on their way to the peer; without TLS, those the kernel has not yet.

    A transport of TLS does not tell what is left in the one below it. As long as anything is, the
    kernel has its hands full, too: so that is asked.
    """
    size = transport.get_write_buffer_size()
    connection = _tcp(transport)
    if size or connection is None or transport.get_extra_info("sslcontext") is None:
        return size
    try:
        unacknowledged = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:  # closed meanwhile
        return 0
    return int.from_bytes(unacknowledged, sys.byteorder)


def input_poll(transport: asyncio.BaseTransport) -> Callable[[int], object] | None:
    """Return a function that, given 0, tells whether something, or the end, is there to be read.

    None for TLS, whose records need not carry anything for us, and for what is no socket.
    """
    connection = transport.get_extra_info("socket")
    if connection is None or transport.get_extra_info("sslcontext") is not None:
        return None
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLRDHUP)
    return poll.poll


def whose_peers_left(transports: Iterable[asyncio.Transport]) -> list[asyncio.Transport]:
    """Return those whose peer has ended the connection, which reading would have told.

    For transports whose reading is paused: unread bytes stand before the end, so only the kernel
    knows (Linux's ``POLLRDHUP``).
    """
    by_descriptor = {}
    for transport in transports:
        connection = transport.get_extra_info("socket")
        if connection is not None and not transport.is_closing():
            by_descriptor[connection.fileno()] = transport
    poll = select.poll()
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLRDHUP)
    return [by_descriptor[descriptor] for descriptor, _ in poll.poll(0)]


class Vanished:
    """Finds connections whose peer has not acknowledged anything for long, though it should have.

    To be asked every ``EVERY_S`` seconds.
    """

    EVERY_S: Final = 30.0

    def __init__(self) -> None:
        self._silent: dict[asyncio.Transport, int] = {}

    def among(self, transports: Iterable[asyncio.Transport]) -> list[asyncio.Transport]:
        """Return those that were silent each of the last four times, so for 90 s at least."""
        connections = ((it, _tcp(it)) for it in transports if not it.is_closing())
        self._silent = {
            transport: self._silent.get(transport, 0) + 1
            for transport, connection in connections
            if connection is not None
            and is_silent(
                connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE),
                self.EVERY_S,
            )
        }
        return [it for it, looks in self._silent.items() if looks >= _SILENT_LOOKS]


def is_silent(tcp_info: bytes, for_s: float) -> bool:
    """Tell from Linux's ``struct tcp_info`` whether an acknowledgement is due and did not come.

    A peer that does not read acknowledges the kernel's probes: then nothing is due.
    """
    probes: int
    unacknowledged: int
    last_ms: int  # since the last acknowledgement
    probes, unacknowledged, last_ms = struct.unpack("=3xB20xI28xI", tcp_info)
    return (probes > 0 or unacknowledged > 0) and last_ms >= for_s * 1000


def _tcp(transport: asyncio.BaseTransport) -> socket.socket | None:
    connection: socket.socket | None = transport.get_extra_info("socket")
    return None if connection is None or connection.family == socket.AF_UNIX else connection
