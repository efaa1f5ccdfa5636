"""What a caller asks for becomes a search of what the caller may see, or is refused."""

import contextlib
import json

import pytest
from accounts import TYPES
from hypothesis import given
from hypothesis import strategies as st
from queries import QUERIES

from signals_proxy.account.query import searchable
from signals_proxy.account.search import MAX_WINDOW, PARAMETERS, Search, parse
from signals_proxy.account.source_filter import SourceFilter
from signals_proxy.errors import InvalidBody, InvalidParameter

FIELDS = searchable(TYPES)
GLOBAL = {"bool": {"must_not": [{"exists": {"field": "_tenant"}}]}}
ALL = {"match_all": {}}


def asked(body=None, tenant=None, **parameters):
    """The search of a body and parameters; ``from_`` is ``from``."""
    given = {name.removesuffix("_"): value for name, value in parameters.items()}
    return parse(body or {}, given, tenant, FIELDS)


def test_who_asks_for_nothing_gets_ten_of_the_global_accounts():
    assert asked().request() == {
        "query": {"bool": {"must": [ALL], "filter": [GLOBAL]}},
        "from": 0,
        "size": 10,
        "_source": True,
    }


def test_a_tenant_sees_its_own_and_the_global_accounts():
    own = {"term": {"_tenant": {"value": "ops"}}}
    assert asked(tenant="ops").request()["query"]["bool"]["filter"] == [
        {"bool": {"should": [GLOBAL, own], "minimum_should_match": 1}}
    ]


def test_rights_are_a_filter_beside_what_is_visible():
    rights = {"terms": {"_name": ["a"]}}
    assert asked().request(rights)["query"]["bool"]["filter"] == [GLOBAL, rights]


def test_everything_that_can_be_asked_for_is_sent():
    body = {
        "query": {"match": {"type": "email"}},
        "sort": [{"_name": "desc"}],
        "size": 5,
        "search_after": ["a"],
        "track_total_hits": 7,
        "_source": ["host"],
    }
    request = asked(body).request()
    assert request == {
        "query": {"bool": {"must": [{"match": {"type": {"query": "email"}}}], "filter": [GLOBAL]}},
        "sort": [{"_name": {"order": "desc", "unmapped_type": "keyword"}}],
        "from": 0,
        "size": 5,
        "search_after": ["a"],
        "track_total_hits": 7,
        "_source": True,
    }


@pytest.mark.parametrize(
    ("body", "parameters", "members"),
    [
        ({"from": 1}, {}, {"start": 1}),
        ({"from": "1", "size": 0}, {}, {"start": 1, "size": 0}),
        ({"from": 1, "size": 2}, {"from": "3", "size": "4"}, {"start": 3, "size": 4}),
        ({"track_total_hits": True}, {}, {"total": True}),
        ({"track_total_hits": False}, {}, {"total": False}),
        ({"track_total_hits": -1}, {}, {"total": False}),
        ({"track_total_hits": 0}, {}, {"total": 0}),
        ({"track_total_hits": True}, {"track_total_hits": "false"}, {"total": False}),
        ({}, {"track_total_hits": "20"}, {"total": 20}),
        ({}, {"rest_total_hits_as_int": "true"}, {"total": True, "total_as_int": True}),
        ({}, {"rest_total_hits_as_int": ""}, {"total": True, "total_as_int": True}),
        (
            {"track_total_hits": False},
            {"rest_total_hits_as_int": "true"},
            {"total": False, "total_as_int": True},
        ),
        ({}, {"scroll": "25s"}, {"scroll": "25s", "total": True}),
        ({"sort": ["_doc"]}, {"scroll": "1d"}, {"scroll": "1d", "total": True}),
        ({"_source": False}, {}, {"source": SourceFilter(shown=False)}),
        ({"_source": "host"}, {}, {"source": SourceFilter(includes=("host",))}),
        ({"_source": ["a*", "b"]}, {}, {"source": SourceFilter(includes=("a*", "b"))}),
        (
            {"_source": {"includes": "a", "excludes": ["b"]}},
            {},
            {"source": SourceFilter(includes=("a",), excludes=("b",))},
        ),
        ({"_source": {"exclude": ["b"]}}, {}, {"source": SourceFilter(excludes=("b",))}),
        ({"_source": ["a"]}, {"_source": "b,c"}, {"source": SourceFilter(includes=("b", "c"))}),
        ({"_source": ["a"]}, {"_source": "true"}, {"source": SourceFilter()}),
        ({"_source": ["a"]}, {"_source_excludes": "b"}, {"source": SourceFilter(excludes=("b",))}),
        (
            {},
            {"_source": "false", "_source_includes": "b"},
            {"source": SourceFilter(shown=False)},
        ),
        ({}, {"preference": "_local", "typed_keys": "x", "ignore_unavailable": "?"}, {}),
        ({}, {"search_type": "dfs_query_then_fetch", "pretty": "true", "other": "x"}, {}),
    ],
)
def test_members_and_parameters(body, parameters, members):
    """A parameter wins over a member of the same meaning; some are taken and have no effect."""
    assert parse(body, parameters, None, FIELDS) == Search(None, **members)


