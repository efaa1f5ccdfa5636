"""Search for accounts, through the application, on a real node."""

import json
import zlib
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from faults import Fault
from rawhttp import exchange

from signals_proxy.account import schema
from signals_proxy.account.ref import Ref
from signals_proxy.errors import Forbidden

REDACTED = "::es_redacted::"


@pytest.fixture
async def accounts(client: Any, cluster: Any, canary: Any) -> Any:
    """A client of a registry with accounts of all tenants, each with a secret."""
    assert not cluster.exists()
    for number, path in enumerate(("email/a", "email/b", "ops/email/c", "other/email/d")):
        body = {"host": f"h{number}.test", "port": number + 1, "user": "u", "password": canary("p")}
        assert (await client.put(body, path)).status == 201
    url = "https://hooks.slack.com/services/T0/B0/" + canary("url")
    assert (await client.put({"url": url}, "slack/s")).status == 201
    return client


def ids(answer: Any) -> list[str]:
    assert answer.status == 200, answer.text
    return [hit["_id"] for hit in answer.json["hits"]["hits"]]


async def test_a_hit(accounts: Any, index: str) -> None:
    """A hit is shown as Elasticsearch shows it, with redacted secrets and the state of the seal."""
    answer = await accounts.ask("POST", "_search", {"query": {"term": {"_name": "a"}}})
    assert answer.status == 200
    found = answer.json
    assert found.keys() == {"took", "timed_out", "_shards", "hits"}
    (hit,) = found["hits"]["hits"]
    assert (hit["_index"], hit["_id"], hit["integrity"]) == (index, "email/a", "verified")
    assert hit["_source"]["password"] == REDACTED
    assert (hit["_source"]["type"], hit["_source"]["host"]) == ("email", "h0.test")
    assert "_sealed" not in hit["_source"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("_search", {"email/a", "email/b", "slack/s"}),
        ("_main/_search", {"email/a", "email/b", "slack/s"}),
        ("ops/_search", {"email/a", "email/b", "slack/s", "ops/email/c"}),
        ("nobody/_search", {"email/a", "email/b", "slack/s"}),
    ],
)
async def test_tenants(accounts: Any, path: str, expected: set[str]) -> None:
    """A tenant sees its own accounts and the global ones, whatever is asked for."""
    for query in ("", "?q=*:*", "?q=_tenant:other+OR+*", "?q=_id:%22other/email/d%22+OR+type:*"):
        answer = await accounts.get(path + query)
        assert set(ids(answer)) == expected
        assert answer.json["hits"]["total"] == {"value": len(expected), "relation": "eq"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("q=host:h1*", ["email/b"]),
        ("q=TYPE&df=type", []),
        ("q=EMAIL&df=type&sort=port", ["email/a", "email/b"]),
        ("sort=port:desc&size=1", ["email/b"]),
        ("sort=port&from=1&size=1", ["email/b"]),
        ("size=0", []),
        ("sort=type.keyword:desc,_name&size=2", ["slack/s", "email/a"]),
    ],
)
async def test_parameters(accounts: Any, query: str, expected: list[str]) -> None:
    assert ids(await accounts.get(f"_search?{query}")) == expected


async def test_totals_and_sources(accounts: Any) -> None:
    """The forms of an answer that parameters choose."""
    as_int = await accounts.get("_search?rest_total_hits_as_int=true&typed_keys&preference=x")
    assert as_int.json["hits"]["total"] == 3
    untracked = await accounts.get("_search?track_total_hits=false")
    assert "total" not in untracked.json["hits"]
    hits = (await accounts.get("_search?_source_includes=host,pass*&q=host:*")).json["hits"]["hits"]
    assert [hit["_source"].keys() for hit in hits] == [{"host", "password"}] * 2
    assert "_source" not in (await accounts.get("_search?_source=false")).text


async def test_search_after_goes_on(accounts: Any) -> None:
    seen: list[str] = []
    body: dict[str, Any] = {"size": 1, "sort": ["type.keyword", "_name"]}
    while found := (await accounts.ask("GET", "_search", body)).json["hits"]["hits"]:
        seen += [hit["_id"] for hit in found]
        body["search_after"] = found[-1]["sort"]
    assert seen == ["email/a", "email/b", "slack/s"]


async def test_scores_tell_nothing_of_other_tenants(accounts: Any) -> None:
    """Nor how often a word occurs in their accounts, nor how many there are, nor how long."""
    queries = ("q=h1.test", "q=host.keyword:h1.test", "q=_name:b", "q=type:email+smtp*+port:2")
    before = [(await accounts.get(f"_search?{query}")).json["hits"] for query in queries]
    for number in range(3):
        body = {"host": "h1.test", "port": 2, "description": "h1.test email " * 5}
        assert (await accounts.put(body, f"other/email/b{number}")).status == 201
        assert (await accounts.put(body, f"other{number}/email/b")).status == 201
    after = [(await accounts.get(f"_search?{query}")).json["hits"] for query in queries]
    assert after == before
    assert all(found["hits"] for found in before)


