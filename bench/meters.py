"""What a proxy costs, as the kernel counts it: processor time and memory of all its processes."""

import os
import time
from pathlib import Path
from typing import Final

__all__ = ["cpu_s", "memory_size", "wait_until_calm"]

_CALM_S: Final = 0.2
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(process_id: int) -> float:
    """Return the seconds of CPU that a process, its descendants and those that ended have used."""
    return sum(_own(one) + _of_ended_children(one) for one in _tree(process_id))


def memory_size(process_id: int) -> int:
    """Return the bytes that a process and its descendants hold for themselves, not what they map from files."""
    total = 0
    for one in _tree(process_id):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss_Anon:"):
                total += int(line.split()[1]) * 1024
    return total


def wait_until_calm(process_id: int) -> None:
    """Return once a process and its descendants have hardly run for a while."""
    before = -1.0
    while (now := cpu_s(process_id)) - before > _CALM_S / 50:
        before = now
        time.sleep(_CALM_S)


def _tree(process_id: int) -> list[int]:
    found = [process_id]
    for task in Path(f"/proc/{process_id}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += _tree(int(child))
    return found


def _own(process_id: int) -> float:
    # The number of another process's clock, as clock_getcpuclockid(3) makes it: nanoseconds, and
    # threads that have ended are in it.
    return time.clock_gettime((~process_id << 3) | 2)


def _of_ended_children(process_id: int) -> float:
    # After the name, which may hold blanks: cutime and cstime are the 14th and 15th field.
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICKS_A_SECOND
