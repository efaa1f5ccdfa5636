"""What workers count, and how their supervisor comes to know it.

A worker writes all its numbers, now and then and at its end, into a piece of memory that it shares
with its supervisor, which reads them when somebody asks, and once more when the worker has ended:
so no sum falls because a worker was replaced, however it ended.

Rules of the file

- Neither ever waits for the other, nor for anybody else: no pipe that could be full.
- Numbers that are not whole, or that the other end does not know, are not taken: those from before
  stand.
"""

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

__all__ = ["Figures", "Ledger", "add", "write"]

Figures = dict[str, dict[tuple[str, ...], float]]
"""By the name of a metric, by the values of its labels."""

_HEAD: Final = struct.Struct("!II")  # checksum and length of what follows
_LARGEST: Final = 1024 * 1024
_TRIES: Final = 3


def write(descriptor: int, figures: Figures) -> None:
    """Tell the supervisor the numbers of this worker, in place of those before."""
    data = json.dumps(
        {name: list(series.items()) for name, series in figures.items()}, allow_nan=False
    ).encode()
    os.pwrite(descriptor, _HEAD.pack(zlib.crc32(data), len(data)) + data, 0)


def add(total: Figures, figures: Mapping[str, Mapping[tuple[str, ...], float]]) -> None:
    """Add numbers to others."""
    for name, series in figures.items():
        sums = total.setdefault(name, {})
        for labels, value in series.items():
            sums[labels] = sums.get(labels, 0) + value


class Ledger:
    """The numbers of all workers, those that have ended included.

    ``labels`` are the names of the labels of each metric that a worker may tell of; ``lasting`` tells
    of which metrics the numbers outlive their worker. ``started`` counts the workers; who starts one
    has to count it.
    """

    def __init__(
        self, labels: Mapping[str, tuple[str, ...]], lasting: Callable[[str], bool]
    ) -> None:
        self.started = 0
        self._labels = labels
        self._lasting = lasting
        self._ended: Figures = {}
        self._living: dict[int, Figures] = {}

    def __len__(self) -> int:
        """Return the number of workers that have not ended."""
        return len(self._living)

    def open(self) -> int:
        """Return the descriptor of memory for a new worker.

        :raises OSError: if the system gives none.
        """
        descriptor = os.memfd_create("counters", os.MFD_CLOEXEC)
        self._living[descriptor] = {}
        return descriptor

    def close(self, descriptor: int) -> None:
        """Keep what a worker that has ended had counted."""
        figures = self._read(descriptor)
        add(self._ended, {name: of for name, of in figures.items() if self._lasting(name)})
        del self._living[descriptor]
        os.close(descriptor)

    def total(self) -> Figures:
        """Return the sums."""
        total: Figures = {}
        for figures in (self._ended, *map(self._read, self._living)):
            add(total, figures)
        return total

    def _read(self, descriptor: int) -> Figures:
        for _ in range(_TRIES):
            written = os.pread(descriptor, _LARGEST, 0)
            if len(written) < _HEAD.size:
                break
            checksum, length = _HEAD.unpack_from(written)
            data = written[_HEAD.size : _HEAD.size + length]
            if zlib.crc32(data) == checksum:
                # What fails is of another version, after an upgrade.
                with suppress(ValueError, TypeError, AttributeError, RecursionError):
                    self._living[descriptor] = dict(self._known(json.loads(data)))
                break
        return self._living[descriptor]

    def _known(self, told: Any) -> Iterable[tuple[str, dict[tuple[str, ...], float]]]:
        for name, series in told.items():
            labels = self._labels.get(name)
            if labels is not None:
                yield (
                    name,
                    {
                        tuple(map(str, values)): float(value)
                        for values, value in series
                        if len(values) == len(labels)
                    },
                )