async def test_where_the_body_may_stand(accounts: Any) -> None:
    """GET takes a body as POST does, and ``source`` stands for one that is not there."""
    body = {"query": {"match": {"type": "SLACK"}}}
    source = "source=" + quote(json.dumps(body))
    typed = f"{source}&source_content_type=application/json"
    for method in ("GET", "POST"):
        assert ids(await accounts.ask(method, "_search", body)) == ["slack/s"]
        assert ids(await accounts.ask(method, f"_search?{typed}")) == ["slack/s"]
    for query, given, expected in (
        (source, None, "source and source_content_type parameters are required"),
        (f"{source}&source_content_type=text/plain", None, "source_content_type [text/plain]"),
        (typed, body, "contains unrecognized parameters: [source]"),
        (
            "source_content_type=application/json",
            None,
            "unrecognized parameter: [source_content_type",
        ),
        ("size=1&foo=2", None, "contains unrecognized parameter: [foo]"),
        ("filter_path=" + "a" * 3000, None, "[filter_path]"),
    ):
        answer = await accounts.ask("POST", f"_search?{query}", given)
        assert (answer.status, expected in answer.json["error"]) == (400, True), answer.text


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"{", 400, "not valid JSON"),
        ({"aggs": {}}, 400, "Unknown key [aggs]"),
        ({"query": {"script": {"script": "1"}}}, 400, "unknown query [script]"),
        ({"query": {"terms": {"host": {"index": "x", "id": "1", "path": "p"}}}}, 400, "[terms]"),
        ({"query": {"exists": {"field": "_sealed.box"}}}, 400, "no field that can be searched"),
        ({"query": {"exists": {"field": "password"}}}, 400, "no field that can be searched"),
        ({"query": {"term": {"port": "x"}}}, 400, "[query_shard_exception]"),
        ({"query": {"regexp": {"host.keyword": "(a|b"}}}, 400, "[query_shard_exception]"),
        ({"sort": ["port"], "search_after": ["x"]}, 400, "[illegal_argument_exception]"),
        ({"size": 10_001}, 400, "Result window is too large"),
    ],
)
async def test_what_is_refused(accounts: Any, body: Any, status: int, expected: str) -> None:
    """Also what only the cluster can judge is the caller's error."""
    answer = await accounts.ask("POST", "_search", body)
    assert (answer.status, expected in answer.json["error"]) == (status, True), answer.text


async def test_media_types_of_bodies(accounts: Any) -> None:
    assert (await accounts.ask("POST", "_search", {}, Content_Type="text/plain")).status == 415


async def test_without_an_index(client: Any, cluster: Any) -> None:
    """Nothing is found, and nothing is created."""
    for path in ("_search", "ops/_search?scroll=1m"):
        answer = await client.get(path)
        assert ids(answer) == []
        assert answer.json["hits"]["total"] == {"value": 0, "relation": "eq"}
    assert not cluster.exists()


async def test_a_foreign_index_is_not_searched(client: Any, cluster: Any) -> None:
    cluster.put({"type": "email", "_name": "default", "host": "smtp.example.com"})
    answer = await client.get("_search")
    assert (answer.status, "smtp.example.com" in answer.text) == (503, False)


