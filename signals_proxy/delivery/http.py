"""One request to a service, bounded, on a connection of its own.

Rules of the file:

- A connection serves one request. A service may end one that is kept at the moment when it is used
  again, and then nobody knows whether the message was taken: an alert lost, or told twice.
- Nothing is followed, kept or taken from the environment: no redirects, cookies (a session of
  aiohttp's serves one request as well) or proxies.
- URLs and header fields may hold secrets, and aiohttp's exceptions quote them: none gets out.
- There is no time limit here: the deadline of the whole delivery cancels whatever is under way.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.delivery import tls
from signals_proxy.delivery.answers import Answer, retry_after_s, unanswered
from signals_proxy.delivery.delivery import Attempt, Place
from signals_proxy.delivery.dial import dial
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.report import Progress, Step
from signals_proxy.errors import Detail, InvalidMessage

__all__ = [
    "Http",
    "HttpDelivery",
    "Request",
    "basic",
    "encoded",
    "place_of",
    "require_size",
]

_LONGEST_ANSWER: Final = 64 * 1024
_MOST_HEARD: Final = _LONGEST_ANSWER + 16 * 1024
_PIECE: Final = 64 * 1024
# Unless a request says something else.
_OURS: Final = {"User-Agent": "signals-proxy", "Accept": "*/*", "Accept-Encoding": "identity"}

Trust = Callable[[Account], ssl.SSLContext]
_P = TypeVar("_P", bound=asyncio.BaseProtocol)


@dataclass(frozen=True, slots=True)
class Request:
    """A request, to the URL of one of the account's attributes.

    ``acts`` is false for one that may be repeated without harm. ``reads`` is false where the status
    is all that is asked for: then the body of the answer stays unread.
    """

    attribute: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    method: str = "POST"
    acts: bool = True
    reads: bool = True


class Http:
    """Requests to where the egress policy allows them."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def reach(self, request: Request, attempt: Attempt) -> None:
        """Connect, with TLS if the URL says so, and send nothing.

        Raises :class:`DeliveryFailed`.
        """
        transport, _ = await self._connect(request, attempt, tls.context_for, asyncio.Protocol)
        transport.abort()

    async def exchange(
        self, request: Request, attempt: Attempt, trust: Trust = tls.context_for
    ) -> Answer:
        """Return the answer, whatever its status; ``trust`` says whom to believe.

        Raises :class:`DeliveryFailed` if there is none.
        """
        progress = attempt.progress
        connector = _OneConnection(
            lambda make: self._connect(request, attempt, trust, make),
            lambda: _begin_to_send(request, progress),
        )
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    headers=_OURS,
                    skip_auto_headers=["Content-Type"],
                    timeout=aiohttp.ClientTimeout(total=None),
                    auto_decompress=False,
                ) as session,
                session.request(
                    request.method,
                    URL(request.url, encoded=True),
                    data=_pieces(request, progress) if request.body else None,
                    headers=_fields(request),
                    allow_redirects=False,
                ) as response,
            ):
                body = await _beginning(response.content) if request.reads else b""
                after = retry_after_s(response.headers.get("Retry-After"))
                return Answer(response.status, body, after)
        except (aiohttp.ClientError, OSError) as error:
            failed = unanswered(progress, error)
        finally:
            connector.cut()
        raise failed

    async def _connect(
        self,
        request: Request,
        attempt: Attempt,
        trust: Trust,
        make: Callable[[], _P],
    ) -> tuple[asyncio.Transport, _P]:
        place = place_of(request.attribute, request.url)
        loop = asyncio.get_running_loop()
        if urlsplit(request.url).scheme == "http":
            connection = await dial(place, self._egress, attempt.progress)
            return await loop.create_connection(make, sock=connection)
        # In a thread: to read all of the system's authorities takes a tenth of a second.
        context = await asyncio.to_thread(trust, attempt.account)
        connection = await dial(place, self._egress, attempt.progress)
        attempt.progress.begin(Step.TLS)
        try:
            return await loop.create_connection(
                make,
                sock=connection,
                ssl=context,
                server_hostname=place.host.rstrip("."),
                ssl_handshake_timeout=tls.NO_LIMIT_S,
            )
        except (ssl.SSLError, OSError) as error:
            raise tls.failure(error) from None


class HttpDelivery:
    """What all that deliver over HTTP have in common."""

    tries = 3

    def __init__(self, http: Http) -> None:
        self._http = http


def place_of(attribute: str, url: str) -> Place:
    """Return where a URL leads."""
    parts = urlsplit(url)
    return Place(
        attribute, parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    )


def basic(user: str, password: str) -> str:
    """Return the value of ``Authorization`` for a user (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def encoded(payload: Any) -> bytes:
    """Return a value as JSON."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def require_size(payload: Mapping[str, Json], most: int, attribute: str) -> None:
    """Raise :class:`InvalidMessage` for a payload of more bytes than a service takes."""
    if len(encoded(payload)) > most:
        expected = f"At most {most:,} bytes for the whole message, as JSON"
        raise InvalidMessage({attribute: [Detail("Invalid value", expected=expected)]})


# --- what aiohttp is told to do ------------------------------------------------------------------


class _Handler(ResponseHandler):
    """Hears so much and no more: to parse what never ends would take all of the loop's time."""

    _left = _MOST_HEARD

    def data_received(self, data: bytes) -> None:
        if self._left > 0:
            super().data_received(data[: self._left])
        self._left -= len(data)
        if self._left <= 0 and self.transport is not None:
            self.set_exception(HttpProcessingError())  # unless the head is there
            self.transport.abort()


class _OneConnection(aiohttp.BaseConnector):
    """Makes one connection by ``connect``. For a GET or PUT, aiohttp by itself would try another."""

    def __init__(
        self,
        connect: Callable[[Any], Any],
        connected: Callable[[], None],
    ) -> None:
        super().__init__(force_close=True)
        self._handler = partial(_Handler, loop=asyncio.get_running_loop())
        self._connect_once = connect
        self._connected = connected
        self._transport: asyncio.Transport | None = None

    async def _create_connection(self, *_: object) -> ResponseHandler:
        if self._transport is not None:
            raise aiohttp.ClientConnectionError
        self._transport, handler = await self._connect_once(self._handler)
        self._connected()
        return handler  # type: ignore[no-any-return]

    def cut(self) -> None:
        """End the connection at once: a service that does not take leave holds up nobody."""
        if self._transport is not None:
            self._transport.abort()


def _begin_to_send(request: Request, progress: Progress) -> None:
    progress.begin(Step.SEND)
    progress.handed_over = request.acts and not request.body


async def _pieces(request: Request, progress: Progress) -> AsyncIterator[bytes]:
    """Yield the body. Until its last piece is given out no service can act upon it."""
    for start in range(0, len(request.body), _PIECE):
        if start + _PIECE >= len(request.body):
            progress.handed_over = request.acts
        yield request.body[start : start + _PIECE]


def _fields(request: Request) -> Mapping[str, str]:
    # Without the length, aiohttp would send a body that comes in pieces chunked.
    length = {"Content-Length": str(len(request.body))} if request.body else {}
    return {**request.headers, **length}


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    body = b""
    # The status is known already, and with it the outcome.
    with suppress(aiohttp.ClientError, OSError):
        async for piece in content.iter_any():
            body += piece
            if len(body) > _LONGEST_ANSWER:
                return b""
        return body
    return b""
