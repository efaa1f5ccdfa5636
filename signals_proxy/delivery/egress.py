"""Whereto deliveries may go: the policy on names, ports and addresses, without a socket.

Rules of the file:

- What is not globally reachable (RFC 6890: loopback, link-local with the metadata services of
  clouds, private and shared networks, …) is denied unless a setting names its network. A name
  never opens it: who controls a name's addresses is not who wrote the setting.
- An address that only writes one of IPv4 (mapped, NAT64) is judged as that one. Of any other that
  may lead to one (6to4, Teredo, a NAT64 of one's own) both have to be allowed.
- A host that looks like an address is one in its plain form, or it is refused: ``0x7f.1`` and
  ``2130706433`` are taken for loopback by some resolvers, and never meant.
"""

import ipaddress
import re
from typing import Final

from signals_proxy.account import glob
from signals_proxy.delivery.delivery import Place
from signals_proxy.delivery.report import Reason, Step
from signals_proxy.delivery.settings import DeliverySettings
from signals_proxy.errors import DeliveryFailed

__all__ = ["Egress", "IpAddress", "literal"]

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_IPV4: Final = tuple(map(ipaddress.IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))
# Site-local addresses (RFC 3879), and further ones of examples (RFC 9637), which Python passes for global.
_NOT_PUBLIC: Final = tuple(map(ipaddress.IPv6Network, ("fec0::/10", "3fff::/20")))
# NAT64 (RFC 6052, RFC 8215), SIIT (RFC 2765), and IPv4-compatible (RFC 4291 section 2.5.5.1).
_ENDING_IN_IPV4: Final = tuple(
    map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96"))
)
# The last label of a name is not a number (RFC 3696 section 2, WHATWG URL "ends in a number").
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
_NOT_LISTED: Final = "The host is not in 'delivery.allowed_hosts'"


class Egress:
    """The policy of one configuration."""

    def __init__(self, settings: DeliverySettings) -> None:
        self._settings = settings
        self._patterns = tuple(pattern.lower() for pattern in settings.allowed_hosts)

    def objection(self, place: Place) -> str | None:
        """Return why a place is not allowed, as far as that is known without resolving its name."""
        ports = self._settings.allowed_ports
        if ports and place.port not in ports:
            return f"Port {place.port} is not in 'delivery.allowed_ports'"
        address = literal(place.host)
        name = place.host.rstrip(".").lower()
        if address is not None:
            is_listed = any(glob.fits(pattern, str(address)) for pattern in self._patterns)
            named = None if is_listed or self._is_allowed(address) else _NOT_LISTED
            return self._of_address(address) or named
        if _NUMBER.fullmatch(place.host):
            return "An address is written in its usual form, such as 192.0.2.1"
        patterns = [p for p in self._patterns if p != "*"] if place.by_proxy else self._patterns
        if any(glob.fits(pattern, name) for pattern in patterns):
            return None
        if place.by_proxy:
            return "Behind a proxy a name has to be in 'delivery.allowed_hosts', and not as '*'"
        return _NOT_LISTED

    def require(self, place: Place) -> None:
        """Raise :class:`DeliveryFailed` for a place that is not allowed."""
        self._require(self.objection(place), Step.RESOLVE)

    def require_address(self, address: str) -> None:
        """Raise :class:`DeliveryFailed` for an address, as a resolver gives it, that is not allowed."""
        found = literal(address)
        why = "An address that cannot be read" if found is None else self._of_address(found)
        self._require(why, Step.CONNECT)

    def _require(self, why: str | None, step: Step) -> None:
        if why is not None:
            raise DeliveryFailed(
                f"The destination is not allowed: {why}.", step=step, reason=Reason.NOT_ALLOWED
            )

    def _of_address(self, address: IpAddress) -> str | None:
        within = _within(address)
        if any(each in it for each in (address, *within) for it in self._settings.denied_networks):
            return "The address is in 'delivery.denied_networks'"
        is_written = any(address in network for network in _IPV4)
        for each in within if is_written else (address, *within):
            if not _is_public(each) and not self._is_allowed(each):
                return "The address is not public, and not in 'delivery.allowed_networks'"
        return None

    def _is_allowed(self, address: IpAddress) -> bool:
        return any(address in network for network in self._settings.allowed_networks)


def literal(host: str) -> IpAddress | None:
    """Return the address that a host is, None if it is a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return None


def _is_public(address: IpAddress) -> bool:
    is_special = address.is_multicast or address.is_reserved or address.is_unspecified
    is_special = is_special or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not is_special


def _within(address: IpAddress) -> list[IpAddress]:
    """Return the addresses that one only wraps, and to which what is sent to it may be passed on."""
    # The two of IPv6's own that look as if they ended in one of IPv4.
    if isinstance(address, ipaddress.IPv4Address) or int(address) <= 1:
        return []
    found: list[IpAddress | None] = [address.ipv4_mapped, address.sixtofour]
    found += address.teredo or ()
    if any(address in network for network in _ENDING_IN_IPV4):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [each for each in found if each is not None]
