"""Access tokens, from a server that follows RFC 6749 (4.4, 5.1, 5.2)."""

import asyncio
import json
import ssl
from urllib.parse import parse_qs

import pytest
import trustme
from delivering import Delivering, account, settings, told
from recorder import recording
from tls_servers import listening

from signals_proxy.delivery.delivery import Attempt
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.http import Http
from signals_proxy.delivery.tokens import Tokens
from signals_proxy.errors import DeliveryFailed
from signals_proxy.secret import Secret

BASIC = b"Basic YSUzQWI6cytlY3JldA=="
"""``a%3Ab:s+ecret``: each part is form-encoded first (section 2.3.1)."""


def oauth2(url, **given):
    return {
        "type": "oauth2",
        "token_url": f"{url}/token",
        "client_id": "a:b",
        "client_secret": "s ecret",
        **given,
    }


def answer(code, body, fields=""):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {code} X\r\n{fields}Content-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def giving(token="to-ken-1", **members):
    return answer(200, {"access_token": token, "token_type": "Bearer", **members})


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def tokens(clock=None):
    http = Http(Egress(settings()))
    return Tokens(http) if clock is None else Tokens(http, clock)


def attempt(version="1", name="webhook", **attributes):
    return Attempt(account(name, **{"url": "https://a.test/", **attributes}), version)


async def refused(body, code=400):
    """Return how asking ends if both ways to ask are answered like this."""
    async with recording(lambda _: answer(code, body)) as server:
        with pytest.raises(DeliveryFailed) as failed:
            await tokens().token(oauth2(server.url), attempt())
    return failed.value, len(server.messages)


async def test_a_token_is_asked_for():
    async with recording(lambda _: giving(expires_in=3600)) as server:
        trying = attempt()
        token = await tokens().token(oauth2(server.url, scope="mail send"), trying)
    assert token == Secret("to-ken-1")
    assert trying.borrowed == [token]
    assert not trying.progress.handed_over
    (asked,) = server.messages
    assert (asked.method, asked.target) == (b"POST", b"/token")
    assert asked.values(b"Authorization") == [BASIC]
    assert asked.values(b"Content-Type") == [b"application/x-www-form-urlencoded"]
    form = {"grant_type": ["client_credentials"], "scope": ["mail send"]}
    assert parse_qs(asked.content.decode()) == form


@pytest.mark.parametrize("code", [400, 401])
async def test_a_server_that_wants_the_client_in_the_body(code):
    def talk(message):
        is_basic = bool(message.values(b"Authorization"))
        return answer(code, {"error": "invalid_client"}) if is_basic else giving()

    async with recording(talk) as server:
        assert await tokens().token(oauth2(server.url), attempt()) == Secret("to-ken-1")
    assert parse_qs(server.messages[1].content.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["a:b"],
        "client_secret": ["s ecret"],
    }


async def test_a_token_serves_one_state_of_one_account():
    count = 0

    def talk(_):
        nonlocal count
        count += 1
        return giving(f"token-{count}", expires_in=60)

    async with recording(talk) as server:
        kept, given = tokens(), oauth2(server.url)
        other = Attempt(account("slack", token="x"), "1")
        asked = [
            (given, attempt("1")),
            (given, attempt("1")),
            (given, attempt("2")),
            (given, other),
            ({**given, "scope": "x"}, attempt("1")),
            (given, attempt("1")),
        ]
        found = [(await kept.token(*each)).reveal() for each in asked]
    assert found == ["token-1", "token-1", "token-2", "token-3", "token-4", "token-1"]


@pytest.mark.parametrize("expires_in", [100, "100"])
async def test_a_token_is_renewed_before_its_time_is_over(expires_in):
    async with recording(lambda _: giving(expires_in=expires_in)) as server:
        clock = Clock()
        kept, given = tokens(clock), oauth2(server.url)
        for clock.now, asked in ((0.0, 1), (89.0, 1), (91.0, 2), (180.0, 2), (182.0, 3)):
            await kept.token(given, attempt())
            assert len(server.messages) == asked


