"""Requests whose body decides on their destination: nothing else about them is different."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import PlayedDestination, Wire, settle

from signals_proxy.relay import ByBody, Forwarding, Limits, Relay
from signals_proxy.relay.client import ClientConnection
from signals_proxy.relay.deciding import LOOKED_AT

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEAD = b"POST /decide?a HTTP/1.1\r\nHost: c\r\n"


class Two:
    """A relay with two destinations: ``ours`` gets the requests whose body says so."""

    def __init__(self, limits: Limits | None = None, forwarding: Forwarding | None = None) -> None:
        self.ours, self.others = PlayedDestination(patient=True), PlayedDestination()
        self.asked: list[tuple[str, bytes]] = []
        choice = ByBody(self._decide, self.others)
        self.relay = Relay(
            lambda target: choice if target.startswith("/decide") else self.others,
            [self.ours, self.others],
            limits or Limits(),
            forwarding=forwarding,
        )
        self.wire = Wire()
        self.client = ClientConnection(self.relay)
        self.wire.protocol = self.client
        self.client.connection_made(self.wire)

    def _decide(self, target: str, body: bytes) -> PlayedDestination:
        self.asked.append((target, body))
        return self.ours if b"ours" in body or "ours" in target else self.others

    async def tell(self, *pieces: bytes) -> None:
        """Have the client send, as the event loop would."""
        for piece in pieces:
            if not self.wire.closed:
                self.client.data_received(piece)
            await settle()

    async def answer(self, destination: PlayedDestination, data: bytes = OK) -> None:
        """Have the node that was connected to last answer."""
        protocol = destination.wires[-1].protocol
        assert protocol is not None
        protocol.data_received(data)
        await settle()

    def seen(self) -> tuple[bytes, bytes]:
        """What either destination was sent so far, on all connections."""
        ours, others = (b"".join(w.written for w in it.wires) for it in (self.ours, self.others))
        return ours, others

    async def close(self) -> None:
        self.relay.close()
        await settle()
        assert len(self.relay) == 0


def length(body: bytes) -> bytes:
    """A request with a body of a length."""
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """A request with a body in chunks."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(it), it) for it in chunks)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n" + trailers + b"\r\n"


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data, cut at these places."""
    places = [0, *sorted({cut % len(data) for cut in cuts} - {0}), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


CUTS = st.lists(st.integers(0, 10_000), max_size=20)


@given(
    st.sampled_from([b"x", b"ours", b"is it ours or the others'?", b"0123456789" * 50]),
    st.lists(st.integers(1, 30), max_size=10),
    st.booleans(),
    CUTS,
)
def test_however_the_bytes_come(
    body: bytes, chunk_cuts: list[int], in_chunks: bool, cuts: list[int]
) -> None:
    """However a body is split, one destination gets the bytes that came, and the next request too."""
    request = chunked(*pieces(body, chunk_cuts)) if in_chunks else length(body)

    async def play() -> None:
        two = Two()
        await two.tell(*pieces(request + request, cuts))
        chosen, other = (two.ours, two.others) if b"ours" in body else (two.others, two.ours)
        await two.answer(chosen)
        await two.answer(chosen)
        assert two.asked == [("/decide?a", body)] * 2
        assert b"".join(bytes(it.written) for it in chosen.wires) == request * 2
        assert other.wires == []
        assert bytes(two.wire.written) == OK * 2
        await two.close()

    asyncio.run(play())


async def test_nothing_is_sent_before_the_body_is_whole() -> None:
    """The head waits for the body: not a byte goes to a destination that might be the wrong one."""
    two = Two()
    request = length(b"ours")
    await two.tell(request[:-1])
    assert two.seen() == (b"", b"")
    await two.tell(request[-1:])
    assert two.seen() == (request, b"")
    await two.close()


async def test_without_a_body_the_target_decides() -> None:
    two = Two()
    requests = [b"GET /decide/%b HTTP/1.1\r\nHost: c\r\n\r\n" % it for it in (b"ours", b"theirs")]
    await two.tell(requests[0])
    await two.answer(two.ours)
    await two.tell(requests[1])
    await two.answer(two.others)
    assert two.seen() == tuple(requests)
    assert two.asked == [("/decide/ours", b""), ("/decide/theirs", b"")]
    await two.close()


@pytest.mark.parametrize("size", [LOOKED_AT, LOOKED_AT + 1])
async def test_a_body_over_the_limit_is_not_looked_at(size: int) -> None:
    """One byte more than the limit, and the request is passed on at once, without being asked of."""
    two = Two()
    request = length(b"ours".ljust(size))
    await two.tell(request[:500])
    passed_on = request[:500] if size > LOOKED_AT else b""
    assert two.seen() == (b"", passed_on)
    await two.tell(request[500:])
    whole = (b"", request) if size > LOOKED_AT else (request, b"")
    assert two.seen() == whole
    assert len(two.asked) == (size <= LOOKED_AT)
    await two.close()


async def test_chunks_over_the_limit_are_passed_on() -> None:
    """No more than the limit is kept of a body in chunks, however small they are."""
    two = Two()
    request = chunked(*[b"o"] * LOOKED_AT)
    sent = 0
    while two.seen() == (b"", b""):
        await two.tell(request[sent : sent + 4096])
        sent += 4096
        assert sent < LOOKED_AT + 2 * 4096
    await two.tell(request[sent:])
    assert two.seen() == (b"", request)
    assert two.asked == []
    await two.close()


async def test_a_client_that_waits_for_100_is_not_kept_waiting() -> None:
    """Whoever expects a 100 Continue gets it from where everything else goes."""
    two = Two()
    head = HEAD + b"eXpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    await two.tell(head)
    assert two.seen() == (b"", head)
    await two.answer(two.others, b"HTTP/1.1 100 Continue\r\n\r\n")
    await two.tell(b"ours")
    await two.answer(two.others)
    assert two.seen() == (b"", head + b"ours")
    assert bytes(two.wire.written) == b"HTTP/1.1 100 Continue\r\n\r\n" + OK
    await two.close()


async def test_chunks_that_are_none_are_refused() -> None:
    """A body whose framing is broken gets a 400, and neither destination learns of it."""
    two = Two()
    await two.tell(HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nours\r\n", b"x\r\n")
    assert two.wire.written.startswith(b"HTTP/1.1 400 ")
    assert two.wire.ended
    assert two.seen() == (b"", b"")
    await two.close()


async def test_a_body_that_does_not_come_in_time() -> None:
    """A body that stops on its way is a 408 after the idle time-out; nothing was sent anywhere."""
    two = Two(Limits(idle_timeout_s=5.0))
    await two.tell(length(b"ours")[:-1])
    two.client.expire()
    assert two.wire.written.startswith(b"HTTP/1.1 408 ")
    assert two.seen() == (b"", b"")
    await two.close()


async def test_a_client_that_leaves() -> None:
    """A client that leaves in the middle of a body leaves nothing behind."""
    two = Two()
    await two.tell(length(b"ours")[:-1])
    two.client.eof_received()
    await settle()
    assert two.wire.aborted
    assert two.seen() == (b"", b"")
    await two.close()


async def test_retiring_while_a_body_comes() -> None:
    """A request whose body was under way when the relay retired is answered, as its last one."""
    two = Two()
    request = length(b"ours")
    await two.tell(request[:-1])
    retired = asyncio.create_task(two.relay.retire())
    await two.tell(request[-1:])
    await two.answer(two.ours)
    assert bytes(two.wire.written) == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert two.wire.ended
    two.client.eof_received()
    await retired
    await two.close()


async def test_trailers_and_extensions_pass() -> None:
    """What adorns chunks is passed on as it came; the body is its data alone."""
    two = Two()
    request = HEAD + b"Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nours\r\n0\r\nx: y\r\n\r\n"
    await two.tell(request)
    assert two.asked == [("/decide?a", b"ours")]
    assert two.seen() == (request, b"")
    await two.close()


async def test_http_1_0() -> None:
    """A client of HTTP/1.0 is served as ever."""
    two = Two()
    await two.tell(b"GET /decide HTTP/1.0\r\nContent-Length: 4\r\n\r\nours")
    assert two.seen()[0].startswith(b"GET /decide HTTP/1.1\r\nHost: node:9200\r\n")
    await two.answer(two.ours)
    assert two.wire.ended
    await two.close()


async def test_what_either_is_told_of_proxies_before_us() -> None:
    """A server of this process is told what they wrote, and the cluster what this one does."""
    forwarding = Forwarding(frozenset({b"x-user"}), append_forwarded_for=True)
    fields = b"X-Forwarded-For: 6.6.6.6\r\nX-User: evil\r\n"
    for body in (b"ours", b"none"):
        two = Two(forwarding=forwarding)
        await two.tell(length(body).replace(b"Content", fields + b"Content", 1))
        (seen,) = filter(None, two.seen())
        assert b"evil" not in seen
        told = b"6.6.6.6" if body == b"ours" else b"6.6.6.6, 192.0.2.1"
        assert b"X-Forwarded-For: %b\r\n" % told in seen
        await two.close()
