r"""A text in Lucene's syntax names no field but the searchable ones, however it is written."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.account.query_string import MAX_NESTING, check
from signals_proxy.errors import InvalidBody

FIELDS = {"host", "port", "_name", "host.keyword"}

FINE = [
    "",
    "smtp",
    "host:smtp",
    "host : smtp",
    "host.keyword:smtp*",
    r"h\ost:smtp",
    r"\u0068ost:smtp",
    "host:(a OR b) AND NOT port:[1 TO 99}",
    'host:"a b"~2^3',
    "+host:a -port:>9",
    "/a[:]b/ OR host:/a.*/",
    "_exists_:host",
    "*:*",
    "*:* AND host:a",
    "(*:*) (*:*^2)",
    "(_exists_:host) _exists_:port^2",
    r"https\:\/\/a",
    '"https://a"',
    "port:{* TO 5]",
    'port:["a b" TO "c]d"]',
    "(" * MAX_NESTING + "a" + ")" * MAX_NESTING,
]
REFUSED = [
    "_sealed.key:a",
    "_sealed.key :a",
    r"\_sealed.key:a",
    r"\u005fsealed.key:a",
    r"_sealed\.key:a",
    r"_seale\*:a",
    "_seale*:a",
    "(a OR (_sealed.key:a))",
    "_sealed.key:(a)",
    "_sealed.key:[a TO b]",
    "_exists_:_sealed.key",
    "_exists_:_sealed",
    r"_exists_:_seale\*",
    '_exists_:"_sealed.key"',
    "_exists_:(_sealed.key)",
    "_exists_:*",
    "_exists_:host*",
    "_exists_:host~",
    "_exists_:",
    "*:a",
    "*:*a",
    "*:/a/",
    "*:(a)",
    "**:a",
    ":a",
    "a::a",
    "nope:a",
    "host:a:a",
    "_index:a",
    "https://a",
    # What could be cut in two ways.
    '"a',
    'a" _sealed.key:a',
    "/a",
    r'/a\/ "x/ _sealed.key:y /" \\/ /',
    "[a",
    '["a"\tTO\t"b] _sealed.key:x "]',
    r'[a TO "\"] _sealed.key:x "]',
    "a\\",
    "(" * (MAX_NESTING + 1),
]


@pytest.mark.parametrize("text", FINE)
def test_what_names_searchable_fields_only_is_fine(text):
    check(text, FIELDS)


@pytest.mark.parametrize("text", REFUSED)
def test_everything_else_is_refused(text):
    with pytest.raises(InvalidBody):
        check(text, FIELDS)


@given(st.text(), st.lists(st.sampled_from([*'":\\/[]{}()*? ', "host", "_sealed.key", " TO "])))
def test_any_text_is_fine_or_refused(text, pieces):
    """Nothing else is ever raised."""
    for it in (text, "".join(pieces)):
        with contextlib.suppress(InvalidBody):
            check(it, FIELDS)
