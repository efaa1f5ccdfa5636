"""Keeps keys and opened secrets out of core dumps and away from debuggers of the same user."""

import ctypes
import sys
from typing import Final

__all__ = ["forbid_dumps"]

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def forbid_dumps() -> None:
    """Have the kernel write no core dump of this process, nor let others attach to it (Linux).

    An exec undoes it, so each process calls it for itself: every command of ours as its first act.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
