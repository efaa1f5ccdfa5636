"""A node of the embedded cluster, seen from outside: a child process with a data folder.

Theory of operation: a process can hold one Java virtual machine, so every node is a child. It says
one line when it answers requests, and that line, or the end of its output, is what :func:`start`
waits for. The kernel kills it when this process goes, however it goes.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from signals_proxy.embedded.data import writing
from signals_proxy.embedded.fate import how
from signals_proxy.errors import ConfigError

__all__ = ["Node", "start"]

_START_LIMIT_S: Final = 120.0
_STOP_LIMIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Node:
    """A running node. As a context manager it is stopped at the end."""

    process: subprocess.Popen[bytes]
    home: Path
    """Its Elasticsearch home: configuration, data and log."""
    http_port: int
    transport_port: int

    @property
    def url(self) -> str:
        """Return where it answers: ``http://127.0.0.1:<port>``."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def log(self) -> Path:
        """Return the file that it writes its log to, anew at each start."""
        return _log_of(self.home)

    def stop(self) -> None:
        """End it in good order, or by force if that takes longer than 5 s."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(
    version: str,
    home: Path,
    *,
    http_port: int = 0,
    name: str = "node-1",
    cluster: str = "embedded",
    join: Sequence[Node] = (),
    inherited: Sequence[int] = (),
    java: Sequence[str] = (),
    program: Sequence[str] = ("-m", "signals_proxy.embedded.jvm"),
) -> Node:
    """Start a node on 127.0.0.1 and return once it answers requests.

    The jars have to be there (``jars.fetch``). Port 0 picks a free one. A node joins the cluster of
    the nodes that are given, or begins one of its own; both need the same ``cluster`` and a
    ``name`` that differs. Descriptors in ``inherited`` stay open for as long as the node lives.
    ``java`` are further options of the Java virtual machine. ``program`` is what Python runs.

    To be called from a thread that lives as long as the node shall: the kernel takes the end of
    that thread for the end of the parent. Raises ``ConfigError`` if the node does not start.
    """
    arguments = {"version": version, "home": home.absolute(), "name": name, "cluster": cluster}
    arguments |= {"http-port": http_port, "parent": os.getpid()}
    with writing(home):
        _log_of(home).parent.mkdir(parents=True, exist_ok=True)
        log = _log_of(home).open("wb")
    with log:
        process = subprocess.Popen(  # noqa: S603 - our own program, and no shell
            [
                *(sys.executable, "-P", *program),
                *(f"--{key}={value}" for key, value in arguments.items()),
                *(f"--java={option}" for option in java),
                *(f"--seed=127.0.0.1:{node.transport_port}" for node in join),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=inherited,
            # Ctrl-C in a terminal reaches a whole process group; this one is stopped by us alone.
            start_new_session=True,
        )
    try:
        ports = _said(process, home)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Node(process, home, ports["http"], ports["transport"])


def _said(process: subprocess.Popen[bytes], home: Path) -> dict[str, int]:
    """Wait for the one line of the child, and turn it, or its absence, into ports or an error."""
    assert process.stdout is not None  # noqa: S101 - as start() made it
    limit = threading.Timer(_START_LIMIT_S, process.kill)
    limit.daemon = True  # Ctrl-C may come before it can be cancelled, and is not to wait for it
    limit.start()
    try:
        with process.stdout as output:
            line = output.readline()
    finally:
        limit.cancel()
    if not line:
        raise ConfigError(
            f"the embedded Elasticsearch ended while it started ({how(process.wait())})",
            remedy=f"its log says why: {_log_of(home)}",
        )
    words = json.loads(line)
    if "error" in words:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_LIMIT_S)
        raise ConfigError(
            f"the embedded Elasticsearch does not start: {words['error']}",
            remedy=words["remedy"] or f"its log says more: {_log_of(home)}",
        )
    return {"http": words["http"], "transport": words["transport"]}


def _log_of(home: Path) -> Path:
    return home / "logs" / "node.log"
