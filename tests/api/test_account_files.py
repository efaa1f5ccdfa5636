"""Account files by API: ``$sealed`` in a PUT, and the key that it is made with."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from accounts import CERTIFICATE, KEY
from nacl import bindings
from refused import check

from signals_proxy.account import AccountType, Ref
from signals_proxy.account import keyring as keyrings
from signals_proxy.account.file import PublicKey, seal_file
from signals_proxy.account.keyring import Keyring
from signals_proxy.account.sealing import padded
from signals_proxy.authorization import Identity
from signals_proxy.errors import Forbidden

REDACTED = "::es_redacted::"
PATHS = {
    "email/default": Ref("email", "default"),
    "email/other": Ref("email", "other"),
    "tenant/email/default": Ref("email", "default", "tenant"),
}

Seal = Callable[..., dict[str, Any]]


@pytest.fixture
def sealed(keyring: Keyring, types: Mapping[str, AccountType]) -> Seal:
    """Return a function that makes of a body what the seal command makes of its file."""

    def sealed(body: Any, ref: Ref = PATHS["email/default"], ring: Keyring = keyring) -> Any:
        names = {"type": ref.type, "_name": ref.id, "_tenant": ref.tenant}
        made = seal_file({**body, **names}, types, PublicKey.of(ring))
        assert made is not None
        public = {name: value for name, value in body.items() if name not in made.secrets}
        return {**public, "$sealed": made.text}

    return sealed


async def refuse(client: Any, body: Any, path: str = "email/default") -> dict[str, Any]:
    """Return the detail of a refusal, by dry run and in earnest."""
    dry = check(await client.put(body, path + "?dry_run"), 400)
    error = check(await client.put(body, path), 400)
    assert dry == error
    found: dict[str, Any] = error["detail"]
    return found


async def test_put(client: Any, example: Any, sealed: Seal, cluster: Any) -> None:
    """The account is sealed like any other; GET shows neither the text nor its hash."""
    body = sealed(example)
    answer = await client.put(body)
    assert (answer.status, answer.json["result"]) == (201, "created")
    stored = cluster.source()
    assert "$sealed" not in stored
    assert stored["_sealed"]["secrets"] == ["password"]
    assert len(stored["_sealed"]["file"]) == 64
    shown = await client.get()
    assert shown.json["integrity"] == "verified"
    assert shown.json["_source"]["password"] == REDACTED
    assert "sealed" not in shown.text
    assert stored["_sealed"]["file"] not in shown.text


async def test_the_same_again(client: Any, example: Any, sealed: Seal, cluster: Any) -> None:
    """The very same file changes and writes nothing; sealed anew, it is a change."""
    body = sealed(example)
    first = (await client.put(body)).json
    before = cluster.source()
    for path in ("email/default", "email/default?dry_run"):
        again = await client.put(body, path)
        assert (again.status, again.json.pop("result")) == (200, "noop")
        assert {name: again.json[name] for name in ("_version", "_seq_no", "_primary_term")} == {
            name: first[name] for name in ("_version", "_seq_no", "_primary_term")
        }
    assert cluster.source() == before
    assert (await client.put({**body, "description": "x"})).json["result"] == "updated"
    assert (await client.put(sealed({**example, "description": "x"}))).json["_version"] == 3


async def test_the_file_is_remembered_while_its_secrets_are_kept(
    client: Any, example: Any, sealed: Seal, cluster: Any
) -> None:
    """After an edit that keeps the secrets the file is a ``noop`` again; not after a new secret."""
    body = sealed(example)
    await client.put(body)
    edited = {**(await client.get()).json["_source"], "description": "edited"}
    assert (await client.put(edited)).json["result"] == "updated"
    assert (await client.put({**body, "description": "edited"})).json["result"] == "noop"
    assert (await client.put({**edited, "password": example["password"]})).status == 200
    assert "file" not in cluster.source()["_sealed"]
    assert (await client.put({**body, "description": "edited"})).json["result"] == "updated"


async def test_secrets_that_are_not_in_it_are_gone(
    client: Any, example: Any, sealed: Seal, cluster: Any
) -> None:
    """It stands for all secrets that the account has."""
    both = {**example, "client_certificate": CERTIFICATE, "client_key": KEY}
    assert (await client.put(both)).status == 201
    assert cluster.source()["_sealed"]["secrets"] == ["client_key", "password"]
    assert (await client.put(sealed(example))).json["result"] == "updated"
    assert cluster.source()["_sealed"]["secrets"] == ["password"]


async def test_copied_to_another_account(
    client: Any, example: Any, sealed: Seal, cluster: Any
) -> None:
    """Another id, type or tenant: refused, and nothing written."""
    await client.put(example)
    before = cluster.source()
    for own, ref in PATHS.items():
        body = sealed(example, ref)
        for path in PATHS.keys() - {own}:
            detail = await refuse(client, body, path)
            assert ref.document_id in detail["$sealed"][0]["error"]
    detail = await refuse(client, {"$sealed": sealed(example)["$sealed"]}, "slack/default")
    assert "email/default" in detail["$sealed"][0]["error"]
    assert cluster.source() == before
    assert cluster.source(PATHS["email/other"]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"host": "evil.example"},
        {"port": 25},
        {"enable_tls": False},
        {"enable_tls": None},
        {"enable_start_tls": True},
        {"trust_all": True},
        {"trusted_hosts": ["evil.example"]},
        {"proxy_host": "evil.example", "proxy_port": 1080},
    ],
)
async def test_beside_another_destination(
    client: Any, example: Any, sealed: Seal, cluster: Any, change: Any
) -> None:
    """Whoever finds a file in Git cannot have its password sent elsewhere, stored before or not."""
    body = {**sealed(example), **change}
    assert (await refuse(client, body)).keys() == {"$sealed"}
    assert not cluster.exists()
    await client.put(sealed(example))
    before = cluster.source()
    assert (await refuse(client, body)).keys() == {"$sealed"}
    assert cluster.source() == before


async def test_of_another_registry(
    client: Any, example: Any, sealed: Seal, cluster: Any, keyring: Keyring
) -> None:
    """Told by the fingerprints; with the same key pair as well."""
    other = keyrings.parse(keyrings.generate())
    for ring in (other, replace(keyring, registry_id=bytes(32))):
        detail = await refuse(client, sealed(example, ring=ring))
        assert PublicKey.of(ring).fingerprint in detail["$sealed"][0]["error"]
        assert PublicKey.of(keyring).fingerprint in detail["$sealed"][0]["error"]
    assert not cluster.exists()


@pytest.mark.parametrize("value", ["clear", None, REDACTED])
async def test_beside_a_secret(
    client: Any, example: Any, sealed: Seal, cluster: Any, canary: Any, value: Any
) -> None:
    """No secret may be named beside it: not in clear, not ``null``, not as the placeholder."""
    value = canary("clear") if value == "clear" else value
    for name in ("password", "client_key"):
        assert [*await refuse(client, {**sealed(example), name: value})] == [name]
    assert not cluster.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1],
        lambda text: text[:-2] + ("A" if text[-2] != "A" else "B") + text[-1],
        lambda text: text[:70] + ("A" if text[70] != "A" else "B") + text[71:],
        lambda text: text + "A",
        lambda text: text + "=",
        lambda text: text + "\n",
        lambda text: text.replace("sealed-1", "sealed-2"),
        lambda text: text.replace(".", ":"),
        lambda text: text.rpartition(".")[0] + ".",
        lambda text: text.rpartition(".")[0] + ".A",
        lambda text: text.upper(),
        lambda _: "",
        lambda _: None,
        lambda text: [text],
        lambda text: {"text": text},
        lambda _: 5,
        lambda _: REDACTED,
    ],
)
async def test_damaged(
    client: Any, example: Any, sealed: Seal, cluster: Any, damage: Callable[[str], Any]
) -> None:
    """Wherever it is damaged, it is a 400 in words."""
    body = sealed(example)
    detail = await refuse(client, {**body, "$sealed": damage(body["$sealed"])})
    assert [*detail] == ["$sealed"]
    assert [*detail["$sealed"][0]] == ["error"]
    assert not cluster.exists()


async def test_what_anybody_can_seal(
    client: Any, example: Any, cluster: Any, keyring: Keyring, types: Mapping[str, AccountType]
) -> None:
    """The public key is everybody's: what is sealed is checked like a body."""
    key = PublicKey.of(keyring)
    bound = {"id": "default", "registry": key.registry.hex(), "tenant": None, "type": "email"}
    public = {name: value for name, value in example.items() if name != "password"}
    for secrets, place in (
        ({"password": 5}, "password"),
        ({"password": REDACTED}, "password"),
        ({"host": "evil.example"}, "$sealed"),
        ({"password": "x", "_sealed": {}}, "$sealed"),
        ({}, "$sealed"),
    ):
        destination = types["email"].destination(public)
        members = {**bound, "destination": destination, "secrets": secrets}
        box = bindings.crypto_box_seal(padded(members), key.box_key)
        encoded = base64.urlsafe_b64encode(box).decode().rstrip("=")
        text = f"signals-proxy-sealed-1.{key.fingerprint}.{encoded}"
        assert [*await refuse(client, {**public, "$sealed": text})] == [place]
    assert not cluster.exists()


