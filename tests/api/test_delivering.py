"""Accounts are used by whoever may, and nobody sees their secrets."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from applications import Client
from delivering import settings
from mail_servers import MESSAGE, Mailbox, playing, receiving
from recorder import Message, recording
from registries import Cluster

from signals_proxy.account.ref import Ref
from signals_proxy.api import Sending
from signals_proxy.authorization import Action, Anybody, Caller, Identity
from signals_proxy.delivery.settings import Rate
from signals_proxy.errors import Forbidden
from signals_proxy.registry.documents import Registry

Sender = Callable[..., Awaitable[Client]]


@pytest.fixture
def sender(serve: Any, registry: Registry) -> Sender:
    """Return a function that serves an application which may deliver to this machine."""

    async def sender(**given: Any) -> Client:
        client: Client = await serve(sending=Sending.by(settings(**given), registry.health))
        return client

    return sender


async def stored_mail(client: Client, port: int, **attributes: Any) -> None:
    account = {"host": "127.0.0.1", "port": port, "default_from": "a@mail.test", **attributes}
    assert (await client.put(account)).status == 201


async def settled(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_send(sender: Sender, canary: Any, audit_lines: Any) -> None:
    """A mail arrives; the answer, the audit line and the account's status tell of it."""
    client, password = await sender(), canary("password")
    mailbox = Mailbox({"signals": password})
    async with receiving(mailbox) as port:
        await stored_mail(client, port, user="signals", password=password)
        answer = await client.ask("POST", "email/default/_send?pretty", MESSAGE)
    assert answer.status == 200
    assert "\n" in answer.text.strip()
    told = answer.json
    assert told["delivered"] is True
    assert told["duration_ms"] >= 0
    assert told["answer"]["reply"].startswith("250 2.0.0 queued")
    (envelope,) = mailbox.envelopes
    assert envelope.rcpt_tos == ["ops@mail.test"]
    line = audit_lines()[-1]
    assert line["event.action"] == "account/send"
    assert (line["signals_proxy.result"], line["signals_proxy.account"]) == (
        "sent",
        "email/default",
    )
    status = (await client.ask("GET", "email/default/_status")).json
    assert (status["_id"], status["integrity"], status["disabled"]) == (
        "email/default",
        "verified",
        False,
    )
    assert status["last_use"]["outcome"] == "success"
    assert status["last_success"]["at"] >= status["last_use"]["at"]
    assert "last_error" not in status


async def test_a_failure(sender: Sender, canary: Any, audit_lines: Any) -> None:
    """It names step and reason; the account's status has them as well."""
    client, password = await sender(), canary("password")
    async with receiving(Mailbox({"signals": "another"})) as port:
        await stored_mail(client, port, user="signals", password=password)
        answer = await client.ask("POST", "email/default/_send", MESSAGE)
    told = answer.json
    assert answer.status == told["status"] == 424
    assert (told["step"], told["reason"]) == ("auth", "credentials_refused")
    assert told.keys() >= {"error", "duration_ms"}
    assert audit_lines()[-1]["error.type"] == "credentials_refused"
    status = (await client.ask("GET", "email/default/_status")).json
    assert status["last_error"].items() >= {"step": "auth", "reason": "credentials_refused"}.items()
    assert status["last_use"]["outcome"] == "failure"
    assert "last_success" not in status


async def test_nothing_handed_over(sender: Sender) -> None:
    """Where nothing was handed over a repeat may help: 502."""
    client = await sender()
    async with playing({"MAIL": b"451 later\r\n"}) as (port, _):
        await stored_mail(client, port)
        answer = await client.ask("POST", "email/default/_send", MESSAGE)
    assert (answer.status, answer.json["reason"]) == (502, "unavailable")


@pytest.mark.parametrize(
    ("attributes", "message", "status", "where"),
    [
        ({}, {**MESSAGE, "to": "nobody"}, 400, "to"),
        ({}, {**MESSAGE, "subjct": "x"}, 400, "subjct"),
        ({}, {**MESSAGE, "subject": "a\r\nBcc: eve@mail.test"}, 400, "subject"),
        ({}, {"subject": "x", "text_body": "y"}, 400, "to"),
        ({"allowed_recipients": "*@else.test"}, MESSAGE, 403, ""),
        ({"disabled": True}, MESSAGE, 409, ""),
    ],
)
async def test_what_is_refused(
    sender: Sender, attributes: Any, message: Any, status: int, where: str
) -> None:
    """Nothing is connected to; who sent it is told what to change."""
    client = await sender()
    async with playing() as (port, played):
        await stored_mail(client, port, **attributes)
        answer = await client.ask("POST", "email/default/_send", message)
    assert answer.status == answer.json["status"] == status
    assert [*answer.json.get("detail", {"": []})] == [where]
    assert played.connections == 0


