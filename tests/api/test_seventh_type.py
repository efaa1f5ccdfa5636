"""A further account type is a further schema file, and not a line of code."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from signals_proxy.account import schema
from signals_proxy.account.account_type import AccountType
from signals_proxy.account.ref import Ref
from signals_proxy.secret import REDACTED

PAGE = Path(__file__).parents[2] / "docs" / "accounts.py"
LINE = {"type": "string", "format": "line", "maxLength": 64}
SMS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Short message",
    "type": "object",
    "$ref": "_common.json",
    "properties": {
        "gateway": {**LINE, "format": "host", "x-destination": True, "x-alias": "via"},
        "pin": {**LINE, "writeOnly": True},
        "sender": {"type": "string", "enum": ["a", "b"], "default": "a"},
    },
    "required": ["gateway", "pin"],
    "x-weak": [{"when": {"sender": {"const": "b"}}, "text": "sender: b is not what it was"}],
    "unevaluatedProperties": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schema files of the package, and one more."""
    folder = tmp_path_factory.mktemp("schemas")
    for path in next(it for it in schema._FOLDERS if it.is_dir()).glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "sms.json").write_text(json.dumps(SMS))
    return folder


@pytest.fixture(scope="module")
def types(folder: Path) -> Mapping[str, AccountType]:
    return schema.load(folder)


async def test_its_accounts(client: Any, cluster: Any, canary: Any) -> None:
    """They are validated, sealed, indexed, locked, redacted and searched as all others."""
    pin = canary("pin")
    body = {"via": "sms.test", "pin": pin, "sender": "b"}
    wrong = await client.put({**body, "sender": "c", "pin": 5}, "ops/sms/x")
    assert (wrong.status, wrong.json["detail"].keys()) == (400, {"sender", "pin"})
    created = await client.put(body, "ops/sms/x")
    assert (created.status, created.json["result"]) == (201, "created")
    assert "sender: b is not what it was" in created.fields["Warning"]
    stored = cluster.source(Ref("sms", "x", "ops"))
    public = {"gateway": "sms.test", "sender": "b", "disabled": False}
    assert {name: stored[name] for name in stored if name in SMS["properties"]} == {
        name: public[name] for name in ("gateway", "sender")
    }
    assert stored["_sealed"]["secrets"] == ["pin"]
    _, mapping = cluster.ask("GET", "/{index}/_mapping")
    (its,) = mapping.values()
    assert {"gateway", "sender"} <= its["mappings"]["properties"].keys()
    assert "pin" not in its["mappings"]["properties"]
    read = (await client.get("ops/sms/x")).json
    assert read["integrity"] == "verified"
    who = {"type": "sms", "_name": "x", "_tenant": "ops"}
    assert read["_source"] == {**who, **public, "pin": REDACTED}
    moved = await client.put({**read["_source"], "gateway": "evil.test"}, "ops/sms/x")
    assert (moved.status, moved.json["detail"].keys()) == (400, {"pin"})
    kept = await client.put({**read["_source"], "sender": "a"}, "ops/sms/x")
    assert (kept.status, kept.json["result"]) == (200, "updated")
    query = {"query": {"term": {"gateway": "sms.test"}}}
    (hit,) = (await client.ask("POST", "ops/_search", query)).json["hits"]["hits"]
    assert (hit["_id"], hit["_source"]["pin"]) == ("ops/sms/x", REDACTED)


async def test_what_is_published(client: Any) -> None:
    """Its schema, and with it its paths and its body in the OpenAPI document."""
    told = (await client.ask("GET", "_schema/sms")).json
    document = (await client.ask("GET", "_openapi")).json
    body = {"via": "a.test", "pin": "p", "sender": "b"}
    for whole in (told, document["components"]["schemas"]["sms"]):
        checked = Draft202012Validator(whole)
        assert checked.is_valid(body)
        assert checked.is_valid({**body, "pin": REDACTED})
        assert not checked.is_valid({**body, "gateway": "a.test"})
        assert not checked.is_valid({**body, "sender": "c"})
        assert not checked.is_valid({**body, "via": None})
        assert whole["properties"]["pin"]["writeOnly"]
        assert whole["properties"]["gateway"]["x-destination"]
        assert SMS["x-weak"][0] in whole["x-weak"]
    everything = (await client.ask("GET", "_schema")).json
    assert everything["sms"] == told
    assert everything.keys() == {*schema.load(), "sms"}
    paths = {"/_signals/account/sms/{id}", "/_signals/account/{tenant}/sms/{id}"}
    assert paths <= document["paths"].keys()
    assert "sms" in document["components"]["parameters"]["type"]["schema"]["enum"]


def test_the_reference_page(folder: Path) -> None:
    command = [sys.executable, PAGE, folder]
    page = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "## Short message: `sms`\n" in page
    assert "| `gateway` | required, destination | A host name in ASCII" in page
    assert "| `pin` | required, secret | A string" in page
    assert "| One of `a`, `b` | Default: `a`. |" in page
    assert "- 'via' is another name of 'gateway': not both.\n" in page
    assert "- Weak if `sender` is `b`: *sender: b is not what it was*\n" in page
