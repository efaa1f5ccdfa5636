"""Mail servers: a real one that takes what it gets, and one that says what a test tells it to.

What the second one says is a mapping by what the client has said: ``greeting`` for nothing yet, the
command in upper case, ``RESPONSE`` for what follows a 334, ``.`` for the end of a message. The
values are bytes, sent as they are; :data:`CLOSE`; :data:`SILENT`; a function that is given reader
and writer; or a list of these for one time after the other.
"""

import asyncio
import base64
import hmac
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from delivering import Delivering, account, settings
from tls_servers import listening

from signals_proxy.account import Account
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.email import Email
from signals_proxy.delivery.http import Http
from signals_proxy.delivery.tokens import Tokens

MESSAGE = {"to": "ops@mail.test", "subject": "It burns", "text_body": "Room 101\n"}


def delivering(**given: Any) -> Delivering:
    """Return what delivers mail, to this machine too."""
    by = settings(**given)
    egress = Egress(by)
    return Delivering(by, {"email": Email(egress, Tokens(Http(egress)))})


def mail_account(port: int, **attributes: Any) -> Account:
    """Return an account for a server on this machine."""
    given = {"host": "127.0.0.1", "port": port, "default_from": "alerts@mail.test", **attributes}
    return account("email", **given)


def identity(authority: trustme.CA, *names: str, **more: Any) -> ssl.SSLContext:
    """Return what a server shows that has such names; those of this machine if none are given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names or ("127.0.0.1", "localhost"), **more).configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> dict[str, str]:
    """Return the attributes of an account that trusts an authority."""
    return {"ca_certificates": authority.cert_pem.bytes().decode()}


CLOSE = object()
SILENT = object()
ENDLESS = 4 << 20
"""How much a server says at most that seems never to end."""

OFFERS = b"250-mail.test\r\n250-8BITMIME\r\n250 SIZE 1000000\r\n"
WELL: Mapping[str, Any] = {
    "greeting": b"220 mail.test\r\n",
    "EHLO": OFFERS,
    "MAIL": b"250 ok\r\n",
    "RCPT": b"250 ok\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 2.0.0 queued as 4711\r\n",
    "NOOP": b"250 ok\r\n",
    "QUIT": b"221 bye\r\n",
}


@dataclass
class Played:
    """The one that says what it is told to. ``commands`` and ``messages`` are what it has read."""

    says: Mapping[str, Any]
    commands: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    context: ssl.SSLContext | None = None
    _said: dict[str, int] = field(default_factory=dict)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        said = await self._say("greeting", reader, writer)
        while said and (line := await reader.readline()):
            self.commands.append(line)
            verb = "RESPONSE" if said.startswith(b"334") else line.split()[0].decode().upper()
            said = await self._say(verb, reader, writer)
            if verb == "DATA" and said.startswith(b"354"):
                self.messages.append(await _message(reader))
                said = await self._say(".", reader, writer)
            elif verb == "STARTTLS" and said.startswith(b"220") and self.context:
                await writer.start_tls(self.context)
            elif verb == "QUIT":
                return

    async def _say(
        self, verb: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        """Say what is to be said; return nothing if the connection has ended with it."""
        times = self._said[verb] = self._said.get(verb, 0) + 1
        reply = {**WELL, **self.says}.get(verb, b"502 what?\r\n")
        if isinstance(reply, list):
            reply = reply[min(times, len(reply)) - 1]
        if isinstance(reply, bytes):
            writer.write(reply)
            await writer.drain()
            return reply
        if reply is SILENT:
            await reader.read()  # until the client has had enough
        elif reply is not CLOSE:
            await reply(reader, writer)
        return b""


async def _message(reader: asyncio.StreamReader) -> bytes:
    lines = []
    while (line := await reader.readline()) != b".\r\n":
        if not line:
            raise asyncio.IncompleteReadError(b"".join(lines), None)
        lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
    return b"".join(lines)


@asynccontextmanager
async def playing(
    says: Mapping[str, Any] | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, Played]]:
    """Yield the port of a server that says this, and what it has read."""
    played = Played(says or {}, context=context)
    async with listening(played) as port:
        yield port, played


class Mailbox:
    """What a real server has taken, and from whom."""

    def __init__(self, credentials: Mapping[str, str] | None = None) -> None:
        self.credentials = credentials or {}
        self.envelopes: list[Envelope] = []
        self.users: list[str | None] = []
        self.encrypted: list[bool] = []
        self.mechanisms: list[str] = []
        self.quits = asyncio.Event()

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        user = session.auth_data
        self.users.append(user.decode() if user is not None else None)
        return "250 2.0.0 queued as 4711"

    async def handle_QUIT(self, *_: object) -> str:  # noqa: N802
        self.quits.set()
        return "221 bye"

    def authenticate(
        self, _: SMTP, __: Session, ___: Envelope, mechanism: str, given: LoginPassword
    ) -> AuthResult:
        user, password = given
        return self._judge(mechanism, user, self._is(user, password))

    async def auth_CRAM__MD5(self, server: SMTP, _: list[str]) -> AuthResult:  # noqa: N802
        challenge = b"<1896.697170952@mail.test>"
        answer = await server.challenge_auth(challenge.decode())
        assert isinstance(answer, bytes)
        user, _, digest = answer.rpartition(b" ")
        password = self.credentials.get(user.decode(), "")
        wanted = hmac.new(password.encode(), challenge, "md5").hexdigest()
        return self._judge("CRAM-MD5", user, digest.decode() == wanted)

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        named, bearer, *_ = base64.b64decode(args[1]).split(b"\x01")
        user, token = named.removeprefix(b"user="), bearer.removeprefix(b"auth=Bearer ")
        if self._is(user, token):
            return self._judge("XOAUTH2", user, good=True)
        await server.challenge_auth('{"status":"401"}')
        return self._judge("XOAUTH2", user, good=False)

    def _is(self, user: bytes, secret: bytes) -> bool:
        return self.credentials.get(user.decode()) == secret.decode()

    def _judge(self, mechanism: str, user: bytes, good: bool) -> AuthResult:
        self.mechanisms.append(mechanism)
        return AuthResult(success=good, handled=False, auth_data=user if good else None)


@asynccontextmanager
async def receiving(
    mailbox: Mailbox, *, start_tls: ssl.SSLContext | None = None, at_once: Any = None, **more: Any
) -> AsyncIterator[int]:
    """Run a real mail server; yield its port. ``at_once`` is a TLS context for all that is said."""
    options = {
        "hostname": "mail.test",
        "tls_context": start_tls,
        "require_starttls": start_tls is not None,
        "auth_require_tls": False,
        "authenticator": mailbox.authenticate,
        "data_size_limit": 64 << 20,
        **more,
    }
    connections: list[SMTP] = []

    def connected() -> SMTP:
        connections.append(SMTP(mailbox, loop=loop, **options))
        return connections[-1]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connected, "127.0.0.1", 0, ssl=at_once)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in connections:
            if each.transport is not None:
                each.transport.abort()
        await server.wait_closed()
