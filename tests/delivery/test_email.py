"""Mail arrives as it was meant, by every way to a real server; and who may send what to whom."""

import email
import email.policy
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pproxy
import pytest
import trustme
from delivering import account, told
from mail_servers import (
    MESSAGE,
    Mailbox,
    delivering,
    identity,
    mail_account,
    playing,
    receiving,
    trusting,
)
from recorder import recording

from signals_proxy.errors import Forbidden, InvalidAccount, InvalidMessage


def parsed(content):
    return email.message_from_bytes(content, policy=email.policy.default)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


# --- it arrives ----------------------------------------------------------------------------------


async def test_mail_arrives():
    mailbox = Mailbox()
    async with receiving(mailbox) as port:
        report = await delivering().send(mail_account(port), MESSAGE)
    (envelope,) = mailbox.envelopes
    message = parsed(envelope.content)
    assert envelope.mail_from == "alerts@mail.test"
    assert envelope.rcpt_tos == ["ops@mail.test"]
    assert message["subject"] == "It burns"
    assert message.get_content() == "Room 101\r\n"
    assert report.delivered
    assert report.answer == {
        "message_id": message["message-id"],
        "reply": "250 2.0.0 queued as 4711",
    }
    assert [step["step"] for step in report.steps] == ["resolve", "connect", "send"]


async def test_the_server_is_told_good_bye():
    mailbox = Mailbox()
    async with receiving(mailbox) as port:
        await delivering().send(mail_account(port), MESSAGE)
        await mailbox.quits.wait()


async def test_blind_copies_arrive_and_nobody_reads_of_them():
    mailbox = Mailbox()
    message = {**MESSAGE, "cc": "Cé <cc@mail.test>", "bcc": ["hidden@mail.test", "cc@mail.test"]}
    async with receiving(mailbox) as port:
        await delivering().send(mail_account(port), message)
    (envelope,) = mailbox.envelopes
    assert envelope.rcpt_tos == ["ops@mail.test", "cc@mail.test", "hidden@mail.test"]
    assert b"hidden" not in envelope.content


async def test_the_account_fills_in_what_a_message_leaves_out():
    mailbox = Mailbox()
    defaults = {
        "default_from": "A <a@mail.test>",
        "default_to": "b@mail.test",
        "default_cc": "c@mail.test",
        "default_bcc": "d@mail.test",
    }
    async with receiving(mailbox) as port:
        through = mail_account(port, **defaults)
        await delivering().send(through, {"subject": "x", "html_body": "<p>x"})
        await delivering().send(through, {**MESSAGE, "from": "z@mail.test", "bcc": "e@mail.test"})
    first, second = mailbox.envelopes
    assert first.mail_from == "a@mail.test"
    assert first.rcpt_tos == ["b@mail.test", "c@mail.test", "d@mail.test"]
    assert second.mail_from == "z@mail.test"
    assert second.rcpt_tos == ["ops@mail.test", "c@mail.test", "e@mail.test"]


async def test_an_empty_array_is_nobody():
    """A default is for what is left out."""
    mailbox = Mailbox()
    defaults = {"default_to": "b@mail.test", "default_cc": "c@mail.test"}
    async with receiving(mailbox) as port:
        through = mail_account(port, **defaults)
        await delivering().send(through, {**MESSAGE, "cc": []})
        with pytest.raises(InvalidMessage) as invalid:
            await delivering().send(through, {**MESSAGE, "to": [], "cc": []})
    (envelope,) = mailbox.envelopes
    assert envelope.rcpt_tos == ["ops@mail.test"]
    assert [*invalid.value.details] == ["to"]


async def test_long_mail_with_dots_arrives_whole():
    """Dots are doubled on the way, and the pieces in which it is written do not matter."""
    text = "".join(f".{'.' * (n % 70)}\n" for n in range(100_000))
    mailbox = Mailbox()
    async with receiving(mailbox) as port:
        await delivering().send(mail_account(port), {**MESSAGE, "text_body": text})
    (envelope,) = mailbox.envelopes
    assert parsed(envelope.content).get_content() == text.replace("\n", "\r\n")


async def test_the_idempotency_key_becomes_the_message_id():
    """The same key gives the same id again, another key or account another one."""
    mailbox = Mailbox()
    async with receiving(mailbox) as port:
        for key in ("k1", "k1", "k2", None, None):
            await delivering().send(mail_account(port), MESSAGE, key)
    ids = [parsed(each.content)["message-id"] for each in mailbox.envelopes]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    assert all(each.endswith("@mail.test>") for each in ids)


