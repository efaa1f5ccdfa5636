"""``signals-proxy accounts apply``: a registry brought to what a folder of account files says."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import click

from signals_proxy.account import schema
from signals_proxy.account.account_type import AccountType
from signals_proxy.account.file import ref_of
from signals_proxy.account.ref import Ref
from signals_proxy.cli import account_file
from signals_proxy.cli.account_file import AccountFile
from signals_proxy.cli.changes import (
    Change,
    Refusal,
    Wanted,
    check,
    difference,
    require_registry,
    write,
)
from signals_proxy.cli.prune import delete, surplus
from signals_proxy.cli.remote import Remote
from signals_proxy.cli.target import Target, of_the_proxy, our_target
from signals_proxy.cli.voice import shown, tell, tell_error
from signals_proxy.config import InvalidSettings
from signals_proxy.errors import ConfigError, InvalidAccount, Refused
from signals_proxy.secret import REDACTED

__all__ = ["WOULD_CHANGE", "apply", "show"]

WOULD_CHANGE: Final = 3
"""Exit status of a dry run that found something to do."""

_MARKS: Final = {"created": "+", "updated": "~"}
_OF_THE_FILE: Final = frozenset({400, 413, 415})


@click.command
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--dry-run", is_flag=True, help="Change nothing; exit with 3 if there is something to do."
)
@click.option(
    "--prune", is_flag=True, help="Delete accounts that no file names, in the tenants of the files."
)
@of_the_proxy
@click.pass_context
def apply(
    context: click.Context,
    folder: Path,
    dry_run: bool,
    prune: bool,
    url: str | None,
    auth_file: Path | None,
    ca_certificates: Path | None,
) -> None:
    """Bring the registry to what the account files below DIR say, and show what that changes.

    Every file (*.json, *.yaml, *.yml) is checked before the first account is written. Accounts that
    no file names are left alone, unless --prune is given; it deletes in no tenant that no file is
    of, where the global accounts count as a tenant's.
    """
    proxy = our_target(url, auth_file, ca_certificates)
    types = schema.load()
    files = _files(folder, types)
    if clear := sum(_has_clear_secrets(ref, found, types) for ref, found in files.items()):
        tell(
            f"warning: {clear} of {len(files)} files hold secrets in clear, and are written each"
            " time; 'signals-proxy seal' seals them"
        )
    context.exit(asyncio.run(_apply(proxy, files, types, dry_run=dry_run, prune=prune)))


async def _apply(
    proxy: Target,
    files: Mapping[Ref, AccountFile],
    types: Mapping[str, AccountType],
    *,
    dry_run: bool,
    prune: bool,
) -> int:
    """Return the exit status."""
    wanted = [Wanted(str(found.path), ref, found.source) for ref, found in files.items()]
    async with Remote(proxy) as remote:
        await require_registry(remote)
        checked = await check(remote, wanted)
        _refuse(files, [each for each in checked if isinstance(each, Refusal)])
        changes = [each for each in checked if isinstance(each, Change)]
        unnamed = await surplus(remote, files.keys(), types) if prune else []
        show(changes, types)
        for account in unnamed:
            click.echo(f"- {shown(account.ref.document_id)}")
        deleted = len(unnamed)
        if not dry_run:
            await write(remote, changes)
            deleted = await delete(remote, unnamed)
    counted = Counter(each.result for each in changes)
    click.echo(
        f"{counted['created']} created, {counted['updated']} updated, {counted['noop']} unchanged"
        + (f", {deleted} deleted" if prune else "")
    )
    if deleted < len(unnamed):
        return 1
    return WOULD_CHANGE if dry_run and (unnamed or counted["noop"] < len(changes)) else 0


def _refuse(files: Mapping[Ref, AccountFile], refusals: Sequence[Refusal]) -> None:
    """Tell all that is wrong with the files, and with what is stored. Raises if anything is."""
    if not refusals:
        return
    errors: list[ConfigError] = []
    others = []
    for each in refusals:
        found, detail = files[each.wanted.ref], each.answer.body.get("detail")
        if each.answer.status not in _OF_THE_FILE:
            others.append(f"{found.path}: {each.answer.error}")
        else:
            errors += found.errors(detail) or [ConfigError(each.answer.error, file=found.path)]
    for other in others:
        tell_error(other)
    tell("nothing was written")
    if errors:
        raise InvalidSettings(errors)
    raise Refused(
        f"{len(others)} of {len(files)} accounts cannot be written as they are stored now"
    )


def _has_clear_secrets(ref: Ref, found: AccountFile, types: Mapping[str, AccountType]) -> bool:
    return any(
        found.source[name] not in (None, REDACTED)  # no set: objects cannot be looked for in one
        for name in types[ref.type].secrets & found.source.keys()
    )


def _files(folder: Path, types: Mapping[str, AccountType]) -> Mapping[Ref, AccountFile]:
    """Return all account files below a folder by their account, in the order of their paths.

    Raises ``InvalidSettings`` with every error of every file.
    """
    files: dict[Ref, AccountFile] = {}
    errors: list[ConfigError] = []
    for path in sorted(_paths(folder)):
        try:
            ref, found = _read(path, types)
        except InvalidSettings as error:
            errors += error.errors
        except ConfigError as error:
            errors.append(error)
        else:
            if first := files.get(ref):
                message = f"is for the same account as {first.path}: {shown(ref.document_id)}"
                errors.append(ConfigError(message, remedy="take one of them away", file=path))
            files.setdefault(ref, found)
    if errors:
        raise InvalidSettings(errors)
    if not files:
        raise ConfigError(
            "no account file is below this folder",
            remedy="account files are *.json, *.yaml and *.yml, one account each",
            file=folder,
        )
    return files


def _read(path: Path, types: Mapping[str, AccountType]) -> tuple[Ref, AccountFile]:
    found = account_file.read(path)
    try:
        ref = ref_of(found.source, types)
        schema.named(types, ref.type)
    except InvalidAccount as error:
        raise InvalidSettings(found.errors(error.details)) from None
    return ref, found


def _paths(folder: Path) -> Iterator[Path]:
    """Yield the files that hold accounts; hidden ones are passed by.

    Raises ``ConfigError`` for a folder that cannot be read, or is a link: its accounts would count
    as named by no file. Raises it for a link out of the folder as well.
    """

    def refuse(error: OSError) -> NoReturn:
        reason = (error.strerror or "unknown error").lower()
        raise ConfigError(f"cannot be read: {reason}", file=Path(error.filename)) from error

    root = Path(os.path.realpath(folder))  # unlike `resolve`, it bears links in a circle
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            if (link := Path(place, name)).is_symlink():
                remedy = "name what it leads to as DIR, or hide the link by a dot before its name"
                raise ConfigError(
                    "is a link to a folder, which is not followed", remedy=remedy, file=link
                )
        for name in names:
            path = Path(place, name)
            if name.startswith(".") or path.suffix not in account_file.SUFFIXES:
                continue
            if not Path(os.path.realpath(path)).is_relative_to(root):
                raise ConfigError("is a link out of the folder", file=path)
            yield path


def show(changes: Sequence[Change], types: Mapping[str, AccountType]) -> None:
    """Print what the changes change, and warn of accounts that are weak."""
    for change in changes:
        for warning in change.warnings:
            tell(f"warning: {shown(change.wanted.ref.document_id)}: {warning}")
        if mark := _MARKS.get(change.result):
            click.echo(f"{mark} {shown(change.wanted.ref.document_id)}")
            for line in difference(change, types[change.wanted.ref.type]):
                click.echo(f"    {line}")
