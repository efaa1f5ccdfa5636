"""``signals-proxy accounts``: many accounts at once."""

import click

from signals_proxy.cli.apply import apply
from signals_proxy.cli.import_ import import_
from signals_proxy.cli.reseal import reseal

__all__ = ["accounts"]


@click.group
def accounts() -> None:
    """Bring a registry's accounts in line with files, another registry, or its own keys."""


accounts.add_command(apply)
accounts.add_command(import_)
accounts.add_command(reseal)