async def test_a_simulating_account_sends_nothing():
    async with playing() as (port, played):
        report = await delivering().send(mail_account(port, simulate=True), MESSAGE)
    assert (report.delivered, report.answer) == (False, {"simulated": True})
    assert played.connections == 0


# --- TLS -----------------------------------------------------------------------------------------


async def test_start_tls_takes_precedence_over_implicit_tls(authority):
    mailbox = Mailbox()
    through = {"enable_start_tls": True, "enable_tls": True, **trusting(authority)}
    async with receiving(mailbox, start_tls=identity(authority)) as port:
        await delivering().send(mail_account(port, **through), MESSAGE)
    assert mailbox.encrypted == [True]


async def test_implicit_tls(authority):
    mailbox = Mailbox()
    async with receiving(mailbox, at_once=identity(authority)) as port:
        through = mail_account(port, enable_tls=True, **trusting(authority))
        report = await delivering().send(through, MESSAGE)
    assert len(mailbox.envelopes) == 1
    steps = ["resolve", "connect", "tls", "connect", "send"]
    assert [step["step"] for step in report.steps] == steps


@pytest.mark.parametrize("how", ["enable_tls", "enable_start_tls"])
@pytest.mark.parametrize("wrong", ["unknown authority", "wrong name", "expired"])
async def test_a_certificate_that_is_not_good_ends_it(authority, how, wrong, canary):
    """Nothing was said to that server, the credentials least of all."""
    mailbox = Mailbox()
    names = ["elsewhere.test"] if wrong == "wrong name" else []
    until = datetime.now(UTC) + timedelta(days=-1 if wrong == "expired" else 1)
    shown = identity(authority, *names, not_after=until)
    trusted = trustme.CA() if wrong == "unknown authority" else authority
    way = {"start_tls" if how == "enable_start_tls" else "at_once": shown}
    async with receiving(mailbox, **way) as port:
        through = mail_account(
            port, **{how: True}, user="u", password=canary("password"), **trusting(trusted)
        )
        failed = await delivering().fails(through, MESSAGE)
    assert told(failed) == ("tls", "certificate_refused", 424)
    assert mailbox.mechanisms == []


# --- logging in ----------------------------------------------------------------------------------

OTHERS = {
    "PLAIN": ["LOGIN", "CRAM-MD5"],
    "LOGIN": ["PLAIN", "CRAM-MD5"],
    "CRAM-MD5": ["PLAIN", "LOGIN"],
}


@pytest.mark.parametrize("mechanism", OTHERS)
async def test_a_password_is_used_as_the_server_offers(mechanism, canary):
    password = canary("password") + "é "
    mailbox = Mailbox({"u@mail.test": password})
    async with receiving(mailbox, auth_exclude_mechanism=OTHERS[mechanism]) as port:
        through = mail_account(port, user="u@mail.test", password=password)
        await delivering().send(through, MESSAGE)
        assert (await delivering().check(through)).proved == "authenticated"
        wrong = mail_account(port, user="u@mail.test", password=canary("wrong"))
        failed = await delivering().check_fails(wrong)
    assert mailbox.users == ["u@mail.test"]
    assert mailbox.mechanisms == [mechanism] * 3
    assert told(failed) == ("auth", "credentials_refused", 424)
    assert "535" in failed.answer["reply"]


@pytest.mark.parametrize(("has_tls", "chosen"), [(True, "PLAIN"), (False, "CRAM-MD5")])
async def test_a_password_in_clear_only_travels_in_tls_if_there_is_a_choice(
    authority, secret_value, has_tls, chosen
):
    mailbox = Mailbox({"u": secret_value})
    context = identity(authority) if has_tls else None
    async with receiving(mailbox, start_tls=context) as port:
        through = mail_account(
            port, user="u", password=secret_value, enable_start_tls=has_tls, **trusting(authority)
        )
        await delivering().send(through, MESSAGE)
    assert mailbox.mechanisms == [chosen]


def token_server(*tokens):
    """A token server that gives out one after the other, and the last one for ever."""
    rest = list(tokens)

    def answer(_):
        token = rest.pop(0) if len(rest) > 1 else rest[0]
        body = f'{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}'.encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    return recording(answer)


def by_token(port, url, canary):
    oauth2 = {"token_url": url, "client_id": "c", "client_secret": canary("client_secret")}
    return mail_account(port, user="u@mail.test", oauth2=oauth2)


