"""A conversation with a mail server (RFC 5321), over a socket that has passed the egress policy.

Rules of the file:

- What the account asks of the way (STARTTLS, log-in) is there, or nothing is sent.
- What was said before TLS counts for nothing after it (RFC 3207 section 4.2).
- A message is handed over with the dot that ends it. Until then no loss can deliver it; from then
  on only a reply tells.
- Replies are bounded: aiosmtplib takes 32 KiB for one, and we take a hundred lines. There is no time
  limit here: the deadline of the whole delivery cancels whatever is under way.
- Log-ins are never logged.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, cast

from aiosmtplib import SMTPException, SMTPResponse, SMTPResponseException
from aiosmtplib.esmtp import parse_esmtp_extensions
from aiosmtplib.protocol import SMTPProtocol

from signals_proxy.account.formats import FORMATS
from signals_proxy.delivery import tls
from signals_proxy.delivery.delivery import Attempt, Place
from signals_proxy.delivery.dial import Socks, dial
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.login import log_in
from signals_proxy.delivery.mail import Mail
from signals_proxy.delivery.report import Reason, Step
from signals_proxy.delivery.tokens import Tokens
from signals_proxy.errors import DeliveryFailed

__all__ = ["Conversation", "conversation"]

_PIECE: Final = 64 * 1024
_OK: Final = 2  # the first digit of a reply (RFC 5321 section 4.2.1)
_LATER: Final = 4
_MOST_LINES: Final = 100
_logger = logging.getLogger(__name__)


@asynccontextmanager
async def conversation(
    attempt: Attempt, place: Place, egress: Egress, socks: Socks | None, tokens: Tokens
) -> AsyncIterator["Conversation"]:
    """Yield a conversation with an account's server, logged in if the account has credentials.

    Raises :class:`DeliveryFailed`.
    """
    public = attempt.account.public
    has_tls = public.get("enable_start_tls") or public.get("enable_tls")
    # In a thread: to read all of the system's authorities takes a tenth of a second.
    context = await asyncio.to_thread(tls.context_for, attempt.account) if has_tls else None
    connection = await dial(place, egress, attempt.progress, socks)
    talk = Conversation(attempt, place.host.rstrip("."))
    try:
        await talk.open(connection, context)
        await talk.log_in(tokens)
        yield talk
    except BaseException:
        talk.abort()
        raise
    talk.leave()


class _Protocol(SMTPProtocol):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        reply = self._response_waiter
        # For each line that comes it reads again all those that came before.
        if reply and not reply.done() and self._buffer.count(b"\n") > _MOST_LINES:
            self._buffer.clear()
            self._set_response_exception(reply, SMTPResponseException(-1, "too many lines"))


class Conversation:
    """One conversation. ``authenticated`` tells whether the server has accepted credentials."""

    def __init__(self, attempt: Attempt, host: str) -> None:
        self.authenticated = False
        self._attempt = attempt
        self._progress = attempt.progress
        self._host = host
        self._protocol = _Protocol(asyncio.get_running_loop())
        self._extensions: Mapping[str, str] = {}
        self._mechanisms: list[str] = []

    async def open(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        """Take over a connected socket, and talk as far as to TLS, if there is a context for it."""
        starts_tls = context is not None and self._attempt.account.public.get("enable_start_tls")
        at_once = None if starts_tls else context
        if at_once is not None:
            self._progress.begin(Step.TLS)
        with self._border("the connection"):
            await asyncio.get_running_loop().create_connection(
                lambda: self._protocol,
                sock=connection,
                ssl=at_once,
                server_hostname=None if at_once is None else self._host,
                ssl_handshake_timeout=None if at_once is None else tls.NO_LIMIT_S,
            )
        if at_once is not None:
            self._progress.begin(Step.CONNECT)  # to the mail server, which has yet to greet
        with self._border("the connection"):
            greeting = await self._protocol.read_response()
        self._log("server", _said(greeting))
        self._require(greeting, "the connection")
        await self._introduce()
        if starts_tls and context is not None:
            await self._start_tls(context)

    async def log_in(self, tokens: Tokens) -> None:
        """Log in, if the account has credentials."""
        reply = await log_in(
            lambda *command: self._ask(*command, shown=False),
            self._attempt,
            self._mechanisms,
            tokens,
            encrypted=_info(self._protocol, "sslcontext") is not None,
        )
        if reply is not None and reply.code // 100 != _OK:
            failed = self._failed(reply, "the log-in", Reason.CREDENTIALS_REFUSED)
            if failed.reason == Reason.CREDENTIALS_REFUSED:
                failed.message += " PUT the account again with credentials that it accepts."
            raise failed
        self.authenticated = reply is not None

    async def check(self) -> None:
        """See that the server still answers."""
        self._require(await self._ask(b"NOOP"), "a NOOP")

    async def send(self, mail: Mail) -> tuple[str, dict[str, str]]:
        """Send mail; return the server's last reply, and its replies for recipients it refused."""
        self._progress.begin(Step.SEND)
        size = [b"SIZE=%d" % len(mail.content)] if "size" in self._extensions else []
        sender = await self._ask(b"MAIL", b"FROM:<%b>" % mail.sender.encode("ascii"), *size)
        self._require(sender, "the sender")
        refused: dict[str, SMTPResponse] = {}
        for recipient in mail.recipients:
            reply = await self._ask(b"RCPT", b"TO:<%b>" % recipient.encode("ascii"))
            if reply.code // 100 != _OK:
                refused[recipient] = reply
        said = {recipient: _said(reply) for recipient, reply in refused.items()}
        if len(refused) == len(mail.recipients):
            raise DeliveryFailed(
                "The mail server refuses all recipients; see 'refused'.",
                step=Step.SEND,
                reason=Reason.RECIPIENTS_REFUSED,
                mendable=all(reply.code // 100 == _LATER for reply in refused.values()),
                answer={"refused": said},
            )
        ready = await self._ask(b"DATA")
        if ready.code != 354:
            raise self._failed(ready, "the message")
        with self._border("the message"):
            reply = await self._hand_over(mail.content)
        self._log("server", _said(reply))
        if not self._progress.handed_over:  # whatever it says, it has not seen the end
            raise self._failed(reply, "the message")
        self._require(reply, "the message")
        return _said(reply), said

    def leave(self) -> None:
        """Say good-bye, and do not wait for an answer: what was to be done is done."""
        with suppress(SMTPException):
            self._protocol.write(b"QUIT\r\n")
        # Not before the next turn of the loop, for uvloop writes at the end of one.
        asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        transport = cast("asyncio.Transport | None", self._protocol.transport)
        if transport is None:
            return
        if transport.get_write_buffer_size():  # to a server that does not read a close never ends
            transport.abort()
        else:
            transport.close()

    def abort(self) -> None:
        """End the connection, and send nothing more, least of all the rest of a message."""
        if self._protocol.transport is not None:
            cast("asyncio.Transport", self._protocol.transport).abort()

    async def _introduce(self) -> None:
        reply = await self._ask(b"EHLO", _own_name(self._protocol).encode("ascii"))
        self._require(reply, "EHLO")
        self._extensions, self._mechanisms = parse_esmtp_extensions(reply.message)

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        self._progress.begin(Step.TLS)
        if "starttls" not in self._extensions:
            raise DeliveryFailed(
                "The mail server does not offer STARTTLS, without which the account sends nothing;"
                " is the port right?",
                step=Step.TLS,
                reason=Reason.TLS_NOT_OFFERED,
            )
        with self._border("STARTTLS", Reason.TLS_NOT_OFFERED):
            # It discards what came with the reply, in clear.
            await self._protocol.start_tls(
                context, server_hostname=self._host, timeout=tls.NO_LIMIT_S
            )
        self._progress.begin(Step.CONNECT)
        await self._introduce()

    async def _ask(self, *command: bytes, shown: bool = True) -> SMTPResponse:
        """Return the reply to a command; ``shown`` if both may be logged."""
        if shown:
            self._log("client", b" ".join(command).decode())
        with self._border("a command"):
            reply = await self._protocol.execute_command(*command)
        if shown:
            self._log("server", _said(reply))
        if reply.code == 421:  # RFC 5321 section 3.8: it ends the connection, whatever was asked
            raise self._failed(reply, "more")
        return reply

    async def _hand_over(self, content: bytes) -> SMTPResponse:
        """Write a message, its end last of all; return the reply, which may come before the end."""
        lines = b"\r\n" + content.replace(b"\r\n.", b"\r\n..")
        reply = asyncio.ensure_future(self._protocol.read_response())
        try:
            # From then on it waits for the reply. One that comes before is dropped: uvloop may hear
            # of a quick server's before it begins with what was made here.
            await asyncio.sleep(0)
            with suppress(ConnectionError):  # the reply, or its error, says more
                for at in range(2, len(lines), _PIECE):
                    if reply.done():
                        return await reply
                    self._protocol.write(lines[at : at + _PIECE])
                    await self._protocol._drain_helper()  # noqa: SLF001  as StreamWriter.drain does
                self._progress.handed_over = True
                self._protocol.write(b".\r\n")
            return await reply
        finally:
            reply.cancel()  # if it has ended meanwhile, its error is not logged either

    def _require(self, reply: SMTPResponse, what: str) -> None:
        if reply.code // 100 != _OK:
            raise self._failed(reply, what)

    @contextmanager
    def _border(self, what: str, refused: Reason = Reason.REFUSED) -> Iterator[None]:
        try:
            yield
        except SMTPResponseException as error:
            # None of the causes: they quote the server, which may quote what we have sent.
            raise self._failed(SMTPResponse(error.code, error.message), what, refused) from None
        except (SMTPException, OSError) as error:
            if self._progress.handed_over:
                raise self._unknown() from None
            if self._progress.step == Step.TLS:
                raise tls.failure(cast("OSError", error)) from None
            raise DeliveryFailed(
                "The mail server ended the connection; nothing was handed over.",
                step=self._progress.step,
                reason=Reason.DISCONNECTED,
                mendable=True,
            ) from None

    def _failed(
        self, reply: SMTPResponse, what: str, refused: Reason = Reason.REFUSED
    ) -> DeliveryFailed:
        """Return what a reply means that is not the one hoped for."""
        match reply.code // 100:
            case 4:
                text, reason = f"The mail server cannot take {what} now", Reason.UNAVAILABLE
            case 5:
                text, reason = f"The mail server refuses {what}", refused
            case _ if self._progress.handed_over:
                return self._unknown()
            case _:
                return DeliveryFailed(
                    "What answers there does not speak SMTP as it should; are host, port and TLS"
                    " right?",
                    step=self._progress.step,
                    reason=Reason.BAD_ANSWER,
                )
        return DeliveryFailed(
            f"{text}: {self._attempt.masked(_said(reply))}.",
            step=self._progress.step,
            reason=reason,
            mendable=reason == Reason.UNAVAILABLE,
            answer={"reply": _said(reply)},
        )

    def _unknown(self) -> DeliveryFailed:
        return DeliveryFailed(
            "The mail server has the message, and has not said whether it takes it; look whether it"
            " has arrived before it is sent again.",
            step=self._progress.step,
            reason=Reason.OUTCOME_UNKNOWN,
            handed_over=True,
        )

    def _log(self, who: str, line: str) -> None:
        account = self._attempt.account
        if account.public.get("debug"):
            shown = self._attempt.masked(line)
            fields = {"account": account.ref.document_id, "who": who, "line": shown}
            _logger.info("smtp", extra={"fields": fields})


def _said(reply: SMTPResponse) -> str:
    return f"{reply.code} {' '.join(reply.message.split())}"


def _info(protocol: SMTPProtocol, name: str) -> Any:
    return None if protocol.transport is None else protocol.transport.get_extra_info(name)


def _own_name(protocol: SMTPProtocol) -> str:
    """Return how we call ourselves: by our name, if it is one to be found, or our address."""
    name = socket.gethostname()
    if "." in name and FORMATS["host"].accepts(name):
        return name
    address = (_info(protocol, "sockname") or ["127.0.0.1"])[0].partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"  # RFC 5321 section 4.1.3
