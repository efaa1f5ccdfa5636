"""In which order a search shows accounts."""

from collections.abc import Mapping, Sequence
from typing import Final

from signals_proxy.account import query as queries
from signals_proxy.account.body import Json
from signals_proxy.errors import InvalidBody

__all__ = ["TOTAL_ORDER", "parse"]

TOTAL_ORDER: Final[Sequence[Mapping[str, Json]]] = (
    {"_tenant": {"order": "asc", "missing": "_first", "unmapped_type": "keyword"}},
    {"type.keyword": {"order": "asc", "missing": "_last", "unmapped_type": "keyword"}},
    {"_name": {"order": "asc", "missing": "_last", "unmapped_type": "keyword"}},
)
"""In this order no two accounts are equal: it is what a scroll goes on by."""

_MOST: Final = 16
_MODES: Final = ("min", "max", "sum", "avg", "median")


def parse(given: Json, parameter: str, fields: Mapping[str, str]) -> tuple[Mapping[str, Json], ...]:
    """Return the sorts of a body, then those of the query parameter, in their long forms.

    ``fields`` is what ``query.searchable`` says. Raises ``InvalidBody``.
    """
    listed = [
        *(
            it
            for member in (given if isinstance(given, list) else [given])
            for it in _members(member)
        ),
        *(_of_parameter(it) for it in parameter.split(",") if it),
    ]
    if len(listed) > _MOST:
        raise InvalidBody(f"[sort] takes up to {_MOST} fields")
    return tuple(_by(name, asked, fields) for name, asked in listed)


def _of_parameter(given: str) -> tuple[str, Json]:
    name, colon, order = given.rpartition(":")
    return (name, order) if colon else (given, {})


def _members(given: Json) -> list[tuple[str, Json]]:
    if isinstance(given, str):
        return [(given, {})]
    if isinstance(given, dict):
        return [*given.items()]
    raise InvalidBody("[sort] takes the names of fields, and objects named like them")


def _by(name: str, asked: Json, fields: Mapping[str, str]) -> Mapping[str, Json]:
    """Return one sort in its long form: with our own ``unmapped_type``, for an older index."""
    asked = asked if isinstance(asked, dict) else {"order": asked}
    is_field = name not in {"_score", "_doc"}
    kind = fields.get(name)
    if is_field and kind is None:
        raise InvalidBody(f"No mapping found for [{name[:64]}] in order to sort on")
    if kind == "text":
        raise InvalidBody(f"[{name}] is analysed text: sort by [{name}.keyword] instead")
    unknown = asked.keys() - {"order", *(("missing", "mode", "unmapped_type") if is_field else ())}
    if unknown:
        raise InvalidBody(f"[{name}] sort: unknown field [{min(unknown)[:64]}]")
    order = asked.get("order", "desc" if name == "_score" else "asc")
    order = order.lower() if isinstance(order, str) else ""
    if order not in {"asc", "desc"}:
        raise InvalidBody(f"[{name}] sort: failed to parse field [order]: asc or desc")
    found: dict[str, Json] = {"order": order}
    if "missing" in asked:
        if not queries.is_scalar(asked["missing"]):
            raise InvalidBody(f"[{name}] sort: failed to parse field [missing]")
        found["missing"] = asked["missing"]
    if "mode" in asked:
        if asked["mode"] not in _MODES:
            raise InvalidBody(f"[{name}] sort: failed to parse field [mode]: {sorted(_MODES)}")
        found["mode"] = asked["mode"]
    return {name: {**found, "unmapped_type": kind} if is_field else found}
