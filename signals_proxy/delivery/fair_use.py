"""How often accounts are used, and by whom: token buckets, and memory for messages under way.

Rule of the file: what is kept is bounded, whoever calls. Of the buckets those that were used least
recently are forgotten, which is to say full.
"""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from weakref import WeakValueDictionary

from signals_proxy.delivery.settings import SHARES, Rate
from signals_proxy.errors import TooOften

__all__ = ["Buckets", "Memory", "Shares", "take"]

_MOST_BUCKETS: Final = 10_000


class Buckets:
    """A token bucket for each name. ``clock`` tells seconds."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when

    def wait_for(self, name: str) -> float:
        """Return in how many seconds a token will be there; 0 if one is."""
        return max(0.0, (1 - self._tokens(name)) * 60 / self._rate.per_minute)

    def take(self, name: str) -> None:
        """Take a token, which has to be there."""
        self._buckets[name] = (self._tokens(name) - 1, self._clock())
        self._buckets.move_to_end(name)
        if len(self._buckets) > _MOST_BUCKETS:
            self._buckets.popitem(last=False)

    def _tokens(self, name: str) -> float:
        tokens, then = self._buckets.get(name, (float(self._rate.burst), self._clock()))
        return min(self._rate.burst, tokens + (self._clock() - then) * self._rate.per_minute / 60)


def take(account: tuple[Buckets, str], caller: tuple[Buckets, str]) -> None:
    """Take a token of both, or of neither and raise :class:`TooOften`."""
    for (buckets, name), what in ((account, "This account is used"), (caller, "You deliver")):
        wait = buckets.wait_for(name)
        if wait > 0:
            seconds = math.ceil(wait)
            raise TooOften(f"{what} too often; try again in {seconds} s.", seconds)
    for buckets, name in (account, caller):
        buckets.take(name)


class Memory:
    """Bytes of messages under way. Who finds too many waits, in turn, before its body is read."""

    def __init__(self, limit: int) -> None:
        self._free = self._limit = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def of(self, size: int) -> AsyncIterator[None]:
        """Hold ``size`` bytes within the block."""
        size = min(size, self._limit)
        if self._waiting or self._free < size:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._give_back(size)
                else:
                    with suppress(ValueError):  # somebody else may have passed over it by now
                        self._waiting.remove((size, turn))
                    self._next()
                raise
        else:
            self._free -= size
        try:
            yield
        finally:
            self._give_back(size)

    def _give_back(self, size: int) -> None:
        self._free += size
        self._next()

    def _next(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= size
                turn.set_result(None)


class Shares:
    """Memory of which one caller has a quarter at most: who sends slowly holds up himself alone."""

    def __init__(self, limit: int) -> None:
        self._share = limit // SHARES
        self._all = Memory(limit)
        self._of: WeakValueDictionary[str, Memory] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, caller: str, size: int) -> AsyncIterator[None]:
        """Hold ``size`` bytes within the block."""
        size = min(size, self._share)  # or whoever announces a lot would have all others wait
        share = self._of.setdefault(caller, Memory(self._share))
        async with share.of(size), self._all.of(size):
            yield
