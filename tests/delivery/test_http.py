"""One request over HTTP: how it is sent, and what it means when the other side misbehaves."""

import asyncio
import json
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import trustme
from delivering import Delivering, account, settings, told
from recorder import Message, recording
from tls_servers import listening, silent

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UNTOLD = ("send", "outcome_unknown", 424)


def answering(*answers):
    """Return a function that gives one answer after the other, and the last one for ever."""
    rest = list(answers)
    return lambda _: rest.pop(0) if len(rest) > 1 else rest[0]


def status(code, fields="", body=b""):
    head = f"HTTP/1.1 {code} Whatever\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def webhook(url, **attributes):
    return account("webhook", url=url, **attributes)


class Talk:
    """A server that does something odd after it has read a request; ``requests`` counts them."""

    def __init__(self, odd=None):
        self.odd = odd
        self.requests = 0
        self.connections = 0

    async def __call__(self, reader, writer):
        self.connections += 1
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        self.requests += 1
        if self.odd is not None:
            await self.odd(reader, writer)


async def odd_failure(odd, *, method="POST", **given):
    """Return how a delivery fails, and how many requests the server saw."""
    talk = Talk(odd)
    async with listening(talk) as port:
        failed = await Delivering(settings(**given)).fails(
            webhook(f"http://127.0.0.1:{port}/", method=method),
            {} if method == "GET" else {"body": "it burns"},
        )
    return failed, talk.requests


# --- how it is sent ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/"),
        ("?a=1", "/?a=1"),
        ("/a%2Fb//c/../d;x?q=%20+&r", "/a%2Fb//c/../d;x?q=%20+&r"),
    ],
)
async def test_the_url_is_used_as_it_was_written(path, target):
    async with recording() as service:
        await Delivering().send(webhook(service.url + path), {"body": "x"})
    assert [message.target.decode() for message in service.messages] == [target]


async def test_each_request_has_a_connection_of_its_own():
    """A kept one may end while it is used again, and then nobody knows what became of the message."""
    talk = Talk()

    async def answer(_, writer):
        writer.write(OK)
        await asyncio.Event().wait()

    talk.odd = answer
    async with listening(talk) as port:
        delivering, through = Delivering(), webhook(f"http://127.0.0.1:{port}/")
        for _ in range(3):
            await delivering.send(through, {"body": "x"})
    assert (talk.connections, talk.requests) == (3, 3)


async def test_cookies_and_the_environment_have_no_effect(monkeypatch):
    with silent() as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        answer = answering(status(200, "Set-Cookie: a=b; Path=/\r\n"))
        async with recording(answer) as service:
            delivering, through = Delivering(), webhook(service.url)
            await delivering.send(through, {"body": "x"})
            await delivering.send(through, {"body": "x"})
    assert [message.values(b"Cookie") for message in service.messages] == [[], []]
    assert [message.target for message in service.messages] == [b"/", b"/"]


async def test_a_large_body_arrives_whole():
    body = "ä" * 1_000_000
    async with recording() as service:
        await Delivering().send(webhook(service.url), {"body": body})
    assert [message.content.decode() for message in service.messages] == [body]


# --- what becomes of it --------------------------------------------------------------------------


async def test_a_name_that_nobody_knows():
    failed = await Delivering().fails(webhook("http://nobody.invalid/"), {"body": "x"})
    assert told(failed) == ("resolve", "name_not_resolved", 502)


async def test_a_refused_connection_is_tried_three_times():
    with silent() as port:
        pass
    delivering = Delivering()
    failed = await delivering.fails(webhook(f"http://127.0.0.1:{port}/"), {"body": "x"})
    assert told(failed) == ("connect", "not_connected", 502)
    assert delivering.reads == 3


async def silence(_, __):
    await asyncio.Event().wait()


async def end(_, __):
    """End the connection without a word."""


async def reset(_, writer):
    writer.transport.abort()


