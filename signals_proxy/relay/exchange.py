"""One request and its answer.

An exchange has two halves, which may end in either order:

    ============  =====================================  ==========================================
    phase         what has happened                      what comes next
    ============  =====================================  ==========================================
    CALLING       a head came; its destination is being  a connection: ANSWERING; none: an answer
                  chosen (see ``deciding``), connected   of our own, and the client's connection
                  to, or waited for                      closes
    EXPECTING     the head was sent; its client may      a 100: ANSWERING, and the body is sent;
                  wait to be asked for the body, which   any other answer: as in ANSWERING
                  is held back
    ANSWERING     the head was sent                      both halves whole: the connection's next
                                                         exchange; the answer whole before the
                                                         request: the client's connection closes;
                                                         no answer: CALLING once more, or a 502
    OVER          the client is gone, or was answered    nothing
    ============  =====================================  ==========================================

Rules of the file

- In the ordinary exchange there is no task, no pause and no copy: two reads and two writes. A task
  exists only while a connection is made, or a place at a node waited for.
- A body whose client may wait for a 100 is never sent before it: Elasticsearch 8.19 takes the body of
  what it answers with 413 or 417 instead for a next request, at which nobody here has looked. Whether
  that client will send it after all, nobody can tell (RFC 9110 10.1.1): its connection ends, too.
- A client that is gone takes its exchange with it: the node's connection is dropped, by which
  Elasticsearch cancels what it was doing.
"""

import asyncio
import enum

from signals_proxy.errors import Lost, SignalsError
from signals_proxy.relay.body import Body, Chunked, Length, MalformedBody
from signals_proxy.relay.head import Request, Response
from signals_proxy.relay.node import NodeConnection
from signals_proxy.relay.pool import Destination
from signals_proxy.relay.waiting import Waiting

__all__ = ["Exchange"]


class Phase(enum.Enum):
    """See the table on top of the file."""

    CALLING = enum.auto()
    EXPECTING = enum.auto()
    ANSWERING = enum.auto()
    OVER = enum.auto()


# Looked up once, not at each event.
CALLING, EXPECTING, ANSWERING, OVER = Phase


