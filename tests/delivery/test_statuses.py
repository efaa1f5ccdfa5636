"""What every HTTP status means, for every service: delivered, tried again, 424 or 502."""

import pytest
from delivering import Delivering, account, over_http, settings
from recorder import recording
from tls_servers import listening

from signals_proxy.delivery.delivery import Attempt
from signals_proxy.errors import DeliveryFailed

EVENT = {"payload": {"summary": "s", "source": "h", "severity": "info"}}
ISSUE = {"project": "OPS", "issue": {"type": "Bug", "summary": "s"}}

# What is documented as success:
# - https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (200, "ok")
# - https://docs.slack.dev/reference/methods/chat.postMessage (200, with "ok": true)
# - https://developer.pagerduty.com/docs/events-api-v2/overview/ (202)
# - https://developer.atlassian.com/cloud/jira/platform/rest/v2/api-group-issues/ (201)
# - https://learn.microsoft.com/connectors/teams/ answers 202, workflows of one's own what they like
SUCCESS = {
    "slack webhook": {200},
    "slack token": {200},
    "pagerduty": {202},
    "pagerduty with a key": {202},
    "jira": {201},
    "teams": set(range(200, 300)),
    "webhook": set(range(200, 300)),
}

# Everything else: reason, status, and whether it is tried again.
OTHERS = {
    range(200, 300): ("bad_answer", 424, False),
    range(300, 400): ("redirected", 424, False),
    range(400, 500): ("refused", 424, False),
    range(401, 402): ("credentials_refused", 424, False),
    range(403, 404): ("credentials_refused", 424, False),
    range(429, 430): ("throttled", 502, True),
    range(500, 600): ("outcome_unknown", 424, False),
    range(503, 504): ("unavailable", 502, True),
}
# https://developer.pagerduty.com/docs/events-api-v2/overview/: retry after "500 or other 5XX".
SAFE_TO_REPEAT = {"pagerduty with a key": ("outcome_unknown", 424, True)}


def expected(service, status):
    if status in SUCCESS[service]:
        return "delivered"
    *_, found = (outcome for statuses, outcome in OTHERS.items() if status in statuses)
    return SAFE_TO_REPEAT.get(service, found) if found[0] == "outcome_unknown" else found


def account_of(service, url):
    match service:
        case "slack webhook":
            return account("slack", url=url), {"text": "x"}, None
        case "slack token":
            return account("slack", token="t0ken"), {"text": "x", "channel": "c"}, None
        case "pagerduty" | "pagerduty with a key":
            through = account("pagerduty", integration_key="k", url=url)
            return through, EVENT, "key" if "with" in service else None
        case "jira":
            return account("jira", url=url, auth_token="t0ken"), ISSUE, None
        case "teams":
            return account("teams", url=url), {"text": "x"}, None
        case "webhook":
            return account("webhook", url=url), {"body": "x"}, None


@pytest.mark.parametrize("service", SUCCESS)
async def test_every_status(service):
    status = 0

    def answer(_):
        body = b'{"ok": true}' if 200 <= status < 300 and status not in {204, 205} else b""
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
        return (
            head if status not in {204, 304} else f"HTTP/1.1 {status} X\r\n\r\n"
        ).encode() + body

    async with recording(answer) as played:
        through, message, key = account_of(service, played.url)
        delivery = over_http(settings(slack_api=played.url))[through.ref.type]
        prepared = delivery.prepare(through, message)
        found = {}
        for status in range(200, 600):
            try:
                await delivery.send(Attempt(through, "1", key), prepared)
                found[status] = "delivered"
            except DeliveryFailed as failed:
                found[status] = (str(failed.reason), failed.status, failed.repeatable)
                assert failed.step == ("auth" if status in {401, 403} else "send")
    assert found == {status: expected(service, status) for status in range(200, 600)}
    assert len(played.messages) == 400


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, "bad_answer"),
        (302, "redirected"),
        (401, "credentials_refused"),
        (403, "credentials_refused"),
        (404, "refused"),
        (429, "throttled"),
        (500, "unavailable"),
        (503, "unavailable"),
    ],
)
@pytest.mark.parametrize("service", ["jira", "slack token"])
async def test_checking_hands_nothing_over(service, status, reason):
    """So it may be repeated after any failure of the service."""

    def answer(_):
        return f"HTTP/1.1 {status} X\r\nRetry-After: 99\r\nContent-Length: 0\r\n\r\n".encode()

    async with recording(answer) as played:
        through, _, _ = account_of(service, played.url)
        failed = await Delivering(settings(slack_api=played.url)).check_fails(through)
    mendable = reason in {"throttled", "unavailable"}
    assert (str(failed.reason), failed.status) == (reason, 502 if mendable else 424)
    assert not failed.handed_over


@pytest.mark.parametrize("service", ["jira", "slack token"])
async def test_checking_that_is_not_answered_hands_nothing_over(service):
    async def talk(reader, _):
        await reader.readuntil(b"\r\n\r\n")

    async with listening(talk) as port:
        url = f"http://127.0.0.1:{port}"
        through, _, _ = account_of(service, url)
        failed = await Delivering(settings(slack_api=url)).check_fails(through)
    assert (str(failed.reason), failed.status) == ("disconnected", 502)
