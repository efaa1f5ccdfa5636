"""``signals-proxy status``: what happened to an account lately."""

import asyncio
import json
from typing import Any, Final

import click

from signals_proxy.account.ref import Ref
from signals_proxy.cli.changes import path_of
from signals_proxy.cli.options import Account
from signals_proxy.cli.remote import Remote
from signals_proxy.cli.target import Target, of_the_proxy, our_target
from signals_proxy.cli.voice import shown
from signals_proxy.errors import Refused

__all__ = ["status"]

_LINES: Final = ("integrity", "remedy", "disabled", "expires_at", "days_to_expiry")
_EVENTS: Final = ("last_use", "last_success", "last_error", "last_check")


@click.command
@click.argument("account", type=Account())
@of_the_proxy
def status(account: Ref, url: str | None, auth_file: Any, ca_certificates: Any) -> None:
    """Show what happened to ACCOUNT lately: its last use, success, error and check.

    \b
    Status 0: told.
           1: there is no such account, or it could not be asked for.
           2: not called rightly.
    """
    asyncio.run(_status(our_target(url, auth_file, ca_certificates), account))


async def _status(target: Target, ref: Ref) -> None:
    async with Remote(target) as remote:
        answer = await remote.ask("GET", f"{path_of(ref)}/_status")
    if answer.status != 200:
        raise Refused(f"{shown(ref.document_id)}: {answer.error}")
    for name in _LINES:
        if (value := answer.body.get(name)) is not None:
            click.echo(
                f"{name}: {shown(json.dumps(value) if isinstance(value, bool) else str(value))}"
            )
    for name in _EVENTS:
        match answer.body.get(name):
            case {"at": at, **others}:
                said = ", ".join(f"{each}: {value}" for each, value in others.items())
                click.echo(f"{name}: {shown(f'{at} {said}')}")
            case _:
                click.echo(f"{name}: none known")