class NoSearch:
    """Lets nobody search in ``ops``, and notes who was asked about."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def require(self, action: Any, ref: Any, tenant: Any, caller: Any) -> Any:
        self.asked.append((action.value, ref, tenant))
        assert caller is not None
        raise Forbidden("no permissions for [search]")


async def test_rights_come_first(serve: Any, cluster: Any, audit_lines: Any) -> None:
    """Neither parameters nor body are looked at for who may not search."""
    nobody = NoSearch()
    client = await serve(authorizer=nobody)
    for path in ("_search?foo", "ops/_search"):
        assert (await client.ask("POST", path, b"{")).status == 403
    assert nobody.asked == [("search", None, None), ("search", None, "ops")]
    for line in audit_lines():
        assert (line["event.action"], line["signals_proxy.allowed"]) == ("account/search", False)
    assert not cluster.exists()


async def test_methods(client: Any) -> None:
    for path in ("_search", "ops/_search"):
        options = await client.ask("OPTIONS", path)
        assert (options.status, options.fields["Allow"]) == (200, "GET,POST")
        for method in ("HEAD", "PUT", "DELETE"):
            answer = await client.ask(method, path)
            assert (answer.status, answer.fields["Allow"]) == (405, "GET,POST")


async def test_planted_documents(accounts: Any, cluster: Any, canary: Any) -> None:
    """What somebody wrote past the registry shows as such, redacted, or not at all."""
    secret = canary("planted", allowed={"index"})
    clear = {"type": "email", "_name": "x", "host": "evil.test", "password": secret, "mine": secret}
    cluster.put(clear, Ref("email", "x"))
    cluster.put({**clear, "type": secret, "_name": secret}, Ref("email", "liar"))
    # Hidden in the global tenant, or in none of the registry's names.
    cluster.put(clear, Ref("email", "y", "other"))
    cluster.put(clear, Ref("nosuchtype", "x"))
    cluster.put({"type": "email"}, Ref("a/b", "c", "d"))
    found = {hit["_id"]: hit for hit in (await accounts.get("_search")).json["hits"]["hits"]}
    assert found.keys() == {"email/a", "email/b", "slack/s", "email/x", "email/liar"}
    assert found["email/x"]["integrity"] == "unsealed"
    assert found["email/x"]["_source"]["password"] == REDACTED
    assert found["email/liar"]["_source"]["type"] == "email"
    assert found["email/liar"]["_source"]["_name"] == "liar"
    moved = {**cluster.source(Ref("email", "a")), "host": "evil.test"}
    cluster.put(moved, Ref("email", "a"))
    (hit,) = (await accounts.get("_search?q=_name:a")).json["hits"]["hits"]
    assert hit["integrity"] == "failed"


async def test_a_document_that_the_cluster_cannot_tell(
    accounts: Any, index: str, elasticsearch: str, caplog: Any
) -> None:
    """One that is no JSON hides no other, on a page that can be read one by one; nor is it
    searched for at one node after the other, with each put aside."""

    def plant() -> None:
        url = f"{elasticsearch}/{index}/_doc/email%2Fbad?refresh=true"
        fields = {"Content-Type": "application/cbor", "Accept": "application/json"}
        with urlopen(Request(url, b"\xbf\x62zz\x63ab\xff\xff", fields, method="PUT")) as answer:
            assert answer.status == 201

    plant()
    found = (await accounts.get("_search")).json["hits"]["hits"]
    assert {hit["_id"]: hit["integrity"] for hit in found} == {
        "email/a": "verified",
        "email/b": "verified",
        "slack/s": "verified",
        "email/bad": "failed",
    }
    of_client = [it.message for it in caplog.records if it.name == "elastic_transport.transport"]
    assert len([it for it in of_client if it.startswith("POST") and "/_search" in it]) == 2
    assert (await accounts.delete("email/bad")).status == 200


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("fault", [Fault.LOSE_REQUEST, Fault.LOSE_ANSWER])
async def test_an_answer_that_is_lost(
    serve: Any, connected: Any, faulty_wire: Any, fault: Fault
) -> None:
    """It is asked for again, on a page too that could not be read one by one."""
    client = await serve(registry=connected(faulty_wire.url))
    plan = faulty_wire.plan(b"/_search", fault)
    assert len(ids(await client.get("_search?size=20"))) == 3
    assert plan.met.is_set()


async def test_a_cluster_that_gives_half_characters(
    serve: Any, connected: Any, played: Any, index: str, types: Any
) -> None:
    """Which no node does: it is an error of the cluster's, not ours."""
    described = {index: {"mappings": schema.index_mapping(types), "settings": {}}}
    client = await serve(registry=connected(played.url))
    hit = {"_id": "email/a", "_source": {"host": "\ud800"}, "sort": [None, "email", "a"]}
    for changed, status in (
        ({}, 200),
        ({"_index": "\ud800"}, 502),
        ({"sort": ["\ud800"] * 3}, 502),
    ):
        body = json.dumps({"hits": {"hits": [hit | changed]}}).encode()
        played.answers.clear()
        played.answer(b"flat_settings", 200, json.dumps(described).encode())
        played.answer(b"_search", 200, body)
        assert (await client.get("_search?scroll=1m")).status == status


async def test_a_page_that_is_too_large(client: Any, cluster: Any, types: Any) -> None:
    """No answer of the cluster is read whole that is larger than ten of the largest accounts."""
    cluster.ask("PUT", "/{index}", {"mappings": schema.index_mapping(types)})
    for number in range(17):
        document = {"type": "email", "_name": f"n{number}", "junk": "x" * (1 << 20)}
        cluster.put(document, Ref("email", f"n{number}"))
    answer = await client.get("_search?size=20")
    assert (answer.status, "too large together" in answer.json["error"]) == (400, True)
    assert len(ids(await client.get("_search?size=10"))) == 10


