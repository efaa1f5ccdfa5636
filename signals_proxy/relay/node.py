"""The relay's side towards a destination: a connection to it, and the answer that comes on it.

Rules of the file

- A connection belongs to one client's exchange or to its pool, never to both. Bytes that come while
  it belongs to the pool are nobody's answer: the connection is dropped.
- Whether a connection may serve again is decided here, in ``_may_serve_again``, once.
- Bytes are passed on as the objects that came wherever nothing has to be taken out.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from signals_proxy.relay.answered import Answered, Home
from signals_proxy.relay.body import Body, Chunked, Length, MalformedBody, UntilClose
from signals_proxy.relay.head import (
    MalformedAnswer,
    Response,
    forbids_body,
    parse_response,
)
from signals_proxy.relay.memory import Memory
from signals_proxy.relay.sockets import input_poll

__all__ = ["NodeConnection", "understand_response"]

# Elasticsearch 8.19, after a request head of 20 to 40 kB, answers 400 and keeps the connection
# open, but never answers on it again.
_POISONOUS_HEAD: Final = 8 * 1024

_MEMORABLE_CUTS: Final = 8


def _parse(head: bytes) -> tuple[Response, bool]:
    response = parse_response(head)
    return response, len(response.cuts) <= _MEMORABLE_CUTS


understand_response = Memory(_parse, limit=1024).__call__


class NodeConnection(asyncio.Protocol):
    """A connection to a node, or to another server that speaks HTTP/1.1."""

    __slots__ = (
        "_answer",
        "_body",
        "_client",
        "_early",
        "_head",
        "_home",
        "_paused",
        "_poll",
        "_touched",
        "_unchunk",
        "default_host",
        "full",
        "host",
        "idle_since",
        "served",
        "transport",
    )

    def __init__(
        self, home: "Home[NodeConnection]", default_host: bytes, host: bytes | None
    ) -> None:
        self._home = home
        self.default_host = default_host
        self.host = host
        self.transport: asyncio.Transport | None = None
        self._client: Answered | None = None
        self._head = b""
        self._answer: Response | None = None
        self._body: Body | None = None
        self._unchunk = False
        self._touched = False
        self._early = False  # it refused a request before that was written
        self._paused = False
        self._poll: Callable[[int], object] | None = None
        self.full = False
        self.served = 0
        self.idle_since = 0.0

    # What its client asks of it.

    def begin(self, client: Answered, data: bytes) -> None:
        """Send the first bytes of a client's request, and bring the answer back to it."""
        self._client = client
        self._touched = False
        self.served += 1
        assert self.transport is not None  # noqa: S101
        self.transport.write(data)

    def send(self, data: bytes) -> None:
        """Send more bytes of the request."""
        assert self.transport is not None  # noqa: S101
        self.transport.write(data)

    def pause(self, paused: bool) -> None:
        """Stop, or go on, reading the answer."""
        if paused is self._paused or self.transport is None or self.transport.is_closing():
            return
        self._paused = paused
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    @property
    def is_in_use(self) -> bool:
        """Whether a client waits for the rest of an answer."""
        return self._client is not None

    def is_still(self) -> bool:
        """Tell whether the connection stands, and nothing is there to be read (RFC 9112 9.3.1).

        The kernel is asked: what came since the event loop last looked would be taken for the
        answer to a request that was not even sent.
        """
        if self.transport is None or self.transport.is_closing():
            return False
        return self._poll is None or not self._poll(0)

    def drop(self) -> None:
        """End the connection at once: its client is gone, or it has done something wrong.

        To Elasticsearch the end of a connection means that its request is cancelled.
        """
        self._client = None
        if self.transport is not None:
            self.transport.abort()

    # What the event loop tells it.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See ``asyncio.BaseProtocol``."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self._poll = input_poll(transport)

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        if self._client is None:
            self.drop()
            return
        self._touched = True
        if self._body is None:
            self._read_head(data)
        else:
            self._read_body(data, 0, b"")

    def pause_writing(self) -> None:
        """See ``asyncio.BaseProtocol``."""
        self.full = True
        if self._client is not None:
            self._client.node_is_full(True)

    def resume_writing(self) -> None:
        """See ``asyncio.BaseProtocol``."""
        self.full = False
        if self._client is not None:
            self._client.node_is_full(False)

    def eof_received(self) -> None:
        """See ``asyncio.Protocol``. The regular end of an answer without a length."""
        if self._client is not None and isinstance(self._body, UntilClose):
            self._complete()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """See ``asyncio.BaseProtocol``."""
        self._home.forget(self)
        if self._client is not None:
            self._fail("the node closed the connection before its answer was whole")
        self.transport = None

    # The answer.

    def _read_head(self, data: bytes) -> None:
        if self._head:
            data = self._head + data
            self._head = b""
        limit = self._home.response_head_size
        while self._client is not None:
            end = data.find(b"\r\n\r\n", 0, limit) + 4
            if end < 4:
                if len(data) >= limit:
                    self._fail("the head of the node's answer is too long")
                self._head = data
                return
            head = data[:end]
            try:
                response = understand_response(head)
            except MalformedAnswer as malformed:
                self._fail(str(malformed))
                return
            if response.status >= 200:
                self._final_head(response, head, data)
                return
            if response.status == 101:
                # Nobody asked: the fields that would are hop-by-hop, and taken out.
                self._fail("the node switched protocols unasked")
                return
            self._client.informed(response, head)
            data = data[end:]
            if not data:
                return

    def _final_head(self, response: Response, head: bytes, data: bytes) -> None:
        client = self._client
        assert client is not None  # noqa: S101
        self._answer = response
        if response.status >= 400:
            self._early = not self._request_is_written(client)
        length = response.length
        if client.request.is_head or forbids_body(response.status):
            length = 0
        endless = length is None and not response.chunked
        edited = client.edit(response, head, endless=endless)
        # The object that came, if its head may go as it is: nothing is copied in the ordinary case,
        # nor has a body to be followed that is whole already.
        if length is not None and len(data) == len(head) + length:
            client.passed(data if edited is head else edited + data[len(head) :])
            self._complete()
            return
        if length is not None:
            self._body = Length(length)
        else:
            self._body = UntilClose() if endless else Chunked()
        self._unchunk = length is None and response.chunked and client.request.is_http_1_0
        self._read_body(data, len(head), edited, whole=edited is head)

    def _read_body(self, data: bytes, start: int, head: bytes, *, whole: bool = False) -> None:
        body, client = self._body, self._client
        assert body is not None  # noqa: S101
        assert client is not None  # noqa: S101
        try:
            end = start if body.complete else body.feed(data, start)
        except MalformedBody as malformed:
            self._fail(str(malformed))
            return
        if self._unchunk and isinstance(body, Chunked):
            client.passed(b"".join([head, *(data[a:b] for a, b in body.pieces)]))
        elif whole or start == 0:
            client.passed(data if end == len(data) else data[:end])
        else:
            client.passed(head + data[start:end])
        if body.complete:
            self._complete(surplus=end < len(data))

    def _complete(self, *, surplus: bool = False) -> None:
        client, again = self._client, self._may_serve_again(surplus=surplus)
        assert client is not None  # noqa: S101
        self._client = self._answer = self._body = None
        if self._paused:
            self.pause(False)
        if again:
            self._home.take_back(self)
        else:
            self.drop()
        client.answered()

    def _may_serve_again(self, *, surplus: bool) -> bool:
        answer, client, transport = self._answer, self._client, self.transport
        assert answer is not None  # noqa: S101
        assert client is not None  # noqa: S101
        if surplus or not answer.keep_alive or self._early or self.full:
            return False
        if isinstance(self._body, UntilClose) or transport is None or transport.is_closing():
            return False
        if client.request.chunked and client.request_is_adorned:
            # Elasticsearch 9.5 answers 200 to a body whose extensions it does not like, and never
            # again on that connection; aiohttp 3.14 takes trailers for fields of the next request.
            return False
        # What follows is what nodes were seen to do after refusing a request half-read.
        # Elasticsearch 8.19 takes the body of what it answered with 413 or 417 for a next request.
        if answer.status in {413, 417, 431}:
            return False
        if answer.status == 400 and client.head_size > _POISONOUS_HEAD:
            return False
        # RFC 9112 9.5: and not if it answered without having been sent everything.
        return self._request_is_written(client)

    def _request_is_written(self, client: Answered) -> bool:
        return (
            client.request_is_sent
            and self.transport is not None
            and self.transport.get_write_buffer_size() == 0
        )

    def _fail(self, reason: str) -> None:
        client = self._client
        assert client is not None  # noqa: S101
        self.drop()
        client.lost(reason, untouched=not self._touched)
