"""The standard ``/_search/scroll``, for scroll ids of ours: the next page of a search for accounts.

Rules of the file

- Which requests are ours is told by :func:`concerns_us` alone: those that name an id of ours where
  Elasticsearch would read it. The cluster gets every other as it came.
- An id grants nothing: the search in it is validated and authorised as any other. So it is read
  before the authorizer is asked, for it names the tenant.
- There is nothing to clear, for an id holds no state. Ids of the cluster's that are to be cleared
  together with ours are cleared there, as the caller.
"""

import json
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from aiohttp import hdrs, web

from signals_proxy.account import body as account_body
from signals_proxy.account import scroll
from signals_proxy.account.body import Json
from signals_proxy.api import parameters, receive
from signals_proxy.api.answer import json_answer
from signals_proxy.api.handlers import Handler
from signals_proxy.api.rooms import Call
from signals_proxy.api.searching import answer_search
from signals_proxy.errors import InvalidBody, InvalidParameter, NotFound

__all__ = ["HANDLERS", "PASS_ON", "PassOn", "concerns_us", "is_scroll", "query_of"]

PassOn = Callable[[bytes, bytes], Awaitable[tuple[int, Sequence[tuple[bytes, bytes]], bytes]]]
"""Sends a request to the cluster, with no more rights than its head gives.

From a head of HTTP/1.0 and a body to the status, the fields and the body of the answer.
"""

PASS_ON: Final[web.AppKey[PassOn | None]] = web.AppKey("pass_on")

_PATH: Final = "/_search/scroll"
_PARAMETERS: Final = frozenset(
    {
        *("scroll", "scroll_id", "source", "source_content_type"),
        *("rest_total_hits_as_int", "typed_keys"),
    }
)
_MOST_INFLATED: Final = 64 * 1024  # bytes; as many as are looked at of a plain body
_GZIP: Final = b"\x1f\x8b"

