"""Accounts and documents through official clients, which tell what is refused in their own words."""

import signal
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from driven import Driven, driven
from opensearch import ADMIN, OpenSearch
from rotations import configured
from served import configure, serve

ACCOUNT = "/_signals/account/email/default"
BODY = {"host": "smtp.example.com", "port": 465, "enable_tls": True, "user": "signals"}
SCROLL = "/_search/scroll"

PYTHON = {400: "BadRequestError", 404: "NotFoundError", 405: "ApiError", 409: "ConflictError"}
JAVASCRIPT = dict.fromkeys(PYTHON, "ResponseError")
ERRORS = {
    "elasticsearch-py 8": PYTHON,
    "elasticsearch-py 9": PYTHON,
    "@elastic/elasticsearch": JAVASCRIPT,
    "go-elasticsearch": dict.fromkeys(PYTHON, "IsError"),
    "opensearch-go": dict.fromkeys(PYTHON, "*opensearch.StringError"),
    "elasticsearch-java": dict.fromkeys(PYTHON, "getStatusCode"),
    "opensearch-py": PYTHON | {400: "RequestError", 405: "TransportError"},
}
"""What each client raises for a status, or says."""


@pytest.fixture
def elasticsearch_or_other(request: pytest.FixtureRequest) -> str | OpenSearch:
    """The node whose fixture the test's parameter names."""
    node: str | OpenSearch = request.getfixturevalue(request.param)
    return node


@pytest.mark.parametrize(
    ("elasticsearch_or_other", "name"),
    [
        ("elasticsearch_8", "elasticsearch-py 8"),
        ("elasticsearch", "elasticsearch-py 8"),
        ("elasticsearch", "elasticsearch-py 9"),
        ("elasticsearch", "@elastic/elasticsearch"),
        ("elasticsearch", "go-elasticsearch"),
        ("elasticsearch", "elasticsearch-java"),
        ("opensearch", "opensearch-py"),
        ("opensearch", "opensearch-go"),
    ],
    indirect=["elasticsearch_or_other"],
)
async def test_accounts(
    elasticsearch_or_other: str | OpenSearch,
    name: str,
    index: str,
    tmp_path: Path,
    secret_value: str,
    saw: Callable[..., None],
) -> None:
    """Clients make, read, edit, list and delete accounts, and raise what they raise for a cluster."""
    node, user = elasticsearch_or_other, None
    if isinstance(node, OpenSearch):
        node, user = node.url, ADMIN
    async with serve(configure(tmp_path, node, configured(index, user))) as proxy:
        address = await proxy.served()
        await proxy.event("ready")
        login = "" if user is None else f"{user.name}:{user.password}@"
        url = f"http://{login}{address.host}:{address.port}"
        for compress in (False, True):
            async with driven(name, url, saw, compress=compress) as client:
                await dialogue(client, ERRORS[name], secret_value)
                await documents(client)
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0


async def dialogue(client: Driven, errors: Mapping[int, str], password: str) -> None:
    """Use a client as programs do; the account's answers are the first that it gets."""

    async def refused(status: int, method: str, path: str, body: Any = None) -> Any:
        told = await client.ask(method, path, body)
        assert told[:2] == (errors[status], status), told
        return told.answer

    unknown = await refused(404, "GET", ACCOUNT)
    assert unknown == {"status": 404, "error": "Not found"}
    made = await client.get("PUT", f"{ACCOUNT}?op_type=create", {**BODY, "password": password})
    assert (made["_id"], made["result"]) == ("email/default", "created")
    found = await client.get("GET", ACCOUNT)
    assert (found["found"], found["integrity"]) == (True, "verified")
    assert found["_source"]["password"] == "::es_redacted::"

    guard = f"if_seq_no={found['_seq_no']}&if_primary_term={found['_primary_term']}"
    edited = {**found["_source"], "description": "edited"}
    assert (await client.get("PUT", f"{ACCOUNT}?{guard}", edited))["result"] == "updated"
    assert (await client.get("PUT", ACCOUNT, edited))["result"] == "noop"
    assert (await client.get("GET", ACCOUNT))["_source"] == edited

    for again in (f"{ACCOUNT}?{guard}", f"{ACCOUNT}?op_type=create"):
        assert (await refused(409, "PUT", again, edited))["status"] == 409
    wrong = await refused(400, "PUT", ACCOUNT, {"host": "a b", "prot": 25})
    assert {"host", "prot"} < set(wrong["detail"])
    await refused(405, "POST", ACCOUNT, {})

    page = await client.get("POST", "/_signals/account/_search?scroll=25s", {"size": 1})
    assert [hit["_id"] for hit in page["hits"]["hits"]] == ["email/default"]
    scroll = {"scroll_id": page["_scroll_id"]}
    page = await client.get("POST", SCROLL, {"scroll": "25s", **scroll})
    assert page["hits"]["hits"] == []
    assert (await client.get("DELETE", SCROLL, scroll))["succeeded"] is True
    script = {"query": {"script": {"script": "true"}}}
    await refused(400, "POST", "/_signals/account/_search", script)

    assert (await client.get("DELETE", ACCOUNT))["result"] == "deleted"
    await refused(404, "DELETE", ACCOUNT)


async def documents(client: Driven) -> None:
    """Use a client for what is the cluster's own."""
    assert "version" in await client.get("GET", "/")
    lost = await client.ask("GET", "/no-such-index/_doc/1")
    assert (lost.status, lost.answer["error"]["type"]) == (404, "index_not_found_exception")
    name = f"/documents-{uuid.uuid4().hex}"
    one = {"n": 1, "text": "Grüße, 世界 " * 200}  # enough of it for a client to compress
    assert (await client.get("PUT", f"{name}/_doc/1?refresh=true", one))["result"] == "created"
    assert (await client.get("GET", f"{name}/_doc/1"))["_source"] == one
    rows = [part for n in (2, 3) for part in ({"index": {"_id": str(n)}}, {**one, "n": n})]
    written = await client.get("POST", f"{name}/_bulk?refresh=true", rows)
    assert [it["index"]["status"] for it in written["items"]] == [201, 201]
    search = {"size": 2, "sort": ["n"], "query": {"match_all": {}}}
    page = await client.get("POST", f"{name}/_search?scroll=25s", search)
    assert [hit["_source"]["n"] for hit in page["hits"]["hits"]] == [1, 2]
    scroll = {"scroll_id": page["_scroll_id"]}
    page = await client.get("POST", SCROLL, {"scroll": "25s", **scroll})
    assert [hit["_source"]["n"] for hit in page["hits"]["hits"]] == [3]
    assert (await client.get("DELETE", SCROLL, scroll))["succeeded"] is True
    assert (await client.get("DELETE", f"{name}/_doc/1"))["result"] == "deleted"
    assert (await client.get("DELETE", name))["acknowledged"] is True