async def test_a_page_of_many(client: Any, cluster: Any, types: Any) -> None:
    """A large page is put together elsewhere, and is the same."""
    cluster.ask("PUT", "/{index}", {"mappings": schema.index_mapping(types)})
    lines = []
    for number in range(300):
        lines.append({"create": {"_id": f"email/n{number}"}})
        lines.append({"type": "email", "_name": f"n{number}", "host": "h" * 300})
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    assert cluster.ask("POST", "/{index}/_bulk?refresh=true", body)[0] == 200
    answer = await client.get("_search?size=1000&filter_path=hits.hits._source._name")
    names = {hit["_source"]["_name"] for hit in answer.json["hits"]["hits"]}
    assert names == {f"n{number}" for number in range(300)}


ASKED = "application/vnd.elasticsearch+json"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Accept": "*/*"}, "application/json"),
        ({"Accept": "text/html"}, "application/json"),
        ({"Accept": "application/json, text/plain"}, "application/json"),
        ({"Accept": "application/json;charset=utf-8"}, "application/json"),
        ({"Accept": ASKED}, ASKED),
        ({"Accept": f"{ASKED}; compatible-with=8"}, f"{ASKED};compatible-with=8"),
        ({"Accept": f"{ASKED.upper()};compatible-with=9"}, f"{ASKED};compatible-with=9"),
        ({"Content_Type": f"{ASKED}; compatible-with=9"}, f"{ASKED};compatible-with=9"),
    ],
)
async def test_media_types_of_answers(client: Any, fields: Any, expected: str) -> None:
    """Answers and errors come in the media type that was asked for, or in that of the body."""
    for path in ("_search", "_search?foo", "_search/_x"):
        answer = await client.ask("POST", path, {}, **fields)
        assert answer.fields["Content-Type"] == expected


@pytest.mark.parametrize("name", ["Accept", "Content-Type"])
@pytest.mark.parametrize("version", ["7", "10", "x", ""])
async def test_versions_that_are_not_spoken(client: Any, name: str, version: str) -> None:
    value = f"{ASKED};compatible-with={version}"
    answer = await client.ask("POST", "_search", {}, **{name: value})
    assert answer.status == 400
    assert answer.fields["Content-Type"] == "application/json"
    assert answer.json["error"].startswith(f"Invalid media-type value on headers [{name}]")


@pytest.mark.parametrize("path", ["_search", "_key", "email/default", "_schema?foo", "x"])
async def test_gzip(client: Any, path: str) -> None:
    """Each answer is gzip for who asks for it, and for nobody else."""
    for asked, is_gzip in (
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("deflate, *", False),
        ("identity", False),
    ):
        request = (
            f"GET /_signals/account/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Accept-Encoding: {asked}\r\n\r\n"
        ).encode()
        head, body = await exchange(client.address, request)
        assert (b"content-encoding: gzip" in head.lower()) is is_gzip
        text = zlib.decompress(body, 16 + zlib.MAX_WBITS) if is_gzip else body
        assert isinstance(json.loads(text), dict)


async def test_filter_path_and_pretty(client: Any, example: Any) -> None:
    """Both work on every call; errors come whole."""
    put = await client.put(example, "email/default?filter_path=result&pretty")
    assert put.text == '{\n  "result" : "created"\n}\n'
    assert (await client.get("email/default?filter_path=_source.host")).json == {
        "_source": {"host": "smtp.example.com"}
    }
    assert (await client.get("email/x?filter_path=status")).json == {
        "status": 404,
        "error": "Not found",
    }
    assert (await client.get("_key?filter_path=fingerprint")).json.keys() == {"fingerprint"}
    assert (await client.get("_schema?filter_path=email.title")).json == {
        "email": {"title": "E-mail"}
    }
    refused = await client.put(example, "email/other?filter_path=" + "a" * 3000)
    assert refused.status == 400
    assert (await client.get("email/other")).status == 404
    assert (await client.delete("email/default?filter_path=nope")).json == {}


async def test_what_is_published(serve: Any, types: Any, cluster: Any) -> None:
    """Everybody is told the schemas and the OpenAPI document, whatever their rights."""
    client = await serve(authorizer=NoSearch())
    schemas = (await client.get("_schema")).json
    assert schemas.keys() == types.keys()
    assert (await client.get("_schema/Email")).json == schemas["email"]
    assert (await client.get("_openapi")).json["openapi"] == "3.1.0"
    assert (await client.get("_schema/nosuch")).status == 404
    for path in ("_schema", "_schema/email", "_openapi"):
        assert (await client.ask("HEAD", path)).status == 200
        assert (await client.ask("OPTIONS", path)).fields["Allow"] == "GET,HEAD"
        assert (await client.ask("POST", path, {})).status == 405
        assert (await client.get(f"{path}?foo")).status == 400
    assert not cluster.exists()
