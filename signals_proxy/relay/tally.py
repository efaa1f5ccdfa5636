"""What is counted of requests when they end, for metrics; and who else is told of each of them.

Rules of the file

- Nothing is done for a request until it ends, but to look at the time when its head is whole.
- What tells requests apart are closed sets: nothing that a client can make up is kept.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from signals_proxy.relay.head import METHODS

__all__ = ["BOUNDS_S", "Access", "Ended", "Tally"]

BOUNDS_S: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
"""The last second that belongs to each bucket of durations; one more has the rest."""


_QUICK_S: Final = BOUNDS_S[0]


class Ended(NamedTuple):
    """A request that has ended.

    ``status`` is that of its answer, 0 if it got none; ``is_cut`` tells that its client did not wait,
    or that the answer did not become whole. ``received`` and ``sent`` are bytes, heads included.
    ``seconds`` begin when its head is whole, and end when the last of its answer is written.
    """

    destination: str
    method: str
    status: int
    is_cut: bool
    received: int
    sent: int
    seconds: float


class Access(Protocol):
    """Whoever wants to know each request."""

    def note(self, head: bytes, peer: object) -> object:
        """Return what is to be kept of a head that came from ``peer``, whatever it may be."""
        ...

    def ended(self, noted: object, peer: object, request: Ended) -> None:
        """Take notice of an end. ``noted`` is None if there was no whole head."""
        ...


class Tally(dict[int, list[float]]):
    """Counts the requests of one destination, by ``Request.series`` and, added to it, the status.

    Of each: how many there were, the bytes received and sent for them, the seconds that they took,
    and how many belong to each of the buckets. ``cut`` counts the answers that began and did not
    become whole, ``repeated`` the requests that were sent once more.
    """

    def __init__(self, destination: str) -> None:
        super().__init__()
        self.destination = destination
        self.cut = self.repeated = 0

    def __missing__(self, key: int) -> list[float]:
        """Begin to count."""
        counts = self[key] = [0] * (4 + len(BOUNDS_S) + 1)
        return counts

    def count(self, key: int, received: int, sent: int, seconds: float) -> None:
        """Count a request that has ended."""
        counts = self[key]
        counts[0] += 1
        counts[1] += received
        counts[2] += sent
        counts[3] += seconds
        counts[4 if seconds <= _QUICK_S else 4 + bisect_left(BOUNDS_S, seconds)] += 1

    def by_method_and_status(self) -> Iterator[tuple[str, int, list[float]]]:
        """Yield what was counted."""
        for key, counts in self.items():
            yield METHODS[key // 1000], key % 1000, counts
