"""What is measured in front of the small upstream, and the figures that come of it.

A group is a generator of outcomes: it starts who is measured, and measures everybody in each round,
in an order that turns.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from bench import bulk, held
from bench.children import free_ports, run
from bench.contestants import (
    CADDY,
    DIRECT,
    EVERYBODY,
    NGINX,
    NGINX_64K,
    Contestant,
    Setup,
    running,
)
from bench.load import Load, load
from bench.meters import cpu_s

__all__ = [
    "FULL", "QUICK", "Outcome", "Quantity", "Sample", "Scale", "cost_of", "in_turn", "large",
    "memory", "small", "tls", "two_workers",
]  # fmt: skip

_BULK_SIZE: Final = 256 * 1024 * 1024


class Scale(NamedTuple):
    """How often everything is measured, and with how many connections that are held."""

    rounds: int
    large_rounds: int
    memory_rounds: int
    idle: int
    stalled: int
    warm_up_s: int


FULL: Final = Scale(10, 4, 2, 2000, 100, 10)
QUICK: Final = Scale(1, 1, 1, 1000, 50, 1)


class Quantity(StrEnum):
    """What a cost is a cost in."""

    CPU = "CPU"
    LATENCY = "median latency"
    TAIL = "99th percentile"
    MEMORY = "memory"


class Sample(NamedTuple):
    """What one round gave: a cost in the case's quantity, and requests or bytes a second, if any."""

    cost: float | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The samples of a case, by contestant and round.

    ``limits`` are our proxy's targets: the largest ratio of its cost to that of another.
    """

    title: str
    quantity: Quantity
    samples: Mapping[str, Sequence[Sample]]
    limits: Mapping[str, float]


def in_turn(
    names: Sequence[str], rounds: int, measure: Callable[[str], Sample]
) -> dict[str, list[Sample]]:
    """Measure everybody once a round; a first round that warms up does not count, if there are more."""
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(-1 if rounds > 1 else 0, rounds):
        at = number % len(names)
        for name in (*names[at:], *names[:at]):
            sample = measure(name)
            if number >= 0:
                samples[name].append(sample)
    return samples


def cost_of(who: Contestant, send: Callable[[], Load]) -> Sample:
    """Return the CPU a request, and the requests a second, of a load."""
    before = 0.0 if who.process_id is None else cpu_s(who.process_id)
    sent = send()
    rate = sent.requests / sent.duration_s
    if who.process_id is None:
        return Sample(None, rate)
    return Sample((cpu_s(who.process_id) - before) / sent.requests, rate)


def small(scale: Scale, folder: Path) -> Iterator[Outcome]:
    """Small requests, one worker: heads that repeat, heads all different, bodies."""
    kinds = (
        ("GET, heads that repeat", "plain", {NGINX: 1.1, CADDY: 0.2}),
        ("GET, heads all different", "different", {NGINX: 1.4, CADDY: 0.3}),
        ("POST of 4 KiB", "post", {NGINX: 1.1, CADDY: 0.2}),
    )
    yield from _small(scale, folder, (DIRECT, *EVERYBODY), kinds)


def tls(scale: Scale, folder: Path) -> Iterator[Outcome]:
    """Small requests whose connections to the proxy are TLS."""
    kinds = [("GET over TLS", "plain", {NGINX: 1.5})]
    yield from _small(scale, folder, EVERYBODY, kinds, with_tls=True)


def two_workers(scale: Scale, folder: Path) -> Iterator[Outcome]:
    """Small requests, two workers."""
    kinds = [("GET, two workers", "plain", {NGINX: 1.1, CADDY: 0.2})]
    yield from _small(scale, folder, EVERYBODY, kinds, workers=2)


def large(scale: Scale, folder: Path) -> Iterator[Outcome]:
    """Bodies of 256 MiB; nginx as it comes, and with larger buffers."""
    names = (DIRECT, NGINX, NGINX_64K, *EVERYBODY[1:])
    ways = (
        ("256 MiB down, Content-Length", bulk.down, False),
        ("256 MiB down, chunked", bulk.down, True),
        ("256 MiB up, Content-Length", bulk.up, False),
        ("256 MiB up, chunked", bulk.up, True),
    )
    with _upstream(folder) as port, running(names, Setup(folder, port)) as who:
        for title, move, chunked in ways:

            def measure(name: str, move: bulk.Move = move, chunked: bool = chunked) -> Sample:
                def send() -> Load:
                    return Load(_BULK_SIZE, move(who[name].port, _BULK_SIZE, chunked=chunked))

                return cost_of(who[name], send)

            samples = in_turn(names, scale.large_rounds, measure)
            yield Outcome(title, Quantity.CPU, samples, {NGINX: 0.6, CADDY: 0.6})


def memory(scale: Scale, folder: Path) -> Iterator[Outcome]:
    """Memory of a connection that is held, in proxies that were started for nothing else."""
    kinds = (
        ("An idle connection", held.idle, scale.idle, {NGINX: 3.0, CADDY: 0.1}),
        ("A stalled download", held.stalled, scale.stalled, {NGINX: 6.0}),
    )
    with _upstream(folder) as port:
        for title, hold, count, limits in kinds:

            def measure(name: str, hold: held.Hold = hold, count: int = count) -> Sample:
                with running([name], Setup(folder, port)) as who:
                    one = who[name]
                    assert one.process_id is not None  # noqa: S101 - it is a proxy
                    return Sample(held.size_of_each(hold, one.process_id, one.port, count))

            samples = in_turn(EVERYBODY, scale.memory_rounds, measure)
            yield Outcome(title, Quantity.MEMORY, samples, limits)


def _small(
    scale: Scale,
    folder: Path,
    names: Sequence[str],
    kinds: Sequence[tuple[str, str, Mapping[str, float]]],
    *,
    workers: int = 1,
    with_tls: bool = False,
) -> Iterator[Outcome]:
    with (
        _upstream(folder) as port,
        running(names, Setup(folder, port, workers, with_tls)) as who,
    ):
        for title, kind, limits in kinds:

            def measure(name: str, kind: str = kind) -> Sample:
                return cost_of(who[name], lambda: load(f"{who[name].url}/bench/_doc/1", kind))

            yield Outcome(title, Quantity.CPU, in_turn(names, scale.rounds, measure), limits)


@contextmanager
def _upstream(folder: Path) -> Iterator[int]:
    [port] = free_ports(1)
    with run([sys.executable, "-m", "bench.upstream", str(port)], folder, port):
        yield port