@pytest.mark.parametrize("integrity", ["failed", "unsealed", "unknown_key"])
async def test_healing(
    client: Any, serve: Any, example: Any, sealed: Seal, cluster: Any, keyring: Any, integrity: str
) -> None:
    """A file says what becomes of every secret, so that its PUT heals what is not verified."""
    await client.put(example)
    stored = cluster.source()
    if integrity == "unknown_key":
        fresh = keyrings.parse(keyrings.generate())
        client = await serve(keyring=replace(keyring, keys=fresh.keys))
    else:
        planted = {**stored, "host": "evil.example", "proxy_host": "evil.example"}
        cluster.put(planted if integrity == "failed" else {**planted, "_sealed": None})
    shown = (await client.get()).json
    assert shown["integrity"] == integrity
    assert "account file" in shown["remedy"]
    body = sealed(example)
    public = {name: value for name, value in body.items() if name != "$sealed"}
    assert (await client.put(public)).status == 409
    assert (await client.put(body)).json["result"] == "updated"
    shown = (await client.get()).json
    assert (shown["integrity"], shown["_source"]["host"]) == ("verified", example["host"])
    assert "proxy_host" not in shown["_source"]


async def test_the_file_cannot_be_planted(
    client: Any, example: Any, sealed: Seal, cluster: Any
) -> None:
    """Who writes the index cannot have a file pass for stored that is not: its hash is bound."""
    old, new = sealed(example), sealed(example)
    await client.put(old)
    earlier = cluster.source()
    await client.put(new)
    stored = cluster.source()
    part = {**stored["_sealed"], "file": earlier["_sealed"]["file"]}
    cluster.put({**stored, "_sealed": part})
    assert (await client.get()).json["integrity"] == "failed"
    assert (await client.put(old)).json["result"] == "updated"


