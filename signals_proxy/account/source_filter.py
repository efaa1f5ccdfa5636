"""What of each document found a search shows: Elasticsearch's ``_source``."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from signals_proxy.account import glob
from signals_proxy.account.body import Json
from signals_proxy.errors import InvalidBody, InvalidParameter

__all__ = ["PARAMETERS", "SourceFilter", "of_parameters", "parse"]

PARAMETERS: Final = frozenset({"_source", "_source_includes", "_source_excludes"})

_MOST_PATTERNS: Final = 64
_LONGEST_PATTERN: Final = 512
_MOST_DOTS: Final = 64  # a name that somebody wrote past the registry may have any number


@dataclass(frozen=True, slots=True)
class SourceFilter:
    """Patterns of dotted paths, in which ``*`` is any run of characters, dots included.

    A member is shown if it, or an object that it is in, fits one of ``includes``, or if there are
    none; and if neither fits one of ``excludes``. Not ``shown``: no ``_source`` at all.
    """

    shown: bool = True
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    def as_json(self) -> Json:
        """Return it as a body has it."""
        if not self.shown:
            return False
        return {"includes": [*self.includes], "excludes": [*self.excludes]}

    def of(self, source: Mapping[str, Json], prefix: str = "") -> dict[str, Json]:
        """Return what is shown of a document, or of an object in it whose path is ``prefix``."""
        found: dict[str, Json] = {}
        for name, value in source.items():
            path = prefix + name
            if _any_fits(self.excludes, path):
                continue
            whole = not self.includes or _any_fits(self.includes, path)
            if isinstance(value, dict):
                within = self.of(value, path + ".")
                if within or whole:
                    found[name] = within
            elif whole:
                found[name] = value
        return found


@lru_cache(4096)  # one document after the other has the same paths
def _any_fits(patterns: tuple[str, ...], path: str) -> bool:
    """Tell whether the path, or where it begins, fits: names may have dots of their own."""
    names = path.split(".", _MOST_DOTS)
    starts = [".".join(names[:count]) for count in range(1, len(names) + 1)]
    return any(glob.fits(pattern, start) for pattern in patterns for start in starts)


def parse(value: Json) -> SourceFilter:
    """Return what the member ``_source`` of a body asks for. Raises ``InvalidBody``."""
    if isinstance(value, bool):
        return SourceFilter(shown=value)
    if isinstance(value, str | list):
        return SourceFilter(includes=_patterns(value))
    if not isinstance(value, dict):
        raise InvalidBody("[_source] is a boolean, a pattern, an array of those or an object")
    names = {"include": "includes", "exclude": "excludes"}
    unknown = sorted(value.keys() - {*names, *names.values()})
    if unknown:
        raise InvalidBody(f"Unknown key [{unknown[0][:64]}] in [_source].")
    given = {names.get(name, name): _patterns(patterns) for name, patterns in value.items()}
    return SourceFilter(includes=given.get("includes", ()), excludes=given.get("excludes", ()))


def of_parameters(parameters: Mapping[str, str]) -> SourceFilter | None:
    """Return what the query parameters ask for; None if nothing. Raises ``InvalidParameter``."""
    if not PARAMETERS & parameters.keys():
        return None
    source = parameters.get("_source", "")
    if source == "false":
        return SourceFilter(shown=False)
    includes = parameters.get("_source_includes", "" if source == "true" else source)
    excludes = parameters.get("_source_excludes", "")
    try:
        return SourceFilter(
            includes=_patterns([it for it in includes.split(",") if it]),
            excludes=_patterns([it for it in excludes.split(",") if it]),
        )
    except InvalidBody as error:
        raise InvalidParameter(error.message) from None


def _patterns(value: Json) -> tuple[str, ...]:
    patterns = [it for it in value if isinstance(it, str)] if isinstance(value, list) else []
    if isinstance(value, str):
        patterns = [value]
    elif not isinstance(value, list) or len(patterns) != len(value):
        raise InvalidBody("[_source] takes patterns, which are text")
    if len(patterns) > _MOST_PATTERNS or any(len(it) > _LONGEST_PATTERN for it in patterns):
        raise InvalidBody(
            f"[_source] takes up to {_MOST_PATTERNS} patterns of up to {_LONGEST_PATTERN}"
            " characters"
        )
    return tuple(patterns)
