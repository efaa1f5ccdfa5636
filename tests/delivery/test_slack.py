"""Slack, played as https://docs.slack.dev/reference/methods/chat.postMessage and
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks describe it."""

import json

import pytest
from delivering import Delivering, account, over_http, settings, told
from recorder import recording

from signals_proxy.errors import Forbidden, InvalidMessage

MESSAGE = {
    "text": "Es brennt: 🔥",
    "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "*fire*"}}],
    "attachments": [{"color": "#f00", "text": "more"}],
    "username": "Alarm",
    "icon_emoji": ":fire:",
}


def said(body, status="200 OK", fields=""):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(content)}\r\n\r\n"
    return lambda _: head.encode() + content


async def test_a_webhook():
    async with recording(said(b"ok")) as slack:
        through = account("slack", url=f"{slack.url}/services/T0/B0/x")
        report = await Delivering().send(through, MESSAGE)
    assert (report.delivered, report.answer) == (True, {})
    (sent,) = slack.messages
    assert (sent.method, sent.target) == (b"POST", b"/services/T0/B0/x")
    assert sent.values(b"Content-Type") == [b"application/json"]
    assert json.loads(sent.content) == MESSAGE


@pytest.mark.parametrize("api", ["/api", "/api/"])
async def test_a_token(canary, api):
    token = canary("token")
    answer = said({"ok": True, "channel": "C1", "ts": "1.2", "message": {"text": "x"}})
    async with recording(answer) as slack:
        delivering = Delivering(settings(slack_api=slack.url + api))
        report = await delivering.send(
            account("slack", token=token, default_channel="#ops"), MESSAGE
        )
    assert report.answer == {"channel": "C1", "ts": "1.2"}
    (sent,) = slack.messages
    assert (sent.method, sent.target) == (b"POST", b"/api/chat.postMessage")
    assert sent.values(b"Authorization") == [f"Bearer {token}".encode()]
    assert sent.values(b"Content-Type") == [b"application/json; charset=utf-8"]
    assert json.loads(sent.content) == {**MESSAGE, "channel": "#ops"}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("invalid_auth", ("auth", "credentials_refused", 424)),
        ("not_authed", ("auth", "credentials_refused", 424)),
        ("token_revoked", ("auth", "credentials_refused", 424)),
        ("missing_scope", ("auth", "credentials_refused", 424)),
        ("not_in_channel", ("send", "refused", 424)),
        ("channel_not_found", ("send", "refused", 424)),
        ("msg_too_long", ("send", "refused", 424)),
        ("one_that_is_new", ("send", "refused", 424)),
        ("ratelimited", ("send", "throttled", 502)),
        ("service_unavailable", ("send", "unavailable", 502)),
        ("team_added_to_org", ("send", "unavailable", 502)),
        ("internal_error", ("send", "outcome_unknown", 424)),
        ("fatal_error", ("send", "outcome_unknown", 424)),
    ],
)
async def test_errors_of_the_web_api(error, outcome):
    answer = said({"ok": False, "error": error}, fields="Retry-After: 99\r\n")
    async with recording(answer) as slack:
        delivering = Delivering(settings(slack_api=slack.url))
        through = account("slack", token="t0ken")
        failed = await delivering.fails(through, {"text": "x", "channel": "c"})
        checked = await delivering.check_fails(through)
    assert told(failed) == outcome
    assert failed.handed_over == (outcome[1] == "outcome_unknown")
    assert failed.answer == {"error": error}
    assert f"'{error}'" in failed.message
    assert not checked.handed_over
    assert len(slack.messages) == 2


async def test_a_remedy_is_named():
    async with recording(said({"ok": False, "error": "not_in_channel"})) as slack:
        delivering = Delivering(settings(slack_api=slack.url))
        message = {"text": "x", "channel": "c"}
        failed = await delivering.fails(account("slack", token="t0ken"), message)
    assert "invite the app to the channel" in failed.message


