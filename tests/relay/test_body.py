"""Where bodies end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.relay.body import (
    CHUNK_LINE_LIMIT,
    TRAILER_LIMIT,
    Chunked,
    Length,
    MalformedBody,
    UntilClose,
)

REFUSED = [
    ("no size", b"\r\n"),
    ("a size that is none", b"x\r\n"),
    ("a size with a sign", b"+1\r\n"),
    ("a size with 0x", b"0x1\r\n"),
    ("a size with a blank before it", b" 1\r\n"),
    ("a size with a blank behind it", b"1 \r\n"),
    ("a size with a bare LF", b"1\n"),
    ("a size beyond all measure", b"1" * 16 + b"\r\n"),
    ("an extension with a control character", b"1;a\x01\r\n"),
    ("a bare CR in an extension", b"1;a\rb\r\n"),
    # What Elasticsearch 9.5 answers with 200, and never again on that connection:
    *(
        (f"an extension with {it!r}", b"1;a" + it.encode("latin-1") + b"\r\n")
        for it in '(),/:<>?@[\\]{}"\xe4'
    ),
    ("an extension without a name", b"1;\r\n"),
    ("an extension without a value", b"1;a=\r\n"),
    ("an extension with a blank", b"1; a\r\n"),
    ("an unclosed quote", b'1;a="b\r\n'),
    ("an escaped quote", b'1;a="\\"b"\r\n'),
    ("a chunk that is too long", b"1\r\nab\r\n"),
    ("a chunk that ends with a bare LF", b"1\r\na\n"),
    ("a chunk that ends with two CRs", b"1\r\na\r\r\n"),
    ("a trailer that is no field", b"0\r\nx\r\n"),
    ("a folded trailer", b"0\r\na: b\r\n c\r\n"),
    ("a trailer with a bare LF", b"0\r\na: b\n"),
    ("an end with a bare LF", b"0\r\n\n"),
    ("an endless extension", b"1;" + b"a" * CHUNK_LINE_LIMIT),
    ("endless trailers", b"0\r\n" + b"a: b\r\n" * (TRAILER_LIMIT // 6 + 1)),
]


@pytest.mark.parametrize("data", [case[1] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused(data: bytes) -> None:
    """Chunks that could be read in two ways, or are without end, are refused however they come."""
    with pytest.raises(MalformedBody):
        Chunked().feed(data, 0)
    with pytest.raises(MalformedBody):
        _feed_in_pieces(Chunked(), data, 1)


def _feed_in_pieces(body: Chunked | Length, data: bytes, size: int) -> bytes:
    plain, at = b"", 0
    while at < len(data) and not body.complete:
        piece = data[at : at + size]
        end = body.feed(piece, 0)
        if isinstance(body, Chunked):
            plain += b"".join(piece[a:b] for a, b in body.pieces)
        else:
            plain += piece[:end]
        at += end
    assert body.complete
    return plain + b"|" + data[at:]


@given(
    st.lists(st.binary(min_size=1, max_size=30), max_size=5),
    st.binary(max_size=5),
    st.integers(1, 50),
)
def test_chunks_in_any_pieces(chunks: list[bytes], rest: bytes, size: int) -> None:
    """Chunks that come in pieces of any size hold what was put in, and end where they end."""
    framed = b"".join(b"%x;x=y\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    data = framed + b"000\r\nTrailer: 1\r\n\r\n" + rest
    assert _feed_in_pieces(Chunked(), data, size) == b"".join(chunks) + b"|" + rest


@given(st.binary(max_size=100), st.integers(0, 60), st.integers(1, 50))
def test_length_in_any_pieces(data: bytes, length: int, size: int) -> None:
    """A body with a length takes that many bytes and no more."""
    length = min(length, len(data))
    expected = data[:length] + b"|" + data[length:]
    assert _feed_in_pieces(Length(length), data, size) == expected


@pytest.mark.parametrize(
    ("data", "adorned"),
    [
        (b"1\r\na\r\n0\r\n\r\n", False),
        (b"1;a\r\na\r\n0\r\n\r\n", True),
        (b'1\r\na\r\n0;a="b c";d=e\r\n\r\n', True),
        (b"0\r\na: b\r\n\r\n", True),
    ],
)
def test_adorned(data: bytes, adorned: bool) -> None:
    """Extensions and trailers are noted: what servers make of them is not to be relied on."""
    for size in (1, 100):
        body = Chunked()
        _feed_in_pieces(body, data, size)
        assert body.adorned is adorned


def test_feeding_from_the_middle() -> None:
    """A body begins behind its head, in the same bytes."""
    data = b"head1\r\na\r\n0\r\n\r\nnext"
    body = Chunked()
    assert (body.feed(data, 4), body.complete, body.pieces) == (len(data) - 4, True, [(7, 8)])


def test_until_close() -> None:
    """A body that ends with its connection takes everything, and is never complete."""
    body = UntilClose()
    assert (body.feed(b"abc", 1), body.complete) == (3, False)
