"""What the relay asks of sockets beyond asyncio: to notice a vanished peer, and to end in a reset."""

import asyncio
import contextlib
import select
import socket
import struct
from collections.abc import Iterable
from typing import Final

__all__ = ["notice_a_vanished_peer", "reset", "whose_peers_left"]

# A peer that vanished without a word (a cable, a firewall that forgot) is noticed within 2 minutes:
# by probes while nothing is sent (60 + 4 x 15 s), by the lack of acknowledgements otherwise.
_OPTIONS: Final = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 120_000),  # milliseconds
]
_NO_LINGER: Final = struct.pack("ii", 1, 0)


def notice_a_vanished_peer(transport: asyncio.BaseTransport) -> None:
    """Have the kernel end a TCP connection whose peer is silent for 2 minutes."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family == socket.AF_UNIX:
        return
    for level, option, value in _OPTIONS:
        connection.setsockopt(level, option, value)


def reset(transport: asyncio.Transport) -> None:
    """End a connection such that its peer cannot take the end for a regular one.

    A plain close is how an answer without a length ends; one that was cut must end otherwise.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # closed by the peer meanwhile
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


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
