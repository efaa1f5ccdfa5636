"""A request's body as strict JSON.

Rule of the file: no error quotes the body, for it may hold a password. The exceptions of the
decoder and of the parser carry the whole text, so ours are raised after theirs have been left.
"""

import json
import math
import re
from collections.abc import Sequence
from itertools import islice
from typing import Final, NoReturn, TypeAlias

from signals_proxy.errors import InvalidBody

__all__ = ["MAX_BODY", "MAX_DEPTH", "MAX_VALUES", "Json", "parse"]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A JSON value. A number is an ``int`` only where it was written without fraction and exponent."""

MAX_BODY: Final = 1024 * 1024
"""How many bytes a body may have (whoever reads it has to see to that)."""

MAX_DEPTH: Final = 32
"""How many objects and arrays may lie within one another, the outermost counted."""

MAX_VALUES: Final = 10_000
"""How many members and elements a body may have, at all levels: each takes its time."""

_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# Texts, and what other values begin with or lie behind: at most three for a member or element.
_PARTS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{,]', re.DOTALL)
_MOST_PARTS: Final = 3 * MAX_VALUES + 1
# Enough for every integer that is accepted anywhere; int() of a very long one is slow, or raises.
_INTEGER_DIGITS: Final = 20


def parse(data: bytes) -> dict[str, Json]:
    """Return the one JSON object (RFC 8259) that ``data`` is.

    Raises ``InvalidBody`` for anything else: other encodings than UTF-8, a byte order mark, other
    values than an object, a name that occurs twice in one object, ``NaN`` and ``Infinity``, numbers
    that no double holds, lone surrogates, nesting over ``MAX_DEPTH``, more than ``MAX_VALUES``
    members and elements.
    """
    found = _object_or_problem(data)
    if isinstance(found, str):
        raise InvalidBody(found)
    return found


class _Refused(Exception):
    """Something that the parser would let pass."""


def _object_or_problem(data: bytes) -> dict[str, Json] | str:
    if not data.strip():
        return "The body is empty; one JSON object is expected."
    if data.startswith(b"\xef\xbb\xbf"):
        return "The body begins with a byte order mark; send it without."
    # Before they are built: each takes many times the bytes that it was written with.
    if sum(1 for _ in islice(_PARTS.finditer(data), _MOST_PARTS + 1)) > _MOST_PARTS:
        return _too_many()
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
        )
    except UnicodeDecodeError as exc:
        return f"The body is not UTF-8 (byte {exc.start + 1})."
    except json.JSONDecodeError as exc:
        return f"The body is not valid JSON (line {exc.lineno}, column {exc.colno})."
    except _Refused as exc:
        return str(exc)
    except RecursionError:
        return _too_deep()
    if not isinstance(value, dict):
        return "The body is not a JSON object."
    return _problem_inside(value) or value


def _object(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused("The body names something twice within one object.")
    return members


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _INTEGER_DIGITS else float(digits)


def _constant(_: str) -> NoReturn:
    raise _Refused("The body holds NaN or Infinity, which are not JSON.")


def _too_many() -> str:
    return f"The body has more than {MAX_VALUES} members and elements."


def _too_deep() -> str:
    return f"The body nests more than {MAX_DEPTH} objects and arrays."


def _problem_inside(value: Json) -> str | None:
    count = 0
    pending: list[tuple[Json, int]] = [(value, 1)]
    while pending:
        node, depth = pending.pop()
        if isinstance(node, str):
            if _LONE_SURROGATE.search(node):
                return "The body holds half of a surrogate pair, which is no character."
        elif isinstance(node, float):
            if math.isinf(node):
                return "The body holds a number that is too large."
        elif isinstance(node, dict | list):
            if depth > MAX_DEPTH:
                return _too_deep()
            count += len(node)
            if count > MAX_VALUES:
                return _too_many()
            pending += ((child, depth + 1) for child in node)
            if isinstance(node, dict):
                pending += ((child, depth + 1) for child in node.values())
    return None
