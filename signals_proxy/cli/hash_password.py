"""``signals-proxy hash-password``: what the configuration holds instead of a password.

Rule of the file: a password is never an argument, where every process of the machine could read it.
"""

import sys
from typing import Final

import click

from signals_proxy.authorization import passwords
from signals_proxy.errors import ConfigError
from signals_proxy.secret import Secret

__all__ = ["hash_password"]

_MOST_READ: Final = 8 * passwords.LONGEST


@click.command("hash-password")
def hash_password() -> None:
    """Print the hash of a password, for a user's password_hash.

    At a terminal the password is asked for twice, and not shown. Otherwise it is the one line of
    standard input.
    """
    click.echo(passwords.hash_password(_asked() if sys.stdin.isatty() else _read()))


def _asked() -> Secret:
    return Secret(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _read() -> Secret:
    data = sys.stdin.buffer.read(_MOST_READ)
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return Secret(line.decode())
    except UnicodeDecodeError:
        pass  # the exception holds the password
    raise ConfigError("the password is not text in UTF-8", remedy="write it in UTF-8")
