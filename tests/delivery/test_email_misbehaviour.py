"""Mail servers that misbehave: what is told of it, that nothing leaks, and nothing is sent twice."""

import asyncio
import socket
from contextlib import suppress

import pytest
import trustme
from delivering import settings, told
from mail_servers import (
    CLOSE,
    ENDLESS,
    MESSAGE,
    OFFERS,
    SILENT,
    Played,
    delivering,
    identity,
    mail_account,
    playing,
    trusting,
)
from tls_servers import listening

from signals_proxy.delivery.delivery import Attempt, Place
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.http import Http
from signals_proxy.delivery.smtp import conversation
from signals_proxy.delivery.tokens import Tokens

BIG = {**MESSAGE, "text_body": ("x" * 70 + "\n") * 120_000}
"""More than sockets buffer."""


def offering(*extensions):
    return b"".join(b"250-%b\r\n" % each for each in (b"mail.test", *extensions)) + b"250 HELP\r\n"


def endless(piece):
    async def say(_, writer):
        for _ in range(ENDLESS // len(piece)):
            writer.write(piece)
            await writer.drain()

    return say


async def many_lines(reader, writer):
    """Say 200 lines, one by one, and never a last one."""
    for _ in range(200):
        writer.write(b"250-X\r\n")
        await asyncio.sleep(0)
    await reader.read()


def amid(reply):
    """Say something in the middle of a message, and read on."""

    async def talk(reader, writer):
        writer.write(b"354 go on\r\n")
        await reader.readexactly(100_000)
        if reply is SILENT:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await writer.wait_closed()
        elif reply is not CLOSE:
            writer.write(reply)
            while await reader.read(65536):
                pass

    return talk


HTTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"
PLAIN = offering(b"AUTH PLAIN")
LOGIN = offering(b"AUTH LOGIN")
CRAM = offering(b"AUTH CRAM-MD5")

STEPS = {
    "refused before anything": ({"greeting": b"554 not you\r\n"}, "connect refused 424"),
    "too busy to talk": ({"greeting": b"421 later\r\n"}, "connect unavailable 502"),
    "no mail server": ({"greeting": HTTP}, "connect bad_answer 424"),
    "closes at once": ({"greeting": CLOSE}, "connect disconnected 502"),
    "an endless line": ({"greeting": endless(b"2" * 4096)}, "connect bad_answer 424"),
    "an endless banner": ({"greeting": endless(b"220-hello\r\n" * 400)}, "connect bad_answer 424"),
    "EHLO 4xx": ({"EHLO": b"450 later\r\n"}, "connect unavailable 502"),
    "EHLO 5xx": ({"EHLO": b"550 no\r\n"}, "connect refused 424"),
    "EHLO close": ({"EHLO": CLOSE}, "connect disconnected 502"),
    "EHLO endless": ({"EHLO": endless(b"250-X-EXTENSION\r\n" * 200)}, "connect bad_answer 424"),
    "EHLO of many lines": ({"EHLO": many_lines}, "connect bad_answer 424"),
    "MAIL 4xx": ({"MAIL": b"451 later\r\n"}, "send unavailable 502"),
    "MAIL 421": ({"MAIL": b"421 shutting down\r\n"}, "send unavailable 502"),
    "MAIL 5xx": ({"MAIL": b"552 too big\r\n"}, "send refused 424"),
    "MAIL close": ({"MAIL": CLOSE}, "send disconnected 502"),
    "RCPT 4xx": ({"RCPT": b"450 greylisted\r\n"}, "send recipients_refused 502"),
    "RCPT 421": ({"RCPT": b"421 shutting down\r\n"}, "send unavailable 502"),
    "RCPT 5xx": ({"RCPT": b"550 unknown\r\n"}, "send recipients_refused 424"),
    "RCPT close": ({"RCPT": CLOSE}, "send disconnected 502"),
    "DATA 4xx": ({"DATA": b"451 later\r\n"}, "send unavailable 502"),
    "DATA 5xx": ({"DATA": b"554 no\r\n"}, "send refused 424"),
    "DATA 250": ({"DATA": b"250 done already\r\n"}, "send bad_answer 424"),
    "DATA close": ({"DATA": CLOSE}, "send disconnected 502"),
    "message 4xx": ({".": b"451 later\r\n"}, "send unavailable 502"),
    "message 5xx": ({".": b"554 spam\r\n"}, "send refused 424"),
    "message close": ({".": CLOSE}, "send outcome_unknown 424"),
    "message no reply": ({".": HTTP}, "send outcome_unknown 424"),
    "message 354": ({".": b"354 more\r\n"}, "send outcome_unknown 424"),
}
LOG_INS = {
    "no AUTH": ({"EHLO": OFFERS}, "auth auth_not_offered 424"),
    "no AUTH of ours": ({"EHLO": offering(b"AUTH GSSAPI")}, "auth auth_not_offered 424"),
    "AUTH 4xx": ({"EHLO": PLAIN, "AUTH": b"454 later\r\n"}, "auth unavailable 502"),
    "AUTH 5xx": ({"EHLO": PLAIN, "AUTH": b"535 wrong\r\n"}, "auth credentials_refused 424"),
    "AUTH 421": ({"EHLO": PLAIN, "AUTH": b"421 too many\r\n"}, "auth unavailable 502"),
    "AUTH close": ({"EHLO": PLAIN, "AUTH": CLOSE}, "auth disconnected 502"),
    "AUTH 334": ({"EHLO": PLAIN, "AUTH": b"334 \r\n"}, "auth bad_answer 424"),
    "LOGIN 5xx": ({"EHLO": LOGIN, "AUTH": b"535 wrong\r\n"}, "auth credentials_refused 424"),
    "no challenge": ({"EHLO": CRAM, "AUTH": b"334 n\xf6\r\n"}, "auth bad_answer 424"),
    "CRAM-MD5 5xx": ({"EHLO": CRAM, "AUTH": b"504 no\r\n"}, "auth credentials_refused 424"),
}


@pytest.mark.parametrize(("says", "expected"), STEPS.values(), ids=STEPS)
async def test_what_is_told_of_a_server_that_misbehaves(says, expected):
    async with playing(says) as (port, played):
        failed = await delivering().fails(mail_account(port), MESSAGE)
    assert " ".join(map(str, told(failed))) == expected
    assert failed.handed_over == ("outcome_unknown" in expected)
    # By which to look for it.
    assert ("message_id" in failed.answer) == failed.handed_over
    assert played.connections == 1


@pytest.mark.parametrize(("says", "expected"), LOG_INS.values(), ids=LOG_INS)
async def test_what_is_told_of_a_log_in_that_fails(says, expected, canary):
    """It is tried once, and nothing is sent."""
    async with playing(says) as (port, played):
        through = mail_account(port, user="u", password=canary("password"))
        failed = await delivering().fails(through, MESSAGE)
    assert " ".join(map(str, told(failed))) == expected
    assert [line[:4] for line in played.commands].count(b"AUTH") <= 1
    assert not any(line.startswith(b"MAIL") for line in played.commands)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({"greeting": SILENT}, "connect timed_out 502"),
        ({"EHLO": SILENT}, "connect timed_out 502"),
        ({"MAIL": SILENT}, "send timed_out 502"),
        ({"RCPT": SILENT}, "send timed_out 502"),
        ({"DATA": SILENT}, "send timed_out 502"),
        ({".": SILENT}, "send outcome_unknown 424"),
    ],
)
async def test_a_server_that_falls_silent(says, expected):
    """The deadline ends it; once the message is handed over, nobody knows."""
    async with playing(says) as (port, played):
        failed = await delivering(timeout_s=0.5).fails(mail_account(port), MESSAGE, "key")
    assert " ".join(map(str, told(failed))) == expected
    assert ("message_id" in failed.answer) == ("outcome_unknown" in expected)
    assert played.connections == 1


