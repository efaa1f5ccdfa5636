"""What a message's head means for a relay: where its body ends, and what must not be passed on.

Rules of the file

- Pure: bytes in, values out. No socket, no clock, no state.
- A head is accepted as a whole by one regular expression, which is the grammar of RFC 9112 without
  its leniencies (bare LF, obs-fold, blanks before a colon, missing parts), or it is refused. Being
  lenient is how two parsers come to see two different requests in the same bytes.
- What is accepted is not rebuilt. It is passed on as it came, less the spans in ``cuts``.
- A ``Request`` never holds bytes of its head: it may be remembered, and they carry credentials.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from signals_proxy.secret import CREDENTIAL_FIELDS

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

# RFC 9110 7.6.1: what concerns one connection only. `Trailer` and `Transfer-Encoding` describe the
# message as it is passed on, so they stay.
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"upgrade",
    }
)
_NEVER_NAMED: Final = {
    *(name.encode() for name in CREDENTIAL_FIELDS),
    *(b"host", b"content-length", b"transfer-encoding"),
}
# One search finds the few fields that decide anything; all others are passed over unread.
_DECIDING: Final = re.compile(
    rb"\r\n((?i:host|content-length|transfer-encoding|"
    + rb"|".join(sorted(_HOP_BY_HOP))
    + rb")):[\t ]*+([^\r]*+)"
)
_FIELD: Final = re.compile(rb"\r\n([^\r:]++):[^\r]*+")

# RFC 9110 7.2, RFC 3986 3.2.2: a registered name, an IPv4 or a bracketed IPv6 address, and a port.
# No user info, no path, no list: each of them has made two servers see two different hosts.
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
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


@dataclass(frozen=True, slots=True)
class Request:
    """What the head of a request means.

    ``length`` is that of the body in bytes, 0 without one; ``chunked`` overrides it. ``cuts`` are
    the spans that are not passed on. ``host`` is the span of the value of the Host field, if any.
    ``series`` is a thousand times the place of the method in ``METHODS``.
    """

    series: int
    is_head: bool
    is_http_1_0: bool
    length: int
    chunked: bool
    keep_alive: bool
    replayable: bool
    cuts: tuple[tuple[int, int], ...]
    version_end: int
    host: tuple[int, int] | None

    @property
    def has_body(self) -> bool:
        """Tell whether any byte of a body is to come."""
        return self.chunked or self.length > 0

    def forwarded(self, head: bytes, host: bytes | None, default_host: bytes) -> bytes:
        """Return the head as the node is to see it (RFC 9110 7.6.1, 2.5).

        ``host`` replaces the Host field's value; without it the client's own stays, and
        ``default_host`` stands in where there is none, as HTTP/1.0 allows but HTTP/1.1 does not.
        """
        if not self.cuts and not self.is_http_1_0 and host is None:
            return head
        edits = [(start, end, b"") for start, end in self.cuts]
        if self.is_http_1_0:
            edits.append((self.version_end - 1, self.version_end, b"1"))
        if self.host is None:
            field = b"\r\nHost: " + (default_host if host is None else host)
            edits.append((self.version_end, self.version_end, field))
        elif host is not None:
            edits.append((*self.host, host))
        return _edited(head, edits)


@dataclass(frozen=True, slots=True)
class Response:
    """What the head of an answer means. ``length`` is None if neither it nor chunks are given."""

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
    length, chunked, hosts, names, connection = 0, False, [], set(), []
    lengths, codings = [], []
    for found in _DECIDING.finditer(head, match.end(3)):
        name, value = found[1].lower(), found[2].rstrip(b"\t ")
        names.add(name)
        if name == b"host":
            hosts.append((found.start(2), found.start(2) + len(value)))
            if _HOST.fullmatch(value) is None:
                raise Malformed("the Host field is not a host and a port")
        elif name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"connection":
            connection.append(value)
    if len(hosts) != 1 and not (is_http_1_0 and not hosts):
        raise Malformed("there must be exactly one Host field")  # RFC 9112 3.2
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
        length = _content_length(lengths, Malformed)
    options = _connection_options(connection, Malformed)
    # RFC 9112 9.3: 1.1 stays open unless told otherwise, 1.0 closes unless told otherwise.
    keep_alive = b"close" not in options and (not is_http_1_0 or b"keep-alive" in options)
    if method == b"CONNECT":
        raise Malformed("CONNECT is not for a reverse proxy", 405)
    path = target.partition(b"?")[0]
    if b"\\" in path:
        # Some servers take it for a slash. In a query it is the escape of Lucene's syntax: passed.
        raise Malformed("the path holds a backslash")
    request = Request(
        series=_SERIES.get(method, 0),
        is_head=method == b"HEAD",
        is_http_1_0=is_http_1_0,
        length=length,
        chunked=chunked,
        keep_alive=keep_alive,
        # RFC 9112 9.3.1: only what is safe to do twice. A scroll moves on at each GET.
        replayable=method in _REPLAYABLE
        and not chunked
        and length == 0
        and not path.lstrip(b"/").startswith(b"_search/scroll"),
        cuts=_cuts(head, names, options),
        version_end=match.end(3),
        host=hosts[0] if hosts else None,
    )
    return request, target.decode("latin-1")


def parse_response(head: bytes) -> Response:
    """Return what an answer's head means. Raises ``MalformedAnswer``."""
    match = _RESPONSE.fullmatch(head)
    if match is None:
        raise MalformedAnswer("the node's answer is not valid HTTP/1.1")
    status = int(match[2])
    names, connection, lengths, codings, framing = set(), [], [], [], []
    for found in _DECIDING.finditer(head, match.end(2)):
        name, value = found[1].lower(), found[2].rstrip(b"\t ")
        names.add(name)
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
            framing.append(_line_of(found))
        elif name == b"connection":
            connection.append(value)
    is_http_1_0 = match[1] == b"0"
    if codings and (lengths or is_http_1_0):
        # RFC 9112 6.3, rule 3, and 6.1: which of them it means, nobody can tell.
        raise MalformedAnswer("the framing of the node's answer contradicts itself")
    if codings and (len(codings) != 1 or codings[0].lower() != b"chunked"):
        raise MalformedAnswer("the node's answer has an unknown transfer coding")
    options = _connection_options(connection, MalformedAnswer)
    return Response(
        status=status,
        is_http_1_0=is_http_1_0,
        length=_content_length(lengths, MalformedAnswer) if lengths else None,
        chunked=bool(codings),
        keep_alive=not is_http_1_0 and b"close" not in options,
        cuts=_cuts(head, names, options),
        framing=tuple(framing),
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


def _content_length(values: list[bytes], error: Callable[[str], Exception]) -> int:
    # RFC 9112 6.3, rule 5. A list of equal lengths may be accepted; nobody honest sends one.
    if len(values) != 1 or _LENGTH.fullmatch(values[0]) is None:
        raise error("Content-Length is not one number")
    return int(values[0])


def _connection_options(values: list[bytes], error: Callable[[str], Exception]) -> set[bytes]:
    options = {option.strip(b"\t ").lower() for value in values for option in value.split(b",")}
    for option in options & _NEVER_NAMED:
        # RFC 9110 7.6.1 has a recipient remove what is named: an attacker could thus take away
        # the fields by which the next server tells where the message ends, or whose it is.
        raise error(f"the Connection field must not name {option.decode()}")
    return options


def _cuts(head: bytes, names: set[bytes], options: set[bytes]) -> tuple[tuple[int, int], ...]:
    gone = _HOP_BY_HOP | options
    if names.isdisjoint(_HOP_BY_HOP):
        return ()
    return tuple(_line_of(found) for found in _FIELD.finditer(head) if found[1].lower() in gone)


def _line_of(found: re.Match[bytes]) -> tuple[int, int]:
    """Return the span of a field line with the line break *before* it, where a search starts."""
    return found.span()


def _edited(head: bytes, edits: Iterable[tuple[int, int, bytes]]) -> bytes:
    parts, at = [], 0
    for start, end, instead in sorted(edits):
        parts += [head[at:start], instead]
        at = end
    return b"".join([*parts, head[at:]])
