"""Only listed queries, with listed parameters, on searchable fields go on to the cluster."""

import contextlib
import json

import pytest
from accounts import TYPES
from hypothesis import given
from hypothesis import strategies as st
from queries import NAMED, OTHER_QUERIES, QUERIES

from signals_proxy.account.query import MAX_CLAUSES, MAX_DEPTH, MAX_TERMS, read, searchable
from signals_proxy.errors import InvalidBody

FIELDS = searchable(TYPES)


def refused(query):
    """What is said of a query that is not accepted."""
    with pytest.raises(InvalidBody) as error:
        read(query, FIELDS)
    return error.value.message


def nested(depth):
    """A query with others within, that many in all."""
    query = {"match_all": {}}
    for _ in range(depth - 1):
        query = {"bool": {"must": query}}
    return query


def test_what_is_public_and_indexed_can_be_searched():
    public = {name for it in TYPES.values() for name in it.public}
    assert {"type": "text", "type.keyword": "keyword"}.items() <= FIELDS.items()
    assert {"_name": "keyword", "_tenant": "keyword", "port": "long"}.items() <= FIELDS.items()
    assert {name.partition(".")[0] for name in FIELDS} <= public | {"type", "_name", "_tenant"}


@pytest.mark.parametrize("query", QUERIES, ids=json.dumps)
def test_a_listed_query_is_accepted_and_reading_it_again_changes_nothing(query):
    once = read(query, FIELDS)
    assert once == read(once, FIELDS)


@pytest.mark.parametrize(
    ("query", "long"),
    [
        ({"match": {"type": "a"}}, {"match": {"type": {"query": "a"}}}),
        ({"regexp": {"_name": "a"}}, {"regexp": {"_name": {"value": "a"}}}),
        ({"ids": {"values": "email/a"}}, {"ids": {"values": ["email/a"]}}),
        ({"terms": {"_name": ["a"], "_name ": 1}}, None),
        (
            {"multi_match": {"query": "a", "fields": ["port*^2", "type"]}},
            {"multi_match": {"query": "a", "fields": ["port^2", "type"]}},
        ),
    ],
)
def test_what_goes_on_is_the_long_form(query, long):
    """So that Elasticsearch takes ``_name`` for our attribute, not for the name of a query."""
    if long is None:
        refused(query)
    else:
        assert long == read(query, FIELDS)


@pytest.mark.parametrize("name", ["multi_match", "query_string", "simple_query_string"])
@pytest.mark.parametrize("fields", [{}, {"fields": []}, {"fields": ["*"]}, {"fields": ["*^1"]}])
def test_all_fields_are_written_out(name, fields):
    """Left open, Elasticsearch would look into the fields that are none of the caller's too."""
    found = read({name: {"query": "a", **fields}}, FIELDS)[name]
    written = {it.partition("^")[0] for it in found["fields"]}
    assert written == {it for it in FIELDS if not it.startswith("_")}
    assert found["lenient"]


OTHER_FIELDS = [
    "_sealed",
    "_sealed.key",
    "_seal*",
    "*.key",
    "password",
    "_index",
    "nope*",
    "",
    "_id*",
]


