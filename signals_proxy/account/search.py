"""What a search for accounts asks for, and what is asked of the cluster for it.

Rules of the file: whatever is not listed is refused; what the cluster is asked is built anew from
what was understood, with the caller's query inside of what the caller may see.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn

from signals_proxy.account import query as queries
from signals_proxy.account import sort as sorting
from signals_proxy.account import source_filter
from signals_proxy.account.body import Json
from signals_proxy.account.sort import TOTAL_ORDER
from signals_proxy.account.source_filter import SourceFilter
from signals_proxy.errors import InvalidBody, InvalidParameter

__all__ = ["MAX_WINDOW", "PARAMETERS", "Search", "after", "keep_alive", "parse"]

MAX_WINDOW: Final = 10_000
"""How many hits can be reached by ``from`` and ``size``, as in Elasticsearch."""

_OF_Q: Final[Mapping[str, str]] = {
    "q": "query",
    "df": "default_field",
    "default_operator": "default_operator",
    "lenient": "lenient",
    "analyze_wildcard": "analyze_wildcard",
}
_WITHOUT_EFFECT: Final = {
    *("typed_keys", "ignore_unavailable", "allow_no_indices", "expand_wildcards"),
    *("ignore_throttled", "preference", "search_type"),
}
PARAMETERS: Final = frozenset(
    {
        *("from", "size", "sort", "scroll", "track_total_hits", "rest_total_hits_as_int"),
        *(_OF_Q.keys() | source_filter.PARAMETERS | _WITHOUT_EFFECT),
    }
)
"""The query parameters of a search, beside those of every call and what stands for a body."""

_MEMBERS: Final = ("query", "sort", "from", "size", "search_after", "track_total_hits", "_source")

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,9}")
_TIME: Final = re.compile("(?P<count>[0-9]{1,18})(?P<unit>nanos|micros|ms|s|m|h|d)|-1|0+")
_IN_A_DAY: Final[Mapping[str, int]] = {
    "nanos": 86_400_000_000_000,
    "micros": 86_400_000_000,
    "ms": 86_400_000,
    "s": 86_400,
    "m": 1440,
    "h": 24,
    "d": 1,
}


@dataclass(frozen=True, slots=True)
class Search:
    """What a caller asks for, checked.

    ``query`` and ``sort`` are as Elasticsearch takes them, in their long forms; ``start`` is
    ``from``; ``after`` the sort values of the last hit before this page; ``total`` is
    ``track_total_hits`` where it was given; ``scroll`` how long the caller wants a scroll to live,
    if it is one; ``total_as_int`` is ``rest_total_hits_as_int``.
    """

    tenant: str | None
    query: Mapping[str, Json] | None = None
    sort: Sequence[Mapping[str, Json]] = ()
    start: int = 0
    size: int = 10
    after: Sequence[Json] = ()
    total: bool | int | None = None
    source: SourceFilter = field(default_factory=SourceFilter)
    scroll: str | None = None
    total_as_int: bool = False

    def request(self, rights: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the body of the search that the cluster is asked for.

        ``rights`` is a query of ours which every hit has to fit as well, if there is one.
        Documents come whole, for it takes a whole one to redact it. Scores are those of the
        caller's query alone, which no filter changes.
        """
        found: dict[str, Any] = {
            "query": {
                "bool": {
                    "must": [self.query or {"match_all": {}}],
                    "filter": [_visible(self.tenant), *([rights] if rights else [])],
                }
            },
            "from": self.start,
            "size": self.size,
            "_source": True,
        }
        order = [*self.sort]
        if self.scroll is not None:
            # Scores change with every write, and a page goes on where the last one ended: so
            # only who sorts by them gets that order.
            order += TOTAL_ORDER
            found["track_scores"] = not self.sort
        if order:
            found["sort"] = order
        if self.after:
            found["search_after"] = [*self.after]
        if self.total is not None:
            found["track_total_hits"] = self.total
        return found


def _visible(tenant: str | None) -> Mapping[str, Any]:
    """What a tenant sees, or who has none: the global accounts, and its own."""
    is_global = {"bool": {"must_not": [{"exists": {"field": "_tenant"}}]}}
    if tenant is None:
        return is_global
    return {
        "bool": {
            "should": [is_global, {"term": {"_tenant": {"value": tenant}}}],
            "minimum_should_match": 1,
        }
    }


def parse(
    body: Mapping[str, Json],
    parameters: Mapping[str, str],
    tenant: str | None,
    fields: Mapping[str, str],
) -> Search:
    """Return what a body and query parameters ask for; a parameter wins over a member.

    ``parameters`` may hold others than ``PARAMETERS``, which are not looked at; ``fields`` is what
    ``query.searchable`` says. Raises ``InvalidBody`` and ``InvalidParameter``.
    """
    unknown = sorted(body.keys() - {*_MEMBERS})
    if unknown:
        raise InvalidBody(
            f"Unknown key [{unknown[0][:64]}]: a search for accounts takes {sorted(_MEMBERS)}"
        )
    _check_without_effect(parameters)
    found = Search(
        tenant=tenant,
        query=_query(body, parameters, fields),
        sort=sorting.parse(body.get("sort", []), parameters.get("sort", ""), fields),
        start=_count("from", body, parameters, 0),
        size=_count("size", body, parameters, 10),
        total=_total(body, parameters),
        source=source_filter.of_parameters(parameters)
        or source_filter.parse(body.get("_source", True)),
        scroll=keep_alive(parameters["scroll"]) if "scroll" in parameters else None,
        total_as_int=_switch(parameters, "rest_total_hits_as_int"),
    )
    if "search_after" in body:
        found = after(found, body["search_after"], scrolling=False)
    return _checked(found)


