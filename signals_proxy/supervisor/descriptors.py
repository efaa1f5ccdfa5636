"""How many files and sockets a process may have open: all that the system allows, and whether it is enough.

What services are started with is often 1,024, for the sake of old programs alone; the hard limit is
what an administrator means. Workers inherit what is set here, and each has it for itself.
"""

import contextlib
import resource

__all__ = ["raise_limit", "shortage"]


def raise_limit() -> None:
    """Raise this process's soft limit, and that of processes it starts, to the hard one."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):  # it may be above what the kernel gives by now
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def shortage(connections: int) -> tuple[str, str] | None:
    """Return what is to be said, and the remedy, if so many clients are more than a worker can have.

    A client needs two descriptors: for its connection, and for one to a node while it is answered.
    (A call of the account API needs three, of which two are the ends of a connection within the worker;
    not every client makes one at the same time.) What else is open is a few dozen.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or 2 * connections <= hard:
        return None
    said = (
        f"limits.connections is {connections}, for which a worker needs {2 * connections} files and"
        f" sockets; the system allows it {hard}"
    )
    remedy = "raise the hard limit (LimitNOFILE= of systemd, `ulimit -Hn`), or lower the setting"
    return said, remedy
