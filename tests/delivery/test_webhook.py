"""Webhooks: what is sent is what account and message say."""

import asyncio
import json

import pytest
from delivering import Delivering, account, told
from recorder import recording
from tls_servers import listening

from signals_proxy.errors import InvalidMessage


async def sent_by(message, key=None, **attributes):
    async with recording() as service:
        report = await Delivering().send(
            account("webhook", url=service.url, **attributes), message, key
        )
    assert report.answer == {"status": 200}
    (sent,) = service.messages
    return sent


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_methods(method):
    sent = await sent_by({"body": "x"}, method=method)
    assert (sent.method.decode(), sent.content) == (method, b"x")


async def test_get_has_no_body():
    sent = await sent_by({}, method="GET")
    assert (sent.method, sent.content) == (b"GET", b"")
    assert sent.values(b"Content-Length") == sent.values(b"Content-Type") == []
    with pytest.raises(InvalidMessage) as invalid:
        await Delivering().send(account("webhook", url="http://a.test", method="GET"), {"body": ""})
    assert [*invalid.value.details] == ["body"]


@pytest.mark.parametrize(
    ("body", "content", "kind"),
    [
        ("hä", "hä".encode(), b"text/plain; charset=utf-8"),
        ('{"a":1}', b'{"a":1}', b"text/plain; charset=utf-8"),
        ({"ä": [1, None]}, '{"ä":[1,null]}'.encode(), b"application/json"),
        ([], b"[]", b"application/json"),
    ],
)
async def test_bodies(body, content, kind):
    sent = await sent_by({"body": body})
    assert (sent.content, sent.values(b"Content-Type")) == (content, [kind])


async def test_no_body_at_all():
    sent = await sent_by({})
    assert sent.values(b"Content-Length") == [b"0"]
    assert sent.values(b"Content-Type") == []


async def test_the_fields_of_the_account_go_before_ours():
    own = {
        "content-TYPE": "application/xml",
        "user-agent": "mine",
        "idempotency-key": "always",
        "X-Token": "t0ken",
    }
    sent = await sent_by({"body": "<a/>"}, key="k", headers=own)
    for name, value in own.items():
        assert sent.values(name.encode()) == [value.encode()]


async def test_our_own_fields_ask_for_nothing_that_is_not_read():
    sent = await sent_by({"body": "x"})
    assert sent.values(b"Accept-Encoding") == [b"identity"]
    assert sent.values(b"User-Agent") == [b"signals-proxy"]


async def test_an_idempotency_key_is_passed_on():
    assert (await sent_by({}, key="k 1")).values(b"Idempotency-Key") == [b"k 1"]
    assert (await sent_by({})).values(b"Idempotency-Key") == []


@pytest.mark.parametrize(
    ("auth", "value"),
    [
        ({"type": "basic", "user": "ü", "password": "p:w"}, b"Basic w7w6cDp3"),
        ({"type": "bearer", "token": "t0ken"}, b"Bearer t0ken"),
    ],
)
async def test_authentication(auth, value):
    assert (await sent_by({}, auth=auth)).values(b"Authorization") == [value]


async def test_the_status_alone_is_told():
    answer = b"HTTP/1.1 400 Bad\r\nX-Secret: 1\r\nContent-Length: 5\r\n\r\nwords"
    async with recording(lambda _: answer) as service:
        failed = await Delivering().fails(account("webhook", url=service.url), {"body": "x"})
    assert (told(failed), failed.answer) == (("send", "refused", 424), {"status": 400})


async def test_the_body_of_the_answer_is_not_waited_for():
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
        await asyncio.Event().wait()

    async with listening(talk) as port:
        report = await Delivering().send(account("webhook", url=f"http://127.0.0.1:{port}"), {})
    assert json.dumps(report.answer) == '{"status": 200}'
