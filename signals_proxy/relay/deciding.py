"""An exchange whose destination depends on the body of its request.

It reads the body, up to a limit, before there is a destination; what it has read is then sent on as
the bytes that came, and from there on it is an exchange like any other.

Rule of the file: whatever cannot be looked at goes to ``ByBody.otherwise``: a body over the limit,
its chunks' framing counted, and one whose client waits for a ``100 Continue`` before it sends it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from signals_proxy.relay.body import Chunked, MalformedBody
from signals_proxy.relay.exchange import Exchange
from signals_proxy.relay.head import Request
from signals_proxy.relay.pool import Destination
from signals_proxy.relay.waiting import Waiting

__all__ = ["LOOKED_AT", "ByBody", "DecidingExchange"]

LOOKED_AT: Final = 64 * 1024
"""Bytes of a body that are read before it has a destination."""


@dataclass(frozen=True, slots=True)
class ByBody:
    """What a route names where a target alone does not tell the destination.

    ``decide`` is given the target and the body, without the framing of its chunks, and does not
    raise.
    """

    decide: Callable[[str, bytes], Destination]
    otherwise: Destination


class DecidingExchange(Exchange):
    """See the top of the file."""

    __slots__ = ("_choice", "_content", "_read")

    def __init__(self, client: Waiting, request: Request, choice: ByBody, head: bytes) -> None:
        super().__init__(client, request, choice.otherwise, head)
        self._choice: ByBody | None = choice  # until it is made
        self._read = bytearray()  # the body as it came
        self._content = bytearray()  # the data of its chunks, if it has such

    def upload(self, data: bytes) -> None:
        """See ``Exchange``; what belongs to the body is kept until its destination is chosen."""
        if self._choice is None:
            super().upload(data)
            return
        try:
            data = self._body_of(data)
        except MalformedBody as malformed:
            self._refuse(400, str(malformed))
            return
        self._start(data)

    def _start(self, rest: bytes) -> None:
        choice, body = self._choice, self._body
        assert choice is not None  # noqa: S101
        self._read += rest
        if isinstance(body, Chunked):
            for start, end in body.pieces:
                self._content += rest[start:end]
        size = max(self.request.length, len(self._read))
        if size <= LOOKED_AT and not (body is not None and self.request.expects_continue):
            if not self.request_is_sent:
                return
            content = self._content if isinstance(body, Chunked) else self._read
            target = self._head.split(b" ", 2)[1].decode("latin-1")
            self.destination = choice.decide(target, bytes(content))
            if self.destination.patient:
                self.request = self.request.within or self.request
        self._choice = None
        early = bytes(self._read)
        self._read.clear()
        self._content.clear()
        super()._start(early)
