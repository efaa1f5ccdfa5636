"""What a message's head means for a relay: where its body ends, and what must not be passed on.

Rules of the file

- Pure: bytes in, values out. No socket, no clock, no state.
- A head is accepted as a whole by one regular expression, which is the grammar of RFC 9112 without
  its leniencies (bare LF, obs-fold, blanks before a colon, missing parts), or it is refused. Being
  lenient is how two parsers come to see two different requests in the same bytes.
- What is accepted is not rebuilt. It is passed on as it came, less the spans in ``cuts``.
- A ``Request`` never holds bytes of its head: it may be remembered, and they carry credentials.
- What is made for each new head is no frozen dataclass: those take eight times as long to make.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from signals_proxy.errors import SignalsError
from signals_proxy.relay.fields import connection_options, content_length, cuts, deciding, spans
from signals_proxy.relay.forwarding import address_of

__all__ = [
    "METHODS",
    "Malformed",
    "MalformedAnswer",
    "Request",
    "Response",
    "forbids_body",
    "parse_request",
    "parse_response",
    "refuse_early",
]

METHODS: Final = ("other", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
"""Those that clusters know, and what stands for all others where they are counted."""

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# RFC 9110 5.5: visible characters, blanks, tabs and obs-text. The quantifiers are possessive: a
# head that does not match fails in linear time.
_FIELDS: Final = rb"((?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n)*+)\r\n"
# RFC 9112 3. The target is any run of visible octets but "#", which no target holds (3.2); octets
# above 0x7f are against RFC 3986, but clients send them and Elasticsearch reads them.
_REQUEST_LINE: Final = rb"(" + _TOKEN + rb") ([\x21\x22\x24-\x7e\x80-\xff]++) HTTP/1\.([01])\r\n"
_REQUEST: Final = re.compile(_REQUEST_LINE + _FIELDS)
_ONLY_REQUEST_LINE: Final = re.compile(_REQUEST_LINE)
_RESPONSE: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*+)?\r\n" + _FIELDS
)

# RFC 9110 7.2, RFC 3986 3.2.2: a registered name, an IPv4 or a bracketed IPv6 address, and a port.
# No user info, no path, no list: each of them has made two servers see two different hosts.
_HOST: Final = re.compile(
    rb"\r\n[Hh](?i:ost):[\t ]*+"
    rb"((?:[A-Za-z0-9._~!$&'()*+;=%-]++|\[[0-9A-Fa-f:.]++\])(?::[0-9]{0,5}+)?+)[\t ]*+\r"
)
_REPLAYABLE: Final = (b"GET", b"HEAD")
_SERIES: Final = {name.encode(): 1000 * place for place, name in enumerate(METHODS)}

_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class Malformed(Exception):
    """A request that is not passed on; ``status`` is the answer to give. Its connection is over."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class MalformedAnswer(Exception):
    """An answer of a node that cannot be passed on: a 502, and the node's connection is dropped."""


