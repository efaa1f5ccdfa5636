"""What heads meant, remembered: clients and nodes repeat themselves."""

from collections.abc import Callable
from hashlib import blake2b
from secrets import token_bytes
from typing import Generic, TypeVar

__all__ = ["Memory"]

T = TypeVar("T")


class Memory(Generic[T]):
    """Remembers what heads meant, bounded in entries, forgetting the oldest first.

    ``parse`` returns the meaning of a head, and whether it is small enough to be kept. The key of
    an entry is a hash of the head under a key of this object's own: a head holds credentials, and
    they are not to stay in memory for longer than their request does.
    """

    __slots__ = ("_key", "_known", "_limit", "_parse")

    def __init__(self, parse: Callable[[bytes], tuple[T, bool]], limit: int) -> None:
        self._parse = parse
        self._limit = limit
        self._known: dict[bytes, T] = {}
        self._key = token_bytes(32)

    def __len__(self) -> int:
        return len(self._known)

    def __call__(self, head: bytes) -> T:
        """Return the meaning of this head. What ``parse`` raises is raised, and not remembered."""
        key = blake2b(head, digest_size=16, key=self._key).digest()
        known = self._known.get(key)
        if known is None:
            known, small = self._parse(head)
            if small:
                if len(self._known) >= self._limit:
                    del self._known[next(iter(self._known))]
                self._known[key] = known
        return known
