"""Which requests for the standard scroll are ours: told from a target and a body, without a server."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.api.scrolling import concerns_us, is_scroll

OURS = "signals-proxy-scroll-1.e30"


def test_the_standard_target() -> None:
    """The path and what is below it; everything that only looks like it is the cluster's."""
    for target in ("", "/", "?a", "/x?a", "/a,b"):
        assert is_scroll("/_search/scroll" + target)
    for target in ("/_search/scrolls", "/_search", "/a/_search/scroll", "//_search/scroll", "*"):
        assert not is_scroll(target)


@pytest.mark.parametrize("scroll_id", [OURS, "DXF1ZXJ5QW5k==", "_all"])
def test_every_place_of_an_id(scroll_id: str) -> None:
    """Wherever Elasticsearch would read an id, an id of ours is seen, and no other is."""
    ours = scroll_id == OURS
    one, several = {"scroll_id": scroll_id}, {"scroll": "1m", "scroll_id": ["other", scroll_id]}
    for body in (json.dumps(one).encode(), json.dumps(several, indent=2).encode()):
        for sent in (body, gzip.compress(body), b"\n" + body):
            assert concerns_us("/_search/scroll", sent) is ours
    for target in (
        f"/_search/scroll/{scroll_id}",
        f"/_search/scroll/other,{scroll_id}?scroll=1m",
        f"/_search/scroll/other%2C{scroll_id.replace('-', '%2D')}",
        f"/_search/scroll?scroll=1m&scroll_id={scroll_id}",
        f"/_search/scroll?source=%7B%22scroll_id%22%3A%22{scroll_id}%22%7D",
    ):
        assert concerns_us(target, b"") is ours
    assert concerns_us(f"/_search/scroll/{scroll_id}", b'{"scroll":"1m"}') is ours


def test_a_body_wins() -> None:
    """As in Elasticsearch, the id in a body is the one that counts."""
    assert not concerns_us(f"/_search/scroll/{OURS}", b'{"scroll_id":"other"}')
    assert concerns_us("/_search/scroll/other", json.dumps({"scroll_id": OURS}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"scroll_id: %s",
        b'{"scroll_id":"%s","scroll_id":"%s"}',
        b'{"scroll_id":"%s"',
        b'[{"scroll_id":"%s"}]',
        b'{"scroll_id":[["%s"]]}',
        b'{"scroll_id":["%s",1]}',
        b'{"scroll_id":"%s","other":1}',
        b'{"scroll":"%s"}',
        b"%s",
        b"\x1f\x8b%s",
    ],
)
def test_what_is_not_clearly_ours(body: bytes) -> None:
    assert not concerns_us("/_search/scroll", body.replace(b"%s", OURS.encode()))


def test_a_query_that_is_no_text_is_not_ours() -> None:
    assert not concerns_us(f"/_search/scroll?scroll_id={OURS}&a=%FF", b"")


def test_what_inflates_to_much_is_not_looked_at() -> None:
    """An archive of a body over the limit, or cut short, is not ours, whatever it holds."""
    body = json.dumps({"scroll_id": OURS}).encode()
    assert concerns_us("/_search/scroll", gzip.compress(body.ljust(64 * 1024)))
    assert not concerns_us("/_search/scroll", gzip.compress(body.ljust(64 * 1024 + 1)))
    assert not concerns_us("/_search/scroll", gzip.compress(body)[:-9])
    assert not concerns_us("/_search/scroll", gzip.compress(body) + b" ")
    assert not concerns_us("/_search/scroll", gzip.compress(b" " * 50_000_000))


@given(st.text(st.characters(max_codepoint=255)), st.binary(max_size=200))
def test_nothing_raises(rest: str, body: bytes) -> None:
    """Whatever comes is decided upon."""
    assert concerns_us("/_search/scroll/" + rest, body) is False
    assert concerns_us("/_search/scroll?" + rest, gzip.compress(body)) is False
    assert concerns_us("/_search/scroll", b"\x1f\x8b" + body) is False
