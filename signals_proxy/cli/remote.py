"""A server as a command sees it: one HTTP client, and what is said when a call of it fails.

Rules of the file:

- Credentials go to the one server that they were given for: redirects are not followed, and no
  proxy of the environment is used.
- What a server says is limited, and is told only as ``voice.shown`` has it: it may be any server.
"""

import io
import json
import os
import re
import ssl
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from yarl import URL

from signals_proxy.account.body import Json
from signals_proxy.cli.target import Target
from signals_proxy.cli.voice import shown
from signals_proxy.errors import (
    Forbidden,
    Lost,
    NotConnected,
    Refused,
    SignalsError,
    TimedOut,
    Unauthenticated,
    Unavailable,
)

__all__ = ["Answer", "Remote"]

_PATIENCE_S: Final = 60.0
_LARGEST: Final = 64 * 1024 * 1024
"""Bytes of one answer; a page of a search has up to a hundred accounts."""

_MOST_WARNINGS: Final = 100
_SECONDS: Final = re.compile("[0-9]{1,6}", re.ASCII)
_NONE: Final[Mapping[str, str]] = {}
_WARNING: Final = re.compile(r'[0-9]{3} \S+ "([^"\\]*)"')

# Of what every command makes something of its own: everything else ends it.
_EXPECTED: Final = frozenset({200, 201, 400, 404, 405, 409, 413, 415})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; ``warnings`` are the texts of the first few ``Warning`` fields.

    ``retry_after_s`` is how long it asks to be left alone, if it says so in seconds.
    """

    status: int
    body: Mapping[str, Json] = field(repr=False)
    warnings: Sequence[str] = ()
    retry_after_s: int | None = None

    @property
    def error(self) -> str:
        """What the server says is wrong, fit to be shown."""
        said = self.body.get("error")
        return shown(said) if isinstance(said, str) else f"status {self.status}"


class Remote:
    """A client of one server. As an async context manager its connections are closed at the end.

    ``received`` are the bytes of all answers so far. An answer has to be whole in ``patience_s``.
    """

    def __init__(self, target: Target, patience_s: float = _PATIENCE_S) -> None:
        self.url = target.url
        self.received = 0
        self._target = target
        fields = {"Accept-Encoding": "identity", "Accept": "application/json"}
        if target.authorization is not None:
            fields["Authorization"] = target.authorization.reveal()
        self._session = aiohttp.ClientSession(
            headers=fields,
            timeout=aiohttp.ClientTimeout(total=patience_s, sock_connect=10),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            connector=aiohttp.TCPConnector(ssl=target.tls or True),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        also: Collection[int] = (),
        fields: Mapping[str, str] = _NONE,
    ) -> Answer:
        """Return the answer to one request; ``path`` is encoded, and may have a query.

        ``also`` are statuses that the caller makes something of, beside those that all do.
        Raises what the caller can do nothing about: ``Unauthenticated``, ``Forbidden``, or an
        ``UpstreamError``.
        """
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        try:
            async with self._session.request(
                method,
                URL(self.url + path, encoded=True),
                data=None if data is None else io.BytesIO(data),
                headers=fields if data is None else {"Content-Type": "application/json", **fields},
                allow_redirects=False,
            ) as answer:
                status, text = answer.status, await self._text(answer)
                warnings = _warnings(answer.headers.getall("Warning", []))
                wait = answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Its cause holds the request's head, and so the credentials.
            raise self._failed(error) from None
        found = self._judged(status, text, f"{method} {path.partition('?')[0]}", also)
        seconds = int(wait) if _SECONDS.fullmatch(wait) else None
        return replace(found, warnings=warnings, retry_after_s=seconds)

    async def _text(self, answer: aiohttp.ClientResponse) -> bytes:
        text = bytearray()
        async for part in answer.content.iter_any():
            text += part
            self.received += len(part)
            if len(text) > _LARGEST:
                raise Refused(f"{self.url} answered with more than {_LARGEST >> 20} MiB")
        return bytes(text)

    def _failed(self, error: Exception) -> SignalsError:
        match error:
            case aiohttp.ClientConnectorCertificateError():
                reason = "its certificate is not trusted"
                remedy = "--ca-certificates names a file with the authority that issued it"
                return NotConnected(f"no connection to {self.url}: {reason}; {remedy}")
            case aiohttp.ConnectionTimeoutError():
                return NotConnected(
                    f"no connection to {self.url}: nobody answers; is the URL right?"
                )
            case TimeoutError():
                return TimedOut(f"{self.url} did not answer in time; try again later")
            case aiohttp.ClientConnectorError():
                reason = _reason(error.os_error)
                return NotConnected(
                    f"no connection to {self.url}: {reason}; does it run, and is the URL right?"
                )
            case _:
                return Lost(f"{self.url} ended the connection, or does not speak HTTP; try again")

    def _judged(self, status: int, text: bytes, asked: str, also: Collection[int]) -> Answer:
        if status == 401:
            given = "no credentials" if self._target.authorization is None else "these credentials"
            message = f"{self.url} does not accept {given} (401); give others: "
            raise Unauthenticated(message + self._target.remedy, ())
        if 300 <= status < 400:
            raise Refused(f"{self.url} sends callers elsewhere ({status}); name that URL instead")
        answer = Answer(status, _object(text))
        if answer.body and (status in _EXPECTED or status in also):
            return answer
        if status == 403:
            raise Forbidden(f"these credentials may not do {asked} (403): {answer.error}")
        if status in {429, 503}:
            raise Unavailable(
                f"{self.url} cannot do {asked} now ({status}): {answer.error}; try again later"
            )
        raise Refused(
            f"{self.url} answered {asked} with {status}, and not as it should: {answer.error}"
        )


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "no TLS could be agreed on"
    # asyncio puts words of its own, and the address, into the error.
    known = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return (known or "unknown error").lower()


def _warnings(values: Sequence[str]) -> list[str]:
    found = [_WARNING.fullmatch(value) for value in values[:_MOST_WARNINGS]]
    return [shown(match[1]) for match in found if match]


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
