"""All accounts at once: how many each key sealed, and which ones a key did not seal.

Rules of the file: whoever can write the index may have planted any number of documents with any
ids, so every answer is of bounded size, and holds ids alone, never what is stored. A count is of the
whole index or an error: never of the part of it that happened to answer.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from elastic_transport import ObjectApiResponse
from elasticsearch import AsyncElasticsearch

from signals_proxy.account.document import SEALED
from signals_proxy.errors import Unavailable, UpstreamError
from signals_proxy.registry.border import border, error_type, nonsense, refusal

__all__ = ["Page", "Sample", "Survey", "Tally"]

_KEY: Final = f"{SEALED}.key"
_EXAMPLES: Final = 3
_KEYS_NAMED: Final = 10
_PAGE: Final = 1000  # ids, of 512 bytes at most
_KEPT: Final = "5m"  # that the cluster keeps a scroll between two pages
_COUNT: Final = "count the accounts"
_LIST: Final = "list the accounts"
_WHOLE: Final[Mapping[str, Any]] = {
    "track_total_hits": True,
    "source": False,
    "allow_partial_search_results": False,
}


@dataclass(slots=True)
class Sample:
    """Some documents: how many, and the ids of the first few, as whoever wrote them chose them."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, document_id: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(document_id)


@dataclass(frozen=True, slots=True)
class Tally:
    """Documents by what sealed them.

    ``by_key`` has each key that was asked for, ``unknown`` the documents of other keys, the most
    frequent of which are in ``unknown_keys``, and ``unsealed`` those that name no key.
    """

    total: int
    by_key: Mapping[str, int]
    unknown: Sample
    unknown_keys: Mapping[str, int]
    unsealed: Sample


@dataclass(frozen=True, slots=True)
class Page:
    """The ids of some documents out of ``total``."""

    total: int
    document_ids: Sequence[str]


class Survey:
    """What lies in the index ``name``, which was checked to be the registry's."""

    def __init__(self, client: AsyncElasticsearch, name: str) -> None:
        # A page that was lost is not asked for again by itself: the next one would come instead.
        self._client = client.options(max_retries=0, ignore_status=404)
        self._name = name

    async def tally(self, key_ids: Sequence[str]) -> Tally | None:
        """Count the documents by key; None if there is no index.

        Raises :class:`UpstreamError`, also if a part of the index did not answer.
        """
        some = {"some": {"top_hits": {"size": _EXAMPLES, "_source": False}}}
        named = {"exists": {"field": _KEY}}
        unknown = {"bool": {"filter": named, "must_not": {"terms": {_KEY: [*key_ids]}}}}
        frequent = {"keys": {"terms": {"field": _KEY, "size": _KEYS_NAMED}}}
        with border(_COUNT):
            answer = await self._client.search(
                index=self._name,
                size=0,
                aggs={
                    "known": {"filters": {"filters": {k: {"term": {_KEY: k}} for k in key_ids}}},
                    "unknown": {"filter": unknown, "aggs": {**some, **frequent}},
                    "unsealed": {"filter": {"bool": {"must_not": named}}, "aggs": some},
                },
                **_WHOLE,
            )
        match _whole(_COUNT, answer):
            case None:
                return None
            case {
                "hits": {"total": {"value": int(total)}},
                "aggregations": {
                    "known": {"buckets": {**known}},
                    "unknown": {"keys": {"buckets": [*frequent_keys]}, **others},
                    "unsealed": unsealed,
                },
            }:
                return Tally(
                    total=total,
                    by_key={key: _count(known.get(key)) for key in key_ids},
                    unknown=_sample(others),
                    unknown_keys={_text("key", each): _count(each) for each in frequent_keys},
                    unsealed=_sample(unsealed),
                )
            case _:
                raise nonsense(_COUNT)

    async def not_sealed_by(self, key_id: str) -> AsyncGenerator[Page, None]:
        """Yield the ids of all documents that are there now and that the key did not seal.

        To be closed (``aclosing``): until then the cluster keeps something for it.
        Raises :class:`UpstreamError`, also if a part of the index does not answer.
        """
        await self.refresh()
        scroll_id: str | None = None
        try:
            with border(_LIST):
                answer = await self._client.search(
                    index=self._name,
                    scroll=_KEPT,
                    size=_PAGE,
                    sort=["_doc"],
                    query={"bool": {"must_not": {"term": {_KEY: key_id}}}},
                    **_WHOLE,
                )
            while (body := _whole(_LIST, answer)) is not None:
                scroll_id = _text("_scroll_id", body)
                page = _page(body)
                if not page.document_ids:
                    break
                yield page
                with border(_LIST):
                    answer = await self._client.scroll(scroll_id=scroll_id, scroll=_KEPT)
        finally:
            if scroll_id is not None:
                with suppress(UpstreamError), border(_LIST):  # it would end by itself, later
                    await self._client.clear_scroll(scroll_id=scroll_id)

    async def refresh(self) -> None:
        """Have searches see everything that was written."""
        with border("refresh the registry's index"):
            await self._client.indices.refresh(index=self._name)


def _whole(act: str, answer: ObjectApiResponse[Any]) -> Any:
    """Return an answer if all shards took part; None if there is no index."""
    body = answer.body
    if answer.meta.status == 404:
        if (kind := error_type(body)) == "index_not_found_exception":
            return None
        raise refusal(act, 404, kind) if kind else nonsense(act)
    match body:
        case {"timed_out": False, "_shards": {"failed": 0}}:
            return body
        case {"timed_out": bool(), "_shards": {"failed": int()}}:
            raise Unavailable(f"Part of the registry's index did not {act}; try again later.")
        case _:
            raise nonsense(act)


def _page(body: Any) -> Page:
    match body:
        case {"hits": {"total": {"value": int(total)}, "hits": [*hits]}}:
            return Page(total, [_text("_id", hit) for hit in hits])
        case _:
            raise nonsense(_LIST)


def _sample(bucket: Any) -> Sample:
    match bucket:
        case {"some": {"hits": {"hits": [*hits]}}}:
            return Sample(_count(bucket), [_text("_id", hit) for hit in hits])
        case _:
            raise nonsense(_COUNT)


def _count(bucket: Any) -> int:
    match bucket:
        case {"doc_count": int(count)}:
            return count
        case _:
            raise nonsense(_COUNT)


def _text(name: str, of: Any) -> str:
    value = of.get(name) if isinstance(of, dict) else None
    if not isinstance(value, str):
        raise nonsense(_LIST)
    return value