async def test_the_session_timeout_of_the_account_is_the_deadline_if_it_is_shorter():
    async with playing({"greeting": SILENT}) as (port, _):
        failed = await delivering(timeout_s=3600).fails(
            mail_account(port, session_timeout=1), MESSAGE
        )
    assert told(failed) == ("connect", "timed_out", 502)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (CLOSE, "send disconnected 502"),
        (SILENT, "send timed_out 502"),
        (b"452 disk full\r\n", "send unavailable 502"),
        (b"552 too big\r\n", "send refused 424"),
        (b"250 queued\r\n", "send bad_answer 424"),
    ],
)
async def test_in_the_middle_of_a_message_nothing_is_handed_over_yet(reply, expected):
    """The end of the message was not sent, so no server can have taken it."""
    async with playing({"DATA": amid(reply)}) as (port, _):
        failed = await delivering(timeout_s=3 if reply is SILENT else 60).fails(
            mail_account(port), BIG
        )
    assert " ".join(map(str, told(failed))) == expected
    assert not failed.handed_over


async def test_a_server_without_an_answer_to_quit_has_the_message_all_the_same():
    async with playing({"QUIT": SILENT}) as (port, played):
        report = await delivering().send(mail_account(port), MESSAGE)
    assert report.delivered
    assert len(played.messages) == 1


