"""``signals-proxy keys``: the keyring.

What reads a configuration is imported by the command that does: making a key needs none of it.
"""

import asyncio
import os
import stat
import sys
from pathlib import Path

import click

from signals_proxy.account import keyring
from signals_proxy.account.file import PublicKey
from signals_proxy.cli.options import OF_THE_PROXIES, config_option, health_option
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
@click.option(
    "--append",
    "grown",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add one more key to this keyring instead, for opening only: a rotation begins so.",
)
def generate(file: Path | None, grown: Path | None) -> None:
    """Make a new keyring.

    An existing file is never overwritten: without its keys, every account that they sealed would
    have to be put again.
    """
    if file is not None and grown is not None:
        raise click.UsageError("--output makes a new keyring, and --append adds to one")
    if grown is not None:
        _append(grown)
        return
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


@keys.command
@config_option(OF_THE_PROXIES)
def public(file: Path) -> None:
    """Print the public key with which account files are sealed for this registry."""
    from signals_proxy.cli import rotation  # noqa: PLC0415

    _, ring = rotation.read(file)
    key = PublicKey.of(ring)
    click.echo(key.line)
    tell(f"its fingerprint is {key.fingerprint}")


@keys.command
@config_option(OF_THE_PROXIES)
@health_option
@click.pass_context
def status(context: click.Context, file: Path, urls: tuple[str, ...]) -> None:
    """Tell which key sealed how many accounts, and which proxies lack a key.

    Status 0: nothing needs attention; 3: something does, and is told with its remedy; 1: it could
    not be found out.
    """
    from signals_proxy.cli import key_status  # noqa: PLC0415

    context.exit(asyncio.run(key_status.status(file, urls)))


def _append(file: Path) -> None:
    from signals_proxy.cli.append import append  # noqa: PLC0415

    tell(f"added the key {append(file)} to {file}; it opens, and does not seal yet")
    tell_hint(
        "copy the file to every proxy and reload each; when `keys status` names none that lacks the"
        " key, move its line to the top, copy and reload again, and run `accounts reseal`"
    )


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
