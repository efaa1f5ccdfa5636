"""Messages through a proxy as an operator runs it: who may send them, and in which shape."""

import asyncio
import email
import gzip
import json
import resource
from collections.abc import AsyncIterator, Callable
from email import policy
from pathlib import Path

import pytest
from aiohttp import ClientSession, encode_basic_auth
from applications import Client
from mail_servers import MESSAGE, Mailbox, receiving
from nacl.pwhash import argon2id
from processes import wait_for_ends, watch
from served import configure
from sites import LOOPBACK, Site, account, audited, running

ROLES = """\
authorization:
  backend: static
  roles:
    administrator: [{actions: '*', accounts: '*'}, {actions: '*', accounts: '*/*/*'}]
    on_call: [{actions: send, accounts: email/ops}]
    tenant: [{actions: [send, test], accounts: team-a/*/*}]
  users:
"""


@pytest.fixture
async def site(tmp_path: Path, elasticsearch: str, index: str) -> AsyncIterator[Site]:
    """A proxy that asks nobody for rights."""
    more = f"registry: {{index: {index}}}\naudit: {{file: audit.json}}\n{LOOPBACK}"
    async with running(configure(tmp_path, elasticsearch, more)) as site:
        yield site


def hashed(password: str) -> str:
    """Return what ``hash-password`` would, in less time."""
    return argon2id.str(password.encode(), opslimit=1, memlimit=10 << 20).decode()


# --- who may -------------------------------------------------------------------------------------


async def test_who_may_send(
    tmp_path: Path, elasticsearch: str, index: str, canary: Callable[[str], str]
) -> None:
    """Each through the accounts of his roles: of his tenant, and never a global one in their place."""
    passwords = {name: canary(name) for name in ("anna", "otto", "tina")}
    users = zip(passwords, ("administrator", "on_call", "tenant"), strict=True)
    more = f"registry: {{index: {index}}}\naudit: {{file: audit.json}}\n{LOOPBACK}"
    file = configure(tmp_path, elasticsearch, more)
    lines = (
        f"    {name}: {{password_hash: '{hashed(passwords[name])}', roles: {role}}}\n"
        for name, role in users
    )
    none = "authorization: {backend: none}\n"
    assert none in file.read_text()
    file.write_text(file.read_text().replace(none, ROLES + "".join(lines)))
    anna, otto, tina = (encode_basic_auth(name, it) for name, it in passwords.items())
    secret, mailbox = canary("password"), Mailbox()
    mailbox.credentials = {"signals": secret}
    async with receiving(mailbox) as port, running(file) as site:
        known = account(port, user="signals", password=secret)
        for path in ("email/ops", "email/other", "team-a/email/ops"):
            assert (await site.client.put(known, path, Authorization=anna)).status == 201
        sent = {}
        for user, who in (("otto", otto), ("tina", tina), ("nobody", "")):
            fields = {"Authorization": who} if who else {}
            for path in ("email/ops", "email/other", "team-a/email/ops", "team-a/email/other"):
                message = {**MESSAGE, "subject": f"{user} by {path}"}
                sent[user, path] = (await site.send(path, message, **fields)).status
        assert {it: status for it, status in sent.items() if it[0] != "nobody"} == {
            ("otto", "email/ops"): 200,
            ("otto", "email/other"): 403,
            ("otto", "team-a/email/ops"): 403,
            ("otto", "team-a/email/other"): 403,
            ("tina", "email/ops"): 403,
            ("tina", "email/other"): 403,
            ("tina", "team-a/email/ops"): 200,
            ("tina", "team-a/email/other"): 404,
        }
        assert {status for (user, _), status in sent.items() if user == "nobody"} == {401}
        for method, path, who, status in (
            ("POST", "email/ops/_test", otto, 403),
            ("GET", "email/ops/_status", otto, 403),
            ("GET", "email/ops", otto, 403),
            ("GET", "team-a/email/ops/_status", tina, 403),
            ("POST", "team-a/email/ops/_test", tina, 200),
        ):
            answer = await site.client.ask(method, path, Authorization=who)
            assert (path, answer.status) == (path, status)
        draft = await site.client.ask(  # which takes the right to put it as well
            "POST", "team-a/email/ops/_test", account(port), Authorization=tina
        )
        assert (draft.status, "right to put" in draft.json["error"]) == (403, True)
        told = (await site.client.ask("GET", "email/ops/_status", Authorization=anna)).json
        assert (told["last_use"]["by"], told["last_use"]["outcome"]) == ("otto", "success")
        await site.stop()
    read = [email.message_from_bytes(it.content, policy=policy.default) for it in mailbox.envelopes]
    assert [it["Subject"] for it in read] == ["otto by email/ops", "tina by team-a/email/ops"]
    assert mailbox.users == ["signals"] * 2
    lines = audited(tmp_path)
    found = [
        (it.get("user.name"), it["signals_proxy.account"], it["event.outcome"])
        for it in lines
        if it["event.action"].endswith("send") and it["http.response.status_code"] != 401
    ]
    assert sorted(found) == sorted(
        (user, path, "success" if status == 200 else "failure")
        for (user, path), status in sent.items()
        if user != "nobody"
    )
    written = (tmp_path / "audit.json").read_text()
    assert not [it for it in (secret, *passwords.values()) if it in written]