async def half_a_head(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")


async def nonsense(_, writer):
    writer.write(b"220 mail.example.com ESMTP\r\n")


async def endless_head(_, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: " + b"x" * 4000 + b"\r\n")
        await writer.drain()


async def endless_line(_, writer):
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def endless_interim(_, writer):
    """Each of these is whole, and none is an answer."""
    while True:
        writer.write(b"HTTP/1.1 102 \r\n\r\n" * 4000)
        await writer.drain()


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
@pytest.mark.parametrize(
    ("odd", "outcome"),
    [
        (end, UNTOLD),
        (reset, UNTOLD),
        (half_a_head, UNTOLD),
        (nonsense, ("send", "bad_answer", 424)),
        (endless_head, ("send", "bad_answer", 424)),
        (endless_line, ("send", "bad_answer", 424)),
        (endless_interim, ("send", "bad_answer", 424)),
    ],
)
async def test_a_message_that_may_have_been_taken_is_sent_once(odd, outcome, method):
    failed, requests = await odd_failure(odd, method=method)
    assert (told(failed), failed.handed_over, requests) == (outcome, True, 1)


async def test_silence_after_the_request_ends_at_the_deadline():
    failed, requests = await odd_failure(silence, timeout_s=0.2)
    assert (told(failed), failed.handed_over, requests) == (UNTOLD, True, 1)


@pytest.mark.parametrize("secure", [False, True])
async def test_silence_after_the_connection_ends_at_the_deadline(secure):
    """Over TLS nothing was handed over: the handshake never ended."""
    with silent() as port:
        failed = await Delivering(settings(timeout_s=0.2)).fails(
            webhook(f"http{'s' if secure else ''}://127.0.0.1:{port}/"), {"body": "x"}
        )
    assert told(failed) == (("tls", "timed_out", 502) if secure else UNTOLD)


async def test_a_connection_that_ends_before_the_last_of_a_body_handed_nothing_over():
    connections = []

    async def read_a_little(reader, writer):
        connections.append(await reader.readuntil(b"\r\n\r\n"))
        writer.transport.abort()

    async with listening(read_a_little) as port:
        failed = await Delivering().fails(
            webhook(f"http://127.0.0.1:{port}/"), {"body": "x" * 8_000_000}
        )
    assert (told(failed), failed.handed_over) == (("send", "disconnected", 502), False)
    assert len(connections) == 3


async def test_an_answer_before_the_body_is_through_counts():
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(status(413))
        await writer.drain()
        await asyncio.Event().wait()

    async with listening(refuse) as port:
        failed = await Delivering().fails(
            webhook(f"http://127.0.0.1:{port}/"), {"body": "x" * 8_000_000}
        )
    assert (told(failed), failed.answer) == (("send", "refused", 424), {"status": 413})


async def test_an_answer_of_a_gigabyte_is_not_read():
    sent = 0

    async def answer(_, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1073741824\r\n\r\n")
        while sent < 1 << 30:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    talk = Talk(answer)
    async with listening(talk) as port:
        through = account("jira", url=f"http://127.0.0.1:{port}", auth_token="t0ken")
        message = {"project": "A", "issue": {"type": "Bug", "summary": "x"}}
        failed = await Delivering().fails(through, message)
    assert (told(failed), failed.answer) == (("send", "refused", 424), {})
    assert sent < 64 << 20


@pytest.mark.parametrize("depth", [10_000, 100])
async def test_an_answer_that_nests_too_deeply_is_not_read(depth):
    body = b'{"a":' * depth + b"1" + b"}" * depth
    async with recording(answering(status(400, "", body))) as service:
        through = account("jira", url=service.url, auth_token="t0ken")
        message = {"project": "A", "issue": {"type": "Bug", "summary": "x"}}
        failed = await Delivering().fails(through, message)
    assert (told(failed), failed.answer) == (("send", "refused", 424), {})


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(code):
    async with recording() as other:
        answer = answering(status(code, f"Location: {other.url}/there\r\n"))
        async with recording(answer) as service:
            failed = await Delivering().fails(webhook(service.url), {"body": "x"})
    assert told(failed) == ("send", "redirected", 424)
    assert (len(service.messages), other.messages) == (1, [])


async def test_an_answer_that_switches_protocols_is_no_success():
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    async with recording(answering(upgrade)) as service:
        failed = await Delivering().fails(webhook(service.url), {"body": "x"})
    assert told(failed) == ("send", "bad_answer", 424)


async def test_other_informational_answers_are_passed_over():
    async with recording(answering(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK)) as it:
        report = await Delivering().send(webhook(it.url), {"body": "x"})
    assert report.answer == {"status": 200}


# --- other tries ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Retry-After: 0\r\n",
        f"Retry-After: {format_datetime(datetime.now(UTC) - timedelta(1), usegmt=True)}\r\n",
        "Retry-After: -1\r\n",
        "Retry-After: soon\r\n",
        f"Retry-After: {'9' * 400}\r\n",
        "Retry-After: Mon, 99 Foo 99999 99:99:99 GMT\r\n",
    ],
    ids=["none", "now", "past", "negative", "word", "huge", "no date"],  # each process has the same
)
@pytest.mark.parametrize("code", [429, 503])
async def test_throttled_is_tried_again(code, field):
    async with recording(answering(status(code, field), OK)) as service:
        report = await Delivering().send(webhook(service.url), {"body": "x"})
    assert (report.answer, len(service.messages)) == ({"status": 200}, 2)


async def test_retry_after_is_waited_for():
    times = []

    def answer(_):
        times.append(asyncio.get_running_loop().time())
        return status(429, "Retry-After: 1\r\n") if len(times) == 1 else OK

    async with recording(answer) as service:
        await Delivering().send(webhook(service.url), {"body": "x"})
    assert times[1] - times[0] >= 0.99


@pytest.mark.parametrize(
    "value",
    ["60", "999999999", format_datetime(datetime.now(UTC) + timedelta(1), usegmt=True)],
    ids=["a minute", "years", "a date"],
)
async def test_a_retry_after_the_deadline_is_not_waited_for(value):
    answer = answering(status(429, f"Retry-After: {value}\r\n"))
    async with recording(answer) as service:
        failed = await Delivering().fails(webhook(service.url), {"body": "x"})
    assert (told(failed), len(service.messages)) == (("send", "throttled", 502), 1)
    assert failed.retry_after_s > 50


async def test_there_are_three_tries_at_most():
    past = "Retry-After: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
    async with recording(answering(status(503, past))) as service:
        delivering = Delivering()
        failed = await delivering.fails(webhook(service.url), {"body": "x"})
    assert (told(failed), len(service.messages)) == (("send", "unavailable", 502), 3)
    assert (delivering.reads, failed.retry_after_s) == (3, 0)


# --- whom it believes ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def trusted_by(authority, **attributes):
    return {"ca_certificates": authority.cert_pem.bytes().decode(), **attributes}


def showing(authority, *names, **options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return context


async def answer_ok(_, writer):
    writer.write(OK)


@pytest.mark.parametrize(
    ("names", "days", "trust", "why"),
    [
        (["127.0.0.1"], 1, {}, None),
        (["other.test"], 1, {}, "mismatch"),
        (["127.0.0.1"], -1, {}, "expired"),
        (["127.0.0.1"], 1, {"ca_certificates": None}, "issuer certificate"),
        (["other.test"], 1, {"trust_all": True}, None),
        (["other.test"], 1, {"ca_certificates": None, "trusted_hosts": "other.test"}, None),
        (["other.test"], 1, {"ca_certificates": None, "trusted_hosts": "b.test"}, "none of the"),
        (["other.test"], -1, {"trusted_hosts": "other.test"}, "expired"),
    ],
)
async def test_certificates(authority, names, days, trust, why):
    """Whom an account does not believe is sent nothing, and not asked again."""
    until = datetime.now(UTC) + timedelta(days)
    context = showing(authority, *names, not_before=until - timedelta(9), not_after=until)
    talk = Talk(answer_ok)
    async with listening(talk, context) as port:
        through = webhook(f"https://127.0.0.1:{port}/", **trusted_by(authority, **trust))
        if why is None:
            assert (await Delivering().check(through)).proved == "reachable"
            report = await Delivering().send(through, {"body": "x"})
            steps = ["resolve", "connect", "tls", "send"]
            assert [step["step"] for step in report.steps] == steps
        else:
            delivering = Delivering()
            failed = await delivering.fails(through, {"body": "x"})
            assert told(failed) == ("tls", "certificate_refused", 424)
            assert why in failed.message
            assert (talk.requests, delivering.reads) == (0, 1)
            assert told(await delivering.check_fails(through)) == told(failed)


async def test_a_client_certificate_is_shown(authority):
    shown = []

    async def answer(_, writer):
        shown.append(writer.get_extra_info("peercert")["subjectAltName"])
        writer.write(OK)

    context = showing(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    leaf = authority.issue_cert("client.test")
    async with listening(Talk(answer), context) as port:
        through = webhook(
            f"https://127.0.0.1:{port}/",
            **trusted_by(authority),
            client_certificate=leaf.cert_chain_pems[0].bytes().decode(),
            client_key=leaf.private_key_pem.bytes().decode(),
        )
        await Delivering().send(through, {"body": "x"})
    assert shown == [(("DNS", "client.test"),)]


async def test_a_server_without_tls_is_told_nothing():
    async with listening(Talk(answer_ok)) as port:
        through = webhook(f"https://127.0.0.1:{port}/")
        failed = await Delivering(settings(timeout_s=1.0)).fails(through, {"body": "x"})
    assert told(failed)[0] == "tls"
    assert failed.status == 502


async def test_checking_sends_nothing():
    seen = asyncio.get_running_loop().create_future()

    async def talk(reader, _):
        seen.set_result(await reader.read())

    async with listening(talk) as port:
        report = await Delivering().check(webhook(f"http://127.0.0.1:{port}/"))
        assert (report.proved, report.delivered) == ("reachable", False)
        assert await seen == b""


# --- what is told of it --------------------------------------------------------------------------


async def test_an_answer_that_echoes_the_credentials_is_masked(canary, saw):
    token, body = canary("token"), {}

    def echo(message: Message) -> bytes:
        sent = message.values(b"Authorization")[0].decode()
        body.update(errorMessages=[f"what is {sent}?"], errors={"a": sent}, other=sent)
        return status(400, "", json.dumps(body).encode())

    async with recording(echo) as service:
        through = account("jira", url=service.url, user_name="u", auth_token=token)
        message = {"project": "A", "issue": {"type": "Bug", "summary": "x"}}
        failed = await Delivering().fails(through, message)
    saw("the failure", f"{failed.message} {failed.answer}")
    assert failed.answer.keys() == {"errorMessages", "errors"}
    assert "<secret>" in failed.answer["errorMessages"][0]
    assert "<secret>" in failed.answer["errors"]["a"]


async def test_no_failure_names_a_secret_url(canary):
    path = canary("path")
    with silent() as port:
        pass
    failures = [await Delivering().fails(webhook(f"http://127.0.0.1:{port}/{path}"), {"body": ""})]
    for odd in (end, reset, half_a_head, nonsense):
        async with listening(Talk(odd)) as port:
            through = webhook(f"http://127.0.0.1:{port}/{path}")
            failures.append(await Delivering().fails(through, {"body": "x"}))
    assert not [it for it in failures if path in f"{it.message}{it.answer}{it!r}{it.__cause__!r}"]