@pytest.mark.parametrize(
    "members", [{}, {"expires_in": 0}, {"expires_in": -1}, {"expires_in": "x"}]
)
async def test_a_token_that_does_not_say_how_long_it_lasts_is_used_once(members):
    async with recording(lambda _: giving(**members)) as server:
        kept, given = tokens(Clock()), oauth2(server.url)
        await kept.token(given, attempt())
        await kept.token(given, attempt())
    assert len(server.messages) == 2


async def test_a_token_is_kept_for_a_day_at_most():
    async with recording(lambda _: giving(expires_in=10**9 - 1)) as server:
        clock = Clock()
        kept, given = tokens(clock), oauth2(server.url)
        await kept.token(given, attempt())
        clock.now += 24 * 3600
        await kept.token(given, attempt())
    assert len(server.messages) == 2


async def test_all_who_need_a_token_at_once_wait_for_the_same_one():
    """And if who asks for it gives up, the next one does."""
    go, asked = asyncio.Event(), asyncio.Semaphore(0)
    count = 0

    async def talk(reader, writer):
        nonlocal count
        await reader.readuntil(b"\r\n\r\n")
        count += 1
        asked.release()
        await go.wait()
        writer.write(giving(expires_in=60))

    async with listening(talk) as port:
        kept, given = tokens(), oauth2(f"http://127.0.0.1:{port}")
        waiting = [asyncio.create_task(kept.token(given, attempt())) for _ in range(10)]
        await asked.acquire()
        waiting.pop(0).cancel()
        await asked.acquire()
        go.set()
        found = await asyncio.gather(*waiting)
    assert found == [Secret("to-ken-1")] * 9
    assert count == 2


async def test_not_too_many_are_kept():
    async with recording(lambda _: giving(expires_in=60)) as server:
        kept, given = tokens(), oauth2(server.url)
        for version in range(300):
            await kept.token(given, attempt(str(version)))
        await kept.token(given, attempt("299"))
        assert len(server.messages) == 300
        await kept.token(given, attempt("0"))
        assert len(server.messages) == 301


@pytest.mark.parametrize("code", [400, 401, 403])
async def test_refused_credentials(code):
    failed, _ = await refused({"error": "invalid_client", "error_description": "d", "x": "y"}, code)
    assert told(failed) == ("auth", "credentials_refused", 424)
    assert failed.answer == {"error": "invalid_client", "error_description": "d"}
    assert not failed.repeatable


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (302, ("auth", "redirected", 424)),
        (404, ("auth", "refused", 424)),
        (429, ("auth", "throttled", 502)),
        (500, ("auth", "unavailable", 502)),
        (503, ("auth", "unavailable", 502)),
    ],
)
async def test_other_failures_hand_nothing_over(code, outcome):
    failed, asked = await refused(b"", code)
    assert (told(failed), failed.handed_over, asked) == (outcome, False, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        {"access_token": "t"},
        {"access_token": "t", "token_type": "mac"},
        {"access_token": 1, "token_type": "bearer"},
        {"access_token": "", "token_type": "bearer"},
        {"access_token": "a\r\nX: b", "token_type": "bearer"},
        {"access_token": "ä", "token_type": "bearer"},
        {"access_token": "a" * 16385, "token_type": "bearer"},
    ],
)
async def test_an_answer_without_a_token(body):
    failed, _ = await refused(body, 200)
    assert told(failed) == ("auth", "bad_answer", 424)


async def test_a_connection_that_ends_hands_nothing_over():
    async def talk(reader, _):
        await reader.readuntil(b"\r\n\r\n")

    async with listening(talk) as port:
        with pytest.raises(DeliveryFailed) as failed:
            await tokens().token(oauth2(f"http://127.0.0.1:{port}"), attempt())
    assert told(failed.value) == ("auth", "disconnected", 502)


# --- a webhook that needs one --------------------------------------------------------------------


