"""What a search for accounts is answered with: Elasticsearch's answer, redacted.

Rule of the file: of a hit, only what is listed goes on. Its document is shown as ``shown`` returns
it, and not at all where that is None.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from signals_proxy.account import scroll
from signals_proxy.account import search as searches
from signals_proxy.account.body import Json
from signals_proxy.account.search import Search
from signals_proxy.errors import InvalidBody, Refused

__all__ = ["NONSENSE", "Shown", "answer"]

Shown = Callable[[str, Mapping[str, Json]], Mapping[str, Any] | None]
"""From the ``_id`` and the ``_source`` of a hit to what may be shown of it, the ``_source`` among it.

None leaves the hit out.
"""

NONSENSE: Final = (
    "The cluster's answer to a search made no sense: see whether what upstream.hosts names is"
    " Elasticsearch itself."
)
_EMPTY: Final[Mapping[str, Any]] = {
    "took": 0,
    "timed_out": False,
    "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
    "hits": {"total": {"value": 0, "relation": "eq"}, "max_score": None, "hits": []},
}


def answer(search: Search, found: Mapping[str, Any] | None, shown: Shown) -> dict[str, Any]:
    """Return the answer to a search.

    ``found`` is what the cluster answered to ``search.request()``; None if there is no index.

    Raises ``Refused`` if that is no answer to a search, ``InvalidParameter`` if the id of the next
    page would be too long.
    """
    found = _without_index(search) if found is None else found
    match found:
        case {"hits": {"hits": [*hits], **others}} if all(map(_is_hit, hits)):
            pass
        case _:
            raise Refused(NONSENSE)
    of_hits: dict[str, Any] = {}
    total = others.get("total")
    if search.total_as_int:
        of_hits["total"] = total["value"] if isinstance(total, dict) else -1
    elif total is not None:
        of_hits["total"] = total
    of_hits["max_score"] = others.get("max_score")
    of_hits["hits"] = [it for hit in hits for it in _hit(search, hit, shown)]
    given = {name: found[name] for name in ("took", "timed_out", "_shards") if name in found}
    if search.scroll is None:
        return {**given, "hits": of_hits}
    return {"_scroll_id": scroll.write(_next(search, hits)), **given, "hits": of_hits}


def _is_hit(hit: Any) -> bool:
    return (
        isinstance(hit, dict)
        and isinstance(hit.get("_id"), str)
        and isinstance(hit.get("_source"), dict)
        and isinstance(hit.get("sort", []), list)
    )


def _hit(search: Search, hit: Mapping[str, Any], shown: Shown) -> list[dict[str, Any]]:
    ours = shown(hit["_id"], hit["_source"])
    if ours is None:
        return []
    answered = {name: hit[name] for name in ("_index", "_id", "_score") if name in hit}
    for name, value in ours.items():
        if name != "_source":
            answered[name] = value
        elif search.source.shown:
            answered[name] = search.source.of(value)
    # The last of the sort values are those of our own order, where there is one.
    if search.sort and "sort" in hit:
        answered["sort"] = hit["sort"][: len(search.sort)]
    if "matched_queries" in hit:
        answered["matched_queries"] = hit["matched_queries"]
    return [answered]


def _next(search: Search, hits: list[Any]) -> Search:
    """Return the search for the page after these hits; after the last page, the same again."""
    if not hits:
        return search
    try:
        return searches.after(search, hits[-1].get("sort"), scrolling=True)
    except InvalidBody:
        raise Refused(NONSENSE) from None


def _without_index(search: Search) -> Mapping[str, Any]:
    if search.total is not False:
        return _EMPTY
    hits = {name: value for name, value in _EMPTY["hits"].items() if name != "total"}
    return {**_EMPTY, "hits": hits}
