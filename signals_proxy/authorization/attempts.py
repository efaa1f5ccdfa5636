"""Slows guessing down: failed log-ins are counted by address and by user, in bounded memory.

Rules of the file:

- Pure: ``now`` is an argument, in seconds of a clock that never goes back.
- An attempt has failed until it is known to have succeeded.
- Nobody can keep a user out from elsewhere for long. So a user's waits are short, and the attempts
  on him from addresses that have failed lately and from those that have not are counted apart.
"""

import hashlib
import ipaddress
import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from signals_proxy.errors import TooManyAttempts

__all__ = ["Attempts"]

_FREE: Final = 5
"""Failures without a wait."""

_QUIET_S: Final = 600.0
"""After which failures are forgotten. It is far longer than any wait: sitting it out gains nothing."""


class Attempts:
    """The failed log-ins of late, of the ``most`` addresses and users that tried last."""

    def __init__(self, most: int = 10_000) -> None:
        self._addresses = _Failures(longest_wait_s=60, most=most)
        self._users = _Failures(longest_wait_s=5, most=most)

    def check(self, user: str, address: str | None, now: float) -> None:
        """Raise :class:`TooManyAttempts` if this user may not try from this address yet.

        ``address`` is an IP address, or None where nobody knows it: that counts as one address.
        """
        network = _network(address)
        tried = (_digest(user), self._addresses.has(network, now))
        wait_s = max(self._addresses.wait_s(network, now), self._users.wait_s(tried, now))
        if wait_s > 0:
            retry_after_s = math.ceil(wait_s)
            raise TooManyAttempts(
                f"Too many log-ins have failed; try again in {retry_after_s} s.", retry_after_s
            )

    def begin(self, user: str, address: str | None, now: float) -> None:
        """Count an attempt, as a failed one. Raises what :meth:`check` raises, and counts nothing."""
        self.check(user, address, now)
        network = _network(address)
        self._users.add((_digest(user), self._addresses.has(network, now)), now)
        self._addresses.add(network, now)

    def succeeded(self, user: str, address: str | None) -> None:
        """Forgive a user, and an address from which he logged in."""
        self._addresses.forget(_network(address))
        for has_failed in (False, True):
            self._users.forget((_digest(user), has_failed))


class _Failures:
    """How often each key has failed, and when it last did; the one that did so first makes room."""

    def __init__(self, longest_wait_s: float, most: int) -> None:
        self._longest_wait_s = longest_wait_s
        self._most = most
        self._found: OrderedDict[Hashable, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def has(self, key: Hashable, now: float) -> bool:
        """Tell whether a key has failed lately."""
        return self._of(key, now)[0] > 0

    def wait_s(self, key: Hashable, now: float) -> float:
        """Return for how long a key still has to wait: 1 s, 2 s, 4 s …, 0 if not at all."""
        count, last = self._of(key, now)
        if count < _FREE:
            return 0
        # No power of two beyond those that can matter.
        return max(last + min(2.0 ** min(count - _FREE, 10), self._longest_wait_s) - now, 0)

    def add(self, key: Hashable, now: float) -> None:
        self._found[key] = (self._of(key, now)[0] + 1, now)
        self._found.move_to_end(key)
        if len(self._found) > self._most:
            self._found.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        self._found.pop(key, None)

    def _of(self, key: Hashable, now: float) -> tuple[int, float]:
        count, last = self._found.get(key, (0, now))
        return (0, now) if now - last > _QUIET_S else (count, last)


def _digest(user: str) -> bytes:
    """Return a short key: a caller chooses how long a name is, and may have typed his password."""
    return hashlib.blake2b(user.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _network(address: str | None) -> str | None:
    """Return what one client has: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(found) >> 64 << 64))
