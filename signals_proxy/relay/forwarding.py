"""What a cluster is not told by clients, and what it is told of them: fields stripped and appended.

For clusters that believe fields of identity, such as ``X-Proxy-User`` or ``X-Forwarded-For``, from
addresses that they trust, of which this proxy's may be one.

Rules of the file

- Pure: bytes in, values out. What is found is remembered with its head; nothing is looked for twice.
- Names are compared without regard to case, and with all punctuation being one: Elasticsearch and
  OpenSearch tell ``X_Proxy_User`` from ``X-Proxy-User``, but gateways and plugins may not.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

__all__ = ["ESSENTIAL", "Forwarding", "address_of", "folded"]

_FIELD: Final = re.compile(rb"\r\n([^\r:]++):[\t ]*+([^\r]*+)")
_FORWARDED_FOR: Final = b"x-forwarded-for"
_FOLDED: Final = bytes(it if chr(it).isalnum() else 0x2D for it in bytes(range(256)).lower())

Spans = tuple[tuple[int, int], ...]


def folded(name: bytes) -> bytes:
    """Return what two names have in common that somebody could take for the same."""
    return name.translate(_FOLDED)


ESSENTIAL: Final = frozenset({b"content-length", b"expect", b"host", b"transfer-encoding"})
"""Folded names of fields without which a node would see another request than this proxy does."""


@dataclass(frozen=True)
class Forwarding:
    """The settings: see ``forward`` in ``config.example.yaml``. ``strip`` are folded names."""

    strip: frozenset[bytes] = frozenset()
    append_forwarded_for: bool = False

    @cached_property
    def within(self) -> "Forwarding":
        """What of it concerns servers of this process: they read what proxies before us wrote."""
        return Forwarding(self.strip - {_FORWARDED_FOR})

    @cached_property
    def taken(self) -> frozenset[bytes]:
        """Folded names of the fields that are not passed on as the client wrote them."""
        return self.strip | ({_FORWARDED_FOR} if self.append_forwarded_for else frozenset())

    def of(self, head: bytes, cuts: Spans) -> tuple[Spans, Spans | None]:
        """Return what is not passed on of a request's head, and what its client says of others.

        ``cuts`` are the spans that are not passed on in any case. The latter are the spans of the
        values of ``X-Forwarded-For`` that are to stand before the client's own address, and None if
        that is not appended; their fields are among the former, for there is to be one field, and
        so is what could be taken for it.
        """
        gone, said = set(cuts), []
        believed = None if _FORWARDED_FOR in self.strip else _FORWARDED_FOR
        for found in _FIELD.finditer(head):
            if found.span() in gone or folded(found[1]) not in self.taken:
                continue
            gone.add(found.span())
            value = found[2].rstrip(b"\t ")
            if value and found[1].lower() == believed:
                said.append((found.start(2), found.start(2) + len(value)))
        return tuple(sorted(gone)), tuple(said) if self.append_forwarded_for else None


@lru_cache(maxsize=1024)
def address_of(peer: object) -> bytes:
    """Return the address in a socket's name as it stands in ``X-Forwarded-For``."""
    text = str(peer[0]).partition("%")[0] if isinstance(peer, tuple) else ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return b"unknown"  # it has left already: what it wrote itself must not come last
    return str(getattr(address, "ipv4_mapped", None) or address).encode()