async def test_nothing_is_sent_that_cannot_be_recorded(
    tmp_path: Path, elasticsearch: str, index: str
) -> None:
    """Where lines of audit are required and the disk is full, it is refused before it is begun."""
    more = f"registry: {{index: {index}}}\naudit: {{file: audit.json, required: true}}\n{LOOPBACK}"
    mailbox = Mailbox()
    async with (
        receiving(mailbox) as port,
        running(configure(tmp_path, elasticsearch, more)) as site,
    ):
        assert (await site.client.put(account(port), "email/ops")).status == 201
        (worker,) = site.proxy.workers()
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        assert (await site.send("email/ops")).status == 503
        assert mailbox.envelopes == []
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert (await site.send("email/ops")).status == 200
    assert len(mailbox.envelopes) == 1


# --- as Elasticsearch's own calls ----------------------------------------------------------------


async def test_bodies_and_parameters_are_those_of_elasticsearch(site: Site) -> None:
    versioned = "application/vnd.elasticsearch+json; compatible-with=8"
    mailbox = Mailbox()
    async with receiving(mailbox) as port:
        assert (await site.client.put(account(port), "email/ops")).status == 201
        for call, body in (("_send", MESSAGE), ("_test", account(port))):
            path, text = f"email/ops/{call}", json.dumps(body).encode()
            answer = await site.client.ask(
                "POST", path, text, Content_Type=versioned, Accept=versioned
            )
            assert (answer.status, answer.fields["Content-Type"]) == (
                200,
                versioned.replace(" ", ""),
            )
            assert answer.fields["X-elastic-product"] == "Elasticsearch"
            answer = await site.client.ask(
                "POST", path, gzip.compress(text), Content_Encoding="gzip"
            )
            assert answer.status == 200
            answer = await site.client.ask("POST", f"{path}?filter_path=duration_ms&pretty", text)
            assert answer.json.keys() == {"duration_ms"}
            assert answer.text.startswith('{\n  "duration_ms"')
            for wrong, status in (
                ({"Content_Type": "text/plain"}, 415),
                ({"Content_Encoding": "br"}, 415),
            ):
                assert (await site.client.ask("POST", path, text, **wrong)).status == status
            unknown = await site.client.ask("POST", f"{path}?evil", text)
            assert unknown.status == 400
    assert len(mailbox.envelopes) == 3


async def test_a_message_that_is_too_large(tmp_path: Path, elasticsearch: str, index: str) -> None:
    """It is refused, inflated or not, and is in the way of nobody; so is one that nests too deeply."""
    limited = LOOPBACK.replace("}", ", max_body: 2kb}")
    more = f"registry: {{index: {index}}}\n{limited}"
    mailbox = Mailbox()
    async with (
        receiving(mailbox) as port,
        running(configure(tmp_path, elasticsearch, more)) as site,
    ):
        assert (await site.client.put(account(port), "email/ops")).status == 201
        large = json.dumps({**MESSAGE, "text_body": "x" * 2048}).encode()
        deep = b'{"subject": ' + b"[" * 40 + b"]" * 40 + b"}"
        many = b'{"subject": [' + b"0," * 900 + b"0]}"
        told = [
            (await site.send("email/ops", large)).status,
            (await site.send("email/ops", gzip.compress(large), Content_Encoding="gzip")).status,
            (await site.send("email/ops", deep)).status,
            (await site.send("email/ops", many)).status,
            (await site.send("email/ops", b"{}{}")).status,
            (await site.send("email/ops", b'{"subject": "a", "subject": "b"}')).status,
        ]
        assert told == [413, 413, 400, 400, 400, 400]
        assert (await site.send("email/ops")).status == 200
        # An account is as small as ever.
        assert (await site.client.put(account(port, description="x" * 900))).status == 201
    assert len(mailbox.envelopes) == 1


# --- what an account says of itself --------------------------------------------------------------


async def test_types_that_are_not_allowed(site: Site, tmp_path: Path) -> None:
    """Of what an operator no longer allows none can be put and none is used; reading goes on."""
    file = tmp_path / "proxy.yaml"
    mailbox = Mailbox()
    async with receiving(mailbox) as port:
        assert (await site.client.put(account(port), "email/ops")).status == 201
        file.write_text(file.read_text().replace("registry: {", "registry: {types: [slack], "))
        old = watch(site.proxy.workers())
        await site.client.session.close()
        serving = await site.proxy.reloaded()
        await asyncio.to_thread(wait_for_ends, old)
        async with ClientSession() as session:
            client = Client(session, f"http://{serving['addresses']}")
            put = await client.put(account(port), "email/other")
            expected = {"type": [{"error": "Not among 'registry.types'", "expected": ["slack"]}]}
            assert (put.status, put.json["detail"]) == (400, expected)
            for call, body in (("_send", MESSAGE), ("_test", None)):
                answer = await client.ask("POST", f"email/ops/{call}", body)
                assert (answer.status, "type email" in answer.json["error"]) == (409, True)
            for path in ("email/ops", "email/ops/_status"):
                assert (await client.get(path)).status == 200
    assert mailbox.envelopes == []
