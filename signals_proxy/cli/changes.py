"""Accounts that a registry shall have: each is checked before the first is written.

Rules of the file:

- What is written is guarded by what was looked at: a change in between is a conflict that is told,
  never an account overwritten unseen.
- Repeating mends: what was written already is unchanged the next time.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import quote

from signals_proxy.account.account_type import SEALED_TEXT, AccountType
from signals_proxy.account.body import MAX_BODY, Json
from signals_proxy.account.ref import Ref
from signals_proxy.cli.remote import Answer, Remote
from signals_proxy.cli.voice import shown, tell, tell_hint
from signals_proxy.errors import Refused, SignalsError
from signals_proxy.secret import REDACTED

__all__ = [
    "ACCOUNTS",
    "Change",
    "Refusal",
    "Wanted",
    "check",
    "difference",
    "each_told",
    "few",
    "path_of",
    "require_registry",
    "write",
]

ACCOUNTS: Final = "/_signals/account/"
_AT_ONCE: Final = 4
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an account shall become. ``origin`` says where that stands."""

    origin: str
    ref: Ref
    body: Mapping[str, Json] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Change:
    """What a PUT would do. ``before`` are the stored attributes; None if there is no account.

    ``warnings`` say what is weak about the account.
    """

    wanted: Wanted
    before: Mapping[str, Json] | None
    guard: str
    result: str
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the registry has against an account."""

    wanted: Wanted
    answer: Answer


async def require_registry(remote: Remote) -> None:
    """Raise what ``Remote.ask`` does, or ``Refused``, unless the server is a registry of ours."""
    answer = await remote.ask("GET", ACCOUNTS + "_key")
    if answer.status != 200 or not isinstance(answer.body.get("key"), str):
        raise Refused(
            f"{remote.url} is no signals proxy, or one of an older version ({answer.error}); is the"
            " URL right?"
        )


async def check(
    remote: Remote, wanted: Sequence[Wanted], *, overwrite: bool = True
) -> Sequence[Change | Refusal]:
    """Return what each PUT would do, in the order of ``wanted``; nothing is written.

    Without ``overwrite`` the result for an account that exists is ``skipped``. Raises what
    ``Remote.ask`` does.
    """
    found: dict[Ref, Change | Refusal] = {}

    async def look(each: Wanted) -> None:
        found[each.ref] = await _checked(remote, each, overwrite=overwrite)

    if failed := await few(wanted, look):
        raise failed
    return [found[each.ref] for each in wanted]


async def _checked(remote: Remote, wanted: Wanted, *, overwrite: bool) -> Change | Refusal:
    size = len(json.dumps(wanted.body, ensure_ascii=False).encode())
    if size > MAX_BODY:
        return Refusal(wanted, Answer(413, {"error": "The account is larger than 1 MiB."}))
    stored = await remote.ask("GET", path_of(wanted.ref))
    before: Mapping[str, Json] | None = None
    guard = "op_type=create"
    if stored.status != 404:
        match stored.body:
            case {"_seq_no": int(seq_no), "_primary_term": int(term), "_source": dict(source)}:
                before, guard = source, f"if_seq_no={seq_no}&if_primary_term={term}"
            case _:
                return Refusal(wanted, stored)
        if not overwrite:
            return Change(wanted, before, guard, "skipped")
    answer = await _put(remote, wanted, guard + "&dry_run=true")
    if answer.status not in {200, 201}:
        return Refusal(wanted, answer)
    match answer.body:
        case {"result": "created" | "updated" | "noop" as result, "dry_run": True}:
            return Change(wanted, before, guard, result, answer.warnings)
        case _:
            account = shown(wanted.ref.document_id)
            raise Refused(
                f"{remote.url} does not answer as one that only tried: {account} may have been"
                " written; does something in between drop the query?"
            )


async def write(remote: Remote, changes: Iterable[Change]) -> None:
    """Make the PUTs that change something, and end with the first that fails.

    Raises what that one raised, or ``Refused``; which accounts were written is told before.
    """

    async def put(change: Change) -> str:
        account = shown(change.wanted.ref.document_id)
        answer = await _put(remote, change.wanted, change.guard)
        if answer.status not in {200, 201}:
            raise Refused(f"{account} was not written: {answer.error}")
        return account

    pending = [each for each in changes if each.result in {"created", "updated"}]
    await each_told(pending, put, "written")


async def each_told(
    items: Collection[_T], do: Callable[[_T], Awaitable[str | None]], done: str
) -> int:
    """Do something with all accounts, and return with how many it was done.

    ``do`` returns the account's name, or None if it was not done. Unless it was with all, with
    which is told, by the participle ``done``. Ends with the first error that ``do`` raises.
    """
    names: list[str] = []

    async def one(item: _T) -> None:
        if name := await do(item):
            names.append(name)

    try:
        if failed := await few(items, one):
            raise failed
    finally:
        if len(names) < len(items):  # also when it is interrupted
            listed = f": {', '.join(sorted(names))}" if names else ""
            tell(f"{len(names)} of {len(items)} accounts were {done}{listed}")
            tell_hint("repeat the command: it goes on with those that are left")
    return len(names)


def difference(change: Change, account_type: AccountType) -> Iterable[str]:
    """Yield a line for each public attribute that a change changes, and one for the secrets."""
    attributes, body = account_type.schema["properties"], change.wanted.body
    before = change.before or {}
    changed = False
    for name in sorted(account_type.public):
        names = (name, attributes[name].get("x-alias"))
        given = (body[each] for each in names if body.get(each) is not None)
        new = next(given, attributes[name].get("default"))
        if isinstance(new, str) and "anyOf" in attributes[name]:
            new = [new]  # as it is stored
        if json.dumps(new, sort_keys=True) != json.dumps(before.get(name), sort_keys=True):
            changed = True
            if change.before is not None:
                yield f"{name}: {_or_none(before.get(name))} → {_or_none(new)}"
    if SEALED_TEXT in body:
        yield "secrets: as sealed in the file" if changed else "secrets: sealed anew"
    clear = {name: body[name] for name in sorted(account_type.secrets & body.keys())}
    if sent := [name for name in clear if clear[name] not in (None, REDACTED)]:
        yield f"secrets: set ({', '.join(sent)})"
    if removed := [name for name in clear if clear[name] is None and name in before]:
        yield f"secrets: removed ({', '.join(removed)})"


def _or_none(value: Json) -> str:
    return "(none)" if value is None else shown(json.dumps(value, ensure_ascii=False))


def path_of(ref: Ref) -> str:
    """Return the path of an account's calls, encoded."""
    return ACCOUNTS + "/".join(quote(name, safe="") for name in ref.document_id.split("/"))


async def _put(remote: Remote, wanted: Wanted, parameters: str) -> Answer:
    return await remote.ask("PUT", f"{path_of(wanted.ref)}?{parameters}", dict(wanted.body))


async def few(items: Iterable[_T], do: Callable[[_T], Awaitable[None]]) -> SignalsError | None:
    """Do something with all items, a few at a time; stop at the first error, and return it.

    What has begun by then comes to its end.
    """
    pending, failed = iter(items), list[SignalsError]()

    async def take() -> None:
        for item in pending:
            try:
                await do(item)
            except SignalsError as error:
                failed.append(error)
            if failed:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(take())
    return failed[0] if failed else None
