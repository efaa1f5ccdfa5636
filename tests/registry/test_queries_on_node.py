"""A real node finds for a search of ours what it finds for the caller's own, within what is visible.

Elasticsearch of both versions, and OpenSearch, whom the registry's own user asks.
"""

import json
from urllib.parse import quote

import pytest
from accounts import TYPES
from opensearch import User, registry_role
from queries import QUERIES
from registries import Cluster

from signals_proxy.account import page, schema, scroll
from signals_proxy.account.query import searchable
from signals_proxy.account.search import parse
from signals_proxy.errors import InvalidBody, InvalidParameter

FIELDS = searchable(TYPES)
DOCUMENTS = {
    "email/default": {
        "host": "smtp.example.com",
        "port": 465,
        "default_to": ["a@b.test", "c@d.test"],
        "enable_tls": True,
        "labels": {"team": "ops", "a.b": "c"},
    },
    "slack/default": {"default_channel": "#ops"},
    "ops/email/b": {"host": "mail.ops.test", "port": 25, "expires_at": "2027-01-02"},
    "other/email/c": {"host": "mail.other.test"},
}
VISIBLE = {"ids": {"values": ["email/default", "slack/default", "ops/email/b"]}}


@pytest.fixture(params=["elasticsearch", "elasticsearch_8", "opensearch"])
def node(request):
    """The name of the fixture with the node that all tests of this file are about."""
    return request.param


@pytest.fixture
def elasticsearch(node, request):
    """Its URL."""
    found = request.getfixturevalue(node)
    return found if isinstance(found, str) else found.url


@pytest.fixture
def operator(node, request):
    """The registry's user, where the node knows users: no search of ours needs other rights."""
    if node != "opensearch":
        return None
    user = User("searcher", "Known-to-this-file-4")
    request.getfixturevalue(node).add_user(user, registry_role(".signals_"))
    return user


@pytest.fixture
def accounts(cluster: Cluster) -> Cluster:
    """A cluster with an index of ours that has some accounts."""
    status, _ = cluster.ask("PUT", "/{index}", {"mappings": schema.index_mapping(TYPES)})
    assert status == 200
    for document_id, attributes in DOCUMENTS.items():
        *tenants, type_name, name = document_id.split("/")
        document = {"type": type_name, "_name": name, **attributes, "_sealed": {"key": "k1"}}
        if tenants:
            document["_tenant"] = tenants[0]
        status, _ = cluster.ask(
            "PUT", f"/{{index}}/_doc/{quote(document_id, safe='')}?refresh=true", document
        )
        assert status == 201
    return cluster


def searched(cluster, body=None, tenant="ops", parameters=None):
    """What our search finds."""
    search = parse(body or {}, parameters or {}, tenant, FIELDS)
    return answered(cluster, search)


def answered(cluster, search):
    """What a search finds."""
    status, found = cluster.ask("POST", "/{index}/_search", search.request())
    assert status == 200, found
    return page.answer(search, found, lambda _, source: {"_source": source})


def hits(answer):
    """Ids and scores, and what else is asked for."""
    return [(it["_id"], it["_score"]) for it in answer["hits"]["hits"]]


def test_each_query_finds_what_it_finds_alone_with_the_same_scores(accounts: Cluster):
    """Also with each parameter that is let through: none of them is one that no node knows."""
    expected, actual = {}, {}
    for query in QUERIES:
        body = {"query": {"bool": {"must": [query], "filter": [VISIBLE]}}}
        status, answer = accounts.ask("POST", "/{index}/_search", body)
        assert status == 200, (query, answer)
        expected[json.dumps(query)] = hits(answer)
        actual[json.dumps(query)] = hits(searched(accounts, {"query": query}))
    assert actual == expected
    assert len({str(it) for it in expected.values()}) > 15


def test_q_finds_what_the_node_finds(accounts: Cluster):
    for q in ("email", "type:email AND port:[1 TO 99]", "smtp*", "465", "k1", "host:/mail.*/"):
        body = {"query": {"bool": {"filter": [VISIBLE], "must": {"query_string": {"query": q}}}}}
        _, answer = accounts.ask("POST", "/{index}/_search", body)
        assert (q, hits(searched(accounts, parameters={"q": q}))) == (q, hits(answer))


