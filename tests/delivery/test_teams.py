"""Microsoft Teams, played as a workflow whose trigger is "When a Teams webhook request is received":
https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using"""

import json

import pytest
from delivering import Delivering, account, over_http, settings, told
from recorder import recording

from signals_proxy.errors import InvalidMessage

CARD = {"type": "AdaptiveCard", "version": "1.2", "body": [{"type": "TextBlock", "text": "é"}]}


def accepted(_):
    return b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


async def content_of(message):
    async with recording(accepted) as teams:
        report = await Delivering().send(account("teams", url=f"{teams.url}/x?sig=y"), message)
    assert (report.delivered, report.answer) == (True, {"status": 202})
    (sent,) = teams.messages
    assert (sent.method, sent.target) == (b"POST", b"/x?sig=y")
    assert sent.values(b"Content-Type") == [b"application/json"]
    payload = json.loads(sent.content)
    (attachment,) = payload["attachments"]
    assert payload["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    return attachment["content"]


async def test_a_card():
    assert await content_of({"card": CARD}) == CARD


async def test_a_text_becomes_a_card():
    content = await content_of({"text": "Es brennt 🔥"})
    assert content["type"] == "AdaptiveCard"
    assert content["body"] == [{"type": "TextBlock", "text": "Es brennt 🔥", "wrap": True}]


@pytest.mark.parametrize("name", ["text", "card"])
def test_a_message_is_at_most_28_kb(name):
    def prepare(size):
        text = "ä" * (size // 2)
        card = {**CARD, "body": [{"type": "TextBlock", "text": text}]}
        message = {"text": text} if name == "text" else {"card": card}
        over_http(settings())["teams"].prepare(account("teams", url="https://a.test/"), message)

    prepare(28_000)
    with pytest.raises(InvalidMessage) as invalid:
        prepare(28_672)
    (found,) = invalid.value.details[name]
    assert "28,672 bytes" in found.expected


async def test_a_failure_tells_the_status_alone():
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nwords"
    async with recording(lambda _: answer) as teams:
        failed = await Delivering().fails(account("teams", url=teams.url), {"text": "x"})
    assert (told(failed), failed.answer) == (("send", "refused", 424), {"status": 404})


async def test_it_is_only_reached():
    async with recording() as teams:
        report = await Delivering().check(account("teams", url=teams.url))
    assert (report.proved, teams.messages) == ("reachable", [])
