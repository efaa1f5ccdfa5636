"""``signals-proxy test``: does an account work? Nothing is sent to anybody.

Rule of the file: of all accounts each is told of, whatever becomes of another. Only what concerns
the proxy itself, or the caller, ends the run.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import click

from signals_proxy.account import schema
from signals_proxy.account.body import Json
from signals_proxy.account.ref import Ref
from signals_proxy.cli import account_file
from signals_proxy.cli.changes import few, path_of
from signals_proxy.cli.delivering import FAILURES, PATIENCE_S, failure, member
from signals_proxy.cli.listing import listing
from signals_proxy.cli.options import Account
from signals_proxy.cli.remote import Answer, Remote
from signals_proxy.cli.target import Target, of_the_proxy, our_target
from signals_proxy.cli.voice import shown, tell, tell_error
from signals_proxy.config import InvalidSettings
from signals_proxy.errors import Lost, Refused, TimedOut, Unavailable

__all__ = ["test"]

_DAYS: Final = 14
_LONGEST_WAIT_S: Final = 60
_GONE: Final = {"status": 404, "error": "Not found"}
_WAITS: Final = 20
"""How often the proxy is waited for that says an account, or this caller, is too busy."""


class _Verdict(IntEnum):
    """The exit status of a run is that of its worst account."""

    GOOD = 0
    FAILED = 1
    WARNING = 3


_FROM_BEST: Final = (_Verdict.GOOD, _Verdict.WARNING, _Verdict.FAILED)


@click.command
@click.argument("account", type=Account(), required=False)
@click.option(
    "--draft", type=click.Path(path_type=Path), metavar="FILE", help="Check this account file."
)
@click.option("--all", "every", is_flag=True, help="Check all accounts that are not a tenant's.")
@click.option("--tenant", metavar="NAME", help="With --all: those of this tenant instead.")
@click.option(
    "--days",
    type=click.IntRange(0, 3650),
    help=f"With --all: warn of accounts that expire so soon; {_DAYS} unless given.",
)
@click.option("--quiet", is_flag=True, help="With --all: say nothing of accounts that are well.")
@of_the_proxy
@click.pass_context
def test(
    context: click.Context,
    account: Ref | None,
    draft: Path | None,
    every: bool,
    tenant: str | None,
    days: int | None,
    quiet: bool,
    url: str | None,
    auth_file: Any,
    ca_certificates: Any,
) -> None:
    """Check whether ACCOUNT works, without sending to anybody, and show the steps of that.

    With --draft: whether it would work as FILE has it, which is stored nowhere. With --all: each
    account that you may search and that is not disabled.

    \b
    Status 0: all is well.
           1: something failed.
           2: not called rightly.
           3: with --all, nothing failed, but an account expires soon, or there is none.
    """
    if (account is None) != every or (every and draft is not None):
        raise click.UsageError("name one ACCOUNT, or give --all without --draft")
    if not every and (tenant is not None or days is not None or quiet):
        raise click.UsageError("--tenant, --days and --quiet go with --all")
    target = our_target(url, auth_file, ca_certificates)
    if account is not None:
        context.exit(asyncio.run(_one(target, account, draft)))
    context.exit(asyncio.run(_all(target, tenant, _DAYS if days is None else days, quiet=quiet)))


async def _one(target: Target, ref: Ref, draft: Path | None) -> int:
    file = None if draft is None else account_file.read(draft)
    async with Remote(target, PATIENCE_S) as remote:
        path = f"{path_of(ref)}/_test"
        body = None if file is None else dict(file.source)
        answer = await remote.ask("POST", path, body, also=FAILURES)
    name = shown(ref.document_id)
    if answer.status == 200:
        for step in _steps(answer):
            click.echo(step)
        click.echo(f"{name}: {member(answer, 'proved')}")
        return 0
    if file is not None and (errors := file.errors(answer.body.get("detail"))):
        raise InvalidSettings(errors)
    tell_error(f"{name}: {failure(answer)}")
    return 1


def _steps(answer: Answer) -> Sequence[str]:
    steps = answer.body.get("steps")
    return [
        f"{shown(str(name)):<8} {took:>6} ms"
        for name, took in (
            (it.get("step"), it.get("duration_ms"))
            for it in (steps if isinstance(steps, list) else ())
            if isinstance(it, dict)
        )
        if isinstance(took, int)
    ]


async def _all(target: Target, tenant: str | None, days: int, *, quiet: bool) -> int:
    today, worst = datetime.now(UTC).date(), _Verdict.GOOD
    async with Remote(target, PATIENCE_S) as remote:
        attributes = ("disabled", "expires_at")
        listed = await listing(remote, tenant, schema.load(), attributes)

        async def one(ref: Ref) -> None:
            nonlocal worst
            try:
                verdict, said = await _checked(remote, ref, listed[ref], today, days)
            except (Lost, Refused, TimedOut, Unavailable) as error:
                verdict, said = _Verdict.FAILED, f"failed: {error.message}"
            worst = max(worst, verdict, key=_FROM_BEST.index)
            if not quiet or verdict is not _Verdict.GOOD:
                click.echo(f"{shown(ref.document_id)}: {said}")

        if failed := await few(listed, one):
            raise failed
    if not listed:
        tell("warning: there is no account to check; is the tenant right?")
        return _Verdict.WARNING.value
    return worst.value


async def _checked(
    remote: Remote, ref: Ref, hit: Mapping[str, Json], today: date, days: int
) -> tuple[_Verdict, str]:
    """Return what is to be said of an account, and how bad that is. Raises what ``ask`` does."""
    source = hit.get("_source")
    public: Mapping[str, Json] = source if isinstance(source, dict) else {}
    if public.get("disabled") is True:
        return _Verdict.GOOD, "disabled, skipped"
    integrity = str(hit.get("integrity"))
    if integrity != "verified":
        remedy = str(hit.get("remedy", ""))
        return _Verdict.FAILED, f"failed: integrity {shown(integrity)}: {shown(remedy)}"
    answer = await _asked(remote, ref)
    if answer.status == 404 and answer.body == _GONE:
        return _Verdict.GOOD, "deleted meanwhile"
    if answer.status != 200:
        return _Verdict.FAILED, f"failed: {failure(answer)}"
    said = f"ok ({member(answer, 'proved')})"
    if (left := _days_left(public.get("expires_at"), today)) is None or left > days:
        return _Verdict.GOOD, said
    when = f"expires in {left} days" if left >= 0 else f"expired {-left} days ago"
    return _Verdict.WARNING, f"{said}, {when}"


async def _asked(remote: Remote, ref: Ref) -> Answer:
    """Ask for one check; as long as it is too often, wait as the proxy says."""
    path, waits = f"{path_of(ref)}/_test", 0
    while True:
        answer = await remote.ask("POST", path, also=FAILURES)
        if answer.status != 429 or answer.retry_after_s is None or waits == _WAITS:
            return answer
        waits += 1
        await asyncio.sleep(min(answer.retry_after_s, _LONGEST_WAIT_S))


def _days_left(expires_at: Json, today: date) -> int | None:
    try:
        return (
            (date.fromisoformat(expires_at) - today).days if isinstance(expires_at, str) else None
        )
    except ValueError:
        return None
