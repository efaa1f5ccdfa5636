"""The OpenAPI document says what the application does."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from accounts import TYPES
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from signals_proxy.account import message, ref, search
from signals_proxy.account.ref import Endpoint
from signals_proxy.api import parameters
from signals_proxy.api.handlers import HANDLERS
from signals_proxy.api.openapi import openapi
from signals_proxy.api.published import schemas
from signals_proxy.errors import InvalidTarget

DOCUMENT = openapi(TYPES, message.load(), "1.2.3")
PATHS: dict[str, Any] = DOCUMENT["paths"]
PREFIX = "/_signals/account"


def found(node: Any) -> Any:
    """What a reference of the document refers to; anything else as it is."""
    if "$ref" not in node:
        return node
    target: Any = DOCUMENT
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return target


def references(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from [node] if isinstance(node.get("$ref"), str) else []
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def names(listed: Any) -> set[str]:
    return {found(its)["name"] for its in listed}


def test_it_is_an_openapi_document() -> None:
    """By the standard's own schema; every reference leads somewhere, and all of it is JSON."""
    from openapi_spec_validator import validate

    validate(json.loads(json.dumps(DOCUMENT)))
    assert all(found(reference) for reference in references(DOCUMENT))
    assert DOCUMENT["info"]["version"] == "1.2.3"


@pytest.mark.parametrize("name", sorted(TYPES))
def test_each_type_has_its_body(name: str) -> None:
    """It is the published schema, in the tenant's path as well."""
    for path in (f"{PREFIX}/{name}/{{id}}", f"{PREFIX}/{{tenant}}/{name}/{{id}}"):
        contents = PATHS[path]["put"]["requestBody"]["content"].values()
        assert all(its == {"schema": {"$ref": f"#/components/schemas/{name}"}} for its in contents)
    published = schemas(TYPES)[name]
    own = {key: published[key] for key in published if key not in {"$schema", "$id", "$defs"}}
    assert DOCUMENT["components"]["schemas"][name] == own


@pytest.mark.parametrize("endpoint", sorted(HANDLERS, key=lambda it: it.value))
def test_each_call_is_there(endpoint: Endpoint) -> None:
    """Its methods are those of the application, and OPTIONS."""
    of_account = {Endpoint.ACCOUNT: "", Endpoint.SEND: "/_send", Endpoint.TEST: "/_test"}
    of_account[Endpoint.STATUS] = "/_status"
    about = of_account.get(endpoint)
    calls = [] if about is None else [f"email/{{id}}{about}", f"{{tenant}}/teams/{{id}}{about}"]
    for call in calls or [endpoint.value]:
        methods = [it.upper() for it in PATHS[f"{PREFIX}/{call}"] if it != "parameters"]
        assert sorted(methods) == sorted([*HANDLERS[endpoint], "OPTIONS"])


def test_the_parameters() -> None:
    """Those that the application knows; OPTIONS looks at none."""
    path = PATHS[f"{PREFIX}/{{tenant}}/email/{{id}}"]
    common = parameters.COMMON | {"filter_path"}
    assert names(path["parameters"]) == {"tenant", "id"}
    assert names(path["get"]["parameters"]) == common
    assert names(path["put"]["parameters"]) == common | parameters.PUT
    assert "parameters" not in path["options"]
    assert names(path["delete"]["parameters"]) == common | parameters.DELETE
    searching = search.PARAMETERS | {"source", "source_content_type"}
    for its in ("get", "post"):
        assert names(PATHS[f"{PREFIX}/_search"][its]["parameters"]) == common | searching


def test_every_operation_has_a_name_of_its_own() -> None:
    """Generated clients have a function for each."""
    operations = [
        its["operationId"]
        for path in PATHS.values()
        for method, its in path.items()
        if method != "parameters"
    ]
    assert len(operations) == len({*operations})
    assert all(name.isidentifier() for name in operations)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ODD = st.sampled_from([".", "..", "...", "_main", "_x", "x_", "EMAIL", "email", "teams"])


