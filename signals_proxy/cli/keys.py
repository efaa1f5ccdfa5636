"""``signals-proxy keys``: the keyring."""

import os
import stat
import sys
from pathlib import Path

import click

from signals_proxy.account import keyring
from signals_proxy.cli.voice import tell, tell_hint
from signals_proxy.errors import ConfigError

__all__ = ["keys"]


@click.group
def keys() -> None:
    """Make and look after the keys that seal the accounts' secrets."""


@keys.command
@click.option(
    "--output",
    "-o",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to this new file, which its owner alone may read, instead of standard output.",
)
def generate(file: Path | None) -> None:
    """Make a new keyring.

    An existing file is never overwritten: without its keys, every account that they sealed would
    have to be put again.
    """
    if file is not None:
        _write(file, keyring.generate())
        tell(f"wrote {file}")
        tell_hint("keep a copy in a safe place: without it every account has to be put again")
        return
    click.echo(keyring.generate(), nl=False)
    if sys.stdout.isatty():
        tell_hint("this is secret: clear the screen, and use --output FILE to write it to a file")
    elif _others_may_read_stdout():
        tell_hint("others than its owner may read that file: chmod 600 it, or use --output FILE")


def _write(file: Path, text: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{file} exists, and is never overwritten",
            remedy="choose another name; the keys in it may be all that opens your accounts",
        ) from None
    except OSError as error:
        raise _unwritten(file, error) from error
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        _sync_folder(file.absolute().parent)
    except OSError as error:
        file.unlink(missing_ok=True)  # half a keyring is worse than none
        raise _unwritten(file, error) from error


def _sync_folder(folder: Path) -> None:
    """Have the file's name survive a power cut as well as its content."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritten(file: Path, error: OSError) -> ConfigError:
    reason = (error.strerror or "unknown error").lower()
    return ConfigError(
        f"cannot write {file}: {reason}", remedy="choose a folder that exists and that you may use"
    )


def _others_may_read_stdout() -> bool:
    try:
        found = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):  # none, or one that is no file
        return False
    return stat.S_ISREG(found.st_mode) and bool(found.st_mode & (stat.S_IRWXG | stat.S_IRWXO))
