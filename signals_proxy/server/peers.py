"""Who a request came from, where the connection itself does not tell."""

import asyncio
from collections.abc import Sequence

from aiohttp import web

from signals_proxy.api.client_address import client_address
from signals_proxy.config import Network

__all__ = ["Peers"]


class Peers:
    """Who a request came from: the application sees a socket pair, which has no addresses.

    ``trusted`` are the proxies that are believed in what they say of that.
    """

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = trusted
        self._addresses: dict[asyncio.BaseProtocol, str | None] = {}

    def introduce(self, protocol: asyncio.BaseProtocol, peer: object) -> None:
        """Note that the next request which ``protocol`` reads is that of ``peer``, a socket name."""
        if protocol not in self._addresses:
            # aiohttp's protocols take no weak references; those that have ended have no transport.
            for ended in [it for it in self._addresses if getattr(it, "transport", None) is None]:
                del self._addresses[ended]
        self._addresses[protocol] = str(peer[0]) if isinstance(peer, tuple) else None

    def of(self, request: web.BaseRequest) -> str | None:
        """Return the address of a request's client."""
        # A request that aiohttp could not parse has an ordinary dictionary of no fields.
        fields = request.headers.items()
        forwarded = [value for name, value in fields if name.lower() == "x-forwarded-for"]
        return client_address(self._addresses.get(request.protocol), forwarded, self._trusted)
