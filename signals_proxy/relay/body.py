"""Where a message's body ends.

Rules of the file

- Pure, and nothing is copied: ``feed`` is shown the bytes that came and tells by an offset how far
  the body goes in them. Whoever called it passes on the bytes themselves.
- Chunks are read as strictly as heads are: one way to write them, or ``MalformedBody``. Their
  framing and their trailers have limits, as everything that is parsed has.
"""

import enum
import re
from typing import Final, Protocol

from signals_proxy.relay.forwarding import folded

__all__ = ["Body", "Chunked", "Length", "MalformedBody", "UntilClose"]

CHUNK_LINE_LIMIT: Final = 4096
"""Bytes of a chunk's first line, its extensions included (RFC 9112 7.1.1 asks for a limit)."""

TRAILER_LIMIT: Final = 16 * 1024
"""Bytes of all trailer fields together."""

# RFC 9112 7.1.1, without its blanks. Netty and llhttp accept this and little else; what they refuse
# after their answer has begun leaves their connection open, and dead for whoever gets it next.
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_EXTENSION: Final = (
    rb";" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[\t\x20\x21\x23-\x5b\x5d-\x7e]*+"))?'
)
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})((?:" + _EXTENSION + rb")*+)\r\n")
_PLAIN_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_CHUNK_START: Final = re.compile(rb"[0-9A-Fa-f]{1,15}(?:;[\t\x20-\x7e\x80-\xff]*+)?\r?")
_CHUNK_END_START: Final = re.compile(rb"\r")
_TRAILER_LINE: Final = re.compile(
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+\r\n",
)


class MalformedBody(Exception):
    """A body whose framing is not what RFC 9112 7.1 says."""


class Body(Protocol):
    """The rest of a message, after its head."""

    complete: bool

    def feed(self, data: bytes, start: int) -> int:
        """Return the offset in ``data`` behind the last byte, from ``start``, that is the body's.

        Raises ``MalformedBody``.
        """
        ...


class Length:
    """A body of so many bytes (RFC 9112 6.2)."""

    __slots__ = ("complete", "remaining")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.complete = length == 0

    def feed(self, data: bytes, start: int) -> int:
        """See ``Body``."""
        end = min(len(data), start + self.remaining)
        self.remaining -= end - start
        self.complete = self.remaining == 0
        return end


class UntilClose:
    """A body that ends with its connection (RFC 9112 6.3, rule 8): of answers only."""

    __slots__ = ("complete",)

    def __init__(self) -> None:
        self.complete = False

    def feed(self, data: bytes, start: int) -> int:  # noqa: ARG002
        """See ``Body``."""
        return len(data)


class _Expecting(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    DATA_END = enum.auto()
    TRAILER = enum.auto()


class Chunked:
    """A body in chunks, with their trailers (RFC 9112 7.1).

    ``pieces`` are the spans of plain data in what was last fed, for those who pass the body on
    without its chunks. A trailer whose folded name is one of ``strip`` makes the body malformed.
    """

    __slots__ = (
        *("_expecting", "_line", "_remaining", "_strip", "_trailers"),
        *("adorned", "complete", "pieces"),
    )

    def __init__(self, strip: frozenset[bytes] = frozenset()) -> None:
        self._strip = strip
        self.complete = False
        self.adorned = False  # it has extensions or trailers
        self.pieces: list[tuple[int, int]] = []
        self._expecting = _Expecting.SIZE
        self._line = b""
        self._remaining = 0
        self._trailers = 0

    def feed(self, data: bytes, start: int) -> int:
        """See ``Body``."""
        self.pieces.clear()
        at = start
        while at < len(data) and not self.complete:
            if self._expecting is _Expecting.DATA:
                end = min(len(data), at + self._remaining)
                self.pieces.append((at, end))
                self._remaining -= end - at
                at = end
                if self._remaining == 0:
                    self._expecting = _Expecting.DATA_END
            elif self._expecting is _Expecting.SIZE and not self._line:
                at = self._feed_chunks(data, at)
                if at < len(data):
                    at = self._feed_line(data, at)
            else:
                at = self._feed_line(data, at)
        return at

    def _feed_chunks(self, data: bytes, at: int) -> int:
        """Read chunks that are whole and plain, of which a body may have very many."""
        while (match := _PLAIN_LINE.match(data, at)) is not None:
            start = match.end()
            end = start + int(match[1], 16)
            if end == start or data[end : end + 2] != b"\r\n":
                break
            self.pieces.append((start, end))
            at = end + 2
        return at

    def _feed_line(self, data: bytes, at: int) -> int:
        """Read up to the end of a line, keeping an unfinished one for the next call."""
        end = data.find(b"\n", at) + 1
        piece = data[at:end] if end else data[at:]
        self._line += piece
        if len(self._line) > CHUNK_LINE_LIMIT:
            raise MalformedBody("a chunk or trailer line is too long")
        if end == 0:
            self._refuse_early()
            return len(data)
        line, self._line = self._line, b""
        match self._expecting:
            case _Expecting.SIZE:
                self._size_line(line)
            case _Expecting.DATA_END:
                if line != b"\r\n":
                    raise MalformedBody("a chunk is longer than its size says")
                self._expecting = _Expecting.SIZE
            case _:
                self._trailer_line(line)
        return end

    def _refuse_early(self) -> None:
        """Refuse an unfinished line that can only end badly, so that none of it is passed on."""
        expected = {_Expecting.SIZE: _CHUNK_START, _Expecting.DATA_END: _CHUNK_END_START}
        pattern = expected.get(self._expecting)
        if pattern is not None and pattern.fullmatch(self._line) is None:
            raise MalformedBody("the framing of the chunks is not valid")

    def _size_line(self, line: bytes) -> None:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise MalformedBody("a chunk does not begin with its size")
        self._remaining = int(match[1], 16)
        self.adorned = self.adorned or bool(match[2])
        self._expecting = _Expecting.DATA if self._remaining else _Expecting.TRAILER

    def _trailer_line(self, line: bytes) -> None:
        self._trailers += len(line)
        if self._trailers > TRAILER_LIMIT:
            raise MalformedBody("the trailers are too long")
        if line == b"\r\n":
            self.complete = True
        elif _TRAILER_LINE.fullmatch(line) is None:
            raise MalformedBody("a trailer is not a valid field")
        elif self._strip and folded(line.partition(b":")[0]) in self._strip:
            raise MalformedBody("a trailer is a field that clients must not send")
        else:
            self.adorned = True