ON_SOME_WORDS = [
    {"fuzzy": {"host": {"value": "smtpc", "max_expansions": 1}}},
    {"match": {"host": {"query": "smtpc", "fuzziness": 1, "max_expansions": 1}}},
    {"match": {"host.keyword": {"query": "smtpc", "fuzziness": 1, "max_expansions": 1}}},
    {"match_bool_prefix": {"host": {"query": "smtpc a", "fuzziness": 1, "max_expansions": 1}}},
    {"match_phrase_prefix": {"host": {"query": "smtp", "max_expansions": 1}}},
    {"multi_match": {"query": "smtpc", "fuzziness": 1, "max_expansions": 1, "fields": ["host"]}},
    {"multi_match": {"query": "smtp", "type": "phrase_prefix", "fields": ["host"]}},
    {"query_string": {"query": "host:smtpc~1", "fuzzy_max_expansions": 1}},
    *(
        {"query_string": {"query": f"host:{text}"}}
        for text in ("smtpc~1", "smtpc ~", "smtpc^2~1", "(smtpc~1)", r"\smtpc~", "/smtpc/~")
    ),
    {"query_string": {"query": "smtp", "type": "phrase_prefix", "fields": ["host"]}},
    {"simple_query_string": {"query": "smtpc~1", "fields": ["host"]}},
    {"simple_query_string": {"query": "smtpc~1", "fuzzy_max_expansions": 1, "fields": ["host"]}},
    {"simple_query_string": {"query": "smtpc~1", "flags": "ALL", "fields": ["host"]}},
    {"simple_query_string": {"query": 'smtpc"~1', "flags": "FUZZY|OR", "fields": ["host"]}},
    {"simple_query_string": {"query": "smtp* smtpb", "fields": ["host"]}},
    {"match_bool_prefix": {"host": "smtp"}},
    {"multi_match": {"query": "smtp", "type": "bool_prefix", "fields": ["host"]}},
    {"query_string": {"query": "host:smtp* host:/smtp[a-c]/ host:[smtpa TO smtpc]"}},
]
"""Queries for a word that is like others, of which a search takes the last four."""


def test_hits_and_scores_tell_nothing_of_other_accounts(accounts: Cluster):
    """Neither how many there are, nor how many have a word or a switch, nor which words they have."""

    def put(tenant, *hosts):
        rest = {**DOCUMENTS["email/default"], "type": "email", "_tenant": tenant, "_name": "w"}
        path = f"/{{index}}/_doc/{tenant}%2Femail%2Fw?refresh=true"
        assert accounts.ask("PUT", path, {**rest, "host": hosts})[0] in {200, 201}

    def found(query):
        try:
            return sorted(hits(searched(accounts, {"query": query})))
        except InvalidBody:
            return None

    put("ops", "smtpb", "smtp.example.com")
    before = [found(query) for query in [*QUERIES, *ON_SOME_WORDS]]
    # One word that is nearer and one that comes first, and more than any default looks at.
    put("other", "smtpa", "smtpc", "smtp.example.com", *(f"smtp0{number}" for number in range(60)))
    for number in range(3):
        put(f"other{number}", "smtp.example.com")
    put("ops", "smtpb", "smtp.example.com")
    assert accounts.ask("POST", "/{index}/_forcemerge?max_num_segments=1")[0] == 200
    assert [found(query) for query in [*QUERIES, *ON_SOME_WORDS]] == before
    assert None not in before[-4:]
    assert [] not in before[-4:]


@pytest.mark.parametrize(
    ("tenant", "expected"),
    [
        (None, {"email/default", "slack/default"}),
        ("ops", {"email/default", "slack/default", "ops/email/b"}),
        ("nobody", {"email/default", "slack/default"}),
    ],
)
def test_no_query_reaches_what_another_tenant_has(accounts: Cluster, tenant, expected):
    for query in (
        {"match_all": {}},
        {"bool": {"should": [{"term": {"_tenant": "other"}}, {"match_all": {}}]}},
        {"ids": {"values": [*DOCUMENTS]}},
        {"query_string": {"query": "*:* OR _tenant:other"}},
    ):
        answer = searched(accounts, {"query": query}, tenant)
        assert {it["_id"] for it in answer["hits"]["hits"]} == expected
        assert answer["hits"]["total"]["value"] == len(expected)


FILTERS = [
    *(True, False, "host", "h*", "labels", "labels.team", "labels.a.b", "labels.*", "*.team", "l*"),
    *("*", "", "labels.a", "*s.a", "default_to", "lab*.team", "nope", "labels.team.x", [], ["host", "port"]),
    *({"excludes": ["labels"]}, {"excludes": ["labels.team"]}, {"excludes": ["labels.*"]}),
    *({"excludes": ["*"]}, {"excludes": ["*.team", "host"]}, {"excludes": ["labels.a.b"]}, {"excludes": ["labels.a"]}, {"excludes": ["*t*"]}),
    *({"includes": ["labels"], "excludes": ["labels.*"]}, {"includes": ["l*"], "excludes": ["*.team"]}),
    *({"includes": ["labels.*"], "excludes": ["labels.team", "labels.a*"]}, {"includes": [], "excludes": []}),
    *({"includes": ["labels.team"], "excludes": ["labels"]}, {"excludes": ["default_to", "e*"]}),
]  # fmt: skip


