"""Processes as the system sees them: who descends from whom, and when one has ended."""

import contextlib
import itertools
import os
import random
import select
import socket
from collections.abc import Iterable
from pathlib import Path

LIMIT_S = 30
"""After which a test gives up: an end that is promised within 10 s takes one at most."""

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_FIRST = 12_000 + 2_000 * (_WORKER % 10)
_PORTS = itertools.cycle(random.sample(range(_FIRST, _FIRST + 2_000), 2_000))


def descendants(process_id: int) -> set[int]:
    """Return the ids of all processes that were started by this one, or by those in turn."""
    found: set[int] = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for task in Path(f"/proc/{process_id}/task").iterdir():
            found |= _children(task)
    for child in list(found):
        found |= descendants(child)
    return found


def _children(task: Path) -> set[int]:
    try:
        return set(map(int, (task / "children").read_text().split()))
    except (FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
        return set()


def watch(processes: Iterable[int]) -> list[int]:
    """Return descriptors that become readable at the ends of running processes."""
    return [os.pidfd_open(process_id) for process_id in processes]


def wait_for_ends(watched: Iterable[int]) -> None:
    """Wait until all processes that are watched have ended; fail if one does not."""
    for descriptor in watched:
        try:
            assert select.select([descriptor], [], [], LIMIT_S)[0] == [descriptor]
        finally:
            os.close(descriptor)


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody has.

    They stay free until they are used: they are below those that the system gives to connections
    and to whoever asks for any port, and each process that runs tests has a range of its own, in
    an order of its own, for another run may be at work.
    """
    found: list[int] = []
    while len(found) < count:
        port = next(_PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found