def after(search: Search, values: Json, *, scrolling: bool) -> Search:
    """Return the search that goes on after the hit of those sort values. Raises ``InvalidBody``."""
    if not isinstance(values, list):
        raise InvalidBody("[search_after] is an array of values")
    wanted = len(search.sort) + (len(TOTAL_ORDER) if scrolling else 0)
    if not values:
        raise InvalidBody("Values must contains at least one value.")
    if not wanted:
        raise InvalidBody("Sort must contain at least one field.")
    if len(values) != wanted:
        raise InvalidBody(f"search_after has {len(values)} value(s) but sort has {wanted}.")
    if not all(value is None or queries.is_scalar(value) for value in values):
        raise InvalidBody("[search_after] takes texts, numbers, booleans and null")
    return replace(search, after=tuple(values))


def keep_alive(value: Json) -> str:
    """Return how long a scroll is to live, which has no effect. Raises ``InvalidParameter``."""
    text = value if isinstance(value, str) else ""
    found = _TIME.fullmatch(text.lower())
    if found is None:
        raise InvalidParameter(
            f"failed to parse setting [scroll] with value [{text[:64]}] as a time value: unit is"
            " missing or unrecognized"
        )
    if found["unit"] and int(found["count"]) > _IN_A_DAY[found["unit"]]:
        raise InvalidParameter(
            f"Keep alive for request ({text}) is too large. It must be less than (1d)."
        )
    return text


def _query(
    body: Mapping[str, Json], parameters: Mapping[str, str], fields: Mapping[str, str]
) -> Mapping[str, Json] | None:
    asked: dict[str, Json] = {_OF_Q[name]: parameters[name] for name in _OF_Q if name in parameters}
    if not asked:
        return queries.read(body["query"], fields) if "query" in body else None
    if "q" not in parameters:
        raise InvalidParameter(
            f"the request contains parameters {sorted(_OF_Q.keys() & parameters.keys())} but"
            " missing query string parameter 'q'."
        )
    try:
        return queries.read({"query_string": asked}, fields)
    except InvalidBody as error:
        raise InvalidParameter(error.message) from None


def _count(name: str, body: Mapping[str, Json], parameters: Mapping[str, str], default: int) -> int:
    return _whole(name, parameters.get(name, body.get(name, default)))


def _whole(name: str, value: Json) -> int:
    text = str(value) if isinstance(value, int | str) else ""
    if not _INTEGER.fullmatch(text):
        raise InvalidParameter(f"Failed to parse int parameter [{name}] with value [{text[:64]}]")
    if int(text) < 0:
        raise InvalidParameter(f"[{name}] parameter cannot be negative, found [{text}]")
    return int(text)


def _total(body: Mapping[str, Json], parameters: Mapping[str, str]) -> bool | int | None:
    name = "track_total_hits"
    if name not in {*body, *parameters}:
        return None
    given = parameters.get(name, body.get(name))
    if isinstance(given, bool) or given in ("true", "false", ""):
        return given not in (False, "false")
    return given != -1 and _whole(name, given)


def _switch(parameters: Mapping[str, str], name: str) -> bool:
    value = parameters.get(name, "false")
    if value not in {"", "true", "false"}:
        raise InvalidParameter(
            f"Failed to parse value [{value[:64]}] as only [true] or [false] are allowed."
        )
    return value != "false"


def _checked(search: Search) -> Search:
    """Return the search, if its parts go together, and as they change one another."""
    window = search.start + search.size
    if search.scroll is not None:
        if search.start:
            _refuse_to_scroll("using [from] is not allowed in a scroll context")
        if not search.size:
            _refuse_to_scroll("[size] cannot be [0] in a scroll context")
        if search.total not in {None, True} or type(search.total) is int:
            _refuse_to_scroll("disabling [track_total_hits] is not allowed in a scroll context")
        if search.after:
            _refuse_to_scroll("[search_after] cannot be used in a scroll context")
    elif search.after and search.start:
        raise InvalidParameter(
            "Validation Failed: 1: [from] parameter must be set to 0 when [search_after] is used;"
        )
    if window > MAX_WINDOW and search.scroll is None:
        raise InvalidParameter(
            "Result window is too large, from + size must be less than or equal to:"
            f" [{MAX_WINDOW}] but was [{window}]. See the scroll api for a more efficient way to"
            " request large data sets."
        )
    if window > MAX_WINDOW:
        raise InvalidParameter(
            f"Batch size is too large, size must be less than or equal to: [{MAX_WINDOW}] but was"
            f" [{window}]."
        )
    if search.total_as_int and type(search.total) is int:
        raise InvalidParameter(
            "[rest_total_hits_as_int] cannot be used if the tracking of total hits is not"
            f" accurate, got {search.total}"
        )
    if search.total is None and (search.total_as_int or search.scroll is not None):
        search = replace(search, total=True)
    if search.scroll is not None:
        # A scroll has a total order of its own, which is as good as any order.
        search = replace(search, sort=tuple(it for it in search.sort if "_doc" not in it))
    return search


def _refuse_to_scroll(why: str) -> NoReturn:
    raise InvalidParameter(f"Validation Failed: 1: {why};")


def _check_without_effect(parameters: Mapping[str, str]) -> None:
    kind = parameters.get("search_type", "query_then_fetch")
    if kind not in {"query_then_fetch", "dfs_query_then_fetch"}:
        raise InvalidParameter(f"No search type for [{kind[:64]}]")