async def test_an_access_token_is_used_where_the_account_has_client_credentials(canary):
    token = canary("token")
    mailbox = Mailbox({"u@mail.test": token})
    async with token_server(token) as service, receiving(mailbox) as port:
        through, by = by_token(port, service.url, canary), delivering()
        await by.send(through, MESSAGE)
        await by.send(through, MESSAGE)
    assert mailbox.users == ["u@mail.test"] * 2
    assert len(service.messages) == 1


async def test_a_token_that_was_revoked_is_replaced_once(canary):
    first, second = canary("first"), canary("second")
    mailbox = Mailbox({"u@mail.test": first})
    async with token_server(first, second) as service, receiving(mailbox) as port:
        through, by = by_token(port, service.url, canary), delivering()
        await by.send(through, MESSAGE)
        mailbox.credentials = {"u@mail.test": second}
        await by.send(through, MESSAGE)
        mailbox.credentials = {}
        failed = await by.fails(through, MESSAGE)
    assert len(mailbox.envelopes) == 2
    assert mailbox.mechanisms == ["XOAUTH2"] * 5
    assert told(failed) == ("auth", "credentials_refused", 424)


async def test_no_token_is_asked_for_where_none_would_be_taken(canary):
    async with token_server(canary("token")) as service, playing() as (port, _):
        failed = await delivering().fails(by_token(port, service.url, canary), MESSAGE)
    assert told(failed) == ("auth", "auth_not_offered", 424)
    assert service.messages == []


async def test_a_check_proves_no_more_than_it_can():
    mailbox = Mailbox()
    async with receiving(mailbox) as port:
        assert (await delivering().check(mail_account(port))).proved == "reachable"
    assert mailbox.envelopes == []


# --- through a SOCKS5 proxy ----------------------------------------------------------------------


@asynccontextmanager
async def socks_proxy(credentials=""):
    """A real proxy, and the connections that it has made."""
    made = []
    proxy = pproxy.Server("socks5://127.0.0.1:0" + (f"#{credentials}" if credentials else ""))
    server = await proxy.start_server({"rserver": [], "verbose": made.append, "authtime": -1})
    try:
        yield server.sockets[0].getsockname()[1], made
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("has_password", [False, True])
async def test_mail_goes_through_a_socks_proxy(has_password, canary):
    mailbox = Mailbox()
    password = canary("proxy_password")
    login = {"proxy_user": "u", "proxy_password": password} if has_password else {}
    async with (
        receiving(mailbox) as port,
        socks_proxy(f"u:{password}" if has_password else "") as (proxy_port, made),
    ):
        through = mail_account(port, proxy_host="127.0.0.1", proxy_port=proxy_port, **login)
        await delivering().send(through, MESSAGE)
    assert len(mailbox.envelopes) == 1
    assert len(made) == 1
    assert str(port) in made[0]


async def test_a_wrong_password_for_the_proxy(canary):
    mailbox = Mailbox()
    right = canary("right")
    # The proxy itself prints the wrong one.
    wrong = "not-" + "the-password"
    async with receiving(mailbox) as port, socks_proxy(f"u:{right}") as (proxy_port, _):
        through = mail_account(
            port,
            proxy_host="127.0.0.1",
            proxy_port=proxy_port,
            proxy_user="u",
            proxy_password=wrong,
        )
        failed = await delivering().fails(through, MESSAGE)
    assert told(failed) == ("connect", "proxy_failed", 424)
    assert wrong not in failed.message
    assert mailbox.envelopes == []


async def test_every_place_that_an_account_leads_to_is_under_the_egress_policy(canary):
    oauth2 = {"token_url": "http://10.0.0.3/", "client_id": "c", "client_secret": canary("secret")}
    through = account(
        "email",
        host="10.0.0.1",
        port=25,
        proxy_host="10.0.0.2",
        proxy_port=1080,
        user="u",
        oauth2=oauth2,
    )
    with pytest.raises(InvalidAccount) as refused:
        delivering().deliveries.require_allowed(through)
    assert sorted(refused.value.details) == ["host", "oauth2", "proxy_host"]
    failed = await delivering().fails(through, MESSAGE | {"from": "a@mail.test"})
    assert told(failed) == ("resolve", "destination_not_allowed", 424)