async def test_what_there_is_not(sender: Sender, cluster: Cluster) -> None:
    client = await sender()
    for call in ("_send", "_test"):
        assert (await client.ask("POST", f"email/none/{call}", MESSAGE)).status in {400, 404}
    assert (await client.ask("POST", "email/none/_test")).status == 404
    assert (await client.ask("GET", "email/none/_status")).status == 404
    await client.put({"host": "a.test", "port": 25})
    cluster.put({"type": "email", "_name": "evil", "host": "a.test"}, Ref("email", "evil"))
    answer = await client.ask("POST", "email/evil/_send", MESSAGE)
    assert answer.status == 409
    assert "unsealed" in answer.json["error"]
    assert (await client.ask("POST", "email/evil/_test")).status == 409
    status = (await client.ask("GET", "email/evil/_status")).json
    assert status["integrity"] == "unsealed"
    assert "PUT" in status["remedy"]


@pytest.mark.parametrize(
    ("method", "call", "allowed"),
    [("GET", "_send", "POST"), ("PUT", "_test", "POST"), ("POST", "_status", "GET,HEAD")],
)
async def test_methods(client: Client, method: str, call: str, allowed: str) -> None:
    answer = await client.ask(method, f"email/default/{call}")
    assert (answer.status, answer.fields["Allow"]) == (405, allowed)


async def test_parameters_and_fields(sender: Sender) -> None:
    """Elasticsearch's own words for what is unknown; a key that is none is refused."""
    client = await sender()
    answer = await client.ask("POST", "email/default/_send?dry_run", MESSAGE)
    assert answer.status == 400
    assert "unrecognized parameter: [dry_run]" in answer.json["error"]
    for key in ("", "a b\u00e4", "k" * 256):
        answer = await client.ask("POST", "email/default/_send", MESSAGE, Idempotency_Key=key)
        assert (answer.status, "Idempotency-Key" in answer.json["error"]) == (400, True)


async def test_idempotency_key(sender: Sender) -> None:
    """The same key is the same Message-ID, so that a repeat can be dropped."""
    client, mailbox = await sender(), Mailbox()
    async with receiving(mailbox) as port:
        await stored_mail(client, port)
        for key in ("one", "one", "other"):
            await client.ask("POST", "email/default/_send", MESSAGE, Idempotency_Key=key)
    ids = [
        next(line for line in each.content.splitlines() if line.startswith(b"Message-ID"))
        for each in mailbox.envelopes
    ]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)


async def test_simulate(sender: Sender, audit_lines: Any) -> None:
    client = await sender()
    async with playing() as (port, played):
        await stored_mail(client, port, simulate=True)
        answer = (await client.ask("POST", "email/default/_send", MESSAGE)).json
    assert (answer["delivered"], answer["answer"]) == (False, {"simulated": True})
    assert played.connections == 0
    assert audit_lines()[-1]["signals_proxy.result"] == "simulated"
    status = (await client.ask("GET", "email/default/_status")).json
    assert ("last_use" in status, "last_success" in status) == (True, False)


async def test_an_emergency_stop_between_tries(sender: Sender) -> None:
    """An account that is disabled after the first try is not tried again."""
    client = await sender()
    stop: list[asyncio.Task[Any]] = []

    def answer(_: Message) -> bytes:
        body = {"url": service.url, "disabled": True}
        stop.append(asyncio.ensure_future(client.put(body, "webhook/w")))
        return b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"

    async with recording(answer) as service:
        assert (await client.put({"url": service.url}, "webhook/w")).status == 201
        told = await client.ask("POST", "webhook/w/_send", {"body": "x"})
        assert (await stop[0]).status == 200
        assert (told.status, "disabled" in told.json["error"]) == (409, True)
        assert len(service.messages) == 1


