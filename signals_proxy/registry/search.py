"""One search in the index: asked of the cluster, and read.

Rules of the file:

- An answer is as large as its caller's page, times what others wrote. It is bounded (see
  ``client``), and put into values in a thread: everybody else would wait meanwhile.
- Its caller is told what the cluster has against a search, in the cluster's words. They quote the
  search, never a document.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from elastic_transport import ApiResponse, SerializationError
from elasticsearch import AsyncElasticsearch

from signals_proxy.errors import InvalidBody
from signals_proxy.registry.border import Unreadable, border, error_type, nonsense, refusal
from signals_proxy.registry.client import UNPARSED, read_json

__all__ = ["ask", "hits", "read"]

_ACT: Final = "search the accounts"

_LONGEST: Final = 1000
_SMALL: Final = 64 * 1024  # bytes; less is read at once


async def ask(
    client: AsyncElasticsearch, index: str, request: Mapping[str, Any]
) -> ApiResponse[Any]:
    """Return the answer, which is one of 400 or 404 too if that is no error to the client.

    Raises as ``border`` does.
    """
    with border(_ACT):
        return await client.perform_request(
            "POST",
            f"/{index}/_search",
            params={"allow_partial_search_results": "false"},
            headers={
                "accept": "application/json",
                "content-type": "application/json",
                UNPARSED: "",
            },
            body=dict(request),
        )


async def read(answer: ApiResponse[Any]) -> Mapping[str, Any] | None:
    """Return what an answer says; None if there is no index.

    Raises :class:`InvalidBody` for a search that the cluster refused, :class:`Unreadable` for an
    answer that is no JSON of a sensible shape, and :class:`Refused`.
    """
    body = answer.body
    if isinstance(body, bytes):
        try:
            found = (
                read_json(body) if len(body) < _SMALL else await asyncio.to_thread(read_json, body)
            )
        except SerializationError:
            raise Unreadable("The cluster's answer to a search could not be read.") from None
        if not isinstance(found, dict):
            raise nonsense(_ACT)
        return found
    kind = error_type(body)
    if kind == "index_not_found_exception":
        return None
    if answer.meta.status == 400 and kind:
        raise InvalidBody(_reason(body["error"]))
    if kind:
        raise refusal(_ACT, answer.meta.status, kind)
    raise nonsense(_ACT)


def hits(found: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the hits of an answer, which have an ``_id``. Raises :class:`Refused` if it has none."""
    match found:
        case None:
            return []
        case {"hits": {"hits": [*listed]}} if all(
            isinstance(hit, dict) and isinstance(hit.get("_id"), str) for hit in listed
        ):
            return listed
        case _:
            raise nonsense(_ACT)


def _reason(error: Mapping[str, Any]) -> str:
    """Return why: of a failed search itself it is only told that it failed."""
    match error:
        case {"root_cause": [{"type": str(kind), "reason": str(reason)}, *_]}:
            return f"The cluster refuses the search: [{kind[:64]}] {reason[:_LONGEST]}"
        case _:
            return f"The cluster refuses the search: [{str(error.get('type'))[:64]}]"
