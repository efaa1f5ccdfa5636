"""Fields that clients must not send, and the one that says where a request came from."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import Play, settle

from signals_proxy.relay import Forwarding
from signals_proxy.relay.forwarding import address_of, folded

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
LINE = b"GET / HTTP/1.1\r\nHost: c\r\n"
STRIPPING = Forwarding(frozenset({b"x-proxy-user", b"x-forwarded-for"}))
APPENDING = Forwarding(append_forwarded_for=True)
BOTH = Forwarding(STRIPPING.strip, append_forwarded_for=True)
OURS = b"X-Forwarded-For: 192.0.2.1\r\n"


async def passed(forwarding: Forwarding, *heads: bytes) -> list[bytes]:
    """Have one client send heads in one go, and return what a node sees of each."""
    play = Play(forwarding=forwarding)
    play.client.data_received(b"".join(heads))
    seen = []
    for _ in heads:
        await settle()
        seen.append(bytes(play.node.written))
        play.node.written.clear()
        assert play.node.protocol is not None
        play.node.protocol.data_received(OK)
    play.relay.close()
    await settle()
    return seen


NAMES = [
    *(b"X-Proxy-User", b"x-proxy-user", b"X-PROXY-USER", b"X_Proxy_User", b"X-Proxy_User"),
    *(b"X.Proxy.User", b"x-forwarded-for", b"X_FORWARDED-FOR"),
]


@pytest.mark.parametrize(
    "fields",
    [
        *(name + b": evil\r\n" for name in NAMES),
        b"".join(name + b":evil\r\n" for name in NAMES),
        b"X-Proxy-User:\r\n",
        b"X-Proxy-User: evil\r\nConnection: x-proxy-user\r\n",
        b"X-Proxy-User: evil\r\nConnection: close, X_Proxy_User\r\nX_Proxy_User: evil\r\n",
        b"X-Proxy-User: evil\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade\r\n",
        b"X-Proxy-User: evil\r\nKeep-Alive: 5\r\n",
    ],
)
async def test_stripped(fields: bytes) -> None:
    """No spelling, repetition, place, nor what concerns the connection only, keeps a field in."""
    for head in (LINE + fields + b"a: b\r\n\r\n", LINE + b"a: b\r\n" + fields + b"\r\n"):
        assert await passed(STRIPPING, head) == [LINE + b"a: b\r\n\r\n"]


async def test_stripped_each_time() -> None:
    """It is so for each of several requests that came in one go, met before or not."""
    head, kept = LINE + b"X-Proxy-User: evil\r\n\r\n", LINE + b"X-Proxy-Users: me\r\n\r\n"
    absolute = head.replace(b" / ", b" http://c/ ")
    seen = await passed(STRIPPING, head, kept, head, absolute, head)
    plain = LINE + b"\r\n"
    assert seen == [plain, kept, plain, plain.replace(b" / ", b" http://c/ "), plain]


@given(st.lists(st.sampled_from([*NAMES, b"a", b"Host-X", b"x-proxy"]), max_size=12))
def test_what_is_cut(names: list[bytes]) -> None:
    """Exactly the lines are cut whose name is on the list."""
    head = LINE + b"".join(name + b": v\r\n" for name in names) + b"\r\n"
    cuts, told = STRIPPING.of(head, ())
    lines = [head[start:end] for start, end in cuts]
    assert lines == [b"\r\n%b: v" % name for name in names if folded(name) in STRIPPING.strip]
    assert told is None


@pytest.mark.parametrize(
    ("forwarding", "name"),
    [*((STRIPPING, name) for name in NAMES), *((APPENDING, name) for name in NAMES[-2:])],
)
@pytest.mark.parametrize("before", [b"", b"a: b\r\n"])
async def test_trailers(forwarding: Forwarding, name: bytes, before: bytes) -> None:
    """A field that comes as a trailer is a 400; the request never becomes whole at the node."""
    head = LINE.replace(b"GET", b"PUT") + b"Transfer-Encoding: chunked\r\n\r\n"
    body = b"1;a=b\r\nx\r\n0\r\n" + before + name + b": evil\r\n\r\n"
    for size in (1, len(head + body)):
        play = Play(forwarding=forwarding)
        for start in range(0, len(head + body), size):
            play.client.data_received((head + body)[start : start + size])
            await settle()
        assert bytes(play.wire.written).startswith(b"HTTP/1.1 400 ")
        if size == 1:  # otherwise it was not even connected to
            assert play.node.aborted
            assert b"evil\r\n" not in play.node.written
        play.relay.close()


async def test_other_trailers_pass() -> None:
    play = Play(forwarding=STRIPPING)
    request = LINE.replace(b"GET", b"PUT") + b"Transfer-Encoding: chunked\r\n\r\n0\r\na: b\r\n\r\n"
    play.client.data_received(request)
    await settle()
    assert bytes(play.node.written) == request
    play.relay.close()


async def test_a_body_that_is_a_request_is_none() -> None:
    """What a node has not asked for, or could not meet, is never sent: it may read it as a request."""
    evil = LINE + b"X-Proxy-User: evil\r\n\r\n"
    for expects in (b"100-continue", b"tea"):
        play = Play(forwarding=STRIPPING)
        length = b"Expect: %b\r\nContent-Length: %d\r\n\r\n" % (expects, len(evil))
        play.client.data_received(LINE + length + evil)
        await settle()
        if expects == b"tea":
            assert play.destination.wires == []
        else:
            assert play.node.protocol is not None
            play.node.protocol.data_received(b"HTTP/1.1 103 x\r\n\r\n")
            play.node.protocol.data_received(b"HTTP/1.1 413 x\r\ncontent-length: 0\r\n\r\n")
            play.client.data_received(evil)
            assert bytes(play.node.written) == LINE + length
            assert play.node.aborted
        assert play.wire.ended
        play.relay.close()


@pytest.mark.parametrize(
    ("forwarding", "fields", "value"),
    [
        (APPENDING, b"X_Forwarded_For: 1\r\nX-Forwarded-For: 2\r\n", b"2, 192.0.2.1"),
        (APPENDING, b"", b"192.0.2.1"),
        (APPENDING, b"x-forwarded-FOR:  6.6.6.6, 7.7.7.7 \r\n", b"6.6.6.6, 7.7.7.7, 192.0.2.1"),
        (APPENDING, b"X-Forwarded-For: 1\r\na: b\r\nX-Forwarded-For: 2\r\n", b"1, 2, 192.0.2.1"),
        (APPENDING, b"X-Forwarded-For:\r\nX-Forwarded-For: \r\n", b"192.0.2.1"),
        (APPENDING, b"X-Forwarded-For: 1\r\nConnection: x-forwarded-for\r\n", b"192.0.2.1"),
        (APPENDING, b"X-Forwarded-For: 1\r\nConnection: close\r\n", b"1, 192.0.2.1"),
        (BOTH, b"X-Forwarded-For: 1\r\nX_Forwarded_For: 2\r\n", b"192.0.2.1"),
    ],
)
async def test_appended(forwarding: Forwarding, fields: bytes, value: bytes) -> None:
    """There is one field, at whose right end stands the address; so it is again when met again."""
    head = LINE + fields + b"\r\n"
    if b"close" not in fields:
        await passed(forwarding, head, head)
    rest = b"a: b\r\n" if b"a: b" in fields else b""
    start = LINE.partition(b"Host")[0]
    expected = start + b"X-Forwarded-For: " + value + b"\r\nHost: c\r\n" + rest + b"\r\n"
    assert await passed(forwarding, head) == [expected]


async def test_a_server_of_this_process_is_told_what_proxies_wrote() -> None:
    """It tells its callers' addresses by that; what clients must not say, it is not told either."""
    told = LINE + b"X-Forwarded-For: 6.6.6.6\r\n"
    play = Play(forwarding=BOTH)
    play.destination.patient = True
    play.client.data_received(told + b"X_Proxy-User: evil\r\n\r\n")
    await settle()
    assert bytes(play.node.written) == told + b"\r\n"
    play.relay.close()


