"""What heads mean, and which are refused: tables, and what must hold for every head."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.errors import SignalsError
from signals_proxy.relay.head import (
    Malformed,
    MalformedAnswer,
    parse_request,
    parse_response,
    refuse_early,
)
from signals_proxy.secret import CREDENTIAL_FIELDS

# Each line: what is wrong, the status, the head without its final CRLF CRLF.
REFUSED = [
    ("no Host in HTTP/1.1", 400, b"GET / HTTP/1.1\r\na: b"),
    ("two Hosts", 400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a"),
    ("two Hosts in HTTP/1.0", 400, b"GET / HTTP/1.0\r\nHost: a\r\nhost: a"),
    ("an empty Host", 400, b"GET / HTTP/1.1\r\nHost:"),
    ("a Host with user info", 400, b"GET / HTTP/1.1\r\nHost: u@h"),
    ("a Host with a path", 400, b"GET / HTTP/1.1\r\nHost: h/x"),
    ("a list of Hosts", 400, b"GET / HTTP/1.1\r\nHost: a, b"),
    ("a Host with a blank", 400, b"GET / HTTP/1.1\r\nHost: a b"),
    ("a Host with a port that is none", 400, b"GET / HTTP/1.1\r\nHost: a:9x"),
    ("HTTP/0.9", 400, b"GET /"),
    ("HTTP/2", 400, b"PRI * HTTP/2.0"),
    ("HTTP/1.2", 400, b"GET / HTTP/1.2\r\nHost: a"),
    ("HTTP/1.10", 400, b"GET / HTTP/1.10\r\nHost: a"),
    ("http in small letters", 400, b"GET / http/1.1\r\nHost: a"),
    ("another protocol: RTSP", 400, b"GET / RTSP/1.1\r\nHost: a"),
    ("another protocol: ICE", 400, b"SOURCE / ICE/1.0\r\nHost: a"),
    ("two blanks in the request line", 400, b"GET  / HTTP/1.1\r\nHost: a"),
    ("a tab in the request line", 400, b"GET\t/ HTTP/1.1\r\nHost: a"),
    ("a blank behind the version", 400, b"GET / HTTP/1.1 \r\nHost: a"),
    ("a blank before the method", 400, b" GET / HTTP/1.1\r\nHost: a"),
    ("no target", 400, b"GET HTTP/1.1\r\nHost: a"),
    ("a target with a blank", 400, b"GET /a b HTTP/1.1\r\nHost: a"),
    ("a target with a fragment", 400, b"GET /a#b HTTP/1.1\r\nHost: a"),
    ("a target with a control character", 400, b"GET /a\x01b HTTP/1.1\r\nHost: a"),
    ("a target with DEL", 400, b"GET /a\x7fb HTTP/1.1\r\nHost: a"),
    ("a path with a backslash", 400, b"GET /a\\b HTTP/1.1\r\nHost: a"),
    ("a method that is no token", 400, b"GE(T / HTTP/1.1\r\nHost: a"),
    ("CONNECT", 405, b"CONNECT a:443 HTTP/1.1\r\nHost: a"),
    ("a bare LF between fields", 400, b"GET / HTTP/1.1\r\nHost: a\nb: c"),
    ("a bare CR in a value", 400, b"GET / HTTP/1.1\r\nHost: a\r\nb: c\rd: e"),
    ("NUL in a value", 400, b"GET / HTTP/1.1\r\nHost: a\r\nb: \x00"),
    ("a control character in a value", 400, b"GET / HTTP/1.1\r\nHost: a\r\nb: c\x0bd"),
    ("a folded line", 400, b"GET / HTTP/1.1\r\nHost: a\r\nb: c\r\n d"),
    ("a folded first line", 400, b"GET / HTTP/1.1\r\n Host: a"),
    ("a blank before the colon", 400, b"GET / HTTP/1.1\r\nHost : a"),
    ("a field without a name", 400, b"GET / HTTP/1.1\r\nHost: a\r\n: b"),
    ("a field without a colon", 400, b"GET / HTTP/1.1\r\nHost: a\r\nb"),
    ("a field name that is no token", 400, b"GET / HTTP/1.1\r\nHost: a\r\nb\xe4: c"),
    ("both lengths", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked"),
    ("Transfer-Encoding in HTTP/1.0", 400, b"P / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked"),
    ("two lengths", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\ncontent-length: 2"),
    ("the same length twice", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1"),
    ("a list of lengths", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1"),
    ("an empty length", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length:"),
    ("a negative length", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length: -1"),
    ("a length with a sign", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length: +1"),
    ("a length in hexadecimal", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1"),
    ("a length with an underscore", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0"),
    ("a length in other digits", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2"),
    ("a length beyond all measure", 400, b"P / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 19),
    ("another coding", 501, b"P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip"),
    ("a list of codings", 501, b"P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked"),
    ("chunked twice", 501, b"P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked"),
    ("chunked in two fields", 501, b"P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
    ("an empty coding", 501, b"P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:"),
    ("chunked with a parameter", 501, b"P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1"),
    ("chunked behind a control character", 400, b"P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked"),
    ("another expectation", 417, b"P / HTTP/1.1\r\nHost: a\r\nExpect: tea"),
    ("an empty expectation", 417, b"P / HTTP/1.1\r\nHost: a\r\nExpect:"),
    ("two expectations", 417, b"P / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, tea"),
    ("two fields of expectations", 417, b"P / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nexpect: 100-continue"),
    ("an expectation in HTTP/1.0", 417, b"P / HTTP/1.0\r\nHost: a\r\nExpect: tea"),
] + [
    (f"Connection naming {name.decode()}", 400, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, " + name.upper())
    for name in sorted({name.encode() for name in CREDENTIAL_FIELDS} | {b"host", b"content-length", b"expect", b"transfer-encoding"})
]  # fmt: skip

REFUSED_ANSWERS = [
    ("no status", b"HTTP/1.1"),
    ("a status of two digits", b"HTTP/1.1 99 x"),
    ("a status of four digits", b"HTTP/1.1 2000 x"),
    ("another version", b"HTTP/2 200 OK"),
    ("a folded line", b"HTTP/1.1 200 OK\r\na: b\r\n c"),
    ("a blank before the colon", b"HTTP/1.1 200 OK\r\nContent-Length : 5"),
    ("chunks in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked"),
    ("both lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5"),
    ("a length that is none", b"HTTP/1.1 200 OK\r\nContent-Length: x"),
    ("another coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked"),
    ("Connection naming the length", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: content-length"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "head"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused(status: int, head: bytes) -> None:
    """A head that could be read in two ways, or in none, is refused."""
    with pytest.raises(Malformed) as refused:
        parse_request(head + b"\r\n\r\n")
    assert refused.value.status == status


@pytest.mark.parametrize(
    "head", [case[1] for case in REFUSED_ANSWERS], ids=[case[0] for case in REFUSED_ANSWERS]
)
def test_answer_refused(head: bytes) -> None:
    """An answer that could be read in two ways, or in none, is refused."""
    with pytest.raises(MalformedAnswer):
        parse_response(head + b"\r\n\r\n")


@pytest.mark.parametrize(
    "host", [b"a", b"a:9200", b"127.0.0.1:1", b"[::1]:9200", b"[::1]", b"a_b.c-d.", b"a:"]
)
def test_host(host: bytes) -> None:
    """A name or an address, with or without a port, is a host."""
    request, _ = parse_request(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert request.host == (22, 22 + len(host))


def test_target_keeps_its_odd_bytes() -> None:
    """A target with obs-text, quotes and a backslash in its query is passed as it is."""
    _, target = parse_request(b'GET /\xe4"<>^`{|}?q=a\\:b HTTP/1.1\r\nHost: a\r\n\r\n')
    assert target == '/\xe4"<>^`{|}?q=a\\:b'


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.1", b"Connection: x\r\nConnection: CLOSE\r\n", False),
        (b"1.1", b"Connection: keep-alive\r\n", True),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: Keep-Alive\r\n", True),
        (b"1.0", b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_keep_alive(version: bytes, connection: bytes, keep_alive: bool) -> None:
    """HTTP/1.1 stays open unless told otherwise, HTTP/1.0 closes unless told otherwise."""
    request, _ = parse_request(b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + connection + b"\r\n")
    assert request.keep_alive is keep_alive


@pytest.mark.parametrize(
    ("line", "replayable"),
    [
        (b"GET /", True),
        (b"HEAD /a/_doc/1", True),
        (b"POST /", False),
        (b"get /", False),
        (b"DELETE /a", False),
        (b"GET /_search/scroll", False),
        (b"GET _search/scroll", False),
        (b"GET /_search/scroll/x", False),
        (b"GET /_search%2Fscroll", False),
        (b"GET /%5Fsearch/scrol%6c", False),
        (b"GET /_search//scroll", False),
        (b"GET /./_search/scroll", False),
        (b"GET http://a/_search/scroll", False),
        (b"GET /a?x=/_search/scroll", True),
    ],
)
def test_replayable(line: bytes, replayable: bool) -> None:
    """Only what is safe to do twice may be repeated; a scroll moves on at each request."""
    request, _ = parse_request(line + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert request.replayable is replayable


@pytest.mark.parametrize("body", [b"Content-Length: 1", b"Transfer-Encoding: Chunked"])
def test_request_with_body_is_not_replayable(body: bytes) -> None:
    """A GET with a body is not repeated: its body is not kept."""
    request, _ = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + body + b"\r\n\r\n")
    assert (request.replayable, request.has_body) == (False, True)


def test_host_is_replaced() -> None:
    """The Host field's value becomes the node's where that is asked for, and nothing else does."""
    head = b"GET / HTTP/1.1\r\nb: c\r\nhOst:  a:1 \r\nd: e\r\n\r\n"
    request, _ = parse_request(head)
    forwarded = request.forwarded(head, b"node.example:443", b"unused")
    assert forwarded == b"GET / HTTP/1.1\r\nb: c\r\nhOst:  node.example:443 \r\nd: e\r\n\r\n"


def test_http_1_0_without_host_gets_the_node_s() -> None:
    """HTTP/1.0 may lack the Host field, HTTP/1.1, in which the node is spoken to, may not."""
    head = b"GET / HTTP/1.0\r\na: b\r\n\r\n"
    request, _ = parse_request(head)
    assert request.forwarded(head, None, b"n:1") == b"GET / HTTP/1.1\r\nHost: n:1\r\na: b\r\n\r\n"
    assert request.forwarded(head, b"m", b"n:1") == b"GET / HTTP/1.1\r\nHost: m\r\na: b\r\n\r\n"


def test_edits_that_overlap() -> None:
    """A head of which one byte would be edited twice is passed on to nobody."""
    head = b"GET / HTTP/1.1\r\na: b\r\nHost: c\r\n\r\n"
    request, _ = parse_request(head)
    for cuts in ((14, 20), (15, 22)), ((14, 20), (14, 20)), ((20, 29),):
        with pytest.raises(SignalsError, match="overlap"):
            replace(request, cuts=cuts).forwarded(head, b"d", b"")


def test_close_names_no_field() -> None:
    """It is an option alone: what is called so is a field like any other."""
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close, TE\r\nClose: 1\r\nTE: x\r\n\r\n"
    request, _ = parse_request(head)
    kept = b"GET / HTTP/1.1\r\nHost: a\r\nClose: 1\r\n\r\n"
    assert request.forwarded(head, None, b"") == kept


TOKEN = st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,20}", fullmatch=True)
VALUE = st.from_regex(rb"[\t\x20-\x7e\x80-\xff]{0,40}", fullmatch=True)
DECIDES = {
    b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive",
    b"proxy-connection", b"te", b"upgrade", b"http2-settings",
}  # fmt: skip


@given(st.lists(st.tuples(TOKEN, VALUE), max_size=8))
def test_ordinary_fields_pass_untouched(fields: list[tuple[bytes, bytes]]) -> None:
    """A head whose fields concern nobody but the two ends is the very object that came."""
    kept = [(name, value) for name, value in fields if name.lower() not in DECIDES]
    lines = b"".join(name + b":" + value + b"\r\n" for name, value in kept)
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n"
    request, _ = parse_request(head)
    assert request.forwarded(head, None, b"unused") is head


@given(
    st.lists(st.tuples(TOKEN, VALUE), max_size=6),
    st.sampled_from(
        sorted(DECIDES - {b"host", b"content-length", b"transfer-encoding", b"connection"})
    ),
    VALUE,
)
def test_hop_by_hop_fields_are_taken_out_and_nothing_else(
    fields: list[tuple[bytes, bytes]], hop: bytes, value: bytes
) -> None:
    """What remains of a head is every line but that of the connection, in the order that came."""
    kept = [(name, text) for name, text in fields if name.lower() not in DECIDES]
    lines = [name + b":" + text for name, text in kept]
    before, after = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    start = b"GET / HTTP/1.1\r\nHost: a"
    head = b"\r\n".join([start, *before, hop + b":" + value, *after]) + b"\r\n\r\n"
    request, _ = parse_request(head)
    expected = b"\r\n".join([start, *before, *after]) + b"\r\n\r\n"
    assert request.forwarded(head, None, b"unused") == expected


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """Whatever comes is understood or refused; nothing else is raised."""
    for head in (data, b"GET / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n\r\n"):
        try:
            request, target = parse_request(head)
        except Malformed as malformed:
            assert malformed.status in {400, 405, 501}
        else:
            assert target
            assert re.search(rb"[\r\n]{2}\Z", request.forwarded(head, b"h", b"d"))
        try:
            parse_response(b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n")
        except MalformedAnswer as malformed:
            assert str(malformed)


@pytest.mark.parametrize(
    "partial",
    [
        b"GET / HTTP/1.1\nHost: a",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET /\r\n",
        b"\x16\x03\x01\x00\r\n",
    ],
)
def test_refused_before_it_is_whole(partial: bytes) -> None:
    """What can never become a head is refused at once, whole or at its first wrong byte."""
    with pytest.raises(Malformed):
        refuse_early(partial, 0)
    with pytest.raises(Malformed):
        for end in range(1, len(partial) + 1):
            refuse_early(partial[:end], end - 1)


@pytest.mark.parametrize(
    "partial", [b"", b"\r", b"GET", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\nHost: a\r\nb"]
)
def test_not_refused_before_it_is_whole(partial: bytes) -> None:
    """What may still become a head is waited for."""
    refuse_early(partial, 0)


def test_a_response_s_length_and_close() -> None:
    """An answer of HTTP/1.0 is the last on its connection."""
    response = parse_response(b"HTTP/1.0 200\r\nContent-Length: 5\r\n\r\n")
    assert (response.keep_alive, response.length, response.status) == (False, 5, 200)
