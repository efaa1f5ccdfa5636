"""A scroll id is the next page's search, and nothing that a request could not ask for."""

import base64
import contextlib
import json

import pytest
from accounts import TYPES
from hypothesis import given
from hypothesis import strategies as st
from queries import QUERIES

from signals_proxy.account import scroll
from signals_proxy.account.query import searchable
from signals_proxy.account.search import after, parse
from signals_proxy.account.source_filter import SourceFilter
from signals_proxy.errors import InvalidBody, InvalidParameter

FIELDS = searchable(TYPES)
MARK = "signals-proxy-scroll-1."
SORTS = st.sampled_from(
    ["_name", {"port": "desc"}, "_score", {"host.keyword": {"missing": "_last"}}]
)
SOURCES = st.sampled_from([True, False, "host", ["a*"], {"includes": ["a"], "excludes": ["b"]}])


def search(body=None, tenant=None, values=()):
    """A search that scrolls, after the hit of those sort values."""
    found = parse(body or {}, {"scroll": "25s"}, tenant, FIELDS)
    return after(found, [*values], scrolling=True) if values else found


def made(text):
    """An id of somebody's own making."""
    return MARK + base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def members(**others):
    """What is in the id of a plain search, with other members."""
    text = scroll.write(search()).removeprefix(MARK)
    plain = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return json.dumps({**plain, **others}, separators=(",", ":"), sort_keys=True)


@given(
    st.sampled_from(QUERIES),
    st.lists(SORTS, max_size=3),
    SOURCES,
    st.integers(1, 10_000),
    st.none() | st.sampled_from(["ops", "admin tenant", "ä", "%2F"]),
    st.data(),
)
def test_an_id_is_read_as_the_search_that_it_was_written_for(
    query, sort, source, size, tenant, data
):
    body = {"query": query, "sort": sort, "_source": source, "size": size}
    scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(
        st.characters(exclude_categories=["Cs"]), max_size=9
    )  # fmt: skip
    count = len(sort) + 3
    values = data.draw(st.just([]) | st.lists(scalars, min_size=count, max_size=count))
    expected = search(body, tenant, values)
    written = scroll.write(expected)
    assert scroll.is_ours(written)
    assert scroll.of(written, FIELDS) == expected


def test_a_new_time_to_live_may_come_with_the_id():
    written = scroll.write(search())
    assert scroll.of(written, FIELDS, "1m").scroll == "1m"
    with pytest.raises(InvalidParameter, match="too large"):
        scroll.of(written, FIELDS, "2d")
    with pytest.raises(InvalidParameter, match="time value"):
        scroll.of(written, FIELDS, 5)


def test_what_is_written_by_hand_in_the_one_right_way_is_read():
    assert made(members()) == scroll.write(search())
    assert scroll.of(made(members(tenant="ops")), FIELDS) == search(tenant="ops")
    found = scroll.of(made(members(_source=False)), FIELDS)
    assert found.source == SourceFilter(shown=False)


@pytest.mark.parametrize(
    "scroll_id",
    [
        "",
        MARK,
        "FGluY2x1ZGVfY29udGV4dF91dWlkDXF1ZXJ5QW5kRmV0Y2g",
        MARK + "!",
        MARK + "é",
        MARK + "AAAA",
        scroll.write(search()) + "=",
        scroll.write(search()) + "A",
        scroll.write(search()) + "\n",
        " " + scroll.write(search()),
        made("[]"),
        made("{}"),
        made("[" * 9000),
        made(members() + " "),
        made(members().replace('"size":10', '"size":10,"size":10')),
        made(members(size="10")),
        made(members(size=0)),
        made(members(size=10_001)),
        made(members(size=1)).replace("-1.", "-2."),
        made(members(query=None)),
        made(members(query={"script": {}})),
        made(members(query={"match": {"type": "short"}})),
        made(members(query={"exists": {"field": "_sealed.key"}})),
        made(members(query={"term": {"port": {"value": float("nan")}}})),
        made(members(query={"term": {"port": {"value": 10**400}}})[:-2].replace("0" * 9, "1e999")),
        made(members(sort=["_name"])),
        made(members(sort=[{"_script": {}}])),
        made(members(after=["a"])),
        made(members(after=[None, "a", {}])),
        made(members(after={})),
        made(members(aggs={})),
        made(members(track_total_hits=True)),
        made(members(search_after=[1])),
        made(members(scroll="2d")),
        made(members(scroll=None)),
        made(members(scroll=25)),
        made(members(tenant="")),
        made(members(tenant="_main")),
        made(members(tenant="_x")),
        made(members(tenant="a/b")),
        made(members(tenant="..")),
        made(members(tenant="a*")),
        made(members(tenant="a\n")),
        made(members(tenant="a" * 513)),
        made(members(tenant=["ops"])),
        made(members(tenant="\udc00")),
        made(members(query={"term": {"_name": {"value": "\udc00"}}})),
        made(members(query={"term": {"_name": {"value": "a" * 9999}}}) * 2),
    ],
    ids=lambda it: ascii(it[:40]),
)
def test_everything_else_is_refused(scroll_id):
    with pytest.raises((InvalidParameter, InvalidBody)):
        scroll.of(scroll_id, FIELDS)


@given(st.data())
def test_a_changed_id_is_an_error_or_the_one_id_of_some_search(data):
    """Never anything that is not as if it had come in a request."""
    written = scroll.write(search({"query": data.draw(st.sampled_from(QUERIES))}, "ops"))
    place = data.draw(st.integers(0, len(written) - 1))
    changed = written[:place] + data.draw(st.text(max_size=2)) + written[place + 1 :]
    with contextlib.suppress(InvalidParameter, InvalidBody):
        assert scroll.write(scroll.of(changed, FIELDS)) == changed


def test_a_search_that_is_too_long_cannot_scroll():
    one = {"term": {"_name": "a" * 10_000}}
    with pytest.raises(InvalidParameter, match="too long to scroll"):
        scroll.write(search({"query": {"bool": {"must": [one, one]}}}))