# --- the public key ------------------------------------------------------------------------------


class Nobody:
    """A backend that lets nobody do anything."""

    async def require(self, *_: Any) -> Identity:
        raise Forbidden("No.")


async def test_the_public_key(serve: Any, keyring: Keyring, cluster: Any, audit_lines: Any) -> None:
    """Everybody may know it, whatever their rights; it is in no index."""
    client = await serve(authorizer=Nobody())
    answer = await client.ask("GET", "_key")
    key = PublicKey.of(keyring)
    assert answer.status == 200
    assert answer.text == json.dumps(
        {"key": key.line, "fingerprint": key.fingerprint}, separators=(",", ":")
    )
    assert (await client.ask("GET", "_key?pretty")).text.startswith("{\n")
    head = await client.ask("HEAD", "_key", Accept_Encoding="identity")
    assert (head.status, head.text) == (200, "")
    assert head.fields["Content-Length"] == str(len(answer.text))
    assert not cluster.exists()
    for line in audit_lines():
        assert (line["event.action"], line["event.outcome"]) == ("account/key", "success")
        assert not line.keys() & {"signals_proxy.account", "signals_proxy.allowed"}


async def test_the_public_key_is_asked_for_like_anything_else(client: Any) -> None:
    """Methods, parameters and web pages are judged as in every other call."""
    options = await client.ask("OPTIONS", "_key")
    assert (options.status, options.fields["Allow"]) == (200, "GET,HEAD")
    refused = await client.ask("PUT", "_key", {})
    assert (check(refused, 405)["status"], refused.fields["Allow"]) == (405, "GET,HEAD")
    assert (
        "[prety] -> did you mean [pretty]?"
        in check(await client.ask("GET", "_key?prety"), 400)["error"]
    )
    for fields in ({"Origin": "http://localhost"}, {"Sec_Fetch_Site": "same-origin"}):
        check(await client.ask("GET", "_key", **fields), 403)