@pytest.mark.parametrize("field", OTHER_FIELDS)
@pytest.mark.parametrize("shape", NAMED)
def test_no_other_field_can_be_named(shape, field):
    refused(json.loads(shape.replace("FIELD", field)))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (None, "query malformed, an object with one query by its name is expected"),
        ({}, "query malformed, an object with one query by its name is expected"),
        (
            {"match_all": {}, "match_none": {}},
            "query malformed, an object with one query by its name is expected",
        ),
        ({"match_all": 1}, "[match_all] query malformed, no start_object after query name"),
        ({"match_all": {"foo": 1}}, "[match_all] query does not support [foo]"),
        ({"match": {"type": {"query": "x", "analyzer": "x"}}}, "[match] query does not support [analyzer]"),
        ({"match": {"type": "x", "host": "x"}}, "[match] query takes one field, found 2"),
        ({"term": {"type": None}}, "[term] [value] is not a text, a number or a boolean"),
        ({"term": {"type": ["a"]}}, "[term] [value] is not a text, a number or a boolean"),
        ({"term": {"port": float("inf")}}, "[term] [value] is not a text, a number or a boolean"),
        ({"term": {"type": {}}}, "[term] requires [value]"),
        ({"term": {"type": {"value": 1, "boost": -1}}}, "[term] failed to parse field [boost]"),
        ({"term": {"type": {"value": 1, "boost": [1]}}}, "[term] failed to parse field [boost]"),
        (
            {"terms": {"host": {"index": "secrets", "id": "1", "path": "a"}}},
            "[terms] takes an array of values; none are looked up elsewhere",
        ),
        ({"constant_score": {}}, "[constant_score] requires ['filter']"),
        ({"dis_max": {}}, "[dis_max] requires ['queries']"),
        ({"boosting": {"positive": {"match_all": {}}}}, "[boosting] requires ['negative', 'positive']"),
        ({"regexp": {"host": "a" * 1001}}, "[regexp] [value] has more than 1000 characters"),
        ({"wildcard": {"host": "a" * 1001}}, "[wildcard] [value] has more than 1000 characters"),
        ({"query_string": {"query": "a" * 1001}}, "[query_string] [query] has more than 1000 characters"),
        ({"multi_match": {"query": "a", "default_field": "host"}}, "[multi_match] query does not support [default_field]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(query, message):
    assert message == refused(query)


@pytest.mark.parametrize("name", OTHER_QUERIES)
def test_no_other_query_is_accepted(name):
    for query in ({name: {}}, {name: OTHER_QUERIES[name]}):
        assert refused(query).startswith(f"unknown query [{name}]")
        assert refused({"bool": {"filter": [query]}}).startswith(f"unknown query [{name}]")


def test_every_query_is_looked_at():
    """Each that is known is either accepted or refused, and none is both."""
    accepted = {name for it in QUERIES for name in it}
    assert len(accepted) == 20
    assert not accepted & OTHER_QUERIES.keys()


def test_there_are_limits():
    assert read(nested(MAX_DEPTH), FIELDS) == nested(MAX_DEPTH)
    refused(nested(MAX_DEPTH + 1))
    for count, accepts in ((MAX_CLAUSES - 1, True), (MAX_CLAUSES, False)):
        query = {"bool": {"should": [{"match_all": {}}] * count}}
        assert read(query, FIELDS) == query if accepts else refused(query)
    both = {"bool": {"must": [{"terms": {"port": [1] * 1000}}, {"ids": {"values": ["a"] * 24}}]}}
    assert MAX_TERMS == 1024
    assert read(both, FIELDS) == both
    both["bool"]["must"].append({"terms": {"port": [1]}})
    refused(both)


WORDS = st.sampled_from([*FIELDS, *OTHER_FIELDS, "_id", "query", "value", "fields", "boost", "a"])
LEAVES = st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | WORDS | st.text(max_size=3)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
TYPES_OF_QUERY = sorted({name for it in QUERIES for name in it} | {"script", "nested"})
ANY_QUERY = st.recursive(
    st.one_of(
        st.sampled_from(QUERIES),
        st.builds(lambda n, f, v: {n: {f: v}}, st.sampled_from(TYPES_OF_QUERY), WORDS, VALUES),
        st.builds(
            lambda shape, field: json.loads(shape.replace("FIELD", field)),
            st.sampled_from(NAMED),
            WORDS,
        ),
        VALUES,
    ),
    lambda inner: st.one_of(
        st.builds(lambda q: {"bool": {"must": q, "filter": [q]}}, inner),
        st.builds(lambda q: {"constant_score": {"filter": q}}, inner),
        st.builds(lambda n, q: {n: q}, st.sampled_from(TYPES_OF_QUERY), inner),
    ),
    max_leaves=3,
)


def named_fields(query):
    """Every field that a query of the long form names."""
    ((name, given),) = query.items()
    if name in {"bool", "dis_max", "constant_score", "boosting"}:
        for place in given.values():
            inner = place if isinstance(place, list) else [place]
            for it in inner:
                if isinstance(it, dict):
                    yield from named_fields(it)
    elif name == "exists":
        yield given["field"]
    elif "fields" in given:
        yield from (it.partition("^")[0] for it in given["fields"])
    elif name == "terms":
        (field,) = [n for n, value in given.items() if isinstance(value, list)]
        yield field
    elif name not in {"ids", "match_all", "match_none"}:
        yield from given


@given(ANY_QUERY)
def test_any_query_is_read_or_refused_and_names_searchable_fields_only(query):
    with contextlib.suppress(InvalidBody):
        found = read(query, FIELDS)
        assert {*named_fields(found)} <= {*FIELDS, "_id"}
        assert found == read(found, FIELDS)
        json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"query_string": {"query": 1}}, "requires [query], which is text"),
        ({"multi_match": {"query": "a", "fields": ["host"] * 2000}}, "fields"),
        ({"terms": {"host": {"index": "other", "id": "1", "path": "x"}}}, "none are looked up"),
        ({"terms": {"host": "a"}}, "takes an array of values"),
        ({"terms": {"host": ["a"], "port": [1]}}, "takes one field, found 2"),
        ({"ids": {"values": [{}]}}, "requires an array of values"),
        ({"multi_match": {"query": "a", "fields": ["host^x"]}}, "failed to parse the boost"),
    ],
)
def test_what_is_said(query, told):
    assert told in refused(query)
