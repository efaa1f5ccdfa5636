"""Files that hold a secret: their owner alone may read them, as with the keyring."""

import os
import stat
from pathlib import Path

from signals_proxy.errors import ConfigError

__all__ = ["is_private", "read_private"]


def is_private(found: os.stat_result) -> bool:
    """Tell whether a file belongs to this user or to root, and gives nobody else any right."""
    owned = found.st_uid in {0, os.geteuid()}
    return owned and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def read_private(file: Path) -> str:
    """Return the text of ``file``. Its permissions are looked at on the opened file.

    :raises ConfigError: if it is not private.
    :raises OSError: if it cannot be read.
    :raises UnicodeDecodeError: if it is not UTF-8.
    """
    with file.open(encoding="utf-8", newline="") as opened:
        found = os.fstat(opened.fileno())
        if not is_private(found):
            raise ConfigError(
                f"{file} may be used by others (mode {stat.S_IMODE(found.st_mode):04o})",
                remedy=f"chmod 600 {file}; for a secret mounted by Kubernetes set defaultMode: 0400",
            )
        return opened.read()
