"""A further account type is a further schema file, and not a line of code.

To send through it takes the schema of its messages and one class.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from delivering import settings
from jsonschema import Draft202012Validator
from recorder import recording

from signals_proxy.account import message, schema
from signals_proxy.account.account_type import Account, AccountType
from signals_proxy.account.body import Json
from signals_proxy.account.ref import Ref
from signals_proxy.api import Sending
from signals_proxy.delivery.answers import failure
from signals_proxy.delivery.deliveries import Deliveries
from signals_proxy.delivery.delivery import REACHABLE, Attempt, Message, Place
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.http import Http, HttpDelivery, Request, encoded, place_of
from signals_proxy.delivery.types import by_type
from signals_proxy.registry.documents import Registry
from signals_proxy.secret import MASK, REDACTED

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
MESSAGE = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Short message",
    "type": "object",
    "properties": {"to": LINE, "text": {"type": "string", "format": "prose", "maxLength": 160}},
    "required": ["to", "text"],
    "additionalProperties": False,
}


class Sms(HttpDelivery):
    """What the type does that only it does."""

    def __init__(self, http: Http, port: int) -> None:
        super().__init__(http)
        self._port = port

    def places(self, account: Account) -> Iterable[Place]:
        yield place_of("gateway", self._url(account))

    def prepare(self, account: Account, message: Message) -> Message:
        return {"from": account.public["sender"], **message}

    async def check(self, attempt: Attempt) -> str:
        await self._http.reach(Request("gateway", self._url(attempt.account)), attempt)
        return REACHABLE

    async def send(self, attempt: Attempt, message: Message) -> Mapping[str, Json]:
        fields = {"X-Pin": attempt.account.secrets["pin"].reveal()}
        url = self._url(attempt.account)
        answer = await self._http.exchange(
            Request("gateway", url, fields, encoded(message)), attempt
        )
        if answer.status == 200:
            return answer.texts("id")
        raise failure(answer, answer.texts("id"))

    def _url(self, account: Account) -> str:
        return f"http://{account.public['gateway']}:{self._port}/sms"


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


async def test_a_message(serve: Any, registry: Registry, tmp_path: Path, canary: Any) -> None:
    """It is checked, delivered, tried again, masked, counted and published as all others."""
    pin, answers = canary("pin"), [503, 200, 500]

    def answer(_: Any) -> bytes:
        body = encoded({"id": f"7, by {pin}"})
        head = b"HTTP/1.1 %d X\r\nRetry-After: 0\r\nContent-Length: %d\r\n\r\n"
        return head % (answers.pop(0), len(body)) + body

    for path in next(it for it in message._FOLDERS if it.is_dir()).glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "sms.json").write_text(json.dumps(MESSAGE))
    async with recording(answer) as gateway:
        by, port = settings(), int(gateway.url.rpartition(":")[2])
        deliveries = Deliveries(by, {**by_type(by), "sms": Sms(Http(Egress(by)), port)})
        sending = replace(
            Sending.by(by, registry.health), deliveries=deliveries, messages=message.load(tmp_path)
        )
        client = await serve(sending=sending)
        away = await client.put({"gateway": "10.0.0.1", "pin": pin}, "sms/x")
        assert (away.status, away.json["detail"].keys()) == (400, {"gateway"})
        assert (await client.put({"gateway": "127.0.0.1", "pin": pin}, "sms/x")).status == 201
        long = {"to": "1", "text": "x" * 161}
        wrong = await client.ask("POST", "sms/x/_send", long)
        expected = {"text": [{"error": "Invalid value", "expected": "At most 160 characters"}]}
        assert (wrong.status, wrong.json["detail"]) == (400, expected)
        checked = await client.ask("POST", "sms/x/_test")
        assert (checked.status, checked.json["proved"]) == (200, "reachable")
        sent = await client.ask("POST", "sms/x/_send", {"to": "1", "text": "ü"})
        assert (sent.status, sent.json["answer"]) == (200, {"id": f"7, by {MASK}"})
        broke = await client.ask("POST", "sms/x/_send", {"to": "1", "text": "ü"})
        assert (broke.status, broke.json["reason"]) == (424, "outcome_unknown")
    assert [json.loads(it.content) for it in gateway.messages] == [
        {"from": "a", "to": "1", "text": "ü"}
    ] * 3
    assert sending.ended == {
        ("sms", "test", "success"): 1,
        ("sms", "send", "success"): 1,
        ("sms", "send", "outcome_unknown"): 1,
    }
    assert (await client.ask("GET", "sms/x/_status")).json["last_use"]["outcome"] == "failure"
    document = (await client.ask("GET", "_openapi")).json
    assert "/_signals/account/{tenant}/sms/{id}/_send" in document["paths"]
    assert Draft202012Validator(document["components"]["schemas"]["smsMessage"]).is_valid(
        {"to": "1", "text": "x"}
    )


async def test_nothing_to_send_it_with(client: Any, canary: Any) -> None:
    """Its accounts are kept all the same, and cannot be used."""
    assert (await client.put({"gateway": "a.test", "pin": canary("pin")}, "sms/x")).status == 201
    for call, body in (("_send", {"text": "x"}), ("_test", None)):
        answer = await client.ask("POST", f"sms/x/{call}", body)
        assert (answer.status, "of type" in answer.json["error"]) == (409, True)
    paths = (await client.ask("GET", "_openapi")).json["paths"]
    assert "/_signals/account/sms/{id}/_send" not in paths


def test_the_reference_page(folder: Path) -> None:
    command = [sys.executable, PAGE, folder]
    page = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "## Short message: `sms`\n" in page
    assert "| `gateway` | required, destination | A host name in ASCII" in page
    assert "| `pin` | required, secret | A string" in page
    assert "| One of `a`, `b` | Default: `a`. |" in page
    assert "- 'via' is another name of 'gateway': not both.\n" in page
    assert "- Weak if `sender` is `b`: *sender: b is not what it was*\n" in page
