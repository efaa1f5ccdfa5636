"""How a child's life is tied to its parent's, and what is said about its end."""

import ctypes
import signal
from typing import Final

__all__ = ["end_with_parent", "how"]

_PR_SET_PDEATHSIG: Final = 1
# Loaded here, for between fork and exec no library can be.
_LIBC: Final = ctypes.CDLL(None)


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send this signal to the calling process as soon as its parent is gone.

    However the parent goes: nobody can be sure to clean up after a ``kill -9``. To the kernel the
    thread that started the child is the parent. It survives exec.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)


def how(status: int | None) -> str:
    """Return how a process ended: ``exit status 2`` or ``SIGKILL``."""
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"exit status {status}"
