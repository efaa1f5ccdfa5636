"""One request of this process's own, sent as if a client had sent it, on the data plane's connections.

It carries what its caller writes into it, and no credentials of the proxy.
"""

import asyncio
from typing import Final, NamedTuple

from signals_proxy.errors import Lost, TimedOut
from signals_proxy.relay.head import Request, Response, parse_request
from signals_proxy.relay.node import NodeConnection
from signals_proxy.relay.pool import Reachable

__all__ = ["Answer", "ask"]

ANSWER_LIMIT: Final = 1024 * 1024
"""Bytes that the body of an answer may have."""

ANSWER_TIMEOUT_S: Final = 30.0


class Answer(NamedTuple):
    """An answer; ``fields`` are those of its head that do not concern one connection only."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


async def ask(
    destination: Reachable, head: bytes, body: bytes, *, timeout_s: float = ANSWER_TIMEOUT_S
) -> Answer:
    """Send a request and return its answer.

    ``head`` is one of HTTP/1.0, whose clients know no chunks: so the answer comes without.

    Raises ``Malformed`` for a head that is none, ``NotConnected``, ``Lost``, also for an answer
    over ``ANSWER_LIMIT``, and ``TimedOut`` if all of it, connecting too, takes longer than
    ``timeout_s``.
    """
    request, _ = parse_request(head)
    node: NodeConnection | None = None
    errand = _Errand(request, len(head))
    try:
        async with asyncio.timeout(timeout_s):
            node = destination.idle(None) or await destination.connect(None)
            if node.transport is None:
                raise Lost("the node closed the connection at once")
            node.begin(errand, request.forwarded(head, node.host, node.default_host) + body)
            return await errand.answer
    except TimeoutError as error:
        raise TimedOut(f"no answer within {timeout_s:g} s") from error
    finally:
        if node is not None and not errand.is_over:
            node.drop()


class _Errand:
    """The client of a connection to a node: see ``answered.Answered``."""

    request_is_sent = True
    request_is_adorned = False

    def __init__(self, request: Request, head_size: int) -> None:
        self.request = request
        self.head_size = head_size
        self.is_over = False
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._head = b""
        self._body = bytearray()

    def informed(self, response: Response, head: bytes) -> None:
        pass

    def edit(self, response: Response, head: bytes, *, endless: bool) -> bytes:  # noqa: ARG002
        self._status = response.status
        self._head = response.forwarded(head, None, unchunked=True)
        return b""

    def passed(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > ANSWER_LIMIT and not self.answer.done():
            self._body.clear()
            self.answer.set_exception(Lost(f"the node's answer has over {ANSWER_LIMIT} bytes"))

    def answered(self) -> None:
        self.is_over = True
        lines = (line.partition(b":") for line in self._head.split(b"\r\n")[1:-2])
        fields = tuple((name, value.strip(b"\t ")) for name, _, value in lines)
        if not self.answer.done():
            self.answer.set_result(Answer(self._status, fields, bytes(self._body)))

    def lost(self, reason: str, *, untouched: bool) -> None:  # noqa: ARG002
        self.is_over = True
        if not self.answer.done():
            self.answer.set_exception(Lost(reason))

    def node_is_full(self, full: bool) -> None:
        pass
