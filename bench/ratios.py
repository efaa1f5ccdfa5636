"""What is made of the figures of many rounds: ratios within a round, their median and middle half."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Spread", "ratio"]


class Spread(NamedTuple):
    """The median of some figures, and the limits of their middle half."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """Return the spread of one figure or more."""
        if len(figures) == 1:
            return cls(figures[0], figures[0], figures[0])
        return cls(*statistics.quantiles(figures, n=4, method="inclusive"))


def ratio(figures: Sequence[float], base: Sequence[float]) -> Spread:
    """Return the spread of the ratios between figures that were measured in the same rounds."""
    return Spread.of([one / other for one, other in zip(figures, base, strict=True)])
