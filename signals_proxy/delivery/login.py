"""Logging in to a mail server (RFC 4954), by what the account has and the server offers.

Rules of the file: one way is chosen, and tried once, for servers count failures. No credentials
leave before the server has offered to take them.
"""

from collections.abc import Awaitable, Collection
from typing import Final, Protocol

from aiosmtplib import SMTPAuthenticationError, SMTPResponse
from aiosmtplib.auth import (
    auth_crammd5_verify,
    auth_login_encode,
    auth_plain_encode,
    auth_xoauth2_encode,
)

from signals_proxy.delivery.delivery import Attempt
from signals_proxy.delivery.report import Reason, Step
from signals_proxy.delivery.tokens import Tokens
from signals_proxy.errors import DeliveryFailed
from signals_proxy.secret import Secret

__all__ = ["log_in"]

_GO_ON: Final = 334


class _Ask(Protocol):
    """Sends a command, of which nothing may be logged, and returns the reply."""

    def __call__(self, *command: bytes) -> Awaitable[SMTPResponse]: ...


async def log_in(
    ask: _Ask, attempt: Attempt, offered: Collection[str], tokens: Tokens, *, encrypted: bool
) -> SMTPResponse | None:
    """Return the last reply to a log-in, None if the account has no credentials.

    ``offered`` are mechanisms in lower case, ``encrypted`` tells whether there is TLS.

    Raises :class:`DeliveryFailed` if the server offers nothing that will do.
    """
    secrets = attempt.account.secrets
    if not secrets.keys() & {"password", "oauth2"}:
        return None
    attempt.progress.begin(Step.AUTH)
    if "oauth2" in secrets:
        return await _by_token(ask, attempt, offered, tokens)
    user, password = str(attempt.account.public["user"]), secrets["password"].reveal()
    # Without TLS, CRAM-MD5 at least hides the password. With TLS it has no use but to make the
    # server store passwords in clear.
    known = ("plain", "login", "cram-md5") if encrypted else ("cram-md5", "plain", "login")
    match next((each for each in known if each in offered), None):
        case "plain":
            return await ask(b"AUTH", b"PLAIN", auth_plain_encode(user, password))
        case "login":
            first, second = auth_login_encode(user, password)
            reply = await ask(b"AUTH", b"LOGIN", first)
            return await ask(second) if reply.code == _GO_ON else reply
        case "cram-md5":
            return await _by_challenge(ask, user, password)
        case _:
            raise _not_offered("PLAIN, LOGIN or CRAM-MD5", offered, attempt)


async def _by_token(
    ask: _Ask, attempt: Attempt, offered: Collection[str], tokens: Tokens
) -> SMTPResponse:
    if "xoauth2" not in offered:
        raise _not_offered("XOAUTH2", offered, attempt)
    oauth2 = attempt.account.secrets["oauth2"].reveal()
    reply = await _with_token(ask, attempt, await tokens.token(oauth2, attempt))
    # A token that was good before may have been revoked: then a new one is asked for, once.
    if reply.code // 100 == 5 and tokens.forget(oauth2, attempt):
        reply = await _with_token(ask, attempt, await tokens.token(oauth2, attempt))
    if reply.code // 100 == 2:
        tokens.ended_well(oauth2, attempt)
    return reply


async def _with_token(ask: _Ask, attempt: Attempt, token: Secret) -> SMTPResponse:
    attempt.progress.begin(Step.AUTH)  # the token may have been a journey of its own
    user = str(attempt.account.public["user"])
    reply = await ask(b"AUTH", b"XOAUTH2", auth_xoauth2_encode(user, token.reveal()))
    # Then it says why not, in JSON, wants an answer, and refuses.
    return await ask(b"") if reply.code == _GO_ON else reply


async def _by_challenge(ask: _Ask, user: str, password: str) -> SMTPResponse:
    challenge = await ask(b"AUTH", b"CRAM-MD5")
    if challenge.code != _GO_ON:
        return challenge
    try:
        response = auth_crammd5_verify(user, password, challenge.message)
    except SMTPAuthenticationError:  # no base64
        return challenge
    return await ask(response)


def _not_offered(wanted: str, offered: Collection[str], attempt: Attempt) -> DeliveryFailed:
    others = attempt.masked(", ".join(offered).upper()) or "none"
    return DeliveryFailed(
        f"The mail server offers no log-in by {wanted}, but {others}; servers often offer it only"
        " with TLS ('enable_start_tls', 'enable_tls').",
        step=Step.AUTH,
        reason=Reason.AUTH_NOT_OFFERED,
    )