async def test_no_such_name():
    failed = await delivering().fails(mail_account(25, host="nowhere.invalid"), MESSAGE)
    assert told(failed) == ("resolve", "name_not_resolved", 502)


async def test_nobody_listens():
    failed = await delivering().fails(mail_account(9), MESSAGE)
    assert told(failed) == ("connect", "not_connected", 502)


async def test_an_address_that_is_not_public():
    failed = await delivering(allowed_networks=()).fails(mail_account(25), MESSAGE)
    assert told(failed) == ("resolve", "destination_not_allowed", 424)


# --- recipients ----------------------------------------------------------------------------------

THREE = {**MESSAGE, "to": ["a@mail.test", "b@mail.test", "c@mail.test"]}


async def test_one_of_three_recipients_is_refused():
    """The others get the mail, and it is not sent again for the sake of the one."""
    replies = [b"250 ok\r\n", b"550 5.1.1 no b here\r\n", b"250 ok\r\n"]
    async with playing({"RCPT": replies}) as (port, played):
        failed = await delivering().fails(mail_account(port), THREE)
    assert told(failed) == ("send", "recipients_refused", 424)
    assert failed.handed_over
    assert failed.answer["refused"] == {"b@mail.test": "550 5.1.1 no b here"}
    assert failed.answer["reply"] == "250 2.0.0 queued as 4711"
    assert "b@mail.test" in failed.message
    assert len(played.messages) == 1


@pytest.mark.parametrize(
    ("replies", "status"),
    [(["450", "451", "452"], 502), (["450", "550", "450"], 424), (["550", "551", "553"], 424)],
)
async def test_all_recipients_are_refused(replies, status):
    says = {"RCPT": [f"{code} no\r\n".encode() for code in replies]}
    async with playing(says) as (port, played):
        failed = await delivering().fails(mail_account(port), THREE)
    assert told(failed) == ("send", "recipients_refused", status)
    assert [*failed.answer["refused"]] == THREE["to"]
    assert played.messages == []


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


async def garbage(reader, writer):
    writer.write(b"220 go on\r\n")
    await reader.read(100)
    writer.write(b"250 no TLS here\r\n" * 10)
    await writer.drain()


TLS = offering(b"STARTTLS", b"AUTH PLAIN")


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({"EHLO": PLAIN}, "tls start_tls_not_offered 424"),
        ({"EHLO": TLS, "STARTTLS": b"502 what?\r\n"}, "tls start_tls_not_offered 424"),
        ({"EHLO": TLS, "STARTTLS": b"454 later\r\n"}, "tls unavailable 502"),
        ({"EHLO": TLS, "STARTTLS": CLOSE}, "tls tls_failed 502"),
        ({"EHLO": TLS, "STARTTLS": garbage}, "tls tls_failed 502"),
        ({"EHLO": TLS, "STARTTLS": SILENT}, "tls timed_out 502"),
    ],
)
async def test_without_start_tls_nothing_is_said(says, expected, authority, canary):
    """Whoever takes it out of the conversation on its way gains nothing by it."""
    async with playing(says) as (port, played):
        through = mail_account(
            port,
            user="u",
            password=canary("password"),
            enable_start_tls=True,
            **trusting(authority),
        )
        timeout_s = 0.5 if "timed_out" in expected else 60
        failed = await delivering(timeout_s=timeout_s).fails(through, MESSAGE)
    assert " ".join(map(str, told(failed))) == expected
    assert {line.split()[0] for line in played.commands} <= {b"EHLO", b"STARTTLS"}


async def test_what_is_said_before_tls_counts_for_nothing_after_it(authority, canary):
    """Replies slipped in behind that to STARTTLS (CVE-2011-0411) are not those to later commands,
    and what was offered before is forgotten.
    """
    injected = b"220 go on\r\n250-mail.test\r\n250 AUTH PLAIN\r\n"
    says = {"EHLO": [TLS, OFFERS], "STARTTLS": injected, "AUTH": b"235 welcome\r\n"}
    async with playing(says, identity(authority)) as (port, played):
        through = mail_account(
            port,
            user="u",
            password=canary("password"),
            enable_start_tls=True,
            **trusting(authority),
        )
        failed = await delivering().fails(through, MESSAGE)
    assert told(failed) == ("auth", "auth_not_offered", 424)
    assert [line.split()[0] for line in played.commands] == [b"EHLO", b"STARTTLS", b"EHLO"]