@dataclass(slots=True)
class Request:
    """What the head of a request means. It is remembered and shared, and so never changed.

    ``length`` is that of the body in bytes, 0 without one; ``chunked`` overrides it; ``has_body``
    tells whether any byte of it is to come. ``cuts`` are the spans that are not passed on. ``host`` is the span of the value of the Host field, if any.
    ``series`` is a thousand times the place of the method in ``METHODS``. ``expects_continue``: its
    client may wait for a ``100 Continue``. ``strip`` are the folded names of fields that its trailers
    must not have, and ``forwarded_for`` the spans of what stands before its client's address in a
    field of ours, None if there is to be none: see ``forwarding``. ``within`` is what a server of this
    process is to see instead, should the body have the request go there.
    """

    series: int
    is_head: bool
    is_http_1_0: bool
    length: int
    chunked: bool
    has_body: bool
    keep_alive: bool
    replayable: bool
    cuts: tuple[tuple[int, int], ...]
    version_end: int
    host: tuple[int, int] | None
    expects_continue: bool = False
    strip: frozenset[bytes] = frozenset()
    forwarded_for: tuple[tuple[int, int], ...] | None = None
    within: "Request | None" = None

    def forwarded(
        self, head: bytes, host: bytes | None, default_host: bytes, peer: object = None
    ) -> bytes:
        """Return the head as the node is to see it (RFC 9110 7.6.1, 2.5), sent by ``peer``.

        ``host`` replaces the Host field's value; without it the client's own stays, and
        ``default_host`` stands in where there is none, as HTTP/1.0 allows but HTTP/1.1 does not.
        """
        if not (self.cuts or self.is_http_1_0) and host is None and self.forwarded_for is None:
            return head
        edits = [(start, end, b"") for start, end in self.cuts]
        if self.is_http_1_0:
            edits.append((self.version_end - 1, self.version_end, b"1"))
        if self.host is None:
            field = b"\r\nHost: " + (default_host if host is None else host)
            edits.append((self.version_end, self.version_end, field))
        elif host is not None:
            edits.append((*self.host, host))
        if self.forwarded_for is not None:
            told = [*(head[start:end] for start, end in self.forwarded_for), address_of(peer)]
            field = b"\r\nX-Forwarded-For: " + b", ".join(told)
            edits.append((self.version_end, self.version_end, field))
        return _edited(head, edits)


@dataclass(slots=True)
class Response:
    """What the head of an answer means, which is never changed. ``length`` is None if neither it nor chunks are given."""

    status: int
    is_http_1_0: bool
    length: int | None
    chunked: bool
    keep_alive: bool
    cuts: tuple[tuple[int, int], ...]
    framing: tuple[tuple[int, int], ...]

    def forwarded(self, head: bytes, connection: bytes | None, *, unchunked: bool) -> bytes:
        """Return the head as the client is to see it.

        ``connection`` is the value of a Connection field of our own; ``unchunked`` leaves out the
        fields about chunks, for a client of HTTP/1.0 (RFC 9112 6.1).
        """
        if not self.cuts and connection is None and not unchunked:
            return head
        edits = [(start, end, b"") for start, end in self.cuts]
        if unchunked:
            edits += [(start, end, b"") for start, end in self.framing]
        if connection is not None:
            end = len(head) - 2
            edits.append((end, end, b"Connection: " + connection + b"\r\n"))
        return _edited(head, edits)


def forbids_body(status: int) -> bool:
    """Tell whether an answer of this status ends at its head (RFC 9112 6.3, rule 1)."""
    return status in {204, 304}


