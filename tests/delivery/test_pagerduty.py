"""PagerDuty, played as https://developer.pagerduty.com/docs/events-api-v2/overview/ describes it."""

import json

import pytest
from delivering import Delivering, account, over_http, settings, told
from recorder import recording
from tls_servers import listening

from signals_proxy.delivery.deliveries import Deliveries, Opened
from signals_proxy.errors import DeliveryFailed, InvalidMessage, NotFound

PAYLOAD = {"summary": "Plattenplatz ß", "source": "db1", "severity": "critical"}
DONE = b'{"status":"success","message":"Event processed","dedup_key":"k"}'


def answer(code, body=b""):
    return f"HTTP/1.1 {code} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def through(url, key="k" * 32):
    return account("pagerduty", integration_key=key, url=f"{url}/v2/enqueue")


async def test_an_event(canary):
    key = canary("key")
    event = {
        "event_action": "trigger",
        "dedup_key": "db1/disk",
        "payload": {**PAYLOAD, "custom_details": {"free": 0.01}},
        "links": [{"href": "https://a.test", "text": "a"}],
        "images": [{"src": "https://a.test/a.png"}],
    }
    async with recording(lambda _: answer(202, DONE)) as pagerduty:
        report = await Delivering().send(through(pagerduty.url, key), event, key="unused")
    members = {"status": "success", "message": "Event processed", "dedup_key": "k"}
    assert report.answer == members
    (sent,) = pagerduty.messages
    assert (sent.method, sent.target) == (b"POST", b"/v2/enqueue")
    assert json.loads(sent.content) == {"routing_key": key, **event}


@pytest.mark.parametrize(
    ("key", "dedup_key"),
    [
        ("a b", "a b"),
        ("x" * 255, "x" * 255),
    ],
)
async def test_an_idempotency_key_becomes_the_dedup_key(key, dedup_key):
    async with recording(lambda _: answer(202, DONE)) as pagerduty:
        for _ in range(2):
            await Delivering().send(through(pagerduty.url), {"payload": PAYLOAD}, key=key)
    first, second = (json.loads(sent.content) for sent in pagerduty.messages)
    assert first == second
    assert first["event_action"] == "trigger"
    assert first["dedup_key"] == dedup_key


async def test_without_a_key_there_is_none():
    async with recording(lambda _: answer(202, DONE)) as pagerduty:
        await Delivering().send(through(pagerduty.url), {"payload": PAYLOAD})
    assert "dedup_key" not in json.loads(pagerduty.messages[0].content)


@pytest.mark.parametrize("failure", [b"", answer(500), answer(502), b"HTTP/1.1 202"])
@pytest.mark.parametrize("event", [{"dedup_key": "k"}, {}])
async def test_an_event_with_a_dedup_key_is_sent_again_whatever_became_of_it(failure, event):
    requests = []

    async def talk(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        requests.append(await reader.readexactly(length))
        writer.write(failure if len(requests) == 1 else answer(202, DONE))

    async with listening(talk) as port:
        sending = through(f"http://127.0.0.1:{port}"), {"payload": PAYLOAD, **event}
        if event:
            assert (await Delivering().send(*sending)).delivered
        else:
            failed = await Delivering().fails(*sending)
            assert told(failed) == ("send", "outcome_unknown", 424)
    assert len(requests) == (2 if event else 1)
    assert len(set(requests)) == 1


async def test_what_may_have_been_taken_once_is_never_a_502():
    """The second try was not handed over, the first may have been."""
    answers = [answer(500), answer(503), answer(503)]
    async with recording(lambda _: answers.pop(0)) as pagerduty:
        event = {"payload": PAYLOAD, "dedup_key": "k"}
        failed = await Delivering().fails(through(pagerduty.url), event)
    assert (told(failed), failed.handed_over) == (("send", "outcome_unknown", 424), True)
    assert answers == []


async def test_a_refusal_says_why():
    body = b'{"status":"invalid event","message":"Event object is invalid","errors":["no"]}'
    async with recording(lambda _: answer(400, body)) as pagerduty:
        failed = await Delivering().fails(through(pagerduty.url), {"payload": PAYLOAD})
    assert told(failed) == ("send", "refused", 424)
    assert failed.answer == {"status": "invalid event", "message": "Event object is invalid"}


async def test_it_is_only_reached():
    async with recording() as pagerduty:
        report = await Delivering().check(through(pagerduty.url))
    assert (report.proved, pagerduty.messages) == ("reachable", [])


async def test_all_of_an_event_counts():
    """The keys in it as well, to the byte."""
    async with recording(lambda _: answer(202, DONE)) as pagerduty:
        through_it = through(pagerduty.url)
        event = {"payload": {**PAYLOAD, "custom_details": {"log": ""}}}
        await Delivering().send(through_it, event, "key")
        room = 512 * 1024 - len(pagerduty.messages[0].content)
        event["payload"]["custom_details"]["log"] = "x" * room
        await Delivering().send(through_it, event, "key")
        with pytest.raises(InvalidMessage):
            await Delivering().send(through_it, event, "key2")
        event["payload"]["custom_details"]["log"] += "x" * len(',"dedup_key":"key"')
        await Delivering().send(through_it, event)
        event["payload"]["custom_details"]["log"] += "x"
        with pytest.raises(InvalidMessage):
            await Delivering().send(through_it, event)
    assert [len(it.content) for it in pagerduty.messages[1:]] == [512 * 1024] * 2


def test_an_event_is_not_too_large():
    """ "The maximum size of an event is 512 KB"."""
    prepare = over_http(settings())["pagerduty"].prepare
    details = {"payload": {**PAYLOAD, "custom_details": {"log": "x" * (512 * 1024 - 200)}}}
    prepare(account("pagerduty", integration_key="k"), details)
    details["payload"]["custom_details"]["log"] += "x" * 200
    with pytest.raises(InvalidMessage) as invalid:
        prepare(account("pagerduty", integration_key="k"), details)
    (found,) = invalid.value.details["payload"]
    assert "524,288 bytes" in found.expected


async def test_an_account_that_is_gone_before_the_next_try():
    """What may have been taken before stays unknown: that is no time to say that there is nothing."""
    deliveries, reads = Deliveries(settings(), over_http(settings())), []

    async def read():
        reads.append(1)
        if len(reads) > 1:
            raise NotFound("Not found")
        return Opened(through(pagerduty.url), "1")

    async with recording(lambda _: answer(500)) as pagerduty:
        with pytest.raises(DeliveryFailed) as failed:
            await deliveries.send(read, {"payload": PAYLOAD}, "k")
        assert (told(failed.value), len(reads)) == (("send", "outcome_unknown", 424), 2)
        assert len(pagerduty.messages) == 1


async def test_an_account_that_is_changed_before_the_next_try():
    """It may lead elsewhere: what may have been taken is not sent there. It is masked as it was."""
    deliveries, reads = Deliveries(settings(), over_http(settings())), []

    async def read():
        reads.append(1)
        return Opened(through(pagerduty.url, str(len(reads)) * 32), str(len(reads)))

    body = b'{"message":"%b"}' % (b"1" * 32)
    async with recording(lambda _: answer(500, body)) as pagerduty:
        with pytest.raises(DeliveryFailed) as failed:
            await deliveries.send(read, {"payload": PAYLOAD}, "k")
        assert (told(failed.value), len(reads)) == (("send", "outcome_unknown", 424), 2)
        assert failed.value.answer == {"dedup_key": "k", "message": "<secret>"}
        assert len(pagerduty.messages) == 1
