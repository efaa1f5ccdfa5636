"""The listening sockets: made by the supervisor, kept open, and handed to every worker.

Each worker has sockets of its own for each address (SO_REUSEPORT), between which the kernel
shares the connections out. A socket outlives its worker: connections that come while there is none
wait in its backlog for the successor. So no socket of an address that is still listened on is ever
closed: who waits in its backlog would be cut off.
"""

import errno
import itertools
import socket
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from signals_proxy.config import Address
from signals_proxy.errors import ConfigError

__all__ = ["BACKLOG", "Sockets", "bind", "bind_alone", "bound", "close", "spread"]

BACKLOG: Final = 4096
"""Connections that may wait for a worker; the system's own limit (``somaxconn``) is the same."""

_Place = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

Sockets = Mapping[tuple[socket.AddressFamily, _Place], Sequence[socket.socket]]
"""The sockets of each place that was asked for."""

_NONE: Final[Sockets] = MappingProxyType({})


def bind(
    addresses: Sequence[Address], workers: int, kept: Sockets = _NONE, setting: str = "listen.{}"
) -> Sockets:
    """Return listening sockets, at least as many an address as there are ``workers``.

    A place that is among those ``kept`` keeps its sockets. What it gets beyond them does not
    listen before a worker does, so that it can still be given up. ``setting`` names that of an
    address, by its position.

    :raises ConfigError: if an address is taken, unknown or not allowed; then no new one stays open.
    """
    found: dict[tuple[socket.AddressFamily, _Place], list[socket.socket]] = {}
    try:
        for position, address in enumerate(addresses):
            path = setting.format(position)
            for family, place in _resolved(address, path):
                if (family, place) in found:  # named twice
                    continue
                old = kept.get((family, place), ())
                sockets = found[family, place] = list(old)
                if old:
                    free = old[0].getsockname()
                else:
                    # With SO_REUSEPORT alone a second proxy could join in and take half of the
                    # connections. Bound without it, the address has to be free.
                    with _bound(family, place, address, path, shared=False) as trial:
                        free = trial.getsockname()
                while len(sockets) < workers:
                    sockets.append(_bound(family, free, address, path, shared=True, mute=bool(old)))
    except ConfigError:
        close(found, kept)
        raise
    return found


def spread(sockets: Sockets, workers: int) -> list[list[socket.socket]]:
    """Return the sockets of each worker: at least one a place, and all are some worker's."""
    return [
        [one for same in sockets.values() for one in same[position::workers]]
        for position in range(workers)
    ]


def close(sockets: Sockets, kept: Sockets = _NONE) -> None:
    """Close all sockets but those that are ``kept``."""
    needed = {id(each) for each in itertools.chain.from_iterable(kept.values())}
    for each in itertools.chain.from_iterable(sockets.values()):
        if id(each) not in needed:
            each.close()


def bind_alone(address: Address, path: str) -> socket.socket:
    """Return one listening socket that nobody shares; ``path`` is the setting that names it.

    :raises ConfigError: as :func:`bind`.
    """
    family, place = _resolved(address, path)[0]
    return _bound(family, place, address, path, shared=False)


def bound(listener: socket.socket) -> Address:
    """Return the address of a listening socket, with the port that it really has."""
    host, port = listener.getsockname()[:2]
    return Address(host, port)


def _resolved(address: Address, path: str) -> list[tuple[socket.AddressFamily, _Place]]:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise ConfigError(
            f"cannot listen on {address}: this machine knows no such name",
            remedy="write the address in numbers, such as 127.0.0.1",
            path=path,
        ) from error
    return list(dict.fromkeys((family, place) for family, _, _, _, place in found))


def _bound(
    family: socket.AddressFamily,
    place: _Place,
    address: Address,
    path: str,
    *,
    shared: bool,
    mute: bool = False,
) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(place)
        # Two sockets may be bound to an address with SO_REUSEADDR; only one may listen.
        if not mute:
            listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _refused(error, address, path) from error
    return listener


def _refused(error: OSError, address: Address, path: str) -> ConfigError:
    match error.errno:
        case errno.EADDRINUSE:
            message = "the address is taken"
            remedy = (
                f"stop what listens there (`ss -ltnp 'sport = :{address.port}'` shows it) or choose"
                " another port; if it is this proxy itself, restart it"
            )
        case errno.EACCES:
            message = "this user may not"
            remedy = "choose a port from 1024, or give the program CAP_NET_BIND_SERVICE"
        case errno.EADDRNOTAVAIL:
            message = "this machine has no such address"
            remedy = "`ip address` shows those that it has"
        case _:
            message = (error.strerror or "unknown error").lower()
            remedy = "choose another address"
    return ConfigError(f"cannot listen on {address}: {message}", remedy=remedy, path=path)
