"""What of Elasticsearch's query language a search may use: an allow-list, written as tables.

Left out is what a query could borrow the proxy's privileges for, or cost without bound: scripts,
documents and shapes looked up elsewhere, stored queries, joins, queries in disguise (``wrapper``),
and analyzers and rewritings by name. And what searches for some of the index's words only, the
nearest (``fuzzy``) or the first (phrases with a prefix): those are taken from the accounts of all
tenants, so whether one's own is among them tells which words others have.

Rules of the file: what is not in a table is refused, and what goes on is built anew, in its long
form. Every field is written out: a pattern, or nothing where Elasticsearch would take every field,
becomes the list of those that may be searched.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Final

from signals_proxy.account import glob, query_string
from signals_proxy.account.body import Json
from signals_proxy.account.schema import AccountType, index_mapping
from signals_proxy.errors import InvalidBody

__all__ = ["MAX_CLAUSES", "MAX_DEPTH", "MAX_TERMS", "is_scalar", "read", "searchable"]

MAX_DEPTH: Final = 20
MAX_CLAUSES: Final = 1024
MAX_TERMS: Final = 1024
_LONGEST_PATTERN: Final = 1000
_LONGEST_TEXT: Final = 10_000
_MOST_FIELDS: Final = 128

_BOTH: Final = frozenset({"boost", "_name"})
_MATCH: Final = frozenset({"operator", "minimum_should_match"})
_STRING: Final = frozenset(
    {
        *("query", "default_operator", "minimum_should_match", "lenient", "analyze_wildcard"),
        "auto_generate_synonyms_phrase_query",
    }
)
_SYNTAX: Final = "AND|ESCAPE|NEAR|NOT|OR|PHRASE|PRECEDENCE|PREFIX|WHITESPACE"
"""What a ``simple_query_string`` may hold: all that there is, but ``FUZZY``."""

# For each query that is about one field: what a bare value stands for, and its parameters.
_ON_A_FIELD: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "match": (
        "query",
        _MATCH | {"lenient", "zero_terms_query", "auto_generate_synonyms_phrase_query"},
    ),
    "match_phrase": ("query", frozenset({"slop", "zero_terms_query"})),
    "match_bool_prefix": ("query", _MATCH),
    "term": ("value", frozenset({"case_insensitive"})),
    "prefix": ("value", frozenset({"case_insensitive"})),
    "wildcard": ("value", frozenset({"case_insensitive"})),
    "regexp": ("value", frozenset({"case_insensitive", "flags"})),
    "range": ("", frozenset({"gt", "gte", "lt", "lte", "format", "time_zone"})),
}
_ON_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "multi_match": frozenset(
        {
            *("query", "type", "operator", "minimum_should_match", "slop", "tie_breaker"),
            *("lenient", "zero_terms_query", "auto_generate_synonyms_phrase_query"),
        }
    ),
    "simple_query_string": _STRING | {"flags"},
    "query_string": _STRING | {"allow_leading_wildcard", "phrase_slop", "tie_breaker", "type"},
}
# For each query that is made of others: where they stand, and the other parameters.
_OF_QUERIES: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "bool": (
        frozenset({"must", "must_not", "should", "filter"}),
        frozenset({"minimum_should_match"}),
    ),
    "constant_score": (frozenset({"filter"}), frozenset()),
    "dis_max": (frozenset({"queries"}), frozenset({"tie_breaker"})),
    "boosting": (frozenset({"positive", "negative"}), frozenset({"negative_boost"})),
}
_LISTS: Final = frozenset({"bool", "dis_max"})  # where several may stand in one place
_ON_IDS: Final = frozenset({"match", "term", "terms"})
_PATTERNS: Final = frozenset(
    {"prefix", "wildcard", "regexp", "simple_query_string", "query_string"}
)
_VALUES: Final = frozenset({"query", "value", "gt", "gte", "lt", "lte"})

_SWITCH: Final = re.compile("true|false")
_COUNT: Final = re.compile("[0-9]{1,3}")
_NUMBER: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,20})?(?:e-?[0-9]{1,2})?")
_FLAGS: Final = re.compile("[A-Za-z_|]{0,256}")
_OPERATOR: Final = re.compile("(?i:and|or)")
_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    **dict.fromkeys(("boost", "tie_breaker", "negative_boost"), _NUMBER),
    **dict.fromkeys(("operator", "default_operator"), _OPERATOR),
    **dict.fromkeys(("slop", "phrase_slop"), _COUNT),
    **dict.fromkeys(("lenient", "analyze_wildcard", "allow_leading_wildcard"), _SWITCH),
    "case_insensitive": _SWITCH,
    "auto_generate_synonyms_phrase_query": _SWITCH,
    "_name": re.compile(".{1,256}", re.DOTALL),
    "flags": _FLAGS,
    "format": re.compile("[ -~]{1,64}"),
    "minimum_should_match": re.compile("[-0-9%< ]{1,64}"),
    "time_zone": re.compile("[A-Za-z0-9_/:+-]{1,64}"),
    "type": re.compile("(?:best|most|cross)_fields|phrase|bool_prefix"),
    "zero_terms_query": re.compile("(?i:none|all)"),
}


def searchable(types: Mapping[str, AccountType]) -> dict[str, str]:
    """Return each field that may be searched, and its kind in the index (``text``, ``long``…).

    They are what is indexed of public attributes, and the members that say which account it is.
    """
    public = {"type", "_name", "_tenant"}.union(*(it.public for it in types.values()))
    found: dict[str, str] = {}
    for name, kind in index_mapping(types)["properties"].items():
        if name in public:
            found[name] = kind["type"]
            found |= {f"{name}.{sub}": it["type"] for sub, it in kind.get("fields", {}).items()}
    return found


def read(query: Json, fields: Mapping[str, str]) -> dict[str, Json]:
    """Return a query as it may go on; ``fields`` are the searchable ones. Reading it again is fine.

    Raises ``InvalidBody``.
    """
    return _Reader(fields).query(query)


def is_scalar(value: Json) -> bool:
    """Tell whether it is text of a bearable length, a boolean or a number that JSON has."""
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


class _Reader:
    """Reads one query, and counts what is in it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self._clauses = 0
        self._terms = 0

    def query(self, query: Json, depth: int = 1) -> dict[str, Json]:
        self._clauses += 1
        if depth > MAX_DEPTH or self._clauses > MAX_CLAUSES:
            raise InvalidBody(
                f"A query has up to {MAX_CLAUSES} clauses, up to {MAX_DEPTH} within one another"
            )
        if not isinstance(query, dict) or len(query) != 1:
            raise InvalidBody("query malformed, an object with one query by its name is expected")
        ((name, given),) = query.items()
        if not isinstance(given, dict):
            raise InvalidBody(f"[{_shown(name)}] query malformed, no start_object after query name")
        if name in _OF_QUERIES:
            return {name: self._of_queries(name, given, depth)}
        if name in _ON_A_FIELD:
            return {name: self._on_a_field(name, given)}
        if name in _ON_FIELDS:
            return {name: self._on_fields(name, given)}
        if name == "terms":
            return {name: self._on_terms(given)}
        if name == "ids":
            rest = {n: value for n, value in given.items() if n != "values"}
            return {
                name: {"values": self._listed(name, given.get("values")), **_checked(name, rest)}
            }
        if name == "exists":
            rest = {n: value for n, value in given.items() if n != "field"}
            field = self._field(name, given.get("field"))
            return {name: {"field": field, **_checked(name, rest)}}
        if name in {"match_all", "match_none"}:
            return {name: _checked(name, given)}
        allowed = [*_OF_QUERIES, *_ON_A_FIELD, *_ON_FIELDS, "terms", "ids", "exists"]
        raise InvalidBody(
            f"unknown query [{_shown(name)}]: a search for accounts takes"
            f" {sorted([*allowed, 'match_all', 'match_none'])}"
        )

    def _of_queries(self, name: str, given: Mapping[str, Json], depth: int) -> dict[str, Json]:
        places, others = _OF_QUERIES[name]
        found = _checked(name, {n: v for n, v in given.items() if n not in places}, others)
        for place in sorted(places & given.keys()):
            inner = given[place]
            if isinstance(inner, list) and name in _LISTS:
                found[place] = [self.query(it, depth + 1) for it in inner]
            else:
                found[place] = self.query(inner, depth + 1)
        if name != "bool" and not places <= found.keys():
            raise InvalidBody(f"[{name}] requires {sorted(places)}")
        return found

    def _on_a_field(self, name: str, given: Mapping[str, Json]) -> dict[str, Json]:
        bare, others = _ON_A_FIELD[name]
        if len(given) != 1:
            raise InvalidBody(f"[{name}] query takes one field, found {len(given)}")
        ((field, asked),) = given.items()
        field = self._field(name, field)
        if not isinstance(asked, dict):
            asked = {bare: asked}
        if bare and bare not in asked:
            raise InvalidBody(f"[{name}] requires [{bare}]")
        return {field: _checked(name, asked, others | {bare} if bare else others)}

    def _on_fields(self, name: str, given: Mapping[str, Json]) -> dict[str, Json]:
        rest = {n: value for n, value in given.items() if n not in {"fields", "default_field"}}
        found = _checked(name, rest, _ON_FIELDS[name])
        text = found.get("query")
        if not isinstance(text, str):
            raise InvalidBody(f"[{name}] requires [query], which is text")
        if name == "query_string":
            query_string.check(text, {*self._fields, "_id"})
        if name == "simple_query_string":
            flags = str(found.setdefault("flags", _SYNTAX))
            if not {*flags.split("|")} <= {*_SYNTAX.split("|")}:
                raise InvalidBody(f"[{name}] [flags] may name, with bars between: {_SYNTAX}")
        asked = given.get("fields")
        if asked is None and name == "query_string":
            asked = given.get("default_field")
        elif "default_field" in given:
            raise InvalidBody(f"[{name}] query does not support [default_field]")
        asked = ["*"] if asked in (None, []) else asked
        listed = asked if isinstance(asked, list) else [asked]
        if len(listed) > _MOST_FIELDS:
            raise InvalidBody(f"[{name}] takes up to {_MOST_FIELDS} fields")
        written = [field for it in listed for field in self._written_out(name, it)]
        if not written:  # which would be taken for every field
            raise InvalidBody(f"[{name}] query names no field that can be searched")
        found["fields"] = [*dict.fromkeys(written)]
        if any(isinstance(it, str) and it.partition("^")[0] == "*" for it in listed):
            # As in Elasticsearch: what is no number does not fit, and is no error.
            found.setdefault("lenient", True)
        return found

    def _on_terms(self, given: Mapping[str, Json]) -> dict[str, Json]:
        rest = {n: v for n, v in given.items() if n in _BOTH and not isinstance(v, list | dict)}
        fields = given.keys() - rest.keys()
        if len(fields) != 1:
            raise InvalidBody(f"[terms] query takes one field, found {len(fields)}")
        (field,) = fields
        if not isinstance(given[field], list):
            raise InvalidBody("[terms] takes an array of values; none are looked up elsewhere")
        values = self._listed("terms", given[field])
        return {self._field("terms", field): values, **_checked("terms", rest)}

    def _listed(self, name: str, values: Json) -> list[Json]:
        values = [values] if isinstance(values, str) else values
        if not isinstance(values, list) or not all(map(is_scalar, values)):
            raise InvalidBody(f"[{name}] requires an array of values")
        self._terms += len(values)
        if self._terms > MAX_TERMS:
            raise InvalidBody(f"A query has up to {MAX_TERMS} values in [terms] and [ids]")
        return [*values]

    def _written_out(self, name: str, field: Json) -> Iterator[str]:
        """Yield the field, with its boost, or each that a pattern stands for."""
        pattern, caret, boost = field.partition("^") if isinstance(field, str) else ("", "", "")
        if caret and not _NUMBER.fullmatch(boost):
            raise InvalidBody(f"[{name}] failed to parse the boost of a field")
        if "*" not in pattern:
            yield self._field(name, pattern or field) + caret + boost
        for known in self._fields if "*" in pattern else ():
            # As in Elasticsearch: all fields are those that have no name like one of its own.
            if glob.fits(pattern, known) and not (pattern == "*" and known.startswith("_")):
                yield known + caret + boost

    def _field(self, name: str, field: Json) -> str:
        if isinstance(field, str) and (
            field in self._fields or (field == "_id" and name in _ON_IDS)
        ):
            return field
        shown = _shown(field) if isinstance(field, str) else ""
        raise InvalidBody(f"[{name}] query names no field that can be searched: [{shown}]")


def _checked(
    name: str, given: Mapping[str, Json], known: frozenset[str] = frozenset()
) -> dict[str, Json]:
    """Return the parameters of a query, each checked."""
    longest = _LONGEST_PATTERN if name in _PATTERNS else _LONGEST_TEXT
    for parameter, value in given.items():
        if parameter not in known and parameter not in _BOTH:
            raise InvalidBody(f"[{name}] query does not support [{_shown(parameter)}]")
        if parameter in _VALUES:
            if not is_scalar(value):
                raise InvalidBody(f"[{name}] [{parameter}] is not a text, a number or a boolean")
            if isinstance(value, str) and len(value) > longest:
                raise InvalidBody(f"[{name}] [{parameter}] has more than {longest} characters")
        else:
            text = json.dumps(value) if isinstance(value, int | float) else value
            if not isinstance(text, str) or not _FORMS[parameter].fullmatch(text):
                raise InvalidBody(f"[{name}] failed to parse field [{parameter}]")
    return {**given}


def _shown(name: str) -> str:
    """Return a name of the caller's, for a message."""
    return name if len(name) <= 64 else f"{name[:64]}…"
