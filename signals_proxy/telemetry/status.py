"""What a worker and its supervisor tell each other, each through a pipe of its own.

The worker tells of states, one JSON object a line; never of requests, and no secret. The supervisor
gives orders, a byte each.
"""

import enum
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from signals_proxy.errors import ConfigError

__all__ = ["ClusterState", "Failed", "Order", "Started", "Status", "StatusPipe", "read"]


class Order(enum.Enum):
    """What a worker is told to do. The end of the pipe is an order to stop."""

    SERVE = b"s"
    """Listen: all that were started with it are able to, too."""

    RETIRE = b"r"
    """Leave the clients to a successor, which serves already."""

    STOP = b""


@dataclass(frozen=True, slots=True)
class Started:
    """The worker is able to serve, and waits for the order."""


@dataclass(frozen=True, slots=True)
class ClusterState:
    """Whether a node answers this worker as it has to, and if none does, why."""

    answers: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot start: the parts of a :class:`~signals_proxy.errors.ConfigError`."""

    message: str
    remedy: str = ""
    file: str | None = None
    line: int | None = None
    path: str = ""

    @classmethod
    def of(cls, error: ConfigError) -> "Failed":
        """Take an error apart."""
        file = None if error.file is None else str(error.file)
        return cls(error.message, error.remedy, file, error.line, error.path)

    def error(self) -> ConfigError:
        """Put the error together again."""
        return ConfigError(
            self.message,
            remedy=self.remedy,
            file=None if self.file is None else Path(self.file),
            line=self.line,
            path=self.path,
        )


Status = Started | ClusterState | Failed

_KINDS: Final[dict[str, type[Status]]] = {
    kind.__name__: kind for kind in (Started, ClusterState, Failed)
}


class StatusPipe:
    """The worker's end of the pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def tell(self, status: Status) -> None:
        """Write one line. A supervisor that is gone hears nothing, and that is no error here."""
        line = json.dumps({"kind": type(status).__name__, **asdict(status)}).encode() + b"\n"
        try:
            os.write(self._descriptor, line)
        except BrokenPipeError:
            return


def read(line: bytes) -> Status:
    """Return what a line says.

    :raises ValueError: if it is unknown: the other end is of another version, after an upgrade.
    """
    try:
        members = json.loads(line)
        return _KINDS[members.pop("kind")](**members)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("unknown") from error
