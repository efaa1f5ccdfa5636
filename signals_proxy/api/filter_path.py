"""The query parameter ``filter_path``: which parts of an answer are sent.

It is a list with commas. Each path is names with dots between, in which ``*`` is any run of
characters, ``**`` as a name any number of names, at least one, and ``\\.`` a dot. Arrays are passed
through as if their elements stood in their place. A path after ``-`` takes parts away, of what the
others leave. Errors are never filtered.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from signals_proxy.account import glob
from signals_proxy.errors import InvalidParameter

__all__ = ["filtered"]

_LONGEST: Final = 2048
_MOST_PATHS: Final = 128

_NAME: Final = re.compile(r"(?P<name>(?:\\\.|[^.])++)\.")
_NOTHING: Final = object()

_Places = frozenset[tuple[int, int]]
"""How far paths are fulfilled: which path, and how many of its names."""


def filtered(body: Mapping[str, Any], filter_path: str) -> Mapping[str, Any]:
    """Return what is left of an answer. Raises ``InvalidParameter`` for a filter that is too long.

    What takes time is found out once for all parts of one name at one place, so that an answer of
    many hits is filtered as quickly by patterns as by names.
    """
    given = [path for it in filter_path.split(",") if (path := it.strip())]
    if len(filter_path) > _LONGEST or len(given) > _MOST_PATHS:
        raise InvalidParameter(
            f"[filter_path] has up to {_MOST_PATHS} paths and {_LONGEST} characters"
        )
    includes = [path for path in given if not path.startswith("-")]
    excludes = [path[1:] for path in given if path.startswith("-")]
    left = body
    if includes:
        left = _Filter(includes, inclusive=True).of(left)
    if excludes:
        left = _Filter(excludes, inclusive=False).of(left)
    return left


class _Filter:
    """Paths, all of which are followed at once: what fits one of them is kept, or left out."""

    def __init__(self, paths: Sequence[str], *, inclusive: bool) -> None:
        self._paths = [_names(path) for path in paths if path]
        self._inclusive = inclusive
        self._steps: dict[tuple[_Places, str], _Places | None] = {}

    def of(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is left of an object."""
        left = self._of(body, frozenset((path, 0) for path in range(len(self._paths))))
        return {} if left is _NOTHING else left

    def _of(self, value: Any, places: _Places) -> Any:
        if isinstance(value, dict):
            members = {name: self._member(name, it, places) for name, it in value.items()}
            members = {name: it for name, it in members.items() if it is not _NOTHING}
            return members if members or (not value and not self._inclusive) else _NOTHING
        if isinstance(value, list):
            elements = [self._of(it, places) for it in value]
            elements = [it for it in elements if it is not _NOTHING]
            return elements if elements or (not value and not self._inclusive) else _NOTHING
        return _NOTHING if self._inclusive else value

    def _member(self, name: str, value: Any, places: _Places) -> Any:
        step = self._step(places, name)
        if step is None:  # fits
            return value if self._inclusive else _NOTHING
        if not step:  # nothing within can fit
            return _NOTHING if self._inclusive else value
        return self._of(value, step)

    def _step(self, places: _Places, name: str) -> _Places | None:
        """Return how far the paths are fulfilled beneath a name; None if one is wholly."""
        if (places, name) not in self._steps:
            self._steps[places, name] = self._followed(places, name)
        return self._steps[places, name]

    def _followed(self, places: _Places, name: str) -> _Places | None:
        found = set()
        for path, count in places:
            names = self._paths[path]
            if glob.fits(names[count], name):
                if count + 1 == len(names):
                    return None
                found.add((path, count + 1))
            if count and names[count - 1] == "**":
                found.add((path, count))
        return frozenset(found)


def _names(path: str) -> list[str]:
    names = []
    while found := _NAME.match(path):
        names.append(found["name"])
        path = path[found.end() :]
    return [name.replace("\\.", ".") for name in (*names, path)]
