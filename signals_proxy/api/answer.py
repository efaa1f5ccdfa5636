"""Answers in Elasticsearch's shape, with the fields that every one of them carries."""

import json
import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import hdrs, web

from signals_proxy import __version__
from signals_proxy.account.sealing import Integrity
from signals_proxy.api import parameters
from signals_proxy.api.filter_path import filtered
from signals_proxy.errors import (
    DeliveryFailed,
    InvalidAccount,
    SignalsError,
    TooManyAttempts,
    TooOften,
    Unauthenticated,
    WrongMethod,
)

__all__ = [
    "error",
    "finish_fields",
    "integrity",
    "internal_error",
    "json_answer",
    "of_error",
    "reason",
    "warned",
]

_JSON: Final = "application/json"
_NOTHING: Final[Mapping[str, str]] = {}
_BIG: Final = 64 * 1024  # bytes; as much is packed in a thread


def json_answer(
    status: int, body: Mapping[str, Any], asked: Mapping[str, str] = _NOTHING
) -> web.Response:
    """Return a JSON answer, filtered and laid out as the parameters of the call ask for."""
    body = filtered(body, asked.get("filter_path", ""))
    if parameters.boolean(asked, "pretty"):
        text = json.dumps(body, ensure_ascii=False, indent=2, separators=(",", " : ")) + "\n"
    else:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(
        status=status,
        body=text.encode(),
        headers={hdrs.CONTENT_TYPE: _JSON},
        zlib_executor_size=_BIG,
    )


def warned(response: web.Response, texts: Iterable[str]) -> web.Response:
    """Add a ``Warning`` to an answer for each text, which is printable ASCII without quotes."""
    for text in texts:
        response.headers.add("Warning", f'299 signals-proxy-{__version__} "{text}"')
    return response


def integrity(found: Integrity) -> dict[str, str]:
    """Return what is said of an account's seal: its state, and unless all is well what to do."""
    said = {"integrity": found.value}
    return said if found is Integrity.VERIFIED else {**said, "remedy": found.remedy}


def error(status: int, message: str) -> web.Response:
    """Return an error in the one shape that all of ours have."""
    return json_answer(status, {"status": status, "error": message})


def internal_error(request_id: str) -> web.Response:
    """Return the answer to what nobody foresaw: where to look, and nothing else."""
    return error(500, f"Internal error; the proxy's log tells more about request {request_id}.")


def of_error(failure: SignalsError, *, pretty: bool = False) -> web.Response:
    """Return the answer for one of our errors, with the fields that belong to it.

    ``pretty`` lays it out; as in Elasticsearch, an error is never filtered.
    """
    detail = None
    if isinstance(failure, InvalidAccount):
        detail = {
            name: [item.as_json() for item in items] for name, items in failure.details.items()
        }
    body: dict[str, Any] = {"status": failure.status, "error": failure.message}
    if detail is not None:
        body["detail"] = detail
    if isinstance(failure, DeliveryFailed):
        body |= {"step": failure.step, "reason": failure.reason}
        body["duration_ms"] = failure.duration_ms
        if failure.answer:
            body["answer"] = failure.answer
    answer = json_answer(failure.status, body, {"pretty": str(pretty).lower()})
    if isinstance(failure, WrongMethod):
        answer.headers[hdrs.ALLOW] = ",".join(failure.allowed)
    if isinstance(failure, Unauthenticated):
        for challenge in failure.challenges:
            answer.headers.add(hdrs.WWW_AUTHENTICATE, challenge)
    if isinstance(failure, DeliveryFailed) and failure.retry_after_s is not None:
        answer.headers[hdrs.RETRY_AFTER] = str(math.ceil(failure.retry_after_s))
    if isinstance(failure, TooManyAttempts | TooOften):
        answer.headers[hdrs.RETRY_AFTER] = str(failure.retry_after_s)
    return answer


def finish_fields(answer: web.StreamResponse, product: str | None, opaque_id: str | None) -> None:
    """Set what every answer carries, and take away what only a web server would add.

    ``product`` is the cluster's ``X-elastic-product``, without which official clients take us for
    something else. ``opaque_id`` is the request's ``X-Opaque-Id``, which Elasticsearch gives back.
    """
    fields = answer.headers
    fields.popall(hdrs.SERVER, None)
    fields["X-Content-Type-Options"] = "nosniff"
    fields[hdrs.CACHE_CONTROL] = "no-store"
    if product is not None:
        fields["X-elastic-product"] = product
    if opaque_id is not None:
        fields["X-Opaque-Id"] = opaque_id


def reason(status: int) -> str:
    """Return the words for a status, such as ``Not Found``."""
    return HTTPStatus(status).phrase