async def test_a_name_behind_a_proxy_has_to_be_allowed_by_name():
    """Nobody here learns the address that the proxy finds for it."""
    mailbox = Mailbox()
    async with receiving(mailbox) as port, socks_proxy() as (proxy_port, made):
        proxy = {"proxy_host": "127.0.0.1", "proxy_port": proxy_port}
        through = mail_account(port, host="localhost", **proxy)
        failed = await delivering().fails(through, MESSAGE)
        assert made == []
        await delivering(allowed_hosts=("localhost",)).send(through, MESSAGE)
    assert told(failed) == ("resolve", "destination_not_allowed", 424)
    assert len(mailbox.envelopes) == 1


# --- who may send what to whom -------------------------------------------------------------------


async def invalid(through, message):
    with pytest.raises(InvalidMessage) as refused:
        await delivering().send(through, message)
    return set(refused.value.details)


async def test_what_a_message_has_to_have():
    """All that is missing is told at once."""
    through = account("email", host="127.0.0.1", port=9)
    assert await invalid(through, {"subject": "x"}) == {"from", "to", "text_body"}
    assert await invalid(through, {**MESSAGE, "from": "a@b.test", "to": []}) == {"to"}


@pytest.mark.parametrize("content", ["A", "AAAAA", "AA=", "====="])
async def test_an_attachment_that_is_no_base64(content):
    message = {**MESSAGE, "attachments": {"a.b": {"content": content}}}
    assert await invalid(mail_account(9), message) == {"attachments.a.b.content"}


async def test_there_is_a_limit_of_recipients_in_all():
    through = mail_account(9, default_cc=[f"c{n}@mail.test" for n in range(128)])
    most = {**MESSAGE, "to": [f"t{n}@mail.test" for n in range(129)]}
    assert await invalid(through, most) == {"to"}
    failed = await delivering().fails(through, {**most, "to": most["to"][1:]})
    assert told(failed) == ("connect", "not_connected", 502)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"to": "a@evil.test"}, "a@evil.test"),
        ({"cc": ["ops@mail.test", "X <a@evil.test>"]}, "a@evil.test"),
        ({"bcc": '"ops@mail.test" <a@evil.test>'}, "a@evil.test"),
        ({"to": "ops@mail.test.evil.test"}, "ops@mail.test.evil.test"),
        ({"from": "ceo@mail.test"}, "ceo@mail.test"),
    ],
)
async def test_a_sender_or_recipient_that_the_account_does_not_allow(more, named):
    through = mail_account(9, allowed_recipients="*@MAIL.test", allowed_from="alerts@*")
    with pytest.raises(Forbidden) as refused:
        await delivering().send(through, {**MESSAGE, **more})
    assert f" {named}." in refused.value.message


async def test_senders_and_recipients_are_compared_without_case_and_names():
    mailbox = Mailbox()
    async with receiving(mailbox) as port:
        through = mail_account(
            port, allowed_recipients=["x", "*@MAIL.test"], allowed_from="alerts@*"
        )
        message = {**MESSAGE, "to": "Ops <OPS@mail.Test>", "from": "X <Alerts@mail.test>"}
        await delivering().send(through, message)
    assert len(mailbox.envelopes) == 1


async def test_an_account_that_allows_nobody():
    with pytest.raises(Forbidden):
        await delivering().send(mail_account(9, allowed_recipients=[]), MESSAGE)


# --- the protocol in the log ---------------------------------------------------------------------


@pytest.mark.parametrize("debug", [True, False])
async def test_debug_logs_the_protocol_but_for_log_ins_and_messages(debug, caplog, canary):
    password = canary("password")
    mailbox = Mailbox({"u": password})
    caplog.set_level("INFO", "signals_proxy")
    async with receiving(mailbox, auth_exclude_mechanism=["CRAM-MD5"]) as port:
        through = mail_account(port, user="u", password=password, debug=debug)
        await delivering().send(through, MESSAGE)
    records = [it for it in caplog.records if it.name.startswith("signals_proxy")]
    lines = [it.fields["line"] for it in records]
    if not debug:
        assert lines == []
        return
    assert lines[0].startswith("220 mail.test")
    assert lines[1].startswith("EHLO ")
    assert lines[3:] == [
        f"MAIL FROM:<alerts@mail.test> SIZE={len(mailbox.envelopes[0].content)}",
        "250 OK",
        "RCPT TO:<ops@mail.test>",
        "250 OK",
        "DATA",
        "354 End data with <CR><LF>.<CR><LF>",
        "250 2.0.0 queued as 4711",
    ]
    assert {it.fields["account"] for it in records} == {"email/a"}