async def test_appended_to_http_1_0() -> None:
    """It goes with the other things that are done to a head."""
    (seen,) = await passed(APPENDING, b"GET / HTTP/1.0\r\na: b\r\n\r\n")
    assert seen == b"GET / HTTP/1.1\r\nHost: node:9200\r\n" + OURS + b"a: b\r\n\r\n"


async def test_each_client_is_told_of() -> None:
    """What is remembered of a head says nothing of the client that it came from."""
    play = Play(forwarding=APPENDING)
    for address in ("192.0.2.1", "192.0.2.7"):
        play.client.peer = (address, 1)
        play.client.data_received(LINE + b"\r\n")
        await settle()
        assert play.node.protocol is not None
        play.node.protocol.data_received(OK)
    assert re.findall(rb"X-F[^\r]+", bytes(play.node.written)) == [
        *(b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-For: 192.0.2.7")
    ]
    play.relay.close()


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.1", 1), b"192.0.2.1"),
        (("2001:DB8::1", 1, 0, 0), b"2001:db8::1"),
        (("::ffff:192.0.2.1", 1, 0, 0), b"192.0.2.1"),
        (("fe80::1%eth0", 1, 0, 2), b"fe80::1"),
        (None, b"unknown"),
        ("", b"unknown"),
    ],
)
def test_address(peer: object, address: bytes) -> None:
    """An address has one form; who has left already is unknown, which no cluster trusts."""
    assert address_of(peer) == address
