"""What a search is answered with: Elasticsearch's own answer, as far as it may be shown."""

import pytest
from accounts import TYPES
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.account import glob, scroll, source_filter
from signals_proxy.account.page import answer
from signals_proxy.account.query import searchable
from signals_proxy.account.search import parse
from signals_proxy.errors import Refused

FIELDS = searchable(TYPES)
SHARDS = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
SOURCE = {
    "type": "email",
    "_name": "a",
    "host": "h",
    "password": "in clear",
    "_sealed": {"box": "b"},
}


def search(body=None, **parameters):
    """A search."""
    return parse(body or {}, parameters, None, FIELDS)


def shown(document_id, source):
    """Hide one account, and of the others all but two members."""
    if document_id == "email/hidden":
        return None
    return {"integrity": "failed", "_source": {name: source[name] for name in ("type", "host")}}


def found(*hits, **members):
    """What a cluster answers with those hits."""
    return {
        "took": 3,
        "timed_out": False,
        "_shards": SHARDS,
        "pit_id": "x",
        "hits": {
            "total": {"value": 7, "relation": "eq"},
            "max_score": 1.5,
            "hits": [*hits],
            **members,
        },
        "aggregations": {"a": {}},
    }


def hit(document_id="email/a", **members):
    """A hit with more than may be shown."""
    return {
        "_index": ".signals_accounts",
        "_id": document_id,
        "_score": 1.5,
        "_source": SOURCE,
        "_ignored": ["password"],
        "fields": {"password": ["x"]},
        **members,
    }


SHOWN = {
    "_index": ".signals_accounts",
    "_id": "email/a",
    "_score": 1.5,
    "integrity": "failed",
    "_source": {"type": "email", "host": "h"},
}


def test_only_what_is_listed_goes_on():
    assert answer(search(), found(hit(), hit("email/hidden")), shown) == {
        "took": 3,
        "timed_out": False,
        "_shards": SHARDS,
        "hits": {"total": {"value": 7, "relation": "eq"}, "max_score": 1.5, "hits": [SHOWN]},
    }


@pytest.mark.parametrize(
    ("source", "left"),
    [
        (False, {}),
        ("host", {"_source": {"host": "h"}}),
        ("password", {"_source": {}}),
        ({"excludes": ["h*"]}, {"_source": {"type": "email"}}),
    ],
)
def test_the_source_is_filtered_after_it_was_redacted(source, left):
    (only,) = answer(search({"_source": source}), found(hit()), shown)["hits"]["hits"]
    expected = {name: value for name, value in SHOWN.items() if name != "_source"}
    assert only == {**expected, **left}


def test_sort_values_and_names_of_queries_are_shown():
    given_hit = hit(sort=["a"], matched_queries=["n"])
    (only,) = answer(search({"sort": ["_name"]}), found(given_hit), shown)["hits"]["hits"]
    assert only == {**SHOWN, "sort": ["a"], "matched_queries": ["n"]}


@pytest.mark.parametrize(
    ("body", "parameters", "total"),
    [
        ({}, {"rest_total_hits_as_int": "true"}, {"total": 7}),
        ({"track_total_hits": False}, {}, {}),
        ({"track_total_hits": False}, {"rest_total_hits_as_int": "true"}, {"total": -1}),
    ],
)
def test_totals(body, parameters, total):
    asked = search(body, **parameters)
    given_answer = found(total=None) if asked.total is False else found()
    hits = answer(asked, given_answer, shown)["hits"]
    assert hits == {**total, "max_score": 1.5, "hits": []}


def test_without_an_index_nothing_is_found():
    assert answer(search(), None, shown) == {
        "took": 0,
        "timed_out": False,
        "_shards": SHARDS,
        "hits": {"total": {"value": 0, "relation": "eq"}, "max_score": None, "hits": []},
    }
    untracked = answer(search({"track_total_hits": False}), None, shown)
    assert untracked["hits"] == {"max_score": None, "hits": []}


@pytest.mark.parametrize("sort", [[], ["port"]])
def test_a_scroll_goes_on_after_its_last_hit_and_hides_its_own_order(sort):
    asked = search({"sort": sort}, scroll="1m")
    values = [5][: len(sort)]
    hits = [
        hit(sort=[*values, None, "email", "a"]),
        hit("email/hidden", sort=[*values, None, "z", "z"]),
    ]
    page = answer(asked, found(*hits), shown)
    assert page["hits"]["hits"] == [{**SHOWN, "sort": values} if sort else SHOWN]
    following = scroll.of(page["_scroll_id"], FIELDS)
    assert following.request()["search_after"] == [*values, None, "z", "z"]


def test_the_end_of_a_scroll_has_an_id_too():
    """Clients that go on, or clear it, need one; it leads to the same, empty page."""
    asked = search(scroll="1m")
    following = scroll.of(answer(asked, None, shown)["_scroll_id"], FIELDS)
    assert following == asked


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"hits": []},
        {"hits": {}},
        {"hits": {"hits": {}}},
        found({}),
        found(hit(_id=1)),
        found(hit(_source=None)),
        found(hit(sort="a")),
        found("a"),
    ],
    ids=str,
)
def test_what_is_no_answer_to_a_search_is_the_clusters_fault(broken):
    with pytest.raises(Refused):
        answer(search(), broken, shown)


@pytest.mark.parametrize("sort", [{}, {"sort": []}, {"sort": ["a"]}, {"sort": [{}, "a", "b"]}])
def test_a_scroll_whose_hits_lack_sort_values_is_the_clusters_fault(sort):
    with pytest.raises(Refused):
        answer(search(scroll="1m"), found(hit(**sort)), shown)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("", "", True),
        ("a", "a", True),
        ("a", "ab", False),
        ("*", "", True),
        ("a*", "a", True),
        ("a*a", "a", False),
        ("a*b*c", "a.b.b.c", True),
        ("a*b*c", "acb", False),
        ("*b*", "abc", True),
        ("**", "a", True),
        ("a?", "ab", False),
        ("*ab*ab*", "abab", True),
        ("*ab*ab*", "aba", False),
        ("*a" * 5000, "a" * 5000 + "b", False),
    ],
    ids=lambda it: str(it)[:9],
)
def test_patterns(pattern, text, fits):
    assert glob.fits(pattern, text) is fits


@given(st.text("ab*", max_size=6), st.text("ab.", max_size=6))
def test_a_pattern_stands_for_itself_and_for_more(pattern, text):
    assert glob.fits(text, text)
    assert glob.fits(f"*{text}*", f"x{text}y")
    assert glob.fits(pattern, pattern.replace("*", text))


def test_a_name_with_a_dot_is_found_by_where_it_begins():
    labels = {"app.name": "a", "team": "b"}
    kept = source_filter.parse("labels.app").of({"labels": labels, "host": "h"})
    assert kept == {"labels": {"app.name": "a"}}


DOCUMENTS = st.dictionaries(
    st.sampled_from(["type", "host", "labels"]),
    st.integers(0, 1) | st.dictionaries(st.sampled_from("ab"), st.integers(0, 1)),
)


@given(DOCUMENTS, st.lists(st.text("hostlabe*.", max_size=6), max_size=3))
def test_a_filter_adds_nothing(document, patterns):
    kept = source_filter.parse(patterns).of(document)
    left = source_filter.parse({"excludes": patterns}).of(document)
    assert kept.keys() <= document.keys()
    assert left.keys() <= document.keys()
    assert source_filter.parse(True).of(document) == document
