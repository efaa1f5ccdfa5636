"""What somebody can do who writes the index past the registry, and what it shows and refuses."""

from dataclasses import replace
from typing import Any

import pytest

from signals_proxy.account import keyring as keyrings
from signals_proxy.account.ref import Ref

REF = Ref("email", "default")
REDACTED = "::es_redacted::"
REMEDIES = {
    "failed": "PUT it again with every secret in clear",
    "unknown_key": "The key that sealed the account is not in the keyring",
    "unsealed": "PUT it again with every secret in clear",
}


@pytest.fixture
async def stored(client: Any, example: Any, cluster: Any) -> dict[str, Any]:
    """The document of a genuine account."""
    await client.put(example)
    return cluster.source()


async def check(client: Any, integrity: str, example: Any, cluster: Any) -> None:
    """The account shows its state and remedy, is never kept, and heals once all is known again."""
    shown = (await client.get()).json
    assert (shown["integrity"], shown["found"]) == (integrity, True)
    assert REMEDIES[integrity] in shown["remedy"]
    assert shown["_source"].get("password", REDACTED) == REDACTED
    before = cluster.source()
    body = {name: value for name, value in example.items() if name != "password"}
    for kept in (body, {**body, "password": REDACTED}):
        refused = await client.put(kept)
        assert refused.status == 409, refused.text
        assert refused.json.keys() == {"status", "error"}
    assert cluster.source() == before
    healed = await client.put(example)
    assert (healed.status, healed.json["result"]) == (200, "updated")
    assert (await client.get()).json["integrity"] == "verified"


async def test_the_host_is_changed(client: Any, stored: Any, example: Any, cluster: Any) -> None:
    """Behind the proxy's back the password cannot be pointed at another host."""
    cluster.put({**stored, "host": "evil.example"})
    assert (await client.get()).json["_source"]["host"] == "evil.example"
    await check(client, "failed", example, cluster)


@pytest.mark.parametrize(
    "change",
    [
        {"port": "465"},
        {"port": 465.0},
        {"port": 466},
        {"enable_tls": False},
        {"enable_tls": None},
        {"trust_all": True},
        {"default_bcc": "signals@example.com"},
        {"default_bcc": []},
        {"default_to": []},
        {"unknown": "x"},
        {"labels": {}},
        {"type": "slack"},
        {"_name": "other"},
        {"_tenant": "other"},
        {"description": "\u0000"},
    ],
)
async def test_anything_public_is_changed(
    client: Any, stored: Any, example: Any, cluster: Any, change: Any
) -> None:
    """No attribute can be changed, added or retyped, whatever it is for."""
    cluster.put({**stored, **change})
    await check(client, "failed", example, cluster)


async def test_an_attribute_is_removed(
    client: Any, stored: Any, example: Any, cluster: Any
) -> None:
    """None can be taken away either, be it a default."""
    for name in ("simulate", "user", "_name"):
        cluster.put({key: value for key, value in stored.items() if key != name})
        assert (await client.get()).json["integrity"] == "failed"
    await check(client, "failed", example, cluster)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": "1"},
        {"v": True},
        {"v": 1.0},
        {"key": None},
        {"key": 7},
        {"secrets": ["password", "user"]},
        {"file": "x"},
        {"box": ""},
        {"box": "AAAA"},
        {"box": "not base64"},
        {"box": None},
        {"box": {"a": 1}},
        {"more": 1},
    ],
)
async def test_the_sealed_part_is_changed(
    client: Any, stored: Any, example: Any, cluster: Any, change: Any
) -> None:
    """No member of the sealed part can be changed or added."""
    cluster.put({**stored, "_sealed": {**stored["_sealed"], **change}})
    shown = (await client.get()).json
    assert shown["integrity"] == "failed"
    await check(client, "failed", example, cluster)


async def test_no_secrets_are_listed(client: Any, stored: Any, example: Any, cluster: Any) -> None:
    """An account whose secrets were taken off its list fails like any other that was changed."""
    for secrets in ([], "password", None, [["password"]]):
        cluster.put({**stored, "_sealed": {**stored["_sealed"], "secrets": secrets}})
        assert (await client.get()).json["integrity"] == "failed"
    assert (await client.put(example)).status == 200


async def test_boxes_are_swapped(
    client: Any, stored: Any, example: Any, cluster: Any, canary: Any
) -> None:
    """A box opens in no other account, tenant or type, and not with another nonce."""
    await client.put({**example, "password": canary("other")}, "email/other")
    other = cluster.source(Ref("email", "other"))
    cluster.put({**stored, "_sealed": other["_sealed"]})
    assert (await client.get()).json["integrity"] == "failed"
    for ref, path in (
        (Ref("email", "third"), "email/third"),
        (Ref("email", "default", "tenant"), "tenant/email/default"),
        (Ref("slack", "default"), "slack/default"),
    ):
        for moved in (stored, {**stored, "_name": ref.id, "_tenant": ref.tenant}):
            cluster.put(moved, ref)
            assert (await client.get(path)).json["integrity"] == "failed"
    await check(client, "failed", example, cluster)


