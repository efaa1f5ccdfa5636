"""One large body, down or up, through a plain socket: the client's part costs as little as can be."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from signals_proxy.errors import ConfigError

__all__ = ["Move", "down", "up"]

_LIMIT_S: Final = 60.0
_READ: Final = 1024 * 1024
_PIECE: Final = b"x" * (256 * 1024)
_CHUNK: Final = b"40000\r\n" + _PIECE + b"\r\n"
_LAST: Final = b"0\r\n\r\n"


class Move(Protocol):
    """What moves a large body."""

    def __call__(self, port: int, size: int, *, chunked: bool) -> float: ...


def down(port: int, size: int, *, chunked: bool) -> float:
    """Read an answer of ``size`` bytes, a multiple of 256 KiB, and return the seconds that it took.

    :raises ConfigError: if another comes.
    """
    start = time.monotonic()
    with _connection(port) as connection:
        target = f"/{'chunked' if chunked else 'bytes'}/{size}"
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, body = _head(connection)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)\r\n", head)
        if not head.startswith(b"HTTP/1.1 200 ") or bool(length) == chunked:
            raise ConfigError(f"port {port} answers {target} with {head!r}")
        count, tail, buffer = len(body), body[-len(_LAST) :], memoryview(bytearray(_READ))
        while tail != _LAST if chunked else count < size:
            read = connection.recv_into(buffer)
            if not read:
                raise ConfigError(f"port {port} ends its answer to {target} after {count} bytes")
            count += read
            tail = (tail + buffer[max(0, read - len(_LAST)) : read])[-len(_LAST) :]
        if count < size:
            raise ConfigError(f"port {port} answers {target} with {count} bytes")
    return time.monotonic() - start


def up(port: int, size: int, *, chunked: bool) -> float:
    """Send a body of ``size`` bytes, a multiple of 256 KiB; return the seconds until the answer.

    :raises ConfigError: if another comes.
    """
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    start = time.monotonic()
    with _connection(port) as connection:
        connection.sendall(f"POST /_bulk HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
        for _ in range(size // len(_PIECE)):
            connection.sendall(_CHUNK if chunked else _PIECE)
        if chunked:
            connection.sendall(_LAST)
        head, _ = _head(connection)
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConfigError(f"port {port} answers a body of {size} bytes with {head!r}")
    return time.monotonic() - start


@contextmanager
def _connection(port: int) -> Iterator[socket.socket]:
    try:
        with socket.create_connection(("127.0.0.1", port), _LIMIT_S) as connection:
            yield connection
    except OSError as error:
        raise ConfigError(f"a large body does not pass port {port}: {error}") from error


def _head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read a head; return it and what came after it."""
    read = b""
    while b"\r\n\r\n" not in read:
        piece = connection.recv(4096)
        if not piece:
            raise ConfigError(f"no answer from port {connection.getpeername()[1]}: {read!r}")
        read += piece
    head, end, body = read.partition(b"\r\n\r\n")
    return head + end, body
