"""Where a request comes from: the connection, or what a trusted proxy says of it.

``X-Forwarded-For`` grows at its right end, by one address a proxy: each writes whom it was called
by. So it is read from the right, and no further than those go who are trusted; what stands left of
them anybody can have written.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

__all__ = ["client_address"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

_MOST: Final = 100
"""Proxies that are believed one after another."""

# An address, with a port or without; with one, that of IPv6 stands in brackets.
_ENTRY: Final = re.compile(
    r"[ \t]*(?:(?P<v4>[0-9.]+)(?::[0-9]+)?|\[(?P<v6>[0-9a-fA-F:.]+)\](?::[0-9]+)?"
    r"|(?P<bare>[0-9a-fA-F:.]+))[ \t]*",
    re.ASCII,
)


def client_address(
    connection: str | None, forwarded: Sequence[str], trusted: Sequence[_Network]
) -> str | None:
    """Return the client's address, in its one short form.

    ``connection`` is the address of the other end of the connection; None, or what is no IP
    address, is nobody's whom one could trust. ``forwarded`` are the values of all
    ``X-Forwarded-For`` fields in their order. An entry that is malformed ends the list: whoever
    wrote the one after it knew no better.
    """
    found = _ip(connection or "")
    if found is None:
        return connection
    for entry in reversed(",".join(forwarded).split(",")[-_MOST:]):
        if not _is_trusted(found, trusted):
            break
        matched = _ENTRY.fullmatch(entry)
        before = _ip(matched[matched.lastgroup or 0]) if matched is not None else None
        if before is None:
            break
        found = before
    return str(found)


def _ip(text: str) -> _Ip | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # As which a socket for both families shows IPv4 (RFC 4291 2.5.5.2).
    return getattr(found, "ipv4_mapped", None) or found


def _is_trusted(address: _Ip, trusted: Sequence[_Network]) -> bool:
    return any(address in network for network in trusted)
