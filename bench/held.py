"""Connections that are held open: idle after a request, or with an answer that nobody reads."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final

from bench import meters
from bench.upstream import BODY
from signals_proxy.errors import ConfigError

__all__ = ["idle", "size_of_each", "stalled"]

_LIMIT_S: Final = 10.0
_WARM: Final = 32
_UNREAD: Final = 16 * 1024 * 1024
"""Above what the kernel's buffers take in on both sides, so that the proxy has to hold back."""

Hold = Callable[[int, int], AbstractContextManager[None]]


def size_of_each(hold: Hold, process_id: int, port: int, count: int) -> float:
    """Return the bytes that each of ``count`` connections costs a proxy; the kernel's are not in it.

    ``hold`` is :func:`idle` or :func:`stalled`.
    """
    with idle(port, _WARM):  # what is made but once is there
        meters.wait_until_calm(process_id)
    before = meters.memory_size(process_id)
    with hold(port, count):
        meters.wait_until_calm(process_id)
        return (meters.memory_size(process_id) - before) / count


@contextmanager
def idle(port: int, count: int) -> Iterator[None]:
    """Hold connections on each of which one request was answered."""
    with ExitStack() as stack:
        for _ in range(count):
            answer = _ask(stack, port, "/").recv(4096)
            if not answer.endswith(BODY):
                raise ConfigError(f"port {port} answers {answer!r}")
        yield


@contextmanager
def stalled(port: int, count: int) -> Iterator[None]:
    """Hold connections whose clients asked for more than anybody will buffer, and do not read."""
    with ExitStack() as stack:
        for _ in range(count):
            _ask(stack, port, f"/bytes/{_UNREAD}").recv(1)
        yield


def _ask(stack: ExitStack, port: int, target: str) -> socket.socket:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), _LIMIT_S))
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection
