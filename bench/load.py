"""Many small requests, from wrk: one thread, some keep-alive connections, for whole seconds."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from signals_proxy.errors import ConfigError

__all__ = ["Load", "load"]

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_LEAST: Final = 250
"""Bytes that an answer has at least, if it comes from where it should."""
_NO_FIELDS: Final[Mapping[str, str]] = MappingProxyType({})


class Load(NamedTuple):
    """What was answered."""

    requests: int
    duration_s: float
    p50_us: float = 0
    p99_us: float = 0


def load(
    url: str,
    kind: str = "plain",
    *,
    connections: int = 32,
    seconds: int = 1,
    fields: Mapping[str, str] = _NO_FIELDS,
) -> Load:
    """Send requests of one kind (see ``wrk.lua``) and return what became of them.

    :raises ConfigError: if one of them failed, or was answered with an error.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT)]
    for name, value in fields.items():
        command += ["-H", f"{name}: {value}"]
    done = subprocess.run(  # noqa: S603 - our own arguments, and no shell
        [*command, url, "--", kind], capture_output=True, text=True, check=False
    )
    last = done.stdout.rpartition("\n{")[2]
    if done.returncode or not last:
        raise ConfigError(f"wrk failed at {url}: {done.stderr.strip()}")
    said = json.loads("{" + last)
    if said["errors"] or said["bytes"] <= said["requests"] * _LEAST:
        raise ConfigError(f"{said['errors']} requests failed at {url}, others got too little")
    return Load(said["requests"], said["duration_us"] / 1e6, said["p50_us"], said["p99_us"])