async def test_a_client_that_leaves(sender: Sender, audit_lines: Any) -> None:
    """A delivery that has begun goes on to its end; the audit line tells it."""
    client, taken = await sender(), asyncio.Event()

    async def end(reader: Any, writer: Any) -> None:
        taken.set()
        await left.wait()
        writer.write(b"250 taken\r\n")
        await reader.read()

    left = asyncio.Event()
    async with playing({".": end}) as (port, played):
        await stored_mail(client, port)
        _, writer = await asyncio.open_connection(*client.address)
        body = json.dumps(MESSAGE).encode()
        head = (
            "POST /_signals/account/email/default/_send HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await taken.wait()
        writer.close()
        await writer.wait_closed()
        already = len(audit_lines())
        left.set()
        await settled(lambda: len(audit_lines()) > already)
    line = audit_lines()[-1]
    assert (line["signals_proxy.result"], line["event.outcome"]) == ("sent", "success")
    assert len(played.messages) == 1


async def test_check(sender: Sender, canary: Any, audit_lines: Any) -> None:
    """The steps, their times, and what is proved; nothing is sent."""
    client, password = await sender(), canary("password")
    mailbox = Mailbox({"signals": password})
    async with receiving(mailbox) as port:
        await stored_mail(client, port, user="signals", password=password)
        answer = await client.ask("POST", "email/default/_test")
    told = answer.json
    assert (answer.status, told["_id"], told["proved"]) == (200, "email/default", "authenticated")
    assert [each["step"] for each in told["steps"]][:2] == ["resolve", "connect"]
    assert mailbox.envelopes == []
    assert audit_lines()[-1]["signals_proxy.result"] == "tested"
    status = (await client.ask("GET", "email/default/_status")).json
    assert status["last_check"].items() >= {"outcome": "success", "proved": "authenticated"}.items()
    assert "last_use" not in status


async def test_a_draft(sender: Sender, canary: Any, cluster: Cluster, audit_lines: Any) -> None:
    """It is checked before it is saved, by the rules of a PUT, and is not saved."""
    client, password = await sender(), canary("password")
    draft = {"host": "127.0.0.1", "default_from": "a@mail.test", "user": "signals"}
    async with receiving(Mailbox({"signals": password})) as port:
        whole = {**draft, "port": port, "password": password}
        answer = await client.ask("POST", "email/default/_test", whole)
        assert (answer.status, answer.json["proved"]) == (200, "authenticated")
        assert audit_lines()[-1]["signals_proxy.result"] == "draft_tested"
        assert cluster.source() is None
        assert (await client.ask("GET", "email/default/_status")).status == 404
        await client.put(whole)
        kept = {**draft, "port": port, "description": "x"}
        assert (await client.ask("POST", "email/default/_test", kept)).status == 200
    async with playing() as (other, played):
        answer = await client.ask("POST", "email/default/_test", {**draft, "port": other})
        assert (answer.status, [*answer.json["detail"]]) == (400, ["password"])
        assert played.connections == 0
        disabled = {**whole, "port": other, "disabled": True}
        assert (await client.ask("POST", "email/default/_test", disabled)).status == 409
    assert "last_check" not in (await client.ask("GET", "email/default/_status")).json
    assert (await client.ask("POST", "email/default/_test", {"hst": "x"})).status == 400


class NoPut(Anybody):
    """A backend that lets everybody do anything but put."""

    async def require(
        self, action: Action, ref: Ref | None, tenant: str | None, caller: Caller
    ) -> Identity:
        if action is Action.PUT:
            raise Forbidden("You may not put.", "kim")
        return await super().require(action, ref, tenant, caller)


async def test_a_draft_of_somebody_who_may_not_put(serve: Any, audit_lines: Any) -> None:
    client = await serve(authorizer=NoPut())
    answer = await client.ask("POST", "email/default/_test", {"host": "a.test", "port": 25})
    assert (answer.status, answer.json["error"]) == (403, "You may not put.")
    line = audit_lines()[-1]
    assert (line["event.action"], line["signals_proxy.allowed"]) == ("account/test", False)
    assert line["user.name"] == "kim"


async def test_what_ended_how(serve: Any, connected: Any, registry: Registry) -> None:
    """Each outcome of the metrics; a type that a caller makes up is none of theirs."""
    sending = Sending.by(settings(), registry.health)
    client = await serve(sending=sending)
    assert (await client.ask("POST", "made-up/x/_test")).status == 404
    assert (await client.ask("POST", "made-up/x/_send", {})).status == 409
    assert sending.ended == {}
    async with receiving(Mailbox()) as port:
        await stored_mail(client, port)
        await client.ask("POST", "email/default/_send", MESSAGE)
    await client.ask("POST", "email/default/_send", MESSAGE)
    await client.ask("POST", "email/none/_send", MESSAGE)
    away = connected("http://127.0.0.1:9")
    answer = await (await serve(registry=away, sending=sending)).ask("POST", "email/a/_test")
    assert answer.status == 503
    assert sending.ended == {
        ("email", "send", "success"): 1,
        ("email", "send", "not_connected"): 1,
        ("email", "send", "not_tried"): 1,
        ("email", "test", "cluster_unavailable"): 1,
    }


async def test_how_often(sender: Sender, audit_lines: Any) -> None:
    """Whoever delivers too often, or through one account, waits; nobody else does."""
    client = await sender(account_rate=Rate(2, 1), caller_rate=Rate(4, 1))
    async with receiving(Mailbox()) as port:
        await stored_mail(client, port)
        statuses = [
            (await client.ask("POST", f"email/{name}/_send", MESSAGE)).status
            for name in ("default", "default", "default", "other", "other", "third")
        ]
        answer = await client.ask("POST", "email/default/_test")
    assert statuses == [200, 200, 429, 404, 404, 429]
    assert answer.status == 429
    assert 30 <= int(answer.fields["Retry-After"]) <= 60
    assert audit_lines()[-1]["error.type"] == "TooOften"


async def test_a_large_body(sender: Sender) -> None:
    client = await sender(max_body=2000)
    answer = await client.ask("POST", "email/default/_send", {**MESSAGE, "text_body": "x" * 2000})
    assert answer.status == 413
    answer = await client.ask("POST", "email/default/_send", b"{}", Content_Type="text/plain")
    assert answer.status == 415
    assert answer.json["error"] == "Messages must be of content type application/json"


async def test_a_large_body_that_is_only_announced(serve: Any, registry: Registry) -> None:
    """It waits for no more memory than a message can take."""
    sending = Sending.by(settings(max_body=1000, memory=8000), registry.health)
    client = await serve(sending=sending)
    head = (
        "POST /_signals/account/email/none/_send HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
    )
    async with sending.memory.of(" 127.0.0.1", 1):
        reader, writer = await asyncio.open_connection(*client.address)
        writer.write(head.encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()


async def test_what_will_be_inflated_counts_as_large(serve: Any, registry: Registry) -> None:
    """Or small bodies would take all memory there is: this one waits for a part that is taken."""
    sending = Sending.by(settings(max_body=1000, memory=4000), registry.health)
    client, caller = await serve(sending=sending), " 127.0.0.1"
    body = gzip.compress(json.dumps(MESSAGE).encode())
    async with sending.memory.of(caller, 1):
        given = {"Content_Encoding": "gzip"}
        asked = asyncio.ensure_future(client.ask("POST", "email/none/_send", body, **given))
        await settled(lambda: sending.memory._of[caller]._waiting)
    assert (await asked).status == 404


async def test_where_accounts_may_lead(serve: Any) -> None:
    """An account that leads to where deliveries may not go is not saved."""
    client = await serve()
    for host in ("127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"):
        answer = await client.put({"host": host, "port": 25})
        assert (answer.status, [*answer.json["detail"]]) == (400, ["host"])
    answer = await client.put({"url": "http://127.0.0.1/", "auth_token": "t"}, "jira/j")
    assert [*answer.json["detail"]] == ["url"]


async def test_an_account_that_was_used(
    sender: Sender, cluster: Cluster, registry: Registry
) -> None:
    """Who deletes it is warned, unless it was long ago; then nothing is known of it any more."""
    client = await sender()
    async with receiving(Mailbox()) as port:
        await stored_mail(client, port)
        assert "Warning" not in (await client.ask("DELETE", "email/other")).fields
        await client.ask("POST", "email/default/_send", MESSAGE)
        answer = await client.delete()
        today = datetime.now(UTC).date().isoformat()
        assert answer.status == 200
        assert f"the last time on {today}" in answer.fields["Warning"]
        await stored_mail(client, port)
        assert "last_use" not in (await client.ask("GET", "email/default/_status")).json
        await client.ask("POST", "email/default/_send", MESSAGE)
        await registry.health.flush()
        long_ago = (datetime.now(UTC) - timedelta(days=31)).isoformat(timespec="milliseconds")
        note = {"last_use": {"at": long_ago.replace("+00:00", "Z")}}
        cluster.ask("PUT", "/{index}_health/_doc/email%2Fdefault", note)
        assert "Warning" not in (await client.delete()).fields


async def test_days_to_expiry(sender: Sender) -> None:
    """It only warns: the account can be used on."""
    client = await sender()
    async with receiving(Mailbox()) as port:
        for days in (10, -3):
            day = (datetime.now(UTC).date() + timedelta(days=days)).isoformat()
            await client.put(
                {
                    "host": "127.0.0.1",
                    "port": port,
                    "default_from": "a@mail.test",
                    "expires_at": day,
                }
            )
            status = (await client.ask("GET", "email/default/_status")).json
            assert (status["expires_at"], status["days_to_expiry"]) == (day, days)
            assert (await client.ask("POST", "email/default/_send", MESSAGE)).status == 200