@pytest.mark.parametrize(
    ("sort", "parameter", "found"),
    [
        ("_name", None, [{"_name": {"order": "asc", "unmapped_type": "keyword"}}]),
        ({"port": "DESC"}, None, [{"port": {"order": "desc", "unmapped_type": "long"}}]),
        ([{"port": {}}, "_score"], None, [{"port": {"order": "asc", "unmapped_type": "long"}}, {"_score": {"order": "desc"}}]),
        ([], "_score:asc,_doc", [{"_score": {"order": "asc"}}, {"_doc": {"order": "asc"}}]),
        (["_doc"], "type.keyword:desc", [{"_doc": {"order": "asc"}}, {"type.keyword": {"order": "desc", "unmapped_type": "keyword"}}]),
        (
            [{"port": {"missing": "_first", "mode": "max", "unmapped_type": "date"}}],
            None,
            [{"port": {"order": "asc", "missing": "_first", "mode": "max", "unmapped_type": "long"}}],
        ),
    ],
)  # fmt: skip
def test_sorts_become_their_long_form(sort, parameter, found):
    parameters = {} if parameter is None else {"sort": parameter}
    assert found == [*parse({"sort": sort}, parameters, None, FIELDS).sort]


def test_a_scroll_is_sorted_so_that_no_two_accounts_are_equal():
    """Without a sort of the caller's, scores are told all the same."""
    order = ["_tenant", "type.keyword", "_name"]
    plain = asked(scroll="1m").request()
    assert [name for it in plain["sort"] for name in it] == order
    assert plain["track_scores"]
    sorted_ = asked({"sort": ["port", "_doc"]}, scroll="1m").request()
    assert [name for it in sorted_["sort"] for name in it] == ["port", *order]
    assert not sorted_["track_scores"]


def test_q_is_a_query_string_which_wins_over_the_query():
    query = asked({"query": ALL}, q="type:email", default_operator="AND", df="host").query
    assert query == {
        "query_string": {"query": "type:email", "default_operator": "AND", "fields": ["host"]}
    }


@pytest.mark.parametrize(
    "name",
    [
        *("aggs", "aggregations", "pit", "runtime_mappings", "script_fields", "fields", "suggest"),
        *("docvalue_fields", "stored_fields", "collapse", "rescore", "knn", "highlight", "slice"),
        *("post_filter", "profile", "explain", "min_score", "retriever", "rank", "ext", "foo"),
        *("indices_boost", "terminate_after", "timeout", "version", "stats", "sub_searches", ""),
    ],
)
def test_no_other_member_is_accepted(name):
    with pytest.raises(InvalidBody, match=rf"^Unknown key \[{name}\]"):
        asked({name: {}})


