"""What machine it was, and which versions: no name of a host, no path."""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bench.children import executable
from signals_proxy import embedded

__all__ = ["facts"]


def facts() -> dict[str, str]:
    """Return what is to be known about this machine now, by name."""
    model = _first(r"model name\s*: (.*)", "/proc/cpuinfo")
    memory = int(_first(r"MemTotal: *(\d+)", "/proc/meminfo")) / 1024**2
    return {
        "processor": f"{os.cpu_count()} cores, {model}",
        "memory": f"{memory:.0f} GiB",
        "system": f"Linux {platform.release().partition('-')[0]}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "signals_proxy": f"{version('signals-proxy')}, Python {sys.version.split()[0]}, uvloop"
        f" {version('uvloop')}, aiohttp {version('aiohttp')}",
        "nginx": _said(("nginx", "-v")),
        "HAProxy": _said(("haproxy", "-v")),
        "Caddy": _said(("caddy", "version")),
        "wrk": _said(("wrk", "-v")),
        "Elasticsearch": embedded.VERSION,
    }


def _first(pattern: str, file: str) -> str:
    found = re.search(pattern, Path(file).read_text())
    return found[1] if found else "0"


def _said(command: Sequence[str]) -> str:
    done = subprocess.run(  # noqa: S603 - our own arguments, and no shell
        [executable(command[0]), *command[1:]], capture_output=True, text=True, check=False
    )
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return found[0] if found else "?"
