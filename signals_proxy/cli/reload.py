"""``signals-proxy reload``: has a running proxy read its configuration again.

It finds the proxy by the health listener that the configuration names, asks for the reload by
SIGHUP, and tells what became of it.
"""

import http.client
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import click

from signals_proxy import config
from signals_proxy.cli.options import config_option
from signals_proxy.cli.voice import tell, tell_error, tell_hint
from signals_proxy.config import Address
from signals_proxy.errors import ConfigError
from signals_proxy.telemetry.status import Failed

__all__ = ["reload"]

_LIMIT_S: Final = 120.0
_ASKED_EVERY_S: Final = 0.05
_ANSWER_S: Final = 5.0
_LARGEST: Final = 1024 * 1024
_BY_HAND: Final = "send SIGHUP to the proxy yourself: kill -HUP PID, or systemctl reload"


@click.command
@config_option("The configuration with which the proxy was started.")
@click.pass_context
def reload(context: click.Context, file: Path) -> None:
    """Have a running proxy serve by what FILE, and all that it names, say now.

    No request is refused or cut by it. If anything is wrong, the proxy goes on as before.
    """
    address = config.health_address(file, os.environ)
    try:
        after = _reloaded(address)
    except ConfigError as error:
        _tell(error)
        context.exit(1)
    if after.errors:
        for each in after.errors:
            _tell(each)
        tell("nothing has changed: the proxy goes on as before")
        context.exit(1)
    tell(f"reloaded: {after.workers} worker{'s' * (after.workers != 1)}")


def _tell(error: ConfigError) -> None:
    tell_error(str(error))
    tell_hint(error.remedy)


def _reloaded(address: Address) -> "_State":
    """Have the proxy with this health listener reload, and return what it says afterwards."""
    before = _State.of(address)
    _hang_up(before.pid, address)
    limit = time.monotonic() + _LIMIT_S
    while time.monotonic() < limit:
        now = _State.of(address)
        if now.pid != before.pid:
            raise ConfigError("the proxy ended meanwhile", remedy="its log says why")
        if now.done > before.asked:  # so it began after we had looked
            return now
        time.sleep(_ASKED_EVERY_S)
    raise ConfigError(
        f"the proxy is still at it after {_LIMIT_S:.0f} s",
        remedy="its log says what it waits for; until it has ended, nothing has changed",
    )


@dataclass(frozen=True, slots=True)
class _State:
    """What ``/generation`` says."""

    pid: int
    workers: int
    asked: int
    done: int
    errors: list[ConfigError]

    @classmethod
    def of(cls, address: Address) -> Self:
        """Ask for it. Raises ``ConfigError``."""
        if address.port == 0:
            raise ConfigError(
                "health.listen has port 0, by which no running proxy is found",
                remedy=f"set a port, or {_BY_HAND}",
            )
        connection = http.client.HTTPConnection(address.host, address.port, timeout=_ANSWER_S)
        try:
            connection.request("GET", "/generation")
            said = json.loads(connection.getresponse().read(_LARGEST))
            return cls._read(said)
        except OSError as error:
            reason = (error.strerror or "no answer in time").lower()
            raise ConfigError(
                f"no proxy answers at {address}, its health listener: {reason}",
                remedy="is it running? If it is, and health.listen is what was changed, or it runs"
                f" on another machine, {_BY_HAND}",
            ) from error
        except (
            http.client.HTTPException,
            ValueError,
            KeyError,
            TypeError,
            OverflowError,
            RecursionError,
        ):
            raise ConfigError(
                f"what answers at {address} is no health listener of this version",
                remedy=f"check health.listen, or {_BY_HAND}",
            ) from None
        finally:
            connection.close()

    @classmethod
    def _read(cls, said: Any) -> Self:
        last = said["reload"]
        return cls(
            pid=int(said["pid"]),
            workers=int(said["workers"]),
            asked=int(last["asked"]),
            done=int(last["done"]),
            errors=[Failed(**each).error() for each in last["errors"]],
        )


def _hang_up(pid: int, address: Address) -> None:
    try:
        # Whatever listens there says which process to signal: nothing but a proxy is.
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if pid > 0 else []
        if b"serve" not in words or not any(b"signals" in word for word in words):
            raise ProcessLookupError
        os.kill(pid, signal.SIGHUP)
    except PermissionError as error:
        raise ConfigError(
            f"the proxy (process {pid}) is another user's",
            remedy="run this as the user of the proxy, or as root",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"the proxy that answers at {address} is no process of this machine",
            remedy=f"run this where it runs (in its container, if it is in one), or {_BY_HAND}",
        ) from error