@pytest.mark.parametrize(
    ("body", "parameters", "message"),
    [
        ({}, {"size": "abc"}, "Failed to parse int parameter [size] with value [abc]"),
        ({"size": True}, {}, "Failed to parse int parameter [size] with value [True]"),
        ({"size": None}, {}, "Failed to parse int parameter [size] with value []"),
        ({"size": 1.5}, {}, "Failed to parse int parameter [size] with value []"),
        ({"size": -1}, {}, "[size] parameter cannot be negative, found [-1]"),
        ({}, {"from": "-1"}, "[from] parameter cannot be negative, found [-1]"),
        (
            {"from": 1, "size": MAX_WINDOW},
            {},
            "Result window is too large, from + size must be less than or equal to: [10000] but was [10001]. See the scroll api for a more efficient way to request large data sets.",
        ),
        (
            {"size": MAX_WINDOW + 1},
            {"scroll": "1m"},
            "Batch size is too large, size must be less than or equal to: [10000] but was [10001].",
        ),
        ({"size": 0}, {"scroll": "1m"}, "Validation Failed: 1: [size] cannot be [0] in a scroll context;"),
        ({"from": 1}, {"scroll": "1m"}, "Validation Failed: 1: using [from] is not allowed in a scroll context;"),
        ({"sort": ["port"], "search_after": [1]}, {"scroll": "1m"}, "Validation Failed: 1: [search_after] cannot be used in a scroll context;"),
        ({"track_total_hits": 1}, {"scroll": "1m"}, "Validation Failed: 1: disabling [track_total_hits] is not allowed in a scroll context;"),
        ({}, {"scroll": "2d"}, "Keep alive for request (2d) is too large. It must be less than (1d)."),
        ({}, {"scroll": "25h"}, "Keep alive for request (25h) is too large. It must be less than (1d)."),
        ({}, {"scroll": "1x"}, "failed to parse setting [scroll] with value [1x] as a time value: unit is missing or unrecognized"),
        ({}, {"scroll": ""}, "failed to parse setting [scroll] with value [] as a time value: unit is missing or unrecognized"),
        ({"track_total_hits": 5}, {"rest_total_hits_as_int": "true"}, "[rest_total_hits_as_int] cannot be used if the tracking of total hits is not accurate, got 5"),
        ({}, {"rest_total_hits_as_int": "x"}, "Failed to parse value [x] as only [true] or [false] are allowed."),
        ({}, {"track_total_hits": "x"}, "Failed to parse int parameter [track_total_hits] with value [x]"),
        ({"track_total_hits": None}, {}, "Failed to parse int parameter [track_total_hits] with value []"),
        ({"search_after": ["a"]}, {}, "Sort must contain at least one field."),
        ({"search_after": [], "sort": ["port"]}, {}, "Values must contains at least one value."),
        ({"search_after": "a", "sort": ["port"]}, {}, "[search_after] is an array of values"),
        ({"search_after": [1, 2], "sort": ["port"]}, {}, "search_after has 2 value(s) but sort has 1."),
        ({"search_after": [{}], "sort": ["port"]}, {}, "[search_after] takes texts, numbers, booleans and null"),
        ({"search_after": [1], "sort": ["port"], "from": 1}, {}, "Validation Failed: 1: [from] parameter must be set to 0 when [search_after] is used;"),
        ({"sort": ["nope"]}, {}, "No mapping found for [nope] in order to sort on"),
        ({"sort": ["_sealed.key"]}, {}, "No mapping found for [_sealed.key] in order to sort on"),
        ({"sort": ["_id"]}, {}, "No mapping found for [_id] in order to sort on"),
        ({"sort": [{"_script": {"type": "number"}}]}, {}, "No mapping found for [_script] in order to sort on"),
        ({"sort": [{"_geo_distance": {}}]}, {}, "No mapping found for [_geo_distance] in order to sort on"),
        ({}, {"sort": "password:desc"}, "No mapping found for [password] in order to sort on"),
        ({"sort": ["host"]}, {}, "[host] is analysed text: sort by [host.keyword] instead"),
        ({"sort": [{"port": {"nested": {"path": "a"}}}]}, {}, "[port] sort: unknown field [nested]"),
        ({"sort": [{"_score": {"missing": 1}}]}, {}, "[_score] sort: unknown field [missing]"),
        ({"sort": [{"port": {"order": "up"}}]}, {}, "[port] sort: failed to parse field [order]: asc or desc"),
        ({"sort": [{"port": ["asc"]}]}, {}, "[port] sort: failed to parse field [order]: asc or desc"),
        ({"sort": [{"port": {"missing": {}}}]}, {}, "[port] sort: failed to parse field [missing]"),
        ({"sort": [1]}, {}, "[sort] takes the names of fields, and objects named like them"),
        ({"sort": ["port"] * 17}, {}, "[sort] takes up to 16 fields"),
        ({}, {"search_type": "scan"}, "No search type for [scan]"),
        ({}, {"df": "host"}, "the request contains parameters ['df'] but missing query string parameter 'q'."),
        ({}, {"q": "_sealed.key:a"}, "No field [_sealed.key] can be searched (in a query string). A colon that is no syntax is written '\\:', or between quotes."),
        ({}, {"q": "a", "df": "_sealed.key"}, "[query_string] query names no field that can be searched: [_sealed.key]"),
        ({"_source": 1}, {}, "[_source] is a boolean, a pattern, an array of those or an object"),
        ({"_source": [1]}, {}, "[_source] takes patterns, which are text"),
        ({"_source": {"foo": "a"}}, {}, "Unknown key [foo] in [_source]."),
        ({"_source": ["a"] * 65}, {}, "[_source] takes up to 64 patterns of up to 512 characters"),
        ({}, {"_source": "a," * 65}, "[_source] takes up to 64 patterns of up to 512 characters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(body, parameters, message):
    with pytest.raises((InvalidBody, InvalidParameter)) as error:
        parse(body, parameters, None, FIELDS)
    assert message == error.value.message


WORDS = st.sampled_from(
    [*FIELDS, "_sealed.key", "_score", "_doc", "order", "asc", "desc", "true", "1"]
)
LEAVES = (
    st.none() | st.booleans() | st.integers(-2, 10_002) | st.floats() | WORDS | st.text(max_size=3)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    [*("query", "sort", "from", "size", "search_after", "track_total_hits", "_source", "aggs")]
)
BODIES = st.dictionaries(MEMBERS | st.text(max_size=2), VALUES, max_size=4).flatmap(
    lambda body: st.builds(
        lambda query, with_query: {**body, "query": query} if with_query else body,
        st.sampled_from(QUERIES),
        st.booleans(),
    )
)
GIVEN = st.dictionaries(
    st.sampled_from(sorted(PARAMETERS)), WORDS | st.text(max_size=4) | st.just("1m"), max_size=3
)
NAMES_SENT = {"query", "from", "size", "_source", "sort", "track_scores", "search_after"}


@given(BODIES, GIVEN, st.none() | st.text(max_size=4))
def test_any_body_is_a_search_or_an_error_and_only_what_is_listed_is_sent(body, given, tenant):
    with contextlib.suppress(InvalidBody, InvalidParameter):
        request = parse(body, given, tenant, FIELDS).request()
        json.dumps(request, allow_nan=False)
        assert request.keys() <= {*NAMES_SENT, "track_total_hits"}
        assert request["_source"] is True
        assert request["query"].keys() == {"bool"}
        assert request["query"]["bool"].keys() == {"must", "filter"}
        sorts = {name for it in request.get("sort", []) for name in it}
        assert sorts <= {*FIELDS, "_score", "_doc"}


def test_a_mode_that_is_none():
    with pytest.raises(InvalidBody, match="mode"):
        parse({"sort": [{"port": {"mode": "sideways"}}]}, {}, None, FIELDS)
