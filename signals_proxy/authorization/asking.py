"""A question to the cluster about a caller, in the caller's own name: what is sent, what counts.

Rules of the file

- What goes to the cluster is the caller's credential fields, and nothing of the proxy's.
- What is not a clear answer is none: ``Undecided``, which never means yes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from signals_proxy.account import body as account_body
from signals_proxy.account.body import Json
from signals_proxy.authorization.question import Caller
from signals_proxy.errors import (
    Forbidden,
    InvalidBody,
    Lost,
    Unauthenticated,
    Undecided,
    UpstreamError,
)
from signals_proxy.secret import CREDENTIAL_FIELDS

__all__ = ["LIMIT_S", "RETRY_S", "Ask", "Asking", "unclear"]

Ask = Callable[[bytes, bytes], Awaitable[tuple[int, Sequence[tuple[bytes, bytes]], bytes]]]
"""Sends a request to the cluster, with no more rights than its head gives.

From a head of HTTP/1.0 and a body to the status, the fields and the body of the answer.
"""

LIMIT_S: Final = 10.0
"""How long a decision may take in all."""

RETRY_S: Final = 5.0
"""When a cluster that has not answered is asked for its challenges again."""

_MOST_CHALLENGES: Final = 8


class Asking:
    """Asks the cluster.

    ``challenges`` are for whoever comes without credentials: the values of ``WWW-Authenticate``.
    """

    def __init__(self, ask: Ask, limit_s: float = LIMIT_S, retry_s: float = RETRY_S) -> None:
        self._ask = ask
        self._limit_s = limit_s
        self._retry_s = retry_s
        self.challenges: tuple[str, ...] = ('Basic realm="security"',)

    async def learn(self) -> None:
        """Ask as nobody, until the cluster answers, and keep the challenges that it gives."""
        while True:
            try:
                status, fields, _ = await self._send(b"GET / HTTP/1.0\r\n\r\n", b"")
            except Undecided:
                status, fields = 503, ()
            if status < 500 and status != 429:
                self.challenges = _challenges(fields) or self.challenges
                return
            await asyncio.sleep(self._retry_s)

    def credentials(self, caller: Caller) -> list[str | None]:
        """Return the values of all credential fields, None for those that are absent.

        Raises :class:`Unauthenticated` without ``Authorization``, the one that says who asks: the
        cluster could only take such a caller for an anonymous one.
        """
        given: dict[str, str] = {name: value.reveal() for name, value in caller.credentials}
        if not given.get("authorization", "").strip():
            raise Unauthenticated("Log in as you would to the cluster.", self.challenges)
        return [given.get(name) for name in CREDENTIAL_FIELDS]

    async def answer(self, request: str, caller: Caller, body: bytes = b"") -> Mapping[str, Json]:
        """Return the JSON object that the cluster answers; ``request`` is method and target.

        Raises :class:`Unauthenticated` and :class:`Forbidden` if that is what it says, and
        :class:`Undecided` for everything else, and for no answer in time.
        """
        fields = [
            # As aiohttp has decoded them: so each byte is sent as it came.
            f"{name}: {value.reveal()}\r\n".encode("utf-8", "surrogateescape")
            for name, value in caller.credentials
        ]
        if body:
            fields.append(b"Content-Type: application/json\r\n")
            fields.append(b"Content-Length: %d\r\n" % len(body))
        head = b"".join([f"{request} HTTP/1.0\r\n".encode(), *fields, b"\r\n"])
        status, told, answer = await self._send(head, body)
        match status:
            case 200:
                try:
                    return account_body.parse(answer)
                except InvalidBody:
                    raise unclear(request) from None
            case 401:
                raise Unauthenticated(
                    "The cluster does not accept these credentials.",
                    _challenges(told) or self.challenges,
                )
            case 403:  # a user to run as whom this one may not be, for instance
                raise Forbidden("The cluster does not let this user ask what it may do.")
            case 400 | 404 | 405:
                raise Undecided(
                    f"The cluster answers {status} to {request}, by which rights are decided: it"
                    " seems not to have that. authorization.backend has to be of its kind."
                )
            case _:
                raise Undecided(
                    f"The cluster answers {status} to {request}, by which rights are decided."
                )

    async def _send(
        self, head: bytes, body: bytes
    ) -> tuple[int, Sequence[tuple[bytes, bytes]], bytes]:
        try:
            async with asyncio.timeout(self._limit_s):
                try:
                    return await self._ask(head, body)
                except Lost:  # maybe a kept connection that ended just then; no question does harm
                    return await self._ask(head, body)
        except TimeoutError:
            raise Undecided(
                f"The cluster did not say within {self._limit_s:g} s who may do this."
            ) from None
        except UpstreamError as error:
            raise Undecided(
                f"The cluster could not be asked who may do this: {error.message}."
            ) from error


def unclear(request: str) -> Undecided:
    """Return the error for an answer that says something else than is asked."""
    return Undecided(
        f"The cluster's answer to {request}, by which rights are decided, is not what it should be."
    )


def _challenges(fields: Sequence[tuple[bytes, bytes]]) -> tuple[str, ...]:
    found = [
        value.decode()
        for name, value in fields
        if name.lower() == b"www-authenticate" and value.isascii()
    ]
    return tuple(found[:_MOST_CHALLENGES])
