"""Which accounts a caller may see, and the query that finds no others.

Rule of the file: the right to see an account is a pattern over its ``_id``, and Elasticsearch
matches no pattern over ``_id``. So it is taken apart: by each type and tenant that a search could
reach, into patterns over the name alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from signals_proxy.account import glob
from signals_proxy.account.ref import Ref

__all__ = ["Visible"]

_EVERY: frozenset[str] = frozenset({"*"})


@dataclass(frozen=True, slots=True)
class Visible:
    """The accounts whose ``[tenant/]type/id`` fits one of ``patterns`` (see :mod:`.glob`)."""

    patterns: frozenset[str]

    def includes(self, ref: Ref) -> bool:
        """Tell whether an account may be seen."""
        return any(glob.fits(pattern, ref.document_id) for pattern in self.patterns)

    def query(self, tenant: str | None, types: Iterable[str]) -> Mapping[str, Any] | None:
        """Return the query for the accounts that a search in ``tenant`` may show, if there can be any.

        Within the reach of such a search is every global account, and those of ``tenant``, if that
        is not None. ``types`` are the names of all types.
        """
        is_global = {"bool": {"must_not": [{"exists": {"field": "_tenant"}}]}}
        scopes: list[tuple[str, Mapping[str, Any]]] = [("", is_global)]
        if tenant is not None:
            scopes.append((f"{tenant}/", _named("_tenant", [tenant])))
        either = [
            {"bool": {"filter": [scope, _named("type.keyword", names), *_ids(rests)]}}
            for beginning, scope in scopes
            for rests, names in self._by_rests(beginning, types).items()
        ]
        return {"bool": {"should": either, "minimum_should_match": 1}} if either else None

    def _by_rests(self, beginning: str, types: Iterable[str]) -> dict[frozenset[str], list[str]]:
        """Return the types with the same patterns for their accounts' names, by these patterns."""
        found: dict[frozenset[str], list[str]] = {}
        for name in types:
            before = f"{beginning}{name}/"
            rests = frozenset().union(*(glob.rests(it, before) for it in self.patterns)) - {""}
            if rests:
                found.setdefault(_EVERY if "*" in rests else rests, []).append(name)
        return found


def _ids(rests: frozenset[str]) -> list[Mapping[str, Any]]:
    """Return the query for names that fit one of some patterns; none if every name does."""
    if rests == _EVERY:
        return []
    exact = sorted(it for it in rests if "*" not in it)
    either = [_named("_name", exact)] if exact else []
    either += [
        {"wildcard": {"_name": {"value": it}}} for it in map(_escaped, sorted(rests - {*exact}))
    ]
    return [{"bool": {"should": either, "minimum_should_match": 1}}]


def _escaped(pattern: str) -> str:
    """Return the same pattern for Elasticsearch, where ``?`` and a backslash are special, too."""
    return pattern.replace("\\", "\\\\").replace("?", "\\?")


def _named(field: str, names: Iterable[str]) -> Mapping[str, Any]:
    return {"terms": {field: [*names]}}