@pytest.mark.parametrize("body", [b"", b"ok", b"[]", b'{"ok": 1}', b'{"ok": false, "error": 1}'])
async def test_an_answer_that_does_not_say_how_it_went(body):
    async with recording(said(body)) as slack:
        delivering = Delivering(settings(slack_api=slack.url))
        message = {"text": "x", "channel": "c"}
        failed = await delivering.fails(account("slack", token="t0ken"), message)
    assert told(failed) == ("send", "bad_answer", 424)
    assert failed.handed_over


@pytest.mark.parametrize(
    ("status", "body", "outcome", "answer"),
    [
        # https://api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks
        ("400 Bad Request", b"invalid_payload", ("send", "refused", 424), "invalid_payload"),
        ("403 Forbidden", b"action_prohibited", ("auth", "credentials_refused", 424), ...),
        ("404 Not Found", b"no_service", ("send", "refused", 424), "no_service"),
        ("410 Gone", b"channel_is_archived", ("send", "refused", 424), "channel_is_archived"),
        ("500 X", b"rollup_error", ("send", "outcome_unknown", 424), "rollup_error"),
        ("404 Not Found", b"<html>what is this?</html>", ("send", "refused", 424), None),
    ],
)
async def test_errors_of_a_webhook(status, body, outcome, answer):
    async with recording(said(body, status)) as slack:
        failed = await Delivering().fails(account("slack", url=slack.url), {"text": "x"})
    assert told(failed) == outcome
    answer = body.decode() if answer is ... else answer
    assert failed.answer == ({} if answer is None else {"error": answer})


@pytest.mark.parametrize("before", ["", "x" * 60])
async def test_an_error_that_echoes_the_token(before, canary):
    """It is masked before it is cut: half of it would not be found."""
    token = canary("token")
    async with recording(said({"ok": False, "error": before + token})) as slack:
        delivering = Delivering(settings(slack_api=slack.url))
        failed = await delivering.fails(
            account("slack", token=token), {"text": "x", "channel": "c"}
        )
    shown = (before + "<secret>")[:64]
    assert failed.answer == {"error": shown}
    assert failed.message == f"Slack says '{shown}'."


async def test_the_token_is_checked_without_a_message():
    async with recording(said({"ok": True, "team": "T"})) as slack:
        report = await Delivering(settings(slack_api=slack.url)).check(
            account("slack", token="t0ken")
        )
    assert (report.proved, report.answer) == ("authenticated", {})
    assert [message.target for message in slack.messages] == [b"/auth.test"]


async def test_a_webhook_is_only_reached():
    async with recording() as slack:
        report = await Delivering().check(account("slack", url=slack.url))
    assert (report.proved, slack.messages) == ("reachable", [])


# --- channels ------------------------------------------------------------------------------------


def prepare(message, **attributes):
    through = account("slack", **attributes)
    return over_http(settings())["slack"].prepare(through, {"text": "x", **message})


@pytest.mark.parametrize("kind", [{"token": "t"}, {"url": "https://hooks.slack.com/x"}])
def test_only_allowed_channels(kind):
    allowed = {**kind, "allowed_channels": ["#ops-*", "C0"]}
    assert prepare({"channel": "#ops-x"}, **allowed)["channel"] == "#ops-x"
    assert prepare({"channel": "C0"}, **allowed)["channel"] == "C0"
    with pytest.raises(Forbidden, match="'#dev'"):
        prepare({"channel": "#dev"}, **allowed)
    with pytest.raises(Forbidden):
        prepare({}, **allowed, default_channel="#dev")
    with pytest.raises(Forbidden):
        prepare({"channel": "c"}, **kind, allowed_channels=[])


def test_the_channel_of_the_message_goes_before_the_default():
    made = prepare({"channel": "a"}, token="t0ken", default_channel="b")
    assert made == {"text": "x", "channel": "a"}


def test_a_token_needs_a_channel():
    with pytest.raises(InvalidMessage) as invalid:
        prepare({}, token="t0ken")
    assert [*invalid.value.details] == ["channel"]


def test_a_webhook_has_its_own():
    made = prepare({}, url="https://hooks.slack.com/x", allowed_channels="#ops")
    assert made == {"text": "x"}
