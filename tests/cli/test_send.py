"""``signals-proxy send``: what arrives, what is said, and the status that scripts go by."""

import asyncio
import email
import json
from collections.abc import Awaitable, Callable
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import Envelope
from mail_servers import Mailbox, receiving
from played import Played
from processes import free_ports
from tls_servers import listening

Run = Callable[..., Awaitable[Any]]
Put = Callable[..., Awaitable[None]]
WHOLE = {"default_from": "alerts@mail.test", "default_to": "ops@mail.test"}


def read(envelope: Envelope) -> EmailMessage:
    content = envelope.content
    assert isinstance(content, bytes)
    found = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def text_of(found: EmailMessage) -> str:
    body = found.get_body()
    assert body is not None
    return str(body.get_content())


async def test_mail(run: Run, proxy: str, put: Put, tmp_path: Path) -> None:
    """Options, a file and standard input say what is sent; the same key gives the same id."""
    mailbox = Mailbox()
    async with receiving(mailbox) as port:
        await put("email/ops", host="127.0.0.1", port=port, **WHOLE)
        send = "send", "email/ops", "--url", proxy
        once = "--subject", "It burns", "--text", "Room 101", "--idempotency-key", "k"
        for _ in range(2):
            done = await run(*send, *once, "--to", "a@mail.test", "--to", "b@mail.test")
            assert (done.returncode, done.stderr) == (0, "")
        said = json.loads(done.stdout.removeprefix("email/ops: delivered: "))
        file = tmp_path / "message.json"
        file.write_text(json.dumps({"subject": "Of a file", "text_body": "x"}))
        for options, stdin in (
            (("--message", file, "--subject", "Of an option"), ""),
            (("--message", "-"), json.dumps({"subject": "Of input", "text_body": "y"})),
            (("--subject", "Of a job", "--text", "-"), "went \udce4 wrong\0"),
        ):
            done = await run(*send, *options, stdin=stdin)
            assert (done.returncode, done.stderr) == (0, "")
    first, second, *others = mailbox.envelopes
    assert first.rcpt_tos == ["a@mail.test", "b@mail.test"]
    assert text_of(read(first)).rstrip() == "Room 101"
    assert read(first)["Message-ID"] == read(second)["Message-ID"] == said["message_id"]
    assert [(read(it)["Subject"], text_of(read(it)).rstrip()) for it in others] == [
        ("Of an option", "x"),
        ("Of input", "y"),
        ("Of a job", "went \N{REPLACEMENT CHARACTER} wrong\N{REPLACEMENT CHARACTER}"),
    ]
    assert others[0].rcpt_tos == ["ops@mail.test"]


async def test_failures(run: Run, proxy: str, put: Put, secret_value: str) -> None:
    """A failure is told by step and reason, and its status says whether to try again."""
    (closed,) = free_ports(1)
    async with receiving(Mailbox({"signals": "another"})) as port:
        known = {"user": "signals", "password": secret_value, **WHOLE}
        await put("email/refused", host="127.0.0.1", port=port, **known)
        await put("email/closed", host="127.0.0.1", port=closed, **known)
        await put("email/simulates", host="127.0.0.1", port=closed, simulate=True, **known)
        await put("email/disabled", host="127.0.0.1", port=port, disabled=True, **known)

        async def sent(name: str, *options: str) -> tuple[int, str]:
            given = options or ("--subject", "x", "--text", "x")
            done = await run("send", f"email/{name}", "--url", proxy, *given)
            return done.returncode, done.stdout + done.stderr

        refused, unreached, simulated, disabled, absent, wrong = await asyncio.gather(
            *(sent(name) for name in ("refused", "closed", "simulates", "disabled", "absent")),
            sent("refused", "--text", "x"),
        )
    assert refused[0] == 1
    assert "error: email/refused: not delivered: auth: credentials_refused: " in refused[1]
    assert "hint: do not repeat it" in refused[1]
    assert unreached[0] == 4
    assert "email/closed: not delivered: connect: not_connected: " in unreached[1]
    assert "hint: it may be repeated" in unreached[1]
    assert simulated == (0, 'email/simulates: simulated, nothing sent: {"simulated": true}\n')
    assert disabled == (
        1,
        "signals-proxy: error: email/disabled: not delivered: The account 'email/disabled' is disabled\n",
    )
    assert (absent[0], "email/absent: not delivered: Not found" in absent[1]) == (1, True)
    assert (wrong[0], "refused: not delivered: subject: " in wrong[1]) == (1, True)


