"""``signals-proxy keys generate --append``: one more key at the end of a keyring that is in use.

Rules of the file: at every moment, a power cut included, the file is whole, either as it was or with
the new key; it is never to be read by anybody who could not read it before; and two runs at once do
not lose each other's key.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signals_proxy.account import keyring
from signals_proxy.config import Sources
from signals_proxy.errors import ConfigError

__all__ = ["append"]


def append(file: Path) -> str:
    """Add a new key to a keyring, for opening only, and return the key's id.

    A link is followed, and the file that it leads to replaced. :raises ConfigError: if it cannot be
    read or written, is not its owner's alone or no keyring, or is being changed by another run.
    """
    try:
        target = Path(os.path.realpath(file, strict=True))
        with _locked(target.parent) as folder:
            text = Sources().secret(target)
            keyring.parse(text, target)
            longer = keyring.appended(text)
            _replace(target, longer, folder)
    except BlockingIOError:
        raise ConfigError(
            "another program is changing it", remedy="try again when it has ended", file=file
        ) from None
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise ConfigError(
            f"cannot be changed: {reason}",
            remedy="it has to be an existing keyring, in a folder that you may write to",
            file=file,
        ) from error
    return keyring.parse(longer).keys[-1].id


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    # The folder, for a lock on the file would be lost when it is replaced.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def _replace(file: Path, text: str, folder: int) -> None:
    """Put a new file of the same owner, group and mode in the place of ``file``."""
    before = file.stat()
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)  # left by a run that was killed; nobody else has the lock
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
            opened.write(text)
            opened.flush()
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, before.st_mode & 0o7777)
            os.fsync(descriptor)
        new.rename(file)
        os.fsync(folder)
    except BaseException:  # Ctrl-C as well: it holds keys
        new.unlink(missing_ok=True)
        raise