@settings(deadline=None)
@given(NAMES | ODD, st.booleans())
def test_the_names_in_a_path(name: str, of_tenant: bool) -> None:
    """What their schemas refuse is a 400, and nothing else is."""
    assume(not name.endswith("\n"))  # before it ends '$' of Python, but not that of ECMA-262
    place = "tenant" if of_tenant else "id"
    its = DOCUMENT["components"]["parameters"][place]["schema"]
    path = f"{quote(name, safe='')}/email/a" if of_tenant else f"email/{quote(name, safe='')}"
    try:
        refused = ref.parse(f"{PREFIX}/{path}", TYPES) is None
    except InvalidTarget:
        refused = True
    assert refused != Draft202012Validator(its).is_valid(name)


async def test_the_answers(client: Any, canary: Any) -> None:
    """Each status of a call is in the document, and its answer fits the schema beside it."""
    account = {"host": "a.test", "port": 25, "user": "u", "password": canary("password")}
    seen = set()
    for method, query, body, fields in (
        ("PUT", "?dry_run", account, {}),
        ("PUT", "", account, {}),
        ("PUT", "", {**account, "port": 26}, {}),
        ("PUT", "", {"host": "a.test", "port": 26, "user": "u"}, {}),
        ("PUT", "?op_type=create", account, {}),
        ("PUT", "", {"host": 5, "hots": "a"}, {}),
        ("PUT", "", b"<a/>", {"Content_Type": "text/xml"}),
        ("PUT", "", b" " * (1024 * 1024 + 1), {}),
        ("PUT", "", account, {"Origin": "https://a.test"}),
        ("GET", "", None, {}),
        ("HEAD", "", None, {}),
        ("GET", "?a=b", None, {}),
        ("OPTIONS", "", None, {}),
        ("DELETE", "", None, {}),
        ("DELETE", "", None, {}),
        ("GET", "", None, {}),
        ("HEAD", "", None, {}),
    ):
        answer = await client.ask(method, f"email/a{query}", body, **fields)
        operation = PATHS[f"{PREFIX}/email/{{id}}"][method.lower()]
        told = found(operation["responses"][str(answer.status)])
        media_type = answer.fields["Content-Type"].partition(";")[0]
        assert media_type in told["content"] or method == "HEAD"
        if answer.text:
            its = {**told["content"][media_type]["schema"], "components": DOCUMENT["components"]}
            assert [*Draft202012Validator(its).iter_errors(answer.json)] == []
        for name, field in told["headers"].items():
            assert name in answer.fields or not found(field).get("required", False)
        seen.add((method, answer.status))
    answer = await client.ask("POST", "email/a", account)
    told = found(PATHS[f"{PREFIX}/email/{{id}}"]["get"]["responses"][str(answer.status)])
    assert (answer.status, "Allow" in told["headers"]) == (405, True)
    assert seen == {
        *(("PUT", status) for status in (200, 201, 400, 403, 409, 413, 415)),
        *(("GET", status) for status in (200, 400, 404)),
        *(("HEAD", status) for status in (200, 404)),
        *(("DELETE", status) for status in (200, 404)),
        ("OPTIONS", 200),
    }


async def test_a_hit(client: Any, canary: Any) -> None:
    """All that it can have is told: what to do, too, if its seal were not whole."""
    account = {"host": "a.test", "port": 25, "user": "u", "password": canary("password")}
    assert (await client.put(account)).status == 201
    query = {"term": {"host": {"value": "a.test", "_name": "here"}}}
    answer = await client.ask("POST", "_search", {"query": query, "sort": ["_name"]})
    (hit,) = answer.json["hits"]["hits"]
    its = DOCUMENT["components"]["schemas"]["SearchAnswer"]["properties"]["hits"]["properties"]
    told = its["hits"]["items"]
    assert hit.keys() | {"remedy"} == told["properties"].keys()
    assert [*Draft202012Validator(told).iter_errors(hit)] == []
