"""The forms in which a setting is written: addresses, durations, sizes.

Every function takes the text and returns its value, or raises ``ValueError``. Its words are for
nobody: what the text should have been stands in the schema, beside the setting.
"""

import ipaddress
import re
from typing import Final, NamedTuple

__all__ = ["Address", "Network", "address", "duration", "fingerprint", "network", "node", "size"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES: Final = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_AMOUNT: Final = re.compile(r"([1-9][0-9]*)([a-z]+)", re.ASCII)
_ADDRESS: Final = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})", re.ASCII
)


class Address(NamedTuple):
    """Where to listen. ``port`` 0 lets the system choose a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A name counts only if it is ``localhost``."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def takes_in(self, other: "Address") -> bool:
        """Tell whether a connection to ``other`` from this machine surely ends at this listener."""
        if self.port != other.port:
            return False
        if self.host in {"0.0.0.0", "::"}:  # noqa: S104  compared, not listened on
            return other.is_loopback
        by_name = "localhost" in {self.host, other.host}
        return self.host == other.host or (by_name and self.is_loopback and other.is_loopback)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Read ``host:port``; an IPv6 address stands in brackets."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise ValueError
    if found["v6"]:
        return Address(str(ipaddress.IPv6Address(found["v6"])), int(found["port"]))
    found["name"].encode("idna")  # as the resolver does, which fails on an empty label
    return Address(found["name"], int(found["port"]))


def node(text: str) -> str:
    """Read ``scheme://host:port`` and return it without a slash at its end."""
    scheme, separator, rest = text.removesuffix("/").partition("://")
    if separator == "" or scheme not in {"http", "https"} or address(rest).port == 0:
        raise ValueError
    return f"{scheme}://{rest}"


def network(text: str) -> Network:
    """Read ``10.0.0.0/8`` or one address; no bit right of the prefix may be set."""
    found = ipaddress.ip_network(text)
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is None or found.prefixlen < 96:
        return found
    return ipaddress.IPv4Network((mapped, found.prefixlen - 96))


def duration(text: str) -> float:
    """Read ``30s``, with Elasticsearch's units from ``ms`` to ``d``, as seconds."""
    return _amount(text, _SECONDS)


def size(text: str) -> int:
    """Read ``64kb``, with Elasticsearch's units (of 1024) from ``b`` to ``gb``, as bytes."""
    return int(_amount(text, _BYTES))


def fingerprint(text: str) -> str:
    """Read a SHA-256 fingerprint and return its 64 hex digits in lower case."""
    digits = text.replace(":", "").lower()
    if re.fullmatch(r"[0-9a-f]{64}", digits) is None:
        raise ValueError
    return digits


def _amount(text: str, units: dict[str, float] | dict[str, int]) -> float:
    found = _AMOUNT.fullmatch(text)
    if found is None or found[2] not in units:
        raise ValueError
    return int(found[1]) * units[found[2]]
