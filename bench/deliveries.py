"""What deliveries cost those who do not deliver: latency beside 200 slow ones, and memory."""

import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.cases import Outcome, Quantity, Sample, Scale, in_turn
from bench.children import free_ports, run
from bench.cluster import node, put
from bench.contestants import OURS, Contestant, Setup, running
from bench.load import load
from bench.meters import memory_size, wait_until_calm
from signals_proxy.errors import ConfigError

__all__ = ["MEMORY", "QUIET", "Senders", "deliveries", "sending"]

QUIET: Final = "nobody sends"
MEMORY: Final = "delivery.memory"

_COUNT: Final = 200
_SIZE: Final = 1024 * 1024
_MEMORY: Final = 64 * 1024 * 1024
_FIT: Final = 50
"""How many messages of that size, each a little larger as JSON, have a place there at least."""
_LIMIT_S: Final = 60.0
_WATCHED_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class Senders:
    """How many messages are sent at a time, of what size, and how many of them get to the server."""

    count: int
    size: int
    expected: int

    @contextmanager
    def ready(self, ours: Contestant) -> Iterator[int]:
        """Run them and their mail server, with an account for it; yield where they are started."""
        control, mail = free_ports(2)
        # Another one each time: each proxy has a key of its own.
        account = f"{ours.url}/_signals/account/email/{secrets.token_hex(8)}"
        put(account, {"host": "127.0.0.1", "port": mail, "default_from": "bench@mail.test"})
        numbers = map(str, (self.count, self.size, self.expected))
        command = [sys.executable, "-m", "bench.senders", str(control), str(mail)]
        assert ours.config is not None  # noqa: S101 - it is a proxy
        with run([*command, f"{account}/_send", *numbers], ours.config.parent, control):
            yield control


@contextmanager
def sending(control: int) -> Iterator[None]:
    """Let them send within the block, and wait until the last message is through."""
    with socket.create_connection(("127.0.0.1", control), _LIMIT_S) as connection:
        connection.sendall(b".")
        if connection.recv(1) != b".":
            raise ConfigError("messages are not sent; see output.log")
        yield
        connection.shutdown(socket.SHUT_WR)
        if connection.recv(1) != b".":
            raise ConfigError("messages were not sent to the end; see output.log")


def deliveries(scale: Scale, folder: Path) -> Iterator[Outcome]:
    """A GET of a document beside 200 messages to a slow mail server; what messages take of memory."""
    with node(scale, folder) as port:
        with running([OURS], Setup(folder, port)) as who:
            yield from _latency(scale, who[OURS])
        yield _memory(scale, Setup(folder, port))


def _latency(scale: Scale, ours: Contestant) -> Iterator[Outcome]:
    tails: dict[str, list[Sample]] = {QUIET: [], OURS: []}
    with Senders(_COUNT, 1024, _COUNT * 9 // 10).ready(ours) as control:

        def measure(name: str) -> Sample:
            def measured() -> Sample:
                sent = load(f"{ours.url}/bench/_doc/1", connections=8, seconds=2)
                tails[name].append(Sample(sent.p99_us))
                return Sample(sent.p50_us)

            if name == QUIET:
                return measured()
            with sending(control):
                return measured()

        medians = in_turn((QUIET, OURS), scale.large_rounds, measure)
    title = f"A GET of a document beside {_COUNT} slow deliveries"
    tails = {name: its[-scale.large_rounds :] for name, its in tails.items()}
    yield Outcome(title, Quantity.LATENCY, medians, {QUIET: 1.2})
    yield Outcome(title, Quantity.TAIL, tails, {QUIET: 1.5})


def _memory(scale: Scale, setup: Setup) -> Outcome:
    def measure(name: str) -> Sample:
        if name == MEMORY:
            return Sample(_MEMORY)
        with (
            running([OURS], setup) as who,
            Senders(_COUNT, _SIZE, _FIT).ready(who[OURS]) as control,
        ):
            process_id = who[OURS].process_id
            assert process_id is not None  # noqa: S101 - it is a proxy
            wait_until_calm(process_id)
            before = memory_size(process_id)
            with sending(control):
                end, most = time.monotonic() + _WATCHED_S, 0
                while time.monotonic() < end:
                    most = max(most, memory_size(process_id))
                    time.sleep(0.05)
            return Sample(most - before)

    samples = in_turn((MEMORY, OURS), scale.memory_rounds, measure)
    return Outcome(f"{_COUNT} messages of 1 MiB at a time", Quantity.MEMORY, samples, {MEMORY: 8.0})
