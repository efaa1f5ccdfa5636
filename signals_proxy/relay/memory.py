"""What heads meant, remembered: clients and nodes repeat themselves."""

from collections.abc import Callable
from hashlib import blake2b
from secrets import token_bytes
from typing import Generic, TypeVar

__all__ = ["Memory"]

T = TypeVar("T")


class Memory(Generic[T]):
    """Remembers what heads meant, at most ``limit`` of them, forgetting those not met lately.

    ``parse`` returns the meaning of a head, and whether it is small enough to be kept. The key of
    an entry is a hash of the head under a key of this object's own: a head holds credentials, and
    they are not to stay in memory for longer than their request does.

    Half of the room is for heads met since the other half was full. That is a good deal cheaper
    than to find the oldest one for each new one, and heads that repeat stay, however many there
    are between them that do not.
    """

    __slots__ = ("_before", "_half", "_hash", "_lately", "_parse")

    def __init__(self, parse: Callable[[bytes], tuple[T, bool]], limit: int) -> None:
        self._parse = parse
        self._half = limit // 2
        self._lately: dict[bytes, T] = {}
        self._before: dict[bytes, T] = {}
        self._hash = blake2b(digest_size=16, key=token_bytes(32))

    def __len__(self) -> int:
        return len(self._lately) + len(self._before)

    def __call__(self, head: bytes) -> T:
        """Return the meaning of this head. What ``parse`` raises is raised, and not remembered."""
        keyed = self._hash.copy()
        keyed.update(head)
        key = keyed.digest()
        known = self._lately.get(key)
        if known is None:
            known = self._before.pop(key, None)
            if known is None:
                known, small = self._parse(head)
                if not small:
                    return known
            if len(self._lately) >= self._half:
                self._before, self._lately = self._lately, {}
            self._lately[key] = known
        return known
