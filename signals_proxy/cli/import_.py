"""``signals-proxy accounts import``: the accounts of a registry that gives them out in clear.

Rule of the file: secrets pass through memory only. What is told of an account is its name and what
is wrong with it, never a value.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import click

from signals_proxy.account import ref as targets
from signals_proxy.account import schema
from signals_proxy.account.account_type import AccountType
from signals_proxy.account.body import Json, parse
from signals_proxy.account.document import identity
from signals_proxy.account.file import ref_of
from signals_proxy.account.ref import Ref
from signals_proxy.cli.account_file import told
from signals_proxy.cli.apply import WOULD_CHANGE, show
from signals_proxy.cli.changes import (
    ACCOUNTS,
    Change,
    Refusal,
    Wanted,
    check,
    require_registry,
    write,
)
from signals_proxy.cli.remote import Answer, Remote
from signals_proxy.cli.target import Target, of_the_proxy, our_target, target
from signals_proxy.cli.voice import shown, tell, tell_error, tell_hint
from signals_proxy.errors import InvalidTarget, Refused, SignalsError
from signals_proxy.secret import REDACTED

__all__ = ["import_"]

_PAGE: Final = 100
_SEARCH: Final = f"_search?scroll=25s&size={_PAGE}"
_SCROLL: Final = "/_search/scroll"
_MOST: Final = 100_000
_MOST_BYTES: Final = 128 * 1024 * 1024
"""Accounts of a registry, and bytes of all pages: more are taken for a server that never ends."""

_GLOBAL: Final = "_main"


def _checked(_: click.Context, __: click.Parameter, tenants: Sequence[str]) -> Sequence[str]:
    """Return the names of tenants. Raises ``click.BadParameter`` for one that no tenant can have."""
    types = schema.load()
    for name in tenants:
        path = f"{ACCOUNTS}{quote(name, safe='', errors='surrogatepass')}/_search"
        try:
            call = targets.parse(path, types)
        except InvalidTarget as error:
            raise click.BadParameter(f"{shown(name)!r}: {error.message}") from None
        if call is None or call.tenant is None:
            raise click.BadParameter(f"{name!r}: the global accounts are taken over in any case")
    return tenants


@click.command("import")
@click.argument("source", metavar="URL")
@click.option(
    "--dry-run", is_flag=True, help="Write nothing; exit with 3 if there is something to do."
)
@click.option("--overwrite", is_flag=True, help="Write accounts that exist as well.")
@click.option(
    "--tenant",
    "tenants",
    multiple=True,
    metavar="NAME",
    callback=_checked,
    help="Take over this tenant's accounts as well, for the tenant; may be repeated.",
)
@click.option(
    "--source-auth-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Holds the Authorization field for URL, instead of SIGNALS_PROXY_IMPORT_AUTHORIZATION.",
)
@click.option(
    "--source-ca-certificates",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Authorities (PEM) that the certificate of URL is checked by.",
)
@of_the_proxy
@click.pass_context
def import_(
    context: click.Context,
    source: str,
    dry_run: bool,
    overwrite: bool,
    tenants: Sequence[str],
    source_auth_file: Path | None,
    source_ca_certificates: Path | None,
    url: str | None,
    auth_file: Path | None,
    ca_certificates: Path | None,
) -> None:
    """Take over the accounts of the registry at URL, which gives them out in clear.

    Accounts that exist are skipped. Each is checked before the first is written; those that are
    refused are told and left out, and the command ends with status 1.
    """
    origin = target(
        source,
        name="URL",
        variable="SIGNALS_PROXY_IMPORT_AUTHORIZATION",
        auth_file=source_auth_file,
        auth_option="--source-auth-file",
        ca_certificates=source_ca_certificates,
    )
    proxy = our_target(url, auth_file, ca_certificates)
    changed, refused = asyncio.run(
        _import(origin, proxy, tenants, dry_run=dry_run, overwrite=overwrite)
    )
    if refused:
        context.exit(1)
    context.exit(WOULD_CHANGE if dry_run and changed else 0)


async def _import(
    origin: Target, proxy: Target, tenants: Sequence[str], *, dry_run: bool, overwrite: bool
) -> tuple[bool, int]:
    """Return whether there was something to do, and how many accounts are left out."""
    types = schema.load()
    async with Remote(proxy) as remote:
        await require_registry(remote)
        async with Remote(origin) as other:
            wanted, refused = await _wanted(other, tenants, types)
        changes = []
        for each in await check(remote, list(wanted.values()), overwrite=overwrite):
            if isinstance(each, Change):
                changes.append(each)
            else:
                refused += 1
                _tell_refused(each)
        show(changes, types)
        if not dry_run:
            await write(remote, changes)
    counted = Counter(each.result for each in changes)
    click.echo(
        f"{counted['created']} created, {counted['updated']} updated, {counted['noop']} unchanged,"
        f" {counted['skipped']} skipped, {refused} refused"
    )
    return counted["created"] + counted["updated"] > 0, refused


async def _wanted(
    other: Remote, tenants: Sequence[str], types: Mapping[str, AccountType]
) -> tuple[Mapping[Ref, Wanted], int]:
    """Return the accounts of a registry, and how many of them nothing can be made of."""
    wanted: dict[Ref, Wanted] = {}
    refused, left_out = 0, []
    for document_id, source in (await _accounts(other, tenants)).items():
        name, named = shown(document_id), Ref.of_document(document_id)
        if named is not None and named.tenant not in {None, *tenants}:
            left_out.append(name)
            continue
        try:
            if named is None or source.get("_tenant") not in (None, named.tenant or _GLOBAL):
                raise Refused("its _id and its _tenant do not name one account")
            body = {n: value for n, value in source.items() if value is not None} | identity(named)
            ref = ref_of(body, types)
            parse(json.dumps(body).encode())  # what no body may be, one to be sent cannot become
            secrets = schema.named(types, ref.type).secrets
            if any(body.get(secret) == REDACTED for secret in secrets):
                raise Refused("that registry does not give its secrets out")
            if ref in wanted:
                raise Refused(f"is the same account here as {wanted[ref].origin}")
        except SignalsError as error:
            refused += 1
            tell_error(f"{name}: {shown(error.message)}")
        else:
            wanted[ref] = Wanted(name, ref, body)
    if left_out:
        tell(f"{len(left_out)} accounts of tenants are left out: {shown(', '.join(left_out))}")
        tell_hint("--tenant NAME takes over those of a tenant")
    return wanted, refused


async def _accounts(other: Remote, tenants: Sequence[str]) -> Mapping[str, dict[str, Json]]:
    """Return by their ids the sources of the accounts that a registry shows. Raises ``Refused``.

    They are the global ones, and those of tenants, each of which is warned of if it has none.
    """
    found = dict(await _listed(other, "", "its accounts"))
    for tenant in tenants:
        whose = f"the accounts of the tenant {shown(tenant)}"
        listed = await _listed(other, quote(tenant, safe="") + "/", whose)
        # A tenant is shown the global accounts as well.
        its = {name: source for name, source in listed if name.count("/") != 1}
        if not its:
            tell(f"warning: {other.url} shows no account of the tenant {shown(tenant)}")
        found |= its
    return found


async def _listed(other: Remote, tenant: str, whose: str) -> list[tuple[str, dict[str, Json]]]:
    """Return the ids and sources of all accounts that a search finds. Raises ``Refused``.

    ``tenant`` is what names a tenant in a path; ``whose`` accounts they are is said in errors.
    """
    found: list[tuple[str, dict[str, Json]]] = []
    answer = await other.ask("POST", ACCOUNTS + tenant + _SEARCH, {"query": {"match_all": {}}})
    while True:
        page = _hits(other, answer, whose)
        found += page
        if len(found) > _MOST or other.received > _MOST_BYTES:
            raise Refused(
                f"{other.url} gives more than {_MOST} accounts, or {_MOST_BYTES >> 20} MiB of them"
            )
        match answer.body:
            case {"_scroll_id": str(scroll_id)}:
                scroll: Json = {"scroll": "25s", "scroll_id": scroll_id}
            case _ if len(page) < _PAGE:  # one that knows no scrolling, and had no need of it
                return found
            case _:
                raise Refused(f"{other.url} gives the first {_PAGE} accounts only")
        if not page:
            with contextlib.suppress(SignalsError):  # it ends by itself in 25 s
                await other.ask("DELETE", _SCROLL, {"scroll_id": scroll_id})
            return found
        answer = await other.ask("POST", _SCROLL, scroll)


def _hits(other: Remote, answer: Answer, whose: str) -> list[tuple[str, dict[str, Json]]]:
    shards = answer.body.get("_shards")
    if answer.body.get("timed_out") or (isinstance(shards, dict) and shards.get("failed")):
        raise Refused(f"{other.url} found a part of {whose} only; try again later")
    match answer.body:
        case {"hits": {"hits": list(hits)}} if answer.status == 200:
            pass
        case _:
            raise Refused(f"{other.url} does not list {whose}: {answer.error}")
    found = []
    for hit in hits:
        match hit:
            case {"_id": str(document_id), "_source": dict(source)}:
                found.append((document_id, source))
            case _:
                raise Refused(f"{other.url} lists accounts in a form that is not known")
    return found


def _tell_refused(refusal: Refusal) -> None:
    """Tell what the registry has against an account: attributes and reasons, and no value."""
    name, detail = refusal.wanted.origin, refusal.answer.body.get("detail")
    for attribute, error in told(detail):
        tell_error(f"{name}: {attribute}: {error}")
    if not detail:
        tell_error(f"{name}: {refusal.answer.error}")
