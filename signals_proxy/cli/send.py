"""``signals-proxy send``: one message through an account, for scripts and cron.

Rules of the file:

- The exit status says whether to try again, and never does so where the message may have been
  delivered: that nobody knows counts as delivered.
- Nothing is repeated here.
"""

import asyncio
import json
import sys
from typing import IO, Any, Final

import click

from signals_proxy.account.body import Json, parse
from signals_proxy.account.ref import Ref
from signals_proxy.cli.changes import path_of
from signals_proxy.cli.delivering import FAILURES, PATIENCE_S, failure, member
from signals_proxy.cli.options import Account
from signals_proxy.cli.remote import Answer, Remote
from signals_proxy.cli.target import Target, of_the_proxy, our_target
from signals_proxy.cli.voice import shown, tell_error, tell_hint
from signals_proxy.errors import ConfigError, InvalidBody, Lost, NotConnected, TimedOut, Unavailable

__all__ = ["send"]

MAY_BE_REPEATED: Final = 4
"""Exit status where nothing was handed over, and the same may succeed later."""

_LARGEST: Final = 64 * 1024 * 1024
"""Bytes of a message; the proxy has a limit of its own."""

_TEXT: Final = {"email": "text_body", "slack": "text", "teams": "text", "webhook": "body"}
"""What the one text of a message is called, in types whose messages need no more."""


@click.command
@click.argument("account", type=Account())
@click.option(
    "--message",
    "file",
    type=click.File("rb"),
    metavar="FILE",
    help="The message, as JSON; - is standard input.",
)
@click.option("--text", metavar="TEXT", help="The message's text; - is standard input.")
@click.option("--subject", metavar="TEXT", help="The subject of an e-mail.")
@click.option("--to", multiple=True, metavar="ADDRESS", help="A recipient of an e-mail.")
@click.option(
    "--idempotency-key", "key", metavar="KEY", help="What the receiver knows a repeat by."
)
@of_the_proxy
@click.pass_context
def send(
    context: click.Context,
    account: Ref,
    file: IO[bytes] | None,
    text: str | None,
    subject: str | None,
    to: tuple[str, ...],
    key: str | None,
    url: str | None,
    auth_file: Any,
    ca_certificates: Any,
) -> None:
    """Send one message through ACCOUNT, such as email/ops or, of a tenant, night/email/ops.

    What --text, --subject and --to say takes the place of what is in FILE. What is left out is as
    the account says.

    \b
    Status 0: delivered, or the account only simulates, which is said.
           1: not delivered, or nobody knows; do not repeat it unchanged.
           2: not called rightly.
           4: not delivered; the same may succeed later.
         130: ended by Ctrl-C; it may have been delivered.
    """
    target = our_target(url, auth_file, ca_certificates)
    message: dict[str, Json] = {} if file is None else _message(file)
    if text is not None:
        if account.type not in _TEXT:
            raise click.UsageError(f"a message of type {account.type} needs more than --text")
        message[_TEXT[account.type]] = text if text != "-" else _standard_input()
    if (subject is not None or to) and account.type != "email":
        raise click.UsageError("--subject and --to are for accounts of type email")
    message |= {} if subject is None else {"subject": subject}
    message |= {"to": [*to]} if to else {}
    if not message and file is None:
        raise click.UsageError("nothing to send: give --message or --text")
    context.exit(asyncio.run(_send(target, account, message, key)))


async def _send(target: Target, ref: Ref, message: Json, key: str | None) -> int:
    name = shown(ref.document_id)
    fields = {} if key is None else {"Idempotency-Key": key}
    try:
        async with Remote(target, PATIENCE_S) as remote:
            answer = await remote.ask(
                "POST", f"{path_of(ref)}/_send", message, also=FAILURES, fields=fields
            )
    except NotConnected as error:
        tell_error(error.message)
        return MAY_BE_REPEATED
    except (Lost, TimedOut, Unavailable):
        tell_error(f"{target.url} gave no answer: {name} may have delivered the message, or not")
        tell_hint("look before you repeat it")
        return 1
    if answer.status == 200:
        what = "delivered" if answer.body.get("delivered") is True else "simulated, nothing sent"
        said = json.dumps(answer.body.get("answer"), ensure_ascii=False)
        click.echo(f"{name}: {what}: {shown(said)}")
        return 0
    tell_error(f"{name}: not delivered: {failure(answer)}")
    return _judged(answer)


def _judged(answer: Answer) -> int:
    # Of something in between neither tells what became of the message: ours are in our shape.
    ours = answer.body.get("status") == answer.status
    again = ours and (
        answer.status in {429, 503} or (member(answer, "step") and answer.status == 502)
    )
    if again:
        wait = answer.retry_after_s
        tell_hint("it may be repeated" + ("" if wait is None else f", in {wait} s"))
        return MAY_BE_REPEATED
    if answer.status in {424, 429} or answer.status >= 500:
        tell_hint("do not repeat it before you have looked: docs/delivery.md")
    return 1


def _message(file: IO[bytes]) -> dict[str, Json]:
    try:
        return parse(_read(file))
    except InvalidBody as error:
        message = "the message" + error.message.removeprefix("The body").removesuffix(".")
        raise ConfigError(message, remedy="it has to be one object of JSON") from None


def _standard_input() -> str:
    # Of a job's output some bytes may be no text; that is no reason to tell nobody of it.
    return (
        _read(sys.stdin.buffer).decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    )


def _read(file: IO[bytes]) -> bytes:
    data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ConfigError("the message is larger than 64 MiB", remedy="send less")
    return data
