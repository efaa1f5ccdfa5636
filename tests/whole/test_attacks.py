"""The attacks that must fail, each row of them against a running proxy, with the node behind its back.

Who attacks is the section; what he tries is the test. Whatever he tries, nobody sees a 500, nothing
is adopted, and other accounts go on working.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from applications import Answer, Client
from rawhttp import exchange, put
from served import Served, configure, serve

from signals_proxy.account import keyring as keyrings
from signals_proxy.account import schema, sealing
from signals_proxy.account.account_type import Account
from signals_proxy.account.ref import Ref
from signals_proxy.secret import REDACTED, Secret

EMAIL = Ref("email", "default")
OTHER = Ref("email", "other")
TYPES = schema.load()


class Site:
    """A proxy, its files, and the node as somebody sees it who writes the index."""

    def __init__(self, folder: Path, config: Path, cluster: Any, canary: Any) -> None:
        self.folder = folder
        self.config = config
        self.cluster = cluster
        self._canary = canary

    @property
    def keyring(self) -> keyrings.Keyring:
        return keyrings.parse((self.folder / "keyring").read_text())

    def email(self, **more: Any) -> dict[str, Any]:
        """Return the body of an account with a password of the test's."""
        return {
            "host": "smtp.example.com",
            "port": 465,
            "enable_tls": True,
            "user": "signals",
            "password": self._canary("password"),
            "trusted_hosts": ["smtp.example.com"],
            **more,
        }

    @contextlib.asynccontextmanager
    async def proxy(self) -> AsyncIterator[tuple[Client, Served]]:
        """Run the proxy with the files as they are."""
        async with serve(self.config) as proxy, ClientSession() as session:
            address = await proxy.served()
            await proxy.event("ready")
            yield Client(session, f"http://127.0.0.1:{address.port}"), proxy
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0

    async def command(self, *arguments: str) -> tuple[int, str]:
        """Run a command to its end; return its exit status and what it said."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "signals_proxy", *arguments, f"--config={self.config}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(os.environ),
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()


@pytest.fixture
def site(
    tmp_path: Path, elasticsearch: str, index: str, cluster: Any, canary: Callable[..., str]
) -> Site:
    file = configure(tmp_path, elasticsearch, f'registry: {{index: "{index}"}}\n')
    return Site(tmp_path, file, cluster, canary)


def without_secrets(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "password"}


async def check_useless(client: Client, site: Site, body: dict[str, Any], states: set[str]) -> None:
    """The account shows what is wrong with it, and no edit that keeps its secrets adopts it."""
    planted = site.cluster.source()
    shown = await client.get()
    assert shown.status == 200
    assert shown.json["integrity"] in states
    assert "PUT" in shown.json["remedy"]
    assert shown.json["_source"].get("password", REDACTED) == REDACTED
    for keeping in (without_secrets(body), {**body, "password": REDACTED}):
        answer = await client.put(keeping)
        assert answer.status == 409, answer.text
        assert shown.json["remedy"] in answer.json["error"]
        assert (await client.put(keeping, "email/default?dry_run")).status == 409
    assert site.cluster.source() == planted


def flip(text: str) -> str:
    """Return base64 of the same length with its last byte changed."""
    data = bytearray(base64.b64decode(text))
    data[-1] ^= 1
    return base64.b64encode(data).decode()


# --- he writes the index -------------------------------------------------------------------------


async def test_every_change_behind_its_back(site: Site) -> None:
    """Whatever of a document is changed, added, removed, retyped, moved or cut: it is not used, not
    kept by a PUT and not resealed; the other account is untouched by all of it."""
    body = site.email()
    async with site.proxy() as (client, _):
        assert (await client.put(body)).status == 201
        assert (await client.put(site.email(host="other.example.com"), "email/other")).status == 201
        genuine, other = site.cluster.source(), site.cluster.source(OTHER)
        seal = genuine["_sealed"]
        changes: list[dict[str, Any]] = [
            {"host": "evil.example"},
            {"enable_tls": False},
            {"enable_start_tls": True},
            {"trusted_hosts": ["evil.example"]},
            {"trusted_hosts": "smtp.example.com"},
            {"trust_all": True},
            {"proxy_host": "evil.example", "proxy_port": 1080},
            {"user": "somebody"},
            {"default_from": "boss@example.com"},
            {"disabled": True},
            *({"port": port} for port in (466, 465.0, "465", [465], None)),
            {"enable_tls": "true"},
            {"not_of_this_version": "x"},
            {"type": "slack"},
            {"_name": "other"},
            {"_tenant": "ops"},
            {"_sealed": {**seal, "v": 2}},
            {"_sealed": {**seal, "v": "1"}},
            {"_sealed": {**seal, "key": "0" * 32}},
            {"_sealed": {**seal, "key": None}},
            {"_sealed": {**seal, "secrets": []}},
            {"_sealed": {**seal, "secrets": ["password", "client_key"]}},
            {"_sealed": {**seal, "file": "0" * 64}},
            {"_sealed": {**seal, "box": flip(seal["box"])}},
            {"_sealed": {**seal, "box": "A" + seal["box"][1:]}},
            {"_sealed": {**seal, "box": seal["box"][:-344]}},
            {"_sealed": {**seal, "box": ""}},
            {"_sealed": {**seal, "box": other["_sealed"]["box"]}},
            {"_sealed": other["_sealed"]},
            {**other, "_name": "default"},
        ]
        assert genuine.keys() == {*without_secrets(body), "_sealed", "type", "_name"} | {
            name for name, it in TYPES["email"].schema["properties"].items() if "default" in it
        }
        removals = [{k: v for k, v in genuine.items() if k != name} for name in genuine]
        for document in [*({**genuine, **change} for change in changes), *removals]:
            site.cluster.put(document)
            await check_useless(client, site, body, {"failed", "unknown_key", "unsealed"})
        status, said = await site.command("accounts", "reseal")
        assert (status, site.cluster.source()) == (3, document), said
        assert (await client.get("email/other")).json["integrity"] == "verified"
        healed = await client.put(body)
        assert (healed.status, (await client.get()).json["integrity"]) == (200, "verified")


async def test_boxes_of_other_places(site: Site) -> None:
    """A genuine box opens neither at another id, type or tenant, nor in another registry."""
    body = {"url": "https://hooks.example.com/" + site.email()["password"]}
    async with site.proxy() as (client, _):
        assert (await client.put(body, "slack/default")).status == 201
        document = site.cluster.source(Ref("slack", "default"))
        for ref in (Ref("slack", "b"), Ref("teams", "default"), Ref("slack", "default", "ops")):
            names = {"type": ref.type, "_name": ref.id}
            names |= {"_tenant": ref.tenant} if ref.tenant else {}
            for moved in (document, {**document, **names}):
                site.cluster.put(moved, ref)
                answer = await client.get(ref.document_id)
                assert (answer.status, answer.json["integrity"]) == (200, "failed")
                assert (await client.put({}, ref.document_id)).status == 409
        ring = (site.folder / "keyring").read_text()
    other = re.search("(?m)^signals-proxy-registry-1.*", keyrings.generate())
    assert other is not None
    (site.folder / "keyring").write_text(re.sub("(?m)^signals-proxy-registry-1.*", other[0], ring))
    async with site.proxy() as (client, _):
        answer = await client.get("slack/default")
        assert (answer.status, answer.json["integrity"]) == (200, "failed")


@pytest.mark.parametrize(
    "planted",
    [
        {"host": "evil.example"},
        {"host": "evil.example", "password": "known to him"},
        {"host": "evil.example", "_sealed": {"v": 1, "secrets": []}},
        {"host": "evil.example", "_sealed": {}},
    ],
)
async def test_a_plain_document_that_waits(site: Site, planted: dict[str, Any]) -> None:
    """A document that nobody sealed is adopted neither by an edit, nor by resealing."""
    body = site.email()
    async with site.proxy() as (client, _):
        assert (await client.put(body)).status == 201
        named = {"type": "email", "_name": "default", "port": 465, "user": "signals"}
        site.cluster.put({**named, **planted})
        edit = {**without_secrets(body), "host": "evil.example"}
        await check_useless(client, site, {**edit, "password": REDACTED}, {"unsealed"})
        status, said = await site.command("accounts", "reseal")
        assert (status, "email/default" in said) == (3, True), said
        assert site.cluster.source() == {**named, **planted}
        assert (await client.get()).json["integrity"] == "unsealed"


async def test_an_old_key_that_leaked(site: Site) -> None:
    """What he seals with a key that leaked opens while its line is there, and not a moment longer."""
    keyring = site.folder / "keyring"
    leaked = site.keyring
    lines = keyring.read_text().splitlines()
    new = re.search("(?m)^signals-proxy-key-1.*", keyrings.generate())
    assert new is not None
    keyring.write_text("\n".join([new[0], *(it for it in lines if "-key-1" not in it), ""]))
    public = {"host": "evil.example", "port": 465, "user": "signals"}
    forged = sealing.seal(Account(EMAIL, public, {"password": Secret("his own")}), leaked)
    site_body = site.email()
    async with site.proxy() as (client, _):
        assert (await client.put(site_body)).status == 201
        site.cluster.put(forged.source)
        await check_useless(client, site, site_body, {"unknown_key"})
        status, _ = await site.command("accounts", "reseal")
        assert (status, site.cluster.source()) == (3, forged.source)
        status, said = await site.command("keys", "status")
        assert (status, forged.source["_sealed"]["key"] in said) == (3, True), said


# --- he may put, and knows no secret -------------------------------------------------------------

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n"
ELSEWHERE: dict[str, list[Any]] = {
    "host": ["evil.example"],
    "port": [466],
    "enable_tls": [False, None],
    "enable_start_tls": [True],
    "trusted_hosts": ["evil.example", ["smtp.example.com", "evil.example"], None],
    "trust_all": [True],
    "ca_certificates": [CERTIFICATE],
    "proxy_host": ["evil.example"],
    "proxy_port": [1080],
    "url": ["https://evil.example/"],
    "uri": ["https://evil.example/"],
    "method": ["PUT"],
}
TOGETHER = {"proxy_host": {"proxy_port": 1080}, "proxy_port": {"proxy_host": "proxy.example"}}


def accounts(secret: str) -> dict[str, dict[str, Any]]:
    """Return an account of each type, with every kind of secret that it can have at once."""
    pem = "-----BEGIN {0}-----\n{1}\n-----END {0}-----\n"
    content = b"0" + bytes([len(secret)]) + secret.encode()
    pair = {
        "client_certificate": CERTIFICATE,
        "client_key": pem.format("PRIVATE KEY", base64.b64encode(content).decode()),
    }
    oauth2 = {"token_url": "https://login.example/", "client_id": "a", "client_secret": secret}
    email = {"host": "smtp.example.com", "port": 465, "enable_tls": True, "user": "signals"}
    return {
        "email/a": {**email, "trusted_hosts": ["smtp.example.com"], "password": secret, **pair},
        "email/b": {**email, "trusted_hosts": ["smtp.example.com"], "oauth2": oauth2},
        "slack/a": {"url": f"https://hooks.example.com/{secret}"},
        "slack/b": {"token": secret},
        "pagerduty/a": {"integration_key": secret},
        "jira/a": {"url": "https://jira.example.com/", "user_name": "u", "auth_token": secret},
        "teams/a": {"url": f"https://flow.example.com/{secret}"},
        "webhook/a": {
            "url": f"https://hook.example.com/{secret}",
            "headers": {"X-Key": secret},
            "auth": {"type": "basic", "user": "u", "password": secret},
            "trusted_hosts": ["hook.example.com"],
            **pair,
        },
    }


async def test_a_changed_destination_keeps_no_secret(site: Site) -> None:
    """For every type, each attribute that decides where secrets go asks for all that are kept."""
    secret = site.email()["password"]
    tried = set()
    async with site.proxy() as (client, _):
        for path, body in accounts(secret).items():
            account_type = TYPES[path.partition("/")[0]]
            assert (await client.put(body, path)).status == 201, path
            before = site.cluster.source(Ref(*path.split("/")))
            secrets = account_type.secrets & body.keys()
            kept = {name: value for name, value in body.items() if name not in secrets}
            names = account_type.destinations | (
                {"uri"} if account_type.name == "pagerduty" else set()
            )
            for name in names:
                for value in ELSEWHERE[name]:
                    if name in account_type.secrets and (value is None or len(secrets) < 2):
                        continue  # all that there is would be sent, and nothing kept
                    change = {name: value, **TOGETHER.get(name, {})}
                    for redacted in ({}, dict.fromkeys(secrets - {name}, REDACTED)):
                        answer = await client.put({**kept, **redacted, **change}, path)
                        assert answer.status == 400, (path, change, answer.text)
                        assert answer.json["detail"].keys() >= secrets - {name}, (path, change)
                        tried.add((account_type.name, name))
            assert site.cluster.source(Ref(*path.split("/"))) == before
    assert {name for _, name in tried} == ELSEWHERE.keys()


async def test_headers_that_lead_elsewhere(site: Site) -> None:
    """No header of a webhook names another host, frames the message anew or speaks to a proxy."""
    secret = site.email()["password"]
    async with site.proxy() as (client, _):
        for name in ("Host", "hOsT", "Content-Length", "Transfer-Encoding", "Connection", "TE",
                     "Upgrade", "Proxy-Authorization", "Proxy-Connection", "X\r\nHost", "a b", ""):  # fmt: skip
            body = {"url": "https://hook.example.com/", "headers": {name: secret}}
            answer = await client.put(body, "webhook/a")
            assert answer.status == 400, (name, answer.text)
            assert any(place.startswith("headers") for place in answer.json["detail"])
        value = {
            "url": "https://hook.example.com/",
            "headers": {"X-Key": f"{secret}\r\nHost: evil"},
        }
        assert (await client.put(value, "webhook/a")).status == 400
        assert (await client.get("webhook/a")).status == 404


async def test_objects_with_secrets_are_replaced_whole(site: Site) -> None:
    """No part of an object that holds secrets can be changed beside another that is kept."""
    secret = site.email()["password"]
    async with site.proxy() as (client, _):
        body = accounts(secret)["email/b"]
        assert (await client.put(body, "email/b")).status == 201
        for oauth2 in (
            {"token_url": "https://evil.example/"},
            {"token_url": "https://evil.example/", "client_id": "a"},
            {**body["oauth2"], "client_secret": REDACTED, "token_url": "https://evil.example/"},
            {**body["oauth2"], "client_secret": None},
        ):
            answer = await client.put({**body, "oauth2": oauth2}, "email/b")
            assert answer.status == 400, answer.text
        shown = (await client.get("email/b")).json
        assert (shown["integrity"], shown["_source"]["oauth2"]) == ("verified", REDACTED)


async def test_guesses(site: Site) -> None:
    """A right guess of a secret and a wrong one look alike in answer, stored size and noop."""
    body = site.email()
    wrong = {**body, "password": site.email()["password"]}
    looks = []
    async with site.proxy() as (client, _):
        assert (await client.put(body)).status == 201
        first = (await client.get()).json
        stale = f"email/default?if_seq_no={first['_seq_no'] + 99}&if_primary_term=1"
        for guess in (body, wrong):
            dry = await client.put(guess, "email/default?dry_run")
            conflict = await client.put(guess, stale)
            broken = await client.put({**guess, "port": 0})
            answer = await client.put(guess)
            sealed = site.cluster.source()["_sealed"]
            look = [answer.status, answer.json["result"], len(sealed["box"]), sealed["secrets"]]
            for each in (dry, conflict, broken):
                look += [each.status, re.sub("[0-9]+", "0", each.text)]
            looks.append(look)
            assert (await client.put(body)).status == 200
        assert looks[0] == looks[1]
        assert looks[0][:2] == [200, "updated"]


# --- he reads Git --------------------------------------------------------------------------------


async def test_a_sealed_text_from_git(site: Site) -> None:
    """A sealed text serves its own account and destination, in its own registry, and no other."""
    body = site.email()
    public = without_secrets(body)
    clear = site.folder / "account.json"
    clear.write_text(json.dumps({"type": "email", "_name": "default", **body}))
    key = site.folder / "key"
    async with site.proxy() as (client, _):
        key.write_text((await client.get("_key")).text)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "signals_proxy", "seal", str(clear), f"--key={key}"
        )
        assert await process.wait() == 0
        text = clear.read_text()
        assert body["password"] not in text
        sealed = json.loads(text)
        assert sealed.keys() == {"type", "_name", "$sealed", *public}
        ours = {**public, "$sealed": sealed["$sealed"]}
        for path in ("email/other", "ops/email/default"):
            await check_refused(await client.put(ours, path))
        for name, values in ELSEWHERE.items():
            for value in values if name in TYPES["email"].destinations else ():
                change = {name: value, **TOGETHER.get(name, {})}
                await check_refused(await client.put({**ours, **change}))
        head, _, box = ours["$sealed"].rpartition(".")
        for damaged in (f"{head}.{box[:-4]}", f"{head}.A{box[1:]}", f"{head}.{box}=", head, box, "", 7,
                        {}, [ours["$sealed"]], ours["$sealed"].upper(), ours["$sealed"] + "\n"):  # fmt: skip
            await check_refused(await client.put({**ours, "$sealed": damaged}))
        for beside in (body["password"], None, REDACTED):
            answer = await client.put({**ours, "password": beside})
            assert answer.status == 400, answer.text
        assert not site.cluster.exists()
        assert (await client.put(ours)).status == 201
        shown = (await client.get()).json
        assert (shown["integrity"], shown["_source"]["password"]) == ("verified", REDACTED)
        assert "$sealed" not in shown["_source"]
    (site.folder / "keyring").write_text(keyrings.generate())
    async with site.proxy() as (client, _):
        await check_refused(await client.put(ours))


async def check_refused(answer: Answer) -> None:
    assert answer.status == 400, answer.text
    assert answer.json["detail"].keys() == {"$sealed"}, answer.text


# --- he has no identity, or is a web page --------------------------------------------------------


async def test_repeated_credentials(site: Site, saw: Any) -> None:
    """Two credentials in one request are refused, so nobody is judged by one and acts by another."""
    async with site.proxy() as (client, _):
        for name in ("Authorization", "es-security-runas-user", "es-secondary-authorization"):
            head, rest = await exchange(
                client.address, put(f"{name}: a", f"{name}: b", "Connection: close")
            )
            saw("answer", head + rest)
            assert head.split()[1] == b"400"
        assert not site.cluster.exists()


async def test_web_pages(site: Site) -> None:
    """A page of another origin, or one that has its name lead to loopback, is refused."""
    body = site.email()
    async with site.proxy() as (client, _):
        for fields in (
            {"Origin": "https://evil.example"},
            {"Origin": client.url},
            {"Sec_Fetch_Site": "same-site"},
            {"Host": "rebound.evil.example"},
        ):
            for method, sent in (("PUT", body), ("GET", None)):
                answer = await client.ask(method, "email/default", sent, **fields)
                assert answer.status == 403, (fields, answer.text)
                assert "Access-Control-Allow-Origin" not in answer.fields
        assert (await client.get("_key", Origin="https://evil.example")).status == 403
        assert not site.cluster.exists()