FAILED = {"status": 424, "error": "No.\x1b[31m", "step": "send", "reason": "refused"}
MAY_BE_REPEATED, LOOK = "hint: it may be repeated", "hint: do not repeat it before you have looked"


@pytest.mark.parametrize(
    ("answered", "body", "status", "said"),
    [
        (400, {"status": 400, "error": "No."}, 1, "not delivered: No"),
        (403, {"status": 403, "error": "Not to him."}, 1, "not delivered: Not to him"),
        (409, {"status": 409, "error": "No."}, 1, "not delivered: No"),
        (413, {"status": 413, "error": "No."}, 1, "not delivered: No"),
        (424, FAILED, 1, LOOK),
        (424, FAILED, 1, r"not delivered: send: refused: No.\x1b[31m"),
        (429, {"status": 429, "error": "Too often."}, 4, f"{MAY_BE_REPEATED}, in 7 s"),
        (429, None, 1, "gave no answer: teams/a may have delivered"),
        (502, FAILED | {"status": 502}, 4, MAY_BE_REPEATED),
        (502, {"status": 502, "error": "Of a gateway."}, 1, LOOK),
        (502, None, 1, "and not as it should"),
        (503, {"status": 503, "error": "No node."}, 4, MAY_BE_REPEATED),
        (503, {"error": "Of a gateway."}, 1, LOOK),
        (503, None, 1, "gave no answer: teams/a may have delivered"),
        (504, {"status": 504, "error": "Of a gateway."}, 1, LOOK),
        (301, None, 1, "sends callers elsewhere"),
        (401, None, 1, "does not accept no credentials"),
    ],
)
async def test_statuses(
    run: Run, played: Played, answered: int, body: Any, status: int, said: str
) -> None:
    """Nothing is to be repeated that may have been delivered, whoever answers in between."""
    data = b"<html>" if body is None else json.dumps(body).encode()
    played.answer(b"POST /_signals/account/teams/a/_send ", answered, data, b"Retry-After: 7\r\n")
    done = await run("send", "teams/a", "--url", played.url, "--text", "x")
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert len(played.requests) == 1


async def test_no_answer(run: Run) -> None:
    """Only where there was no connection nothing can have been delivered."""

    async def leave(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'"x"}')

    async with listening(leave) as port:
        url = f"http://127.0.0.1:{port}"
        done = await run("send", "slack/a", "--url", url, "--text", "x")
        assert done.returncode == 1
        assert "slack/a may have delivered the message, or not" in done.stderr
    done = await run("send", "slack/a", "--url", url, "--text", "x")
    assert (done.returncode, "no connection to" in done.stderr) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("email/a",), "nothing to send"),
        (("email",), "'email' is no account such as email/ops"),
        (("email/a/_test", "--text", "x"), "is no account"),
        (("email/a*", "--text", "x"), "'email/a*' is no account"),
        (("jira/a", "--text", "x"), "a message of type jira needs more than --text"),
        (("slack/a", "--subject", "x"), "--subject and --to are for accounts of type email"),
        (("email/a", "--message", "nowhere.json"), "nowhere.json"),
        (("email/a", "--message", "-"), "the message is not valid JSON"),
    ],
)
async def test_not_called_rightly(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = await run("send", *arguments, "--url", "http://127.0.0.1:1", stdin="{")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