# What describes the connection or a body that is not passed on; an answer comes without a coding.
_NOT_PASSED_ON: Final = frozenset(
    {
        *("accept-encoding", "connection", "content-encoding", "content-length"),
        *("expect", "transfer-encoding"),
    }
)
_NOT_PASSED_BACK: Final = frozenset({"content-length", "date"})


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request says: the ids, the new time to live if there is one, where the ids stood."""

    ids: tuple[str, ...]
    scroll: Json
    in_body: bool

    @property
    def ours(self) -> int:
        return sum(map(scroll.is_ours, self.ids))


def is_scroll(target: str) -> bool:
    """Tell whether a request target is the standard one for scrolls, or below it."""
    return target.startswith(_PATH) and target[len(_PATH) : len(_PATH) + 1] in {"", "/", "?"}


def query_of(target: str) -> tuple[tuple[str, str], ...]:
    """Return the parameters of a target. Raises ``InvalidParameter``."""
    query = target.partition("?")[2]
    try:
        return tuple(parse_qsl(query, keep_blank_values=True, errors="strict"))
    except ValueError:
        raise InvalidParameter("The query is not UTF-8.") from None


def concerns_us(target: str, body: bytes) -> bool:
    """Tell whether a request for a target that :func:`is_scroll` names an id of ours.

    ``body`` is the whole body as it came, whether plain or gzip.
    """
    try:
        return bool(_asked(target, query_of(target), _inflated(body)).ours)
    except (InvalidParameter, InvalidBody):
        return False


def _inflated(body: bytes) -> bytes:
    if not body.startswith(_GZIP):
        return body
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(body, _MOST_INFLATED + 1)
    except zlib.error:
        return b""
    whole = inflater.eof and not inflater.unused_data and len(inflated) <= _MOST_INFLATED
    return inflated if whole else b""


def _asked(target: str, pairs: Sequence[tuple[str, str]], body: bytes) -> _Asked:
    """Return what a request says; as in Elasticsearch, its body wins over its target.

    Raises ``InvalidBody``.
    """
    given = dict(pairs)
    in_path = unquote(target.partition("?")[0].removeprefix(_PATH).removeprefix("/"))
    ids = tuple(filter(None, (in_path or given.get("scroll_id", "")).split(",")))
    scroll_for: Json = given.get("scroll")
    source = body.strip() or given.get("source", "").encode()
    if not source:
        return _Asked(ids, scroll_for, in_body=False)
    members = account_body.parse(source)
    unknown = sorted(members.keys() - {"scroll", "scroll_id"})
    if unknown:
        raise InvalidBody(_unknown(unknown[0]))
    if "scroll_id" not in members:
        return _Asked(ids, members.get("scroll", scroll_for), in_body=False)
    found = members["scroll_id"]
    several = found if isinstance(found, list) else [found]
    if not all(isinstance(it, str) for it in several):
        raise InvalidBody(_unknown("scroll_id"))
    return _Asked(
        tuple(it for it in several if isinstance(it, str)),
        members.get("scroll", scroll_for),
        in_body=bool(body.strip()),
    )


def _unknown(member: str) -> str:
    return (
        f"Unknown parameter [{member[:64]}] in request body or parameter is of the wrong type: a"
        " scroll takes [scroll_id] and [scroll]"
    )


async def _continue(call: Call) -> web.Response:
    call.entry.action = "search"
    asked, given = await _read(call)
    if len(asked.ids) != 1:
        raise InvalidParameter("One scroll id can be continued at a time")
    search = scroll.of(asked.ids[0], call.rooms.fields, asked.scroll)
    if parameters.boolean(given, "rest_total_hits_as_int"):
        search = replace(search, total_as_int=True)
    return await answer_search(call, search, given)


async def _clear(call: Call) -> web.Response:
    call.entry.action = "clear_scroll"
    asked, given = await _read(call)
    rest = [it for it in asked.ids if not scroll.is_ours(it)]
    freed, succeeded = asked.ours, True
    if rest:
        pass_on = call.request.app[PASS_ON]
        if pass_on is None:
            raise NotFound("Ids of the cluster's are not cleared at this address.")
        status, fields, body = await pass_on(*_for_cluster(call.request, rest, asked))
        told = _freed(status, body)
        if told is None:
            return _as_it_came(status, fields, body)
        freed, succeeded = freed + told[1], told[0]
    call.entry.result = "cleared"
    answer = {"succeeded": succeeded, "num_freed": freed}
    return json_answer(200, answer, given)


HANDLERS: Final[Mapping[str, Handler]] = {"GET": _continue, "POST": _continue, "DELETE": _clear}
"""Which method is whose; the order is that of ``Allow``."""


async def _read(call: Call) -> tuple[_Asked, Mapping[str, str]]:
    """Return what a call says, and its parameters. Raises ``NotFound`` if no id is ours."""
    given = parameters.known(call.path, call.parameters, _PARAMETERS)
    body = b""
    if call.request.can_read_body:  # who sends none may call it whatever he likes
        body = await receive.body(call.request, call.rooms.body_timeout_s)
    asked = _asked(receive.target(call.request), call.parameters, body)
    if not asked.ours:
        raise NotFound("Not found")
    return asked, given


# --- the cluster's own ---------------------------------------------------------------------------


def _for_cluster(request: web.Request, ids: Sequence[str], asked: _Asked) -> tuple[bytes, bytes]:
    """Return head and body of the request that clears ``ids``, which stand where they stood."""
    left_out = _NOT_PASSED_ON if asked.in_body else _NOT_PASSED_ON | {"content-type"}
    fields = [
        name + b": " + value + b"\r\n"
        for name, value in request.raw_headers
        if name.decode("latin-1").lower() not in left_out
    ]
    if asked.in_body:
        body = json.dumps({"scroll_id": ids}).encode()
        fields.append(b"Content-Length: %d\r\n" % len(body))
        path = _PATH
    else:
        body = b""
        path = f"{_PATH}/{','.join(quote(it, safe='') for it in ids)}"
    return b"".join([f"DELETE {path} HTTP/1.0\r\n".encode(), *fields, b"\r\n"]), body


def _freed(status: int, body: bytes) -> tuple[bool, int] | None:
    """Return what the cluster says it did; None if it says something else."""
    if status not in {200, 404}:  # 404: it knew none of them
        return None
    try:
        members = account_body.parse(body)
    except InvalidBody:
        return None
    match members:
        case {"succeeded": bool(succeeded), "num_freed": int(freed)}:
            return succeeded, freed
        case _:
            return None


def _as_it_came(status: int, fields: Sequence[tuple[bytes, bytes]], body: bytes) -> web.Response:
    response = web.Response(status=status, body=body)
    response.headers.popall(hdrs.CONTENT_TYPE, None)
    for name, value in fields:
        text = name.decode("latin-1")
        if text.lower() not in _NOT_PASSED_BACK:
            response.headers.add(text, value.decode("utf-8", "surrogateescape"))
    return response
