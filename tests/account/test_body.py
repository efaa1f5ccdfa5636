"""Only strict JSON objects pass, and no error quotes what came."""

import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.account.body import MAX_DEPTH, MAX_VALUES, parse
from signals_proxy.errors import InvalidBody

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=3))
def test_what_json_writes_is_read_back(value):
    """Any object without floats comes out as it was written, escaped or not."""
    assert value == parse(json.dumps(value).encode())
    assert value == parse(json.dumps(value, ensure_ascii=False).encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_an_invalid_body(data):
    """Nothing else is ever raised."""
    with contextlib.suppress(InvalidBody):
        assert isinstance(parse(data), dict)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "The body is empty; one JSON object is expected."),
        (b" \n", "The body is empty; one JSON object is expected."),
        (b'{\n  "a": 1,\n  ]', "The body is not valid JSON (line 3, column 3)."),
        (b"{} {}", "The body is not valid JSON (line 1, column 4)."),
        (b'{"a": "\xff"}', "The body is not UTF-8 (byte 8)."),
        ('{"a": 1}'.encode("utf-16"), "The body is not UTF-8 (byte 1)."),
        (b"\xef\xbb\xbf{}", "The body begins with a byte order mark; send it without."),
        (b'{"a": 1, "a": 1}', "The body names something twice within one object."),
        (b'{"b": {"a": 1, "a": 1}}', "The body names something twice within one object."),
        (b'{"a": NaN}', "The body holds NaN or Infinity, which are not JSON."),
        (b'{"a": -Infinity}', "The body holds NaN or Infinity, which are not JSON."),
        (b"[]", "The body is not a JSON object."),
        (b"null", "The body is not a JSON object."),
        (
            b'{"a": "\\ud800"}',
            "The body holds half of a surrogate pair, which is no character.",
        ),
        (
            b'{"a": [{"\\udc00": 1}]}',
            "The body holds half of a surrogate pair, which is no character.",
        ),
        (b'{"a": "\x01"}', "The body is not valid JSON (line 1, column 8)."),
    ],
)
def test_what_is_refused_and_in_which_words(data, message):
    """Each kind of wrong body has its sentence."""
    with pytest.raises(InvalidBody) as refused:
        parse(data)
    assert message == refused.value.message


def nested(depth):
    """An object that is the outermost of as many."""
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def test_nesting_is_bounded():
    """32 within one another pass, 33 and any number more do not."""
    assert parse(nested(MAX_DEPTH))
    for data in (nested(MAX_DEPTH + 1), b'{"a":' + b"[" * 20_000):
        with pytest.raises(InvalidBody, match="nests more than 32"):
            parse(data)


@pytest.mark.parametrize(
    ("before", "each", "after", "less"),
    [
        (b"", b'"%d":1', b"", 0),
        (b"", b'"%d":"a"', b"", 0),
        (b'"a":[', b"%d", b"]", 1),
        (b'"a":[', b"%d.5", b"]", 1),
        (b'"a":[', b'"%d"', b"]", 1),
        (b'"a":[', b"{}", b"]", 1),
        (b'"a":[', b"[]", b"]", 1),
        (b'"a":[', b'{"%d":null}', b"]", 1),
        (b'"a":{"b":[{', b'"%d":true', b"}]}", 3),
    ],
)
def test_the_number_of_values_is_bounded(before, each, after, less):
    """Ten thousand members and elements in all pass, one more does not, of whatever kind."""

    def body(count):
        values = (each % n if b"%" in each else each for n in range(count))
        return b"{" + before + b",".join(values) + after + b"}"

    most = MAX_VALUES - less
    if b"null" in each:
        most //= 2  # an element and its member
    assert parse(body(most))
    for count in (most + 1, 100_000):
        with pytest.raises(InvalidBody, match="more than 10000 members and elements"):
            parse(body(count))


@pytest.mark.parametrize("each", [b"[]", b"{}", b"1", b'""', b'{"":[]}', b"[[],0]"])
def test_too_many_values_are_not_built(each):
    """A body takes many times its size, which is no matter as long as it is told before."""
    data = b'{"a":[' + b",".join([each] * 1_000_000) + b"]}"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidBody, match="more than 10000 members and elements"):
            parse(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < len(data) / 4


@pytest.mark.parametrize("text", [b"[{,", b'\\",', b"\\\\", b'\\"['])
def test_what_is_in_texts_is_no_value(text):
    assert parse(b'{"a":"%b","b":["c"]}' % (text * 100_000))


def test_a_number_tells_how_it_was_written():
    """What has a fraction or an exponent is no integer, nor is one that nobody needs."""
    numbers = parse(b'{"a": 1, "b": 1.0, "c": 1e2, "d": 1e99, "e": ' + b"9" * 99 + b"}")
    assert [int, float, float, float, float] == [type(n) for n in numbers.values()]


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 9999])
def test_what_no_double_holds_is_no_number(number):
    """As infinity it would come back out as what is not JSON."""
    with pytest.raises(InvalidBody, match="a number that is too large"):
        parse(b'{"a": [%b]}' % number)


@pytest.mark.parametrize(
    "data",
    [b'{"password": "hunter2"', b'{"a": "hunter2", "a": 1}', b'{"p": "hunter2\xff"}', b'"hunter2"'],
)
def test_no_error_holds_the_text(data):
    """Neither the message nor a chained exception has the body."""
    with pytest.raises(InvalidBody) as refused:
        parse(data)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
    assert "hunter2" not in str(refused.value)