class Exchange:
    """See the top of the file. ``received`` are the bytes of the request that came so far."""

    __slots__ = (
        "_body",
        "_client",
        "_close",
        "_early",
        "_head",
        "_node",
        "_phase",
        "_repeated",
        "_task",
        "destination",
        "head_size",
        "received",
        "request",
        "request_is_sent",
        "status",
    )

    def __init__(
        self, client: Waiting, request: Request, destination: Destination, head: bytes
    ) -> None:
        self.request = request
        self.request_is_sent = not request.has_body
        self.head_size = self.received = len(head)
        self.status = 0  # of the answer, once it has begun
        self._phase = CALLING
        self._client = client
        self.destination = destination
        self._head = head  # until it is sure that it need not be sent again
        self._early = b""  # what came of a body before there was somewhere to send it
        self._body: Body | None = None
        self._node: NodeConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._close = not request.keep_alive
        self._repeated = False

    @property
    def answer_has_begun(self) -> bool:
        """Whether the client has something of the final answer."""
        return self.status != 0

    # The request.

    @property
    def holds_body(self) -> bool:
        """Whether the body would not be sent yet if it came."""
        return self.request.expects_continue and self._phase is not ANSWERING

    @property
    def request_is_adorned(self) -> bool:
        """Whether its body has what few servers ever saw: extensions of chunks, or trailers."""
        return isinstance(self._body, Chunked) and self._body.adorned

    def begin(self, rest: bytes) -> None:
        """Send the head, and what of ``rest``, the bytes that came with it, is its body."""
        request = self.request
        if request.has_body:
            self._body = Chunked(request.strip) if request.chunked else Length(request.length)
            if request.expects_continue:
                self._client.read_ahead(rest)
                self._start(b"")
                return
            try:
                rest = self._body_of(rest)
            except MalformedBody as malformed:
                self._refuse(400, str(malformed))
                return
        elif rest:
            self._client.read_ahead(rest)
            rest = b""
        self._start(rest)

    def _start(self, rest: bytes) -> None:
        node = self.destination.idle(self._client.peer)
        if node is None:
            self._call(rest)
        else:
            self._send(node, rest)

    def upload(self, data: bytes) -> None:
        """Send what of ``data`` belongs to the body; what comes too soon is kept for later."""
        if self._phase is not ANSWERING or self.request_is_sent:
            self._client.read_ahead(data)
            return
        try:
            data = self._body_of(data)
        except MalformedBody as malformed:
            if self.answer_has_begun:
                self._client.cut_off()
            else:
                self._refuse(400, str(malformed))
            return
        assert self._node is not None  # noqa: S101
        self._node.send(data)

    def _body_of(self, data: bytes) -> bytes:
        body = self._body
        assert body is not None  # noqa: S101
        end = body.feed(data, 0)
        self.received += end
        self.request_is_sent = body.complete
        if end == len(data):
            return data
        self._client.read_ahead(data[end:])
        return data[:end]

    def _call(self, early: bytes) -> None:
        self._phase = CALLING
        self._early = early
        self._task = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            try:
                node = await self.destination.connect(self._client.peer, new=self._repeated)
            except SignalsError as error:
                self._task = None
                self._refuse(error.status, error)
            else:
                self._task = None
                self._connected(node)
        except Exception:
            self._client.cut_off()  # a mistake of ours must not leave the client waiting
            raise

    def _connected(self, node: NodeConnection) -> None:
        if node.transport is None:
            self._refuse(502, Lost("the node closed the connection at once"))
            return
        early, self._early = self._early, b""
        self._send(node, early)
        if not self.request_is_sent:
            ahead = self._client.take_ahead()
            if ahead:
                self.upload(ahead)

    def _send(self, node: NodeConnection, early: bytes) -> None:
        at_once = self.request_is_sent or not self.request.expects_continue
        self._phase = ANSWERING if at_once else EXPECTING
        self._node, client = node, self._client
        head = self.request.forwarded(self._head, node.host, node.default_host, client.peer)
        if not self.request.replayable:
            self._head = b""
        if client.stuck:
            node.pause(True)
        node.begin(self, head + early if early else head)

    # The answer: see ``answered.Answered``.

    def informed(self, response: Response, head: bytes) -> None:
        """Pass on an interim answer, to those who know of such (RFC 9110 15.2)."""
        if not self.request.is_http_1_0:
            self._client.pass_on(response.forwarded(head, None, unchunked=False))
        if response.status == 100 and self._phase is EXPECTING:
            self._phase = ANSWERING
            ahead = self._client.take_body()
            if ahead:
                self.upload(ahead)

    def edit(self, response: Response, head: bytes, *, endless: bool) -> bytes:
        """Return the head as the client is to see it, and decide whether it is the last."""
        self.status = response.status
        self._head = b""
        unchunked = response.chunked and self.request.is_http_1_0
        if (
            unchunked
            or endless
            or response.is_http_1_0
            or not self.request_is_sent
            or self._client.draining
        ):
            self._close = True
        connection = None
        if self._close:
            connection = b"close"
        elif self.request.is_http_1_0:
            connection = b"keep-alive"
        return response.forwarded(head, connection, unchunked=unchunked)

    def passed(self, data: bytes) -> None:
        """Pass on bytes of the answer."""
        self._client.pass_on(data)

    def answered(self) -> None:
        """End the exchange; the node's connection is no longer ours."""
        self._phase = OVER
        self._node = None
        self._client.done(close=self._close)

    def lost(self, reason: str, *, untouched: bool) -> None:
        """Make the best of a connection that ended."""
        node, self._node = self._node, None
        self.node_is_full(False)
        if self.answer_has_begun:
            self._client.cut_off()  # RFC 9112 8: whatever the client has must not look whole
        elif (
            untouched and self._head and not self._repeated and node is not None and node.served > 1
        ):
            # The node closed a connection that had been idle while our request was on its way.
            self._repeated = True
            self.destination.tally.repeated += 1
            self._call(b"")
        else:
            self._refuse(502, Lost(reason))

    def node_is_full(self, full: bool) -> None:
        """Stop, or go on, reading from the client."""
        self._client.node_is_full(full)

    # The client.

    def client_is_stuck(self, stuck: bool) -> None:
        """Stop, or go on, reading from the node."""
        if self._node is not None:
            self._node.pause(stuck)

    def abandon(self) -> None:
        """End the exchange, whatever it is at: the client is gone."""
        self._phase = OVER
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._node is not None:
            self._node.drop()
            self._node = None

    def _refuse(self, status: int, reason: str | SignalsError) -> None:
        self.abandon()
        self._client.refuse(status, reason, is_head=self.request.is_head)
