"""One straight handler for each call: what happens to an account, from top to bottom.

Rules of the file: a handler only orders the steps; what each does is decided in the room that it
belongs to. The first step is always :func:`_require`: nothing is read, told or done before it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from signals_proxy.account import body as account_body
from signals_proxy.account import document, schema, sealing
from signals_proxy.account.account_type import AccountType
from signals_proxy.account.keyring import Keyring
from signals_proxy.account.ref import Endpoint, Ref
from signals_proxy.account.sealing import Integrity
from signals_proxy.api import parameters, receive
from signals_proxy.api.answer import json_answer
from signals_proxy.api.uninterrupted import uninterrupted
from signals_proxy.authorization import Action, Authorizer
from signals_proxy.errors import Forbidden, NotFound, Unauthenticated
from signals_proxy.registry import Registry, Version
from signals_proxy.telemetry.audit import Entry

__all__ = ["HANDLERS", "Call", "Rooms"]


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the handlers work with. ``body_timeout_s`` bounds the arrival of one body."""

    registry: Registry
    keyring: Keyring
    types: Mapping[str, AccountType]
    authorizer: Authorizer
    body_timeout_s: float


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the account API: the request, and what is known of it.

    ``path`` is the request target without its query, for messages; ``entry`` the audit entry.
    """

    rooms: Rooms
    request: web.Request
    path: str
    parameters: tuple[tuple[str, str], ...]
    ref: Ref
    entry: Entry


async def _get(call: Call) -> web.Response:
    rooms, ref = call.rooms, call.ref
    await _require(call, Action.GET)
    asked = parameters.known(call.path, call.parameters)
    account_type = rooms.types.get(ref.type)
    stored = await rooms.registry.get(ref) if account_type is not None else None
    if account_type is None or stored is None:
        raise NotFound("Not found")
    integrity = sealing.verify(stored.account, rooms.keyring)
    body: dict[str, Any] = {
        "_id": ref.document_id,
        "found": True,
        **_version(stored.version),
        "integrity": integrity.value,
    }
    if integrity is not Integrity.VERIFIED:
        body["remedy"] = integrity.remedy
    body["_source"] = document.redact(stored.account, account_type)
    return json_answer(200, body, pretty=parameters.boolean(asked, "pretty"))


async def _put(call: Call) -> web.Response:
    rooms, ref = call.rooms, call.ref
    await _require(call, Action.PUT)
    asked = parameters.known(call.path, call.parameters, parameters.PUT)
    guard = parameters.guard(asked)
    account_type = schema.named(rooms.types, ref.type)
    body = account_body.parse(await receive.body(call.request, rooms.body_timeout_s))
    stored = await rooms.registry.get(ref)
    guard.check(ref, stored.version if stored else None)
    before = sealing.try_open(stored.account, rooms.keyring) if stored else None
    draft = document.merge(body, before, account_type, ref)
    account = account_type.validate(draft)
    if stored is not None and document.changes_nothing(draft, account):
        result, version = "noop", stored.version
    else:
        sealed = sealing.seal(account, rooms.keyring)
        expected = stored.version if stored else None
        version = await uninterrupted(rooms.registry.put(sealed, expected))
        result = "created" if stored is None else "updated"
    call.entry.result = result
    answer = {"_id": ref.document_id, **_version(version), "result": result}
    return json_answer(
        201 if result == "created" else 200, answer, pretty=parameters.boolean(asked, "pretty")
    )


async def _delete(call: Call) -> web.Response:
    rooms, ref = call.rooms, call.ref
    await _require(call, Action.DELETE)
    asked = parameters.known(call.path, call.parameters)
    # Whatever lies there, verified or not, of a type that is known or not, can be deleted.
    stored = await rooms.registry.get(ref)
    if stored is None:
        raise NotFound("Not found")
    version = await uninterrupted(rooms.registry.delete(ref, stored.version))
    call.entry.result = "deleted"
    answer = {"_id": ref.document_id, "_version": version.version, "result": "deleted"}
    return json_answer(200, answer, pretty=parameters.boolean(asked, "pretty"))


Handler = Callable[[Call], Awaitable[web.Response]]

HANDLERS: Final[Mapping[Endpoint, Mapping[str, Handler]]] = {
    Endpoint.ACCOUNT: {"GET": _get, "HEAD": _get, "PUT": _put, "DELETE": _delete},
}
"""Which method of which endpoint is whose; the order of the methods is that of ``Allow``."""


async def _require(call: Call, action: Action) -> None:
    """Ask the authorizer, and note what it says. Raises what it raises."""
    entry = call.entry
    entry.action = action.value
    caller = receive.caller(call.request, entry.address)
    try:
        identity = await call.rooms.authorizer.require(action, call.ref, call.ref.tenant, caller)
    except (Unauthenticated, Forbidden):
        entry.allowed = False
        raise
    entry.allowed = True
    entry.user = identity.name


def _version(version: Version) -> dict[str, int]:
    return {
        "_version": version.version,
        "_seq_no": version.seq_no,
        "_primary_term": version.primary_term,
    }