class Service:
    """Gives out tokens, and takes messages that bring one of the ``good``."""

    def __init__(self, *, believes_itself=True):
        self.believes_itself = believes_itself
        self.given = 0
        self.good = set()
        self.taken = []
        self.refused = 0

    def __call__(self, message):
        if message.target == b"/token":
            self.given += 1
            if self.believes_itself:
                self.good.add(f"Bearer token-{self.given}".encode())
            return giving(f"token-{self.given}", expires_in=3600)
        if message.values(b"Authorization")[0] in self.good:
            self.taken.append(message.content)
            return answer(200, b"")
        self.refused += 1
        return answer(401, b"")


def through(url):
    return account("webhook", url=f"{url}/hook", auth=oauth2(url))


async def test_a_token_that_was_revoked_is_replaced():
    service = Service()
    async with recording(service) as server:
        delivering = Delivering()
        await delivering.send(through(server.url), {"body": "one"})
        await delivering.send(through(server.url), {"body": "two"})
        assert service.given == 1
        service.good.clear()
        await delivering.send(through(server.url), {"body": "three"})
    assert (service.given, service.refused) == (2, 1)
    assert service.taken == [b"one", b"two", b"three"]


async def test_a_new_token_that_is_refused_is_not_tried_again():
    service = Service(believes_itself=False)
    async with recording(service) as server:
        failed = await Delivering().fails(through(server.url), {"body": "x"})
    assert told(failed) == ("auth", "credentials_refused", 424)
    assert (service.given, service.refused) == (1, 1)


async def test_a_token_that_two_took_is_not_good_for_that():
    """What counts is that it was accepted."""
    async with recording(lambda _: giving(expires_in=3600)) as server:
        kept, given = tokens(), oauth2(server.url)
        first, second = attempt(), attempt()
        await kept.token(given, first)
        await kept.token(given, second)
        assert [kept.forget(given, it) for it in (first, second)] == [False, False]
        await kept.token(given, first)
        kept.ended_well(given, first)
        await kept.token(given, second)
        assert [kept.forget(given, it) for it in (first, second)] == [True, True]


async def test_a_token_that_came_meanwhile_is_not_forgotten():
    async with recording(lambda _: giving(expires_in=3600)) as server:
        kept, given = tokens(), oauth2(server.url)
        late, quick = attempt(), attempt()
        await kept.token(given, late)
        await kept.token(given, quick)
        kept.forget(given, quick)
        await kept.token(given, quick)
        assert kept.forget(given, late)
        await kept.token(given, late)
    assert len(server.messages) == 2


async def test_without_a_token_nothing_is_sent():
    def talk(message):
        return answer(400 if message.target == b"/token" else 200, b"")

    async with recording(talk) as server:
        failed = await Delivering().fails(through(server.url), {"body": "x"})
    assert told(failed) == ("auth", "credentials_refused", 424)
    assert {message.target for message in server.messages} == {b"/token"}


# --- whom the client's secret is told ------------------------------------------------------------


@pytest.mark.parametrize(
    ("trust", "is_told"),
    [
        ({"trust_all": True}, False),
        ({"trusted_hosts": ["127.0.0.1"]}, False),
        ({}, False),
        ({"ca_certificates": ...}, True),
        ({"ca_certificates": ..., "trust_all": True}, True),
    ],
)
async def test_trust_in_the_service_is_none_in_the_token_url(trust, is_told):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if "ca_certificates" in trust:
        trust = {**trust, "ca_certificates": authority.cert_pem.bytes().decode()}
    asked = []

    async def talk(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(giving())

    async with listening(talk, context) as port:
        given = oauth2(f"https://127.0.0.1:{port}")
        if is_told:
            await tokens().token(given, attempt(**trust))
        else:
            with pytest.raises(DeliveryFailed) as failed:
                await tokens().token(given, attempt(**trust))
            assert told(failed.value) == ("auth", "certificate_refused", 424)
    assert len(asked) == int(is_told)
