r"""Which fields a text in the syntax of Lucene's queries names: ``host:smtp.* AND port:[1 TO 99]``.

Rule of the file: the text itself goes on to the cluster, whose parser takes it apart once more. So
it is cut into the very tokens of Lucene's grammar (``QueryParser.jj``), and what could be cut in
two ways is refused. A field is a term before a colon; it may be written with escapes (``\u005f``).
"""

import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from signals_proxy.errors import InvalidBody

__all__ = ["MAX_NESTING", "check"]

MAX_NESTING: Final = 20
"""How many parentheses may lie within one another: the cluster's parser is recursive."""

_BLANK: Final = r" \t\n\r\u3000"
_NO_TERM: Final = rf'{_BLANK}!():^\[\]"{{}}~*?\\/'
_BOUND: Final = rf'(?:"[^"\\]+"|[^{_BLANK}"\\\[\]{{}}]+)'
_TOKEN: Final = re.compile(
    "|".join(
        (
            rf"(?P<blank>[{_BLANK}]+)",
            rf"(?P<term>(?:[^{_NO_TERM}+-]|\\.)(?:[^{_NO_TERM}]|\\.)*)",
            r'(?P<quoted>"(?:[^"\\]|\\.)*")',
            r"(?P<regexp>/[^/]*(?<!\\)/)",  # of '\/' the grammar takes the longest reading
            rf"(?P<range>[\[{{] *{_BOUND} +TO +{_BOUND} *[\]}}])",
            "(?P<sign>[:()*?^~!+-])",
        )
    ),
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_EXISTS: Final = "_exists_"


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


_OUTSIDE: Final = _Token("", "", -1)


def check(text: str, fields: Collection[str]) -> None:
    """Check that the text names no field but ``fields``, neither to look in nor after ``_exists_``.

    Raises ``InvalidBody`` for another field, for a fuzzy term (see ``query``), and for a text that
    is not understood.
    """
    tokens = [*_tokens(text), _OUTSIDE, _OUTSIDE]  # and so before the first, by tokens[-1]
    depth = 0
    for place, token in enumerate(tokens):
        if token.kind == "sign":
            depth += (token.text == "(") - (token.text == ")")
            if depth > MAX_NESTING:
                raise InvalidBody(f"A query string nests more than {MAX_NESTING} parentheses.")
            if token.text == "~" and tokens[place - 1].kind != "quoted":
                raise InvalidBody("A query string has no fuzzy terms: '~' follows a quoted phrase.")
            if token.text == ":":
                _check_field(tokens[place - 1], tokens[place + 1], tokens[place + 2], fields)


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise InvalidBody(
                f"Failed to parse a query string at character {place + 1}: a quote, a bracket or a"
                " slash has no counterpart, or an escape stands where it cannot be judged. Put"
                " text that is no syntax between quotes."
            )
        if found.lastgroup != "blank":
            yield _Token(str(found.lastgroup), found[0], place)
        place = found.end()


def _check_field(field: _Token, value: _Token, after: _Token, fields: Collection[str]) -> None:
    ends = after.start != value.start + len(value.text) or after.text in {")", "^"}
    if field.text == value.text == "*" and ends:
        return  # every document; any other use of "*:" would look into every field that there is
    name = _unescaped(field.text) if field.kind == "term" else ""
    if name == _EXISTS:
        name = value.text if ends else ""
    if name not in fields:
        raise InvalidBody(
            f"No field [{name[:64]}] can be searched (in a query string). A colon that is no syntax"
            " is written '\\:', or between quotes."
        )


def _unescaped(term: str) -> str:
    return _ESCAPE.sub(lambda it: chr(int(it[1], 16)) if it[1] else it[2], term)
