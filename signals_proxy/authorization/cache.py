"""Remembers decisions for a short time, so that not every call waits for whoever decides.

Rules of the file

- Nothing stands longer than its time, which begins when it is asked, not when it is answered.
- No key can be turned back into what it was made of, which holds credentials.
- What fails is not remembered. One who gives up waiting takes nothing from others who wait.
"""

import asyncio
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Cache"]

V = TypeVar("V")


@dataclass(slots=True)
class _Question(Generic[V]):
    """One that is being answered, when it was asked, and for how many."""

    task: asyncio.Task[V]
    asked: float
    waiting: int = 0


class Cache(Generic[V]):
    """Answers by what they are about, each for ``ttl_s`` seconds, and at most ``most`` of them.

    ``clock`` returns seconds, and never goes back. ``lookups`` counts which answers were known (hit),
    awaited already (joined), and asked for (asked).
    """

    def __init__(
        self, ttl_s: float, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lookups: Counter[str] = Counter()
        self._ttl_s = ttl_s
        self._most = most
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._known: dict[bytes, tuple[float, V]] = {}  # as they were answered
        self._asked: dict[bytes, _Question[V]] = {}

    async def get(self, parts: Sequence[str | bytes | None], ask: Callable[[], Awaitable[V]]) -> V:
        """Return the answer about ``parts``: the one that is known, or what ``ask`` returns.

        ``ask`` is called once for all who wait for the same answer. What it raises is raised here.
        """
        now = self._clock()
        self._forget(now)
        key = self._key(parts)
        known = self._known.get(key)
        if known is not None and not self._is_old(known[0], now):
            self.lookups["hit"] += 1
            return known[1]
        question = self._asked.get(key)
        if question is None or self._is_old(question.asked, now):
            self.lookups["asked"] += 1
            question = _Question(asyncio.create_task(self._answer(key, now, ask)), now)
            self._asked[key] = question
        else:
            self.lookups["joined"] += 1
        question.waiting += 1
        try:
            return await asyncio.shield(question.task)
        finally:
            question.waiting -= 1
            if not question.waiting:
                question.task.cancel()
                if self._asked.get(key) is question:
                    del self._asked[key]

    async def _answer(self, key: bytes, now: float, ask: Callable[[], Awaitable[V]]) -> V:
        value = await ask()
        known = self._known.get(key)
        if known is None or known[0] < now:  # else a later question was answered sooner
            self._known.pop(key, None)
            self._known[key] = now, value
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]
        return value

    def _forget(self, now: float) -> None:
        """Let go of what is too old; of that behind a younger one later, as they came."""
        while self._known:
            oldest = next(iter(self._known))
            if not self._is_old(self._known[oldest][0], now):
                return
            del self._known[oldest]

    def _is_old(self, asked: float, now: float) -> bool:
        return now - asked >= self._ttl_s

    def _key(self, parts: Sequence[str | bytes | None]) -> bytes:
        """Return a name for the parts that no others have: before each stands how long it is."""
        digest = hashlib.blake2b(key=self._secret, digest_size=32)
        for part in parts:
            if part is None:
                digest.update(b"n")
                continue
            kind = b"s" if isinstance(part, str) else b"b"
            data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            digest.update(kind + len(data).to_bytes(8) + data)
        return digest.digest()
