"""Which accounts are in use: the watches of the reference product name them, in an index of its own.

Rules of the file:

- What cannot be told counts as used: an index that may not be read, a shard that does not answer,
  more watches than can be looked through. Only an index that is missing has no watches.
- Of a watch nothing is read but what names accounts: the rest may hold its author's credentials.
- The query finds at least the watches that name the account, whatever mapping Elasticsearch gave
  them; which of them really do is seen in their source. There an action's type and its account stay
  together, and an action that names no account means the one called ``default``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from elasticsearch import AsyncElasticsearch

from signals_proxy.account.ref import Ref
from signals_proxy.errors import Refused, Unavailable, UpstreamError
from signals_proxy.registry.border import border, error_type, nonsense, refusal

__all__ = ["WATCHES", "Watches"]

WATCHES: Final = ".signals_watches"

_ACT: Final = "search the watches"
_ACTIONS: Final = ("actions", "resolve_actions")
_MOST: Final = 10_000
"""Watches that are looked through: as many as a search gives at once."""

_DEFAULT: Final = "default"
_LONGEST_KEYWORD: Final = 256
"""Characters of a text that dynamic mapping indexes as a whole."""

_READ: Final = (
    "_tenant",
    # An action with a request of its own needs no account.
    *(f"{name}.{it}" for name in _ACTIONS for it in ("type", "account", "request.method")),
)
_SHOWN: Final = (
    *("error.type", "timed_out", "_shards.failed", "hits.total", "hits.hits._source"),
    "status",
)


class Watches:
    """The watches in the index ``name``."""

    def __init__(self, client: AsyncElasticsearch, name: str = WATCHES) -> None:
        self._client = client.options(ignore_status=(401, 403, 404))
        self._name = name

    async def use(self, ref: Ref) -> bool:
        """Tell whether a watch names the account.

        A watch of any tenant may mean a global account, one of a tenant only that tenant's own.

        Raises :class:`Unavailable` if that cannot be told.
        """
        try:
            return any(_names(watch, ref) for watch in await self._candidates(ref))
        except UpstreamError as error:
            raise Unavailable(
                "Nothing was done, as it cannot be told whether a watch uses the account."
                f" {error.message}"
            ) from error

    async def _candidates(self, ref: Ref) -> list[Any]:
        with border(_ACT):
            answer = await self._client.search(
                index=self._name,
                query={"bool": {"should": [_naming(name, ref) for name in _ACTIONS]}},
                source_includes=[*_READ],
                size=_MOST,
                track_total_hits=True,
                allow_partial_search_results=False,
                filter_path=[*_SHOWN],
            )
        body: Any = answer.body
        status, kind = answer.meta.status, error_type(body)
        if kind == "index_not_found_exception":
            return []
        if status in {401, 403}:
            raise Refused(
                f"The cluster does not let the proxy read {self._name} ({status} {kind}): give the"
                " user of registry.credentials the right to read it, though it may not exist."
            )
        if status != 200:
            raise refusal(_ACT, status, kind)
        match body:
            case {
                "timed_out": False,
                "_shards": {"failed": 0},
                "hits": {"total": {"value": int(total)}},
            }:
                found = [hit["_source"] for hit in body["hits"].get("hits", ())]
            case _:
                raise nonsense(_ACT)
        if len(found) != total:
            raise Refused(
                f"{self._name} has {total} watches that may use it; {len(found)} could be read."
            )
        return found


def _naming(actions: str, ref: Ref) -> Mapping[str, Any]:
    """Return a query that finds at least the watches of which such an action names the account."""
    whole = [{"match": {f"{actions}.type": {"query": ref.type, "operator": "and"}}}]
    if ref.id == _DEFAULT or len(ref.id) > _LONGEST_KEYWORD:
        return {"bool": {"filter": whole}}
    words = {"query": ref.id, "operator": "and", "zero_terms_query": "all", "lenient": True}
    either = [
        {"term": {f"{actions}.account.keyword": ref.id}},
        {"match": {f"{actions}.account": words}},
    ]
    return {"bool": {"filter": [*whole, {"bool": {"should": either}}]}}


def _names(watch: Mapping[str, Any], ref: Ref) -> bool:
    if ref.tenant not in {None, watch.get("_tenant", ref.tenant)}:
        return False
    return any(
        action.get("type") == ref.type
        and (action.get("account") or ("" if "request" in action else _DEFAULT)) == ref.id
        for action in _actions_of(watch)
    )


def _actions_of(watch: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in _ACTIONS:
        actions = watch.get(name, ())
        for action in actions if isinstance(actions, list) else [actions]:
            if isinstance(action, dict):
                yield action
