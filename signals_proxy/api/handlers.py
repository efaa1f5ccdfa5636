"""One straight handler for each call: what happens to an account, from top to bottom.

Rules of the file: a handler only orders the steps; what each does is decided in the room that it
belongs to. The first step is always :func:`require_account`: nothing is read, told or done before it. Only
what everybody may know, which lies in no index, is told without.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from aiohttp import web

from signals_proxy.account import body as account_body
from signals_proxy.account import document, schema, sealing
from signals_proxy.account.account_type import AccountType
from signals_proxy.account.body import Json
from signals_proxy.account.file import PublicKey
from signals_proxy.account.ref import Endpoint, Ref
from signals_proxy.account.weakness import weaknesses
from signals_proxy.api import delivering, parameters, receive
from signals_proxy.api.answer import integrity, json_answer, warned
from signals_proxy.api.delivering import recent_use
from signals_proxy.api.drafting import drafted
from signals_proxy.api.parameters import Guard
from signals_proxy.api.rooms import Call, Rooms, require_account
from signals_proxy.api.searching import search
from signals_proxy.api.uninterrupted import uninterrupted
from signals_proxy.authorization import Action
from signals_proxy.errors import InUse, NotFound, VersionConflict
from signals_proxy.registry.documents import Version

__all__ = ["HANDLERS", "Call", "Handler", "Rooms"]

_TRIES: Final = 5
"""How often a call without a guard is begun: another has to be quicker each time to defeat it."""


class _Outcome(NamedTuple):
    """The result of a call, what is known of the version that it made, and what is to be warned of."""

    result: str
    version: Mapping[str, int]
    warnings: Sequence[str] = ()


async def _get(call: Call) -> web.Response:
    rooms, (ref, _) = call.rooms, await require_account(call, Action.GET)
    asked = parameters.known(call.path, call.parameters)
    account_type = rooms.types.get(ref.type)
    stored = await rooms.registry.get(ref) if account_type is not None else None
    if account_type is None or stored is None:
        raise NotFound("Not found")
    body: dict[str, Any] = {
        "_id": ref.document_id,
        "found": True,
        **_version(stored.version),
        **integrity(sealing.verify(stored.account, rooms.keyring)),
        "_source": document.redact(stored.account, account_type),
    }
    return json_answer(200, body, asked)


async def _put(call: Call) -> web.Response:
    rooms, (ref, _) = call.rooms, await require_account(call, Action.PUT)
    asked = parameters.known(call.path, call.parameters, parameters.PUT)
    guard, dry_run = parameters.guard(asked), parameters.boolean(asked, "dry_run")
    account_type = schema.named(rooms.types, ref.type)
    body = account_body.parse(await receive.body(call.request, rooms.body_timeout_s))
    result, version, warnings = await _tried(
        lambda: _written(rooms, ref, account_type, body, guard, dry_run=dry_run),
        1 if guard.is_set else _TRIES,
    )
    call.entry.result = "dry_run" if dry_run else result
    answer = {"_id": ref.document_id, **version, "result": result}
    if dry_run:
        answer["dry_run"] = True
    return warned(json_answer(201 if result == "created" else 200, answer, asked), warnings)


async def _tried(act: Callable[[], Awaitable[_Outcome]], tries: int) -> _Outcome:
    """Begin anew if somebody else was quicker: who names no version means whatever is there by now.

    Raises :class:`VersionConflict` once that was so ``tries`` times.
    """
    while True:
        tries -= 1
        try:
            return await act()
        except VersionConflict:
            if not tries:
                raise


async def _written(
    rooms: Rooms,
    ref: Ref,
    account_type: AccountType,
    body: Mapping[str, Json],
    guard: Guard,
    *,
    dry_run: bool,
) -> _Outcome:
    """Store what a body makes of the stored account; return the result and what is its version."""
    stored = await rooms.registry.get(ref)
    guard.check(ref, stored.version if stored else None)
    draft, account = drafted(rooms, ref, body, stored)
    weak = weaknesses(account_type, account, datetime.now(UTC).date())
    if stored is None:
        if dry_run:  # of which version it would be is not known: a deleted one's may go on
            await rooms.registry.check()  # a PUT is refused by an index that is not ours
            return _Outcome("created", {}, weak)
        sealed = sealing.seal(account, rooms.keyring)
        version = await uninterrupted(rooms.registry.put(sealed, None))
        return _Outcome("created", _version(version), weak)
    if document.changes_nothing(draft, account):
        return _Outcome("noop", _version(stored.version), weak)
    if dry_run:
        return _Outcome("updated", {"_version": stored.version.version + 1}, weak)
    sealed = sealing.seal(account, rooms.keyring)
    version = await uninterrupted(rooms.registry.put(sealed, stored.version))
    return _Outcome("updated", _version(version), weak)


async def _delete(call: Call) -> web.Response:
    rooms, (ref, _) = call.rooms, await require_account(call, Action.DELETE)
    asked = parameters.known(call.path, call.parameters, parameters.DELETE)
    guard = parameters.guard(asked)
    result, version, warnings = await _tried(
        lambda: _deleted(rooms, ref, guard), 1 if guard.is_set else _TRIES
    )
    call.entry.result = result
    answer = {"_id": ref.document_id, **version, "result": result}
    return warned(json_answer(200, answer, asked), warnings)


async def _deleted(rooms: Rooms, ref: Ref, guard: Guard) -> _Outcome:
    # Whatever lies there, verified or not, of a type that is known or not, can be deleted.
    stored = await rooms.registry.get(ref)
    guard.check(ref, stored.version if stored else None)
    if stored is None:
        raise NotFound("Not found")
    if await rooms.registry.watches.use(ref):
        raise InUse("The account is still in use")
    warnings = await recent_use(rooms, ref)
    version = await uninterrupted(rooms.registry.delete(ref, stored.version))
    await rooms.sending.health.forget(ref)
    return _Outcome("deleted", {"_version": version.version}, warnings)


async def _key(call: Call) -> web.Response:
    key = PublicKey.of(call.rooms.keyring)
    return _told(call, "key", {"key": key.line, "fingerprint": key.fingerprint})


async def _schemas(call: Call) -> web.Response:
    return _told(call, "schema", call.rooms.published.schemas)


async def _schema(call: Call) -> web.Response:
    found = call.rooms.published.schemas.get(call.type or "")
    if found is None:
        raise NotFound(f"There is no such type: {', '.join(call.rooms.types)}")
    return _told(call, "schema", found)


async def _openapi(call: Call) -> web.Response:
    return _told(call, "openapi", call.rooms.published.openapi)


def _told(call: Call, action: str, body: Mapping[str, Any]) -> web.Response:
    """Answer with what everybody may know."""
    call.entry.action = action
    return json_answer(200, body, parameters.known(call.path, call.parameters))


Handler = Callable[[Call], Awaitable[web.Response]]

HANDLERS: Final[Mapping[Endpoint, Mapping[str, Handler]]] = {
    Endpoint.ACCOUNT: {"GET": _get, "HEAD": _get, "PUT": _put, "DELETE": _delete},
    Endpoint.TEST: {"POST": delivering.check},
    Endpoint.SEND: {"POST": delivering.send},
    Endpoint.STATUS: {"GET": delivering.status, "HEAD": delivering.status},
    Endpoint.SEARCH: {"GET": search, "POST": search},
    Endpoint.SCHEMA: {"GET": _schemas, "HEAD": _schemas},
    Endpoint.SCHEMA_TYPE: {"GET": _schema, "HEAD": _schema},
    Endpoint.OPENAPI: {"GET": _openapi, "HEAD": _openapi},
    Endpoint.KEY: {"GET": _key, "HEAD": _key},
}
"""Which method of which endpoint is whose; the order of the methods is that of ``Allow``."""


def _version(version: Version) -> dict[str, int]:
    return {
        "_version": version.version,
        "_seq_no": version.seq_no,
        "_primary_term": version.primary_term,
    }
