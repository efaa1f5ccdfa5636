"""Using an account: send through it, check it, and what is known of both.

Rules of the file:

- As everywhere the right comes first. Then how often, then how much memory: a body is not read before.
- Once it has begun a delivery goes on to its end, whoever leaves: half of it would leave everybody
  guessing. Its deadline bounds that.
- What was done is noted, and counted, before anything is answered.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from aiohttp import hdrs, web

from signals_proxy.account import body as account_body
from signals_proxy.account import sealing
from signals_proxy.account.message import MessageSchema
from signals_proxy.account.ref import Ref
from signals_proxy.api import parameters, receive
from signals_proxy.api.answer import integrity, json_answer
from signals_proxy.api.drafting import drafted
from signals_proxy.api.rooms import Call, Rooms, permit, require_account
from signals_proxy.api.uninterrupted import uninterrupted
from signals_proxy.authorization import Action, Identity
from signals_proxy.delivery.deliveries import Opened
from signals_proxy.delivery.delivery import Message
from signals_proxy.delivery.fair_use import take
from signals_proxy.delivery.report import Report
from signals_proxy.errors import (
    CallerError,
    DeliveryFailed,
    InvalidParameter,
    NotFound,
    SealingError,
    Unavailable,
    Unusable,
    UpstreamError,
)

__all__ = ["check", "recent_use", "send", "status"]

_RECENT: Final = timedelta(days=30)
_KEY: Final = re.compile("[!-~](?:[ -~]{0,253}[!-~])?")


async def send(call: Call) -> web.Response:
    """Answer ``_send``."""
    ref, caller = await require_account(call, Action.SEND)
    rooms, asked = call.rooms, parameters.known(call.path, call.parameters)
    key = _idempotency_key(call.request)
    schema = rooms.sending.messages.get(ref.type)
    if schema is None:
        raise Unusable(f"Nothing can be sent through accounts of type '{ref.type}'.")
    async with _turn(call, ref, caller):
        data = await receive.body(
            call.request, rooms.body_timeout_s, rooms.sending.max_body, "Messages"
        )
        # In a thread: of 10 MiB it takes a tenth of a second.
        message = await asyncio.to_thread(_message, data, schema)
        del data
        report = await _done(
            call,
            caller,
            ref,
            lambda: rooms.sending.deliveries.send(_reader(rooms, ref), message, key),
        )
    call.entry.result = "sent" if report.delivered else "simulated"
    answer = {"delivered": report.delivered, "duration_ms": report.duration_ms}
    return json_answer(200, {**answer, "answer": report.answer}, asked)


async def check(call: Call) -> web.Response:
    """Answer ``_test``: of the stored account, or of a draft in the body, which is not stored."""
    ref, caller = await require_account(call, Action.TEST)
    rooms, asked = call.rooms, parameters.known(call.path, call.parameters)
    is_draft = call.request.can_read_body
    if is_draft:
        await permit(call, Action.PUT, ref, ref.tenant)
    elif ref.type not in rooms.types:
        raise NotFound("Not found")
    async with _turn(call, ref, caller):
        if is_draft:
            read = await _drafting(call, ref)
            report = await uninterrupted(rooms.sending.deliveries.check(read))
        else:
            read = _reader(rooms, ref)
            report = await _done(call, caller, ref, lambda: rooms.sending.deliveries.check(read))
    call.entry.result = "draft_tested" if is_draft else "tested"
    answer = {"_id": ref.document_id, "proved": report.proved, "duration_ms": report.duration_ms}
    return json_answer(200, {**answer, "steps": report.steps}, asked)


async def status(call: Call) -> web.Response:
    """Answer ``_status``."""
    ref, _ = await require_account(call, Action.GET)
    rooms, asked = call.rooms, parameters.known(call.path, call.parameters)
    stored = await rooms.registry.get(ref)
    if stored is None:
        raise NotFound("Not found")
    public = stored.account.source
    answer: dict[str, Any] = {
        "_id": ref.document_id,
        **integrity(sealing.verify(stored.account, rooms.keyring)),
        "disabled": public.get("disabled") is True,
        **await rooms.sending.health.of(ref),
        **_expiry(public.get("expires_at"), datetime.now(UTC).date()),
    }
    return json_answer(200, answer, asked)


async def recent_use(rooms: Rooms, ref: Ref) -> list[str]:
    """Return what is to be warned of before an account goes: that it was in use lately."""
    try:
        used = (await rooms.sending.health.of(ref)).get("last_use")
    except UpstreamError:
        return []  # a warning is not worth a refusal
    if used is None or datetime.fromisoformat(used["at"]) < datetime.now(UTC) - _RECENT:
        return []
    return [f"the account was used in the last 30 days, the last time on {used['at'][:10]}"]


def _message(data: bytes, schema: MessageSchema) -> Message:
    message = account_body.parse(data)
    schema.validate(message)
    return message


def _turn(call: Call, ref: Ref, caller: Identity) -> AbstractAsyncContextManager[None]:
    """Take a token of the account and of the caller; return what holds memory for the message."""
    sending = call.rooms.sending
    name = caller.name if caller.name is not None else f" {call.entry.address}"
    take((sending.account_buckets, ref.document_id), (sending.caller_buckets, name))
    size = min(call.request.content_length or 0, sending.max_body)
    if call.request.can_read_body and (size == 0 or hdrs.CONTENT_ENCODING in call.request.headers):
        size = sending.max_body  # nobody knows before it is inflated
    return sending.memory.of(name, size)


async def _done(
    call: Call, caller: Identity, ref: Ref, act: Callable[[], Awaitable[Report]]
) -> Report:
    """Deliver, or check, to the end, and note how it went."""
    sending, action = call.rooms.sending, call.entry.action or ""
    by = caller.name
    outcome = "error"

    async def noted() -> Report:
        nonlocal outcome
        try:
            report = await act()
        except DeliveryFailed as error:
            outcome = str(error.reason)
            said = {"by": by, "step": str(error.step), "reason": outcome}
            sending.health.note(ref, "last_error", **said)
            sending.health.note(ref, _KIND[action], **({"outcome": "failure"} | said))
            raise
        except (CallerError, SealingError):
            outcome = "not_tried"
            raise
        except UpstreamError:
            outcome = "cluster_unavailable"
            raise
        else:
            outcome = "success"
            sending.health.note(ref, _KIND[action], by=by, outcome=outcome, proved=report.proved)
            if action == "test" or report.delivered:  # what is simulated proves nothing
                sending.health.note(ref, "last_success", by=by)
            return report
        finally:
            sending.ended[ref.type, action, outcome] += 1

    return await uninterrupted(noted())


_KIND: Final = {"send": "last_use", "test": "last_check"}


def _reader(rooms: Rooms, ref: Ref) -> Callable[[], Awaitable[Opened]]:
    """Return what reads the account from the cluster, verifies and opens it, each time anew."""

    async def read() -> Opened:
        try:
            stored = await rooms.registry.get(ref)
        except UpstreamError as error:
            # Whatever became of the question: nothing has been done, and a repeat is safe.
            raise Unavailable(f"The account cannot be read now. {error.message}") from error
        if stored is None:
            raise NotFound("Not found")
        account = sealing.open_sealed(stored.account, rooms.keyring)
        if account.public.get("disabled"):
            raise Unusable(f"The account '{ref.document_id}' is disabled.")
        version = stored.version
        return Opened(account, f"{version.version}.{version.seq_no}.{version.primary_term}")

    return read


async def _drafting(call: Call, ref: Ref) -> Callable[[], Awaitable[Opened]]:
    """Return what gives the draft in the body, made of the stored account as a PUT would."""
    rooms = call.rooms
    body = account_body.parse(await receive.body(call.request, rooms.body_timeout_s))
    stored = await rooms.registry.get(ref)
    _, account = drafted(rooms, ref, body, stored)
    if account.public.get("disabled"):
        raise Unusable("The draft is disabled.")

    async def read() -> Opened:
        # No access token is used again for another draft.
        return Opened(account, f"draft {secrets.token_hex(8)}")

    return read


def _idempotency_key(request: web.Request) -> str | None:
    values = request.headers.getall("Idempotency-Key", [])
    if not values:
        return None
    if len(values) > 1 or not _KEY.fullmatch(values[0]):
        raise InvalidParameter(
            "Idempotency-Key has to be one value of at most 255 visible ASCII characters."
        )
    return values[0]


def _expiry(expires_at: Any, today: date) -> dict[str, Any]:
    try:
        day = date.fromisoformat(expires_at)
    except (TypeError, ValueError):
        return {}
    return {"expires_at": day.isoformat(), "days_to_expiry": (day - today).days}