def test_the_source_is_filtered_as_the_node_does_it(accounts: Cluster):
    one = {"query": {"ids": {"values": ["email/default"]}}}
    expected, actual = {}, {}
    for filter_ in FILTERS:
        _, answer = accounts.ask("POST", "/{index}/_search", {**one, "_source": filter_})
        expected[str(filter_)] = answer["hits"]["hits"][0].get("_source")
        ours = searched(accounts, {**one, "_source": filter_})
        actual[str(filter_)] = ours["hits"]["hits"][0].get("_source")
    assert actual == expected


SORTS = [
    *("expires_at", "port", "enable_tls", "_score", "type.keyword", "_tenant", "_doc"),
    *({"expires_at": "desc"}, {"port": "desc"}, {"port": {"missing": 7, "mode": "avg"}}),
    *({"host.keyword": {"missing": "_first"}}, {"default_to.keyword": {"mode": "max"}}, []),
]


def test_a_scroll_shows_each_account_once_in_its_order(accounts: Cluster):
    """Whatever the values are that a page ends with, and though each page is a new search."""
    for sort in SORTS:
        search = parse({"sort": sort, "size": 1}, {"scroll": "25s"}, "ops", FIELDS)
        _, whole = accounts.ask("POST", "/{index}/_search", {**search.request(), "size": 10})
        expected = [it["_id"] for it in whole["hits"]["hits"]]
        assert len({*expected}) == 3
        seen = []
        for _ in expected:
            answer = answered(accounts, search)
            assert answer["hits"]["total"] == {"value": 3, "relation": "eq"}
            seen += [it["_id"] for it in answer["hits"]["hits"]]
            search = scroll.of(answer["_scroll_id"], FIELDS, "25s")
        assert (sort, seen) == (sort, expected)
        assert answered(accounts, search)["hits"]["hits"] == []


def test_an_index_of_an_older_version_can_be_sorted_by_what_it_lacks(cluster: Cluster):
    assert cluster.ask("PUT", "/{index}", {"mappings": {"dynamic": False}})[0] == 200
    for name, kind in FIELDS.items():
        if kind != "text":
            answer = searched(cluster, {"sort": [name]}, parameters={"scroll": "1m"})
            assert answer["hits"]["hits"] == []


def test_without_an_index_the_answer_is_that_of_an_empty_one(cluster: Cluster):
    cluster.ask("PUT", "/{index}", {"mappings": schema.index_mapping(TYPES)})
    as_int = {"rest_total_hits_as_int": "true"}
    for body in ({}, {"size": 0}, {"track_total_hits": False}, {"sort": ["port"]}):
        for query, parameters in (("", {}), ("?rest_total_hits_as_int=true", as_int)):
            status, expected = cluster.ask("POST", f"/{{index}}/_search{query}", body)
            assert status == 200
            search = parse(body, parameters, None, FIELDS)
            actual = page.answer(search, None, lambda _, source: {"_source": source})
            del expected["took"], actual["took"]
            expected.pop("terminated_early", None)
            assert actual == expected


REFUSED = [
    *({"size": "x"}, {"from": -1}, {"size": 10_001}, {"query": {}}, {"query": {"foo": {}}}),
    *({"foo": 1}, {"search_after": ["a"]}, {"search_after": [1, 2], "sort": ["port"]}),
    *({"sort": ["nope"]}, {"sort": ["host"]}, {"sort": [{"port": "up"}]}, {"_source": 1}),
    *({"query": {"match": {"type": {"query": "x", "foo": 1}}}}, {"track_total_hits": -2}),
    *({"query": {"query_string": {"query": '"'}}}, {"query": {"query_string": {"query": "/"}}}),
    *({"query": {"term": {"type": None}}}, {"query": {"match_all": 1}}),
]


def test_what_the_node_refuses_is_refused(accounts: Cluster):
    for body in REFUSED:
        assert (body, accounts.ask("POST", "/{index}/_search", body)[0]) == (body, 400)
        with pytest.raises((InvalidBody, InvalidParameter)):
            parse(body, {}, None, FIELDS)
