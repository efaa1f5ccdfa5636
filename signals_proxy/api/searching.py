"""Search for accounts: what is asked of the cluster, and what of its answer is shown.

Rules of the file: whatever lies in the index may have been written by somebody else. So a hit is
shown as its account is, redacted, with what is known of its seal; and not at all if its ``_id`` is
none of an account that the caller's tenant sees.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from signals_proxy.account import body as account_body
from signals_proxy.account import document, page, sealing
from signals_proxy.account import search as searches
from signals_proxy.account.body import Json
from signals_proxy.account.document import SealedAccount
from signals_proxy.account.ref import Ref
from signals_proxy.account.search import Search
from signals_proxy.account.visible import Visible
from signals_proxy.api import parameters, receive
from signals_proxy.api.answer import integrity, json_answer
from signals_proxy.api.rooms import Call, Rooms, require
from signals_proxy.authorization import Action
from signals_proxy.errors import InvalidParameter, Refused

__all__ = ["answer_search", "search"]

_FEW: Final = 64
"""So many hits are worked on at once; more are left to a thread, as everybody would wait."""

_INSTEAD_OF_A_BODY: Final = frozenset({"source", "source_content_type"})


async def search(call: Call) -> web.Response:
    """Answer ``_search``, whose body may be missing, or stand in the parameter ``source``."""
    caller = await require(call, Action.SEARCH, None, call.tenant)
    names = searches.PARAMETERS
    asked = parameters.known(call.path, call.parameters, names | _INSTEAD_OF_A_BODY)
    data = await receive.body(call.request, call.rooms.body_timeout_s)
    if data or "source" not in asked:
        parameters.known(call.path, call.parameters, names)
    else:
        data = _source(asked)
    body = account_body.parse(data) if data else {}
    wanted = searches.parse(body, asked, call.tenant, call.rooms.fields)
    return await _answered(call, wanted, asked, caller.visible)


async def answer_search(call: Call, search: Search, asked: Mapping[str, str]) -> web.Response:
    """Answer a search that was found elsewhere than in a call of ``_search``.

    ``asked`` are the parameters of the call. Whether the caller may do it is asked here.
    """
    caller = await require(call, Action.SEARCH, None, search.tenant)
    return await _answered(call, search, asked, caller.visible)


async def _answered(
    call: Call, search: Search, asked: Mapping[str, str], visible: Visible | None
) -> web.Response:
    rooms = call.rooms
    rights = None if visible is None else visible.query(search.tenant, rooms.types)
    found = await rooms.registry.search(search.request(rights))

    def answered() -> web.Response:
        shown = _Shown(rooms, search.tenant, visible)
        try:
            return json_answer(200, page.answer(search, found, shown), asked)
        except UnicodeEncodeError:  # half of a surrogate pair, of which no node makes an answer
            raise Refused(page.NONSENSE) from None

    return answered() if search.size <= _FEW else await asyncio.to_thread(answered)


def _source(asked: Mapping[str, str]) -> bytes:
    """Return the body that a parameter holds. Raises :class:`InvalidParameter`."""
    media_type = asked.get("source_content_type")
    if media_type is None:
        raise InvalidParameter(
            "Validation Failed: 1: source and source_content_type parameters are required;"
        )
    if not receive.is_json(media_type):
        raise InvalidParameter(
            f"Validation Failed: 1: Unknown value for source_content_type [{media_type[:64]}];"
        )
    return asked["source"].encode()


class _Shown:
    """What is shown of a hit to who searches in a tenant."""

    def __init__(self, rooms: Rooms, tenant: str | None, visible: Visible | None) -> None:
        self._rooms = rooms
        self._tenant = tenant
        self._visible = visible

    def __call__(self, document_id: str, source: Mapping[str, Json]) -> dict[str, Any] | None:
        ref = Ref.of_document(document_id)
        account_type = self._rooms.types.get(ref.type) if ref is not None else None
        if ref is None or account_type is None or ref.tenant not in {None, self._tenant}:
            return None
        if self._visible is not None and not self._visible.includes(ref):
            return None
        account = SealedAccount(ref, source)
        return {
            **integrity(sealing.verify(account, self._rooms.keyring)),
            "_source": document.redact(account, account_type),
        }
