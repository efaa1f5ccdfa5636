"""A connection to a place, every address of which has passed the egress policy before it is dialled.

Rules of the file:

- What was checked is what is dialled: names are resolved once, here, and nothing behind this file
  resolves one again.
- Names are resolved in threads of their own: a name server that is silent holds up deliveries, and
  nobody else.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType
from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from signals_proxy.delivery.delivery import Place
from signals_proxy.delivery.egress import Egress, literal
from signals_proxy.delivery.report import Progress, Reason, Step
from signals_proxy.errors import DeliveryFailed
from signals_proxy.secret import Secret

__all__ = ["LookUp", "Socks", "dial", "resolve"]

_RESOLVERS: Final = ThreadPoolExecutor(max_workers=64, thread_name_prefix="resolve")
_MOST_ADDRESSES: Final = 8
_NEXT_ADDRESS_S: Final = 0.25  # RFC 8305 section 5


LookUp = Callable[[str, int], list[AddrInfoType]]
"""Returns the addresses of a name, or raises OSError; it may take its time."""


@dataclass(frozen=True, slots=True)
class Socks:
    """A SOCKS5 proxy (RFC 1928), and how it knows us (RFC 1929), if it has to."""

    place: Place
    user: str | None = None
    password: Secret | None = None


def _by_system(host: str, port: int) -> list[AddrInfoType]:
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return cast("list[AddrInfoType]", found)


async def dial(
    place: Place,
    egress: Egress,
    progress: Progress,
    socks: Socks | None = None,
    look_up: LookUp = _by_system,
) -> socket.socket:
    """Return a connected socket, not blocking; the caller closes it.

    Raises :class:`DeliveryFailed`.
    """
    egress.require(place)
    if socks is None:
        return await _dial(place, egress, progress, look_up)
    egress.require(socks.place)
    connection = await _dial(socks.place, egress, progress, look_up)
    try:
        await _through(connection, place, socks)
    except BaseException:
        connection.close()
        raise
    return connection


async def resolve(place: Place, egress: Egress, look_up: LookUp = _by_system) -> list[AddrInfoType]:
    """Return the addresses of a place that the policy allows.

    Raises :class:`DeliveryFailed` if there are none.
    """
    try:
        if literal(place.host) is None:
            found = await asyncio.get_running_loop().run_in_executor(
                _RESOLVERS, look_up, place.host, place.port
            )
        else:
            found = _by_system(place.host, place.port)
    except (OSError, UnicodeError) as error:
        raise DeliveryFailed(
            f"The name '{place.host}' could not be resolved.",
            step=Step.RESOLVE,
            reason=Reason.NAME_NOT_RESOLVED,
            mendable=True,
        ) from error
    allowed, refusal = [], None
    for each in found[:_MOST_ADDRESSES]:
        try:
            egress.require_address(str(each[4][0]))
        except DeliveryFailed as error:
            refusal = error
        else:
            allowed.append(each)
    if not allowed and refusal is not None:
        raise refusal
    return allowed


async def _dial(place: Place, egress: Egress, progress: Progress, look_up: LookUp) -> socket.socket:
    progress.begin(Step.RESOLVE)
    addresses = await resolve(place, egress, look_up)
    progress.begin(Step.CONNECT)
    return await _connected(place, addresses)


async def _connected(place: Place, addresses: Sequence[AddrInfoType]) -> socket.socket:
    try:
        return await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1
        )
    except OSError as error:
        raise DeliveryFailed(
            f"No connection to {place.host}, port {place.port}: it refused, or is not reachable.",
            step=Step.CONNECT,
            reason=Reason.NOT_CONNECTED,
            mendable=True,
        ) from error


class _Connected:
    """The connection to the proxy, where the library would make its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    async def connect(self, **_: Any) -> socket.socket:
        return self._connection


async def _through(connection: socket.socket, place: Place, socks: Socks) -> None:
    proxy = Proxy(
        proxy_type=ProxyType.SOCKS5,
        host=socks.place.host,
        port=socks.place.port,
        username=socks.user,
        password=None if socks.password is None else socks.password.reveal(),
        rdns=True,
        forward=cast("Any", _Connected(connection)),
    )
    # What went wrong may quote what was sent.
    with suppress(ProxyError, OSError, ValueError, AssertionError):
        # The deadline is that of the whole delivery.
        await proxy.connect(dest_host=place.host.strip("[]"), dest_port=place.port, timeout=3600)
        return
    raise DeliveryFailed(
        f"The SOCKS5 proxy did not connect to {place.host}, port {place.port}: its credentials, its"
        " rules, or the host.",
        step=Step.CONNECT,
        reason=Reason.PROXY_FAILED,
    )