async def test_another_key(
    client: Any, serve: Any, stored: Any, example: Any, cluster: Any
) -> None:
    """An account that another key sealed says so; with its line put back it is fine again."""
    assert stored
    other = await serve(keyring=keyrings.parse(keyrings.generate()))
    shown = (await other.get()).json
    assert shown["integrity"] == "unknown_key"
    assert "Put its line back" in shown["remedy"]
    assert (await client.get()).json["integrity"] == "verified"
    await check(other, "unknown_key", example, cluster)
    assert (await client.get()).json["integrity"] == "unknown_key"


async def test_another_registry(serve: Any, stored: Any, keyring: Any) -> None:
    """The same key in another registry opens nothing of this one."""
    assert stored
    other = await serve(keyring=replace(keyring, registry_id=b"\0" * 32))
    assert (await other.get()).json["integrity"] == "failed"


async def test_a_plain_document(
    client: Any, stored: Any, example: Any, cluster: Any, canary: Any
) -> None:
    """A document that nobody sealed is never taken for an account, nor its password shown."""
    assert stored
    planted = canary("planted", allowed={"index"})
    cluster.put({"type": "email", **example, "host": "evil.example", "password": planted})
    shown = (await client.get()).json
    assert shown["_source"]["password"] == REDACTED
    await check(client, "unsealed", example, cluster)


async def test_unknown_attributes_of_a_plain_document(
    client: Any, stored: Any, cluster: Any, canary: Any
) -> None:
    """What this version does not know may be a secret of another: it is not shown."""
    assert stored
    planted = canary("planted", allowed={"index"})
    cluster.put({"type": "email", "future_token": planted, "labels": {"a": {"x": planted}}})
    source = (await client.get()).json["_source"]
    assert (source["future_token"], source["labels"]) == (REDACTED, REDACTED)


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b'{"_sealed":{}}',
        b'{"_sealed":{"box":"x"}}',
        b'{"_sealed":{"v":1,"key":"x","box":1e400,"secrets":[1,{}]}}',
        b'{"labels":1e400,"unknown":[1e400]}',
        b'{"labels":{"a":' + b"9" * 900 + b"}}",
        rb'{"labels":{"a":"\ud800"},"unknown":"\ud800"}',
        b'{"unknown":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"labels":' + b'{"a":' * 90 + b"1" + b"}" * 91,
        b'{"a":[null,[],{}]}',
    ],
)
async def test_any_shape(
    client: Any, stored: Any, example: Any, cluster: Any, document: bytes
) -> None:
    """Whatever lies in the index, GET shows it, DELETE deletes it and PUT heals it."""
    assert stored
    cluster.put(document)
    answer = await client.get()
    assert answer.status == 200
    assert answer.json["integrity"] in {"failed", "unsealed", "unknown_key"}
    assert (await client.ask("HEAD", "email/default")).status == 200
    assert (await client.put(example)).status == 200
    assert (await client.get()).json["integrity"] == "verified"
    cluster.put(document)
    assert (await client.delete()).status == 200


@pytest.mark.parametrize("integrity", ["failed", "unsealed", "unknown_key"])
async def test_deletion(client: Any, serve: Any, stored: Any, cluster: Any, integrity: str) -> None:
    """What cannot be verified can be deleted."""
    if integrity == "unknown_key":
        client = await serve(keyring=keyrings.parse(keyrings.generate()))
    else:
        cluster.put({**stored, "host": "x"} if integrity == "failed" else {"type": "email"})
    assert (await client.get()).json["integrity"] == integrity
    assert (await client.delete()).json["result"] == "deleted"
    assert (await client.get()).status == 404


async def test_null_counts_as_said(client: Any, stored: Any, example: Any, cluster: Any) -> None:
    """``null`` says of a secret what becomes of it, so that a PUT may replace what failed."""
    cluster.put({**stored, "host": "evil.example"})
    body = {**example, "password": None}
    assert (await client.put(body)).status == 200
    shown = (await client.get()).json
    assert (shown["integrity"], shown["_source"]["host"]) == ("verified", "smtp.example.com")


async def test_no_noop_for_what_failed(client: Any, cluster: Any) -> None:
    """An account without secrets that was changed is sealed anew once a PUT says that it has none."""
    body = {"host": "smtp.example.com", "port": 465}
    await client.put(body)
    stored = cluster.source()
    cluster.put({**stored, "_sealed": {**stored["_sealed"], "box": "AAAA"}})
    assert (await client.get()).json["integrity"] == "failed"
    refused = await client.put(body)
    assert refused.status == 409
    assert "it has to name one at least" in refused.json["error"]
    answer = await client.put({**body, "password": None})
    assert (answer.status, answer.json["result"]) == (200, "updated")
    assert (await client.get()).json["integrity"] == "verified"