async def test_implicit_tls_where_there_is_none(authority):
    async with playing() as (port, _):
        through = mail_account(port, enable_tls=True, **trusting(authority))
        failed = await delivering().fails(through, MESSAGE)
    assert told(failed) == ("tls", "tls_failed", 502)


# --- nothing leaks -------------------------------------------------------------------------------


@pytest.mark.parametrize("offers", [PLAIN, LOGIN])
async def test_a_server_that_echoes_the_credentials(offers, canary, saw):
    password = canary("password")

    async def refuse(_, writer):
        said = played.commands[-1].strip()
        writer.write(b"535-" + said + b"\r\n535 " + password.encode() + b"\r\n")
        await writer.drain()

    says = {"EHLO": offers, "AUTH": refuse}
    if offers == LOGIN:
        says |= {"AUTH": b"334 UGFzc3dvcmQ6\r\n", "RESPONSE": refuse}
    async with playing(says) as (port, played):
        through = mail_account(port, user="u", password=password, debug=True)
        failed = await delivering().fails(through, MESSAGE)
    assert told(failed) == ("auth", "credentials_refused", 424)
    assert failed.answer["reply"].endswith("<secret>")
    saw("answer", f"{failed.message} {failed.answer}")


async def test_a_server_that_echoes_the_password_where_all_is_well(canary, saw):
    password = canary("password")
    echo = f"250 {password}\r\n".encode()
    says = {"EHLO": PLAIN, "AUTH": b"235 welcome\r\n", "MAIL": echo, "RCPT": echo, ".": echo}
    async with playing(says) as (port, _):
        through = mail_account(port, user="u", password=password, debug=True)
        report = await delivering().send(through, MESSAGE)
    assert report.answer["reply"] == "250 <secret>"
    saw("answer", str(report))


async def test_our_own_words_are_not_masked():
    """Whose password is "log-in" learns all the same what is wrong; mechanisms are the server's."""
    through = {"user": "u", "password": "log-in"}
    async with playing({"EHLO": offering(b"AUTH LOG-IN GSSAPI")}) as (port, _):
        failed = await delivering().fails(mail_account(port, **through), MESSAGE)
    assert "offers no log-in by PLAIN, LOGIN or CRAM-MD5, but <secret>, GSSAPI" in failed.message
    async with playing({"EHLO": PLAIN, "AUTH": b"535 wrong log-in\r\n"}) as (port, _):
        failed = await delivering().fails(mail_account(port, **through), MESSAGE)
    assert "refuses the log-in: 535 wrong <secret>." in failed.message


@pytest.mark.parametrize("how", ["enable_tls", "enable_start_tls"])
async def test_after_the_handshake_it_is_not_tls_that_fails(how, authority):
    context = identity(authority)
    says = {"EHLO": [TLS, CLOSE]} if how == "enable_start_tls" else {"greeting": CLOSE}
    says |= {"STARTTLS": b"220 go on\r\n"}
    played = Played(says, context=context if how == "enable_start_tls" else None)
    async with listening(played, None if played.context else context) as port:
        through = mail_account(port, **{how: True}, **trusting(authority))
        failed = await delivering().fails(through, MESSAGE)
    assert told(failed) == ("connect", "disconnected", 502)


async def test_a_server_that_does_not_read_on_holds_up_no_connection():
    """What it has not read when all is done, it does not get."""
    done, ended, rest = asyncio.Event(), asyncio.Event(), []

    async def talk(reader, writer):
        writer.write(b"250 mail.test\r\n")
        await done.wait()
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                rest.append(len(data))
        ended.set()

    async with playing({"EHLO": talk}) as (port, _):
        attempt, egress = Attempt(mail_account(port), "1"), Egress(settings())
        place, tokens = Place("host", "127.0.0.1", port), Tokens(Http(egress))
        async with conversation(attempt, place, egress, None, tokens) as talking:
            talking._protocol.write(b"x" * (32 << 20))
        done.set()
        await ended.wait()
    assert sum(rest) < 32 << 20