def parse_request(head: bytes) -> tuple[Request, str]:
    """Return what a request's head means, and its target.

    ``head`` is everything up to and with the empty line. Raises ``Malformed``.
    """
    match = _REQUEST.fullmatch(head)
    if match is None:
        raise Malformed("the request head is not valid HTTP/1.1")
    method, target, minor, _ = match.groups()
    is_http_1_0 = minor == b"0"
    length, chunked = 0, False
    fields = deciding(head, match.end(3))
    hosts, lengths = fields.get(b"host", []), fields.get(b"content-length", [])
    codings, expectations = fields.get(b"transfer-encoding", []), fields.get(b"expect", [])
    if len(hosts) != 1 and not (is_http_1_0 and not hosts):
        raise Malformed("there must be exactly one Host field")  # RFC 9112 3.2
    host = _HOST.search(head, match.end(3)) if hosts else None
    if hosts and host is None:
        raise Malformed("the Host field is not a host and a port")
    if codings:
        # RFC 9112 6.1 and 6.3: whatever could be read in two ways is an attack, or as bad as one.
        if is_http_1_0:
            raise Malformed("Transfer-Encoding is not defined for HTTP/1.0")
        if lengths:
            raise Malformed("both Transfer-Encoding and Content-Length are given")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            *inner, last = [
                coding.strip(b"\t ") for coding in b",".join(codings).lower().split(b",")
            ]
            # RFC 9112 6.3, rule 4: where chunks end within another coding, nobody can tell.
            status = 400 if b"chunked" in inner and last != b"chunked" else 501
            raise Malformed("the only transfer coding understood is chunked", status)
        chunked = True
    elif lengths:
        length = content_length(lengths, Malformed)
    options = connection_options(fields, Malformed)
    # RFC 9112 9.3: 1.1 stays open unless told otherwise, 1.0 closes unless told otherwise.
    keep_alive = b"close" not in options and (not is_http_1_0 or b"keep-alive" in options)
    if method == b"CONNECT":
        raise Malformed("CONNECT is not for a reverse proxy", 405)
    if expectations and (len(expectations) != 1 or expectations[0].lower() != b"100-continue"):
        # RFC 9110 10.1.1. Elasticsearch says so too; but 8.19 takes the body for a next request then.
        raise Malformed("the only expectation understood is 100-continue", 417)
    path = target.partition(b"?")[0]
    if b"\\" in path:
        # Some servers take it for a slash. In a query it is the escape of Lucene's syntax: passed.
        raise Malformed("the path holds a backslash")
    has_body = chunked or length > 0
    request = Request(
        series=_SERIES.get(method, 0),
        is_head=method == b"HEAD",
        is_http_1_0=is_http_1_0,
        length=length,
        chunked=chunked,
        has_body=has_body,
        keep_alive=keep_alive,
        # RFC 9112 9.3.1: only what is safe to do twice. A scroll moves on at each GET, and how it
        # may be written is for the node to know.
        replayable=method in _REPLAYABLE
        and not has_body
        and b"scroll" not in path
        and b"%" not in path,
        cuts=cuts(head, fields, options),
        version_end=match.end(3),
        host=host.span(1) if host else None,
        expects_continue=bool(expectations),
    )
    return request, target.decode("latin-1")


def parse_response(head: bytes) -> Response:
    """Return what an answer's head means. Raises ``MalformedAnswer``."""
    match = _RESPONSE.fullmatch(head)
    if match is None:
        raise MalformedAnswer("the node's answer is not valid HTTP/1.1")
    status = int(match[2])
    fields = deciding(head, match.end(2))
    codings, lengths = fields.get(b"transfer-encoding", []), fields.get(b"content-length", [])
    is_http_1_0 = match[1] == b"0"
    if codings and (lengths or is_http_1_0):
        # RFC 9112 6.3, rule 3, and 6.1: which of them it means, nobody can tell.
        raise MalformedAnswer("the framing of the node's answer contradicts itself")
    if codings and (len(codings) != 1 or codings[0].lower() != b"chunked"):
        raise MalformedAnswer("the node's answer has an unknown transfer coding")
    options = connection_options(fields, MalformedAnswer)
    return Response(
        status=status,
        is_http_1_0=is_http_1_0,
        length=content_length(lengths, MalformedAnswer) if lengths else None,
        chunked=bool(codings),
        keep_alive=not is_http_1_0 and b"close" not in options,
        cuts=cuts(head, fields, options),
        framing=spans(head, {b"transfer-encoding"}) if codings else (),
    )


def refuse_early(partial: bytes, start: int) -> None:
    """Refuse what can never become a head, before its time-out would. Raises ``Malformed``.

    ``start`` is where the bytes begin that were not there at the last call.
    """
    if _BARE_LF.search(partial, max(0, start - 1)):
        raise Malformed("a line of the request head ends without CR")
    end = partial.find(b"\r\n")
    if end >= max(0, start - 1) and _ONLY_REQUEST_LINE.fullmatch(partial, 0, end + 2) is None:
        raise Malformed("the request line is not valid HTTP/1.1")


def _edited(head: bytes, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    parts, at = [], 0
    for start, end, instead in sorted(edits):
        if start < at:
            raise SignalsError("two edits of a head overlap")  # it would say what nobody wrote
        parts += [head[at:start], instead]
        at = end
    return b"".join([*parts, head[at:]])
