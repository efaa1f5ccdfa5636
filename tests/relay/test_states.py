"""Rules of an exchange that no dialogue can express: limits, full buffers, poison, draining."""

import asyncio
import socket
import struct

import pytest
from wire import Play, Wire, settle

from signals_proxy.errors import NotConnected
from signals_proxy.relay import Limits
from signals_proxy.relay.answered import Answered
from signals_proxy.relay.client import LINGER_BYTES
from signals_proxy.relay.node import NodeConnection
from signals_proxy.relay.reading import READ_AHEAD, Awaited

GET = b"GET / HTTP/1.1\r\nHost: c\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


async def tell(play: Play, data: bytes) -> None:
    """Have the client send, as the event loop would."""
    play.client.data_received(data)
    await settle()


async def answer(play: Play, data: bytes) -> None:
    """Have the node send, as the event loop would."""
    assert play.node.protocol is not None
    play.node.protocol.data_received(data)
    await settle()


async def test_poisonous_head() -> None:
    """A node's connection is not used again after it refused a head over 8 KiB with 400."""
    play = Play()
    await tell(play, GET[:-2] + b"x: " + b"y" * 8192 + b"\r\n\r\n")
    await answer(play, b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    assert (play.node.closed, play.destination.kept) == (True, [])


async def test_refused_before_it_was_written() -> None:
    """A node's connection is not used again after an answer that came before all was written."""
    for status, kept in ((413, 0), (200, 0)):
        play = Play()
        await tell(play, b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\n12")
        play.node.__class__ = Full
        await answer(play, b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % status)
        assert len(play.destination.kept) == kept


class Full(Wire):
    """A wire that takes nothing more."""

    def get_write_buffer_size(self) -> int:
        return 1


@pytest.mark.parametrize(("status", "kept"), [(400, 0), (503, 0), (200, 1)])
@pytest.mark.parametrize("unwritten", ["body", "buffer"])
async def test_refused_before_it_was_written_and_whole_after(
    status: int, kept: int, unwritten: str
) -> None:
    """A refusal that begins too soon ends a node's connection, also if all is written at its end."""
    play = Play()
    await tell(play, b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\n1")
    if unwritten == "buffer":
        await tell(play, b"2")
        play.node.__class__ = Full
    await answer(play, b"HTTP/1.1 %d x\r\ncontent-length: 2\r\n\r\na" % status)
    if unwritten == "buffer":
        play.node.__class__ = Wire
    else:
        await tell(play, b"2")
    await answer(play, b"b")
    assert len(play.destination.kept) == kept


async def test_a_full_node_stops_the_client_and_is_not_used_again() -> None:
    """While the node does not read, the client is not read; a connection left full is dropped."""
    play = Play()
    await tell(play, b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: 4\r\n\r\n12")
    node = play.node.protocol
    assert node is not None
    node.pause_writing()
    assert (play.wire.reading, play.client.is_held()) == (False, True)
    node.resume_writing()
    assert (play.wire.reading, play.client.is_held()) == (True, False)
    node.pause_writing()
    await tell(play, b"34")
    await answer(play, OK)
    assert (play.wire.reading, play.node.closed) == (True, True)


async def test_a_slow_client_stops_the_node() -> None:
    """While the client does not read, the node is not read, nor is a next request begun."""
    play = Play()
    await tell(play, GET)
    play.client.pause_writing()
    assert play.node.reading is False
    await tell(play, GET)
    await answer(play, OK)
    assert play.node.reading is True  # it waits for other clients' work now
    assert bytes(play.node.written) == GET
    play.client.resume_writing()
    await settle()
    assert bytes(play.node.written) == GET + GET


async def test_who_does_not_read_an_answer_is_not_waited_for_for_ever() -> None:
    """Its node gets the place back; who reads a little has all his time again."""
    play = Play(Limits(idle_timeout_s=10))
    await tell(play, GET)
    await answer(play, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n1")
    play.client.since -= 100
    for _ in range(2):
        play.client.pause_writing()
        assert play.client.awaited() is Awaited.READER
        play.client.since -= 9
        play.relay._tick()
        assert play.node.aborted is False
        play.client.resume_writing()
        assert play.client.awaited() is Awaited.NOTHING
    play.client.pause_writing()
    play.client.since -= 11
    play.relay._tick()
    assert (play.node.aborted, play.wire.aborted) == (True, True)


async def test_requests_of_a_client_that_does_not_read_wait() -> None:
    """A request that comes while the last answer is not read is kept until it is."""
    play = Play()
    await tell(play, GET)
    await answer(play, OK)
    play.client.pause_writing()
    assert play.client.awaited() is Awaited.READER
    await tell(play, GET)
    assert bytes(play.node.written) == GET
    play.client.resume_writing()
    assert bytes(play.node.written) == GET + GET


async def test_an_exchange_that_begins_with_a_stuck_client_pauses_its_node() -> None:
    """A connection made for a client that does not read meanwhile is not read either."""
    play = Play()
    play.client.data_received(GET)
    play.client.pause_writing()
    await settle()
    assert play.node.reading is False


async def test_read_ahead_is_bounded() -> None:
    """No more than a little of what comes too soon is read."""
    play = Play()
    await tell(play, GET)
    await tell(play, b"x" * READ_AHEAD)
    assert play.wire.reading is False
    await answer(play, OK)
    assert play.wire.reading is True


async def test_a_body_that_comes_before_its_connection() -> None:
    """What comes of a body while its node is being connected to is kept, in its order."""
    play = Play()
    play.client.data_received(b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: 6\r\n\r\n12")
    play.client.data_received(b"34")
    play.client.data_received(b"56GET")
    await settle()
    assert bytes(play.node.written) == (
        b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: 6\r\n\r\n123456"
    )


async def test_a_head_over_the_limit() -> None:
    """A head over the limit is a 431, whether its end is there or not."""
    for data in (
        b"GET / HTTP/1.1\r\nHost: c\r\nx: " + b"y" * 100,
        GET[:-2] + b"x: " + b"y" * 99 + b"\r\n\r\n",
    ):
        play = Play(Limits(head_size=100))
        await tell(play, data)
        assert bytes(play.wire.written).startswith(b"HTTP/1.1 431 ")
        assert play.destination.wires == []


async def test_an_answer_s_head_over_the_limit() -> None:
    """A node's head without end is a 502."""
    play = Play()
    play.destination.response_head_size = 100
    await tell(play, GET)
    await answer(play, b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20)
    assert bytes(play.wire.written).startswith(b"HTTP/1.1 502 ")


async def test_bad_chunks_end_the_exchange() -> None:
    """A body that turns out to be malformed is a 400, and the node sees its request's end."""
    play = Play()
    await tell(play, b"PUT / HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    await tell(play, b"zz")
    assert bytes(play.wire.written).startswith(b"HTTP/1.1 400 ")
    assert (play.node.aborted, play.wire.ended) == (True, True)


async def test_bad_chunks_with_the_head_reach_nobody() -> None:
    """A body that is malformed from the start is never sent anywhere."""
    play = Play()
    await tell(play, b"PUT / HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\nzz")
    assert bytes(play.wire.written).startswith(b"HTTP/1.1 400 ")
    assert play.destination.wires == []


async def test_bad_chunks_behind_an_early_answer() -> None:
    """Once the answer has begun, a malformed body cuts the client off."""
    play = Play()
    await tell(play, b"PUT / HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    await answer(play, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n12")
    await tell(play, b"zz")
    assert (play.node.aborted, play.wire.aborted, play.wire.ended) == (True, True, False)


async def test_lingering_is_bounded() -> None:
    """A client that goes on sending after our last word is cut off in the end."""
    play = Play()
    await tell(play, b"GET / HTTP/1.1\r\n\r\n")
    assert (play.wire.ended, play.client.awaited()) == (True, Awaited.END)
    await tell(play, b"x" * LINGER_BYTES)
    assert play.wire.aborted is False
    await tell(play, b"x")
    assert play.wire.aborted is True


@pytest.mark.parametrize("end", ["half-close", "drained", "time-out"])
async def test_an_answer_that_is_cut_ends_in_a_reset(end: str) -> None:
    """Whatever ends a client's connection in the middle of an answer, it is no clean end."""

    class Real(Wire):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return ours if name == "socket" else super().get_extra_info(name, default)

    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as ours,
    ):
        play = Play()
        await tell(play, GET)
        play.wire.__class__ = Real
        await answer(play, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n1")
        match end:
            case "half-close":
                play.client.eof_received()
            case "drained":
                play.relay.close()
            case _:
                play.client.expire()
        assert play.wire.aborted is True
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 0)


async def test_a_connection_that_ends_takes_its_request_with_it() -> None:
    """A client whose connection breaks, without any end before it, takes its request with it."""
    play = Play()
    await tell(play, GET)
    play.client.connection_lost(ConnectionResetError())
    assert play.node.aborted is True


async def test_a_client_that_leaves_after_our_last_word() -> None:
    """A client that has read our last word and leaves is left in peace: no reset."""
    play = Play()
    await tell(play, b"GET / HTTP/1.1\r\n\r\n")
    play.client.eof_received()
    assert (play.wire.closed, play.wire.aborted) == (True, False)


async def test_no_node() -> None:
    """A destination that cannot be reached is a 503 in Elasticsearch's shape."""
    play = Play()

    async def connect(_peer: object, **_: object) -> None:
        raise NotConnected("no connection to node:9200: refused")

    play.destination.connect = connect  # type: ignore[assignment]
    await tell(play, GET)
    assert bytes(play.wire.written) == (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
        b"content-length: 211\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n"
        b"retry-after: 1\r\nconnection: close\r\n\r\n"
        b'{"error":{"root_cause":[{"type":"node_not_connected_exception",'
        b'"reason":"no connection to node:9200: refused"}],"type":"node_not_connected_exception",'
        b'"reason":"no connection to node:9200: refused"},"status":503}'
    )


async def test_a_node_that_closes_at_once() -> None:
    """A connection that ends in the moment in which it is made is a 502."""
    play = Play()
    connect = play.destination.connect

    async def connect_and_lose(peer: object, **_: object) -> object:
        connection = await connect(peer)
        connection.connection_lost(None)
        return connection

    play.destination.connect = connect_and_lose  # type: ignore[assignment]
    await tell(play, GET)
    assert bytes(play.wire.written).startswith(b"HTTP/1.1 502 ")


class Mistaken(NodeConnection):
    """A connection in which there is a mistake."""

    def begin(self, _client: Answered, _data: bytes) -> None:
        raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("moment", ["connecting", "sending"])
async def test_a_mistake_of_ours_does_not_leave_the_client_waiting(moment: str) -> None:
    """An unforeseen error ends the client's connection, and its node's, and is not swallowed."""
    play = Play()
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    node = Mistaken(play.destination, b"node:9200", None)
    wire = Wire()

    async def connect(_peer: object, **_: object) -> NodeConnection:
        if moment == "connecting":
            raise ZeroDivisionError
        node.connection_made(wire)
        return node

    play.destination.connect = connect  # type: ignore[assignment]
    await tell(play, GET)
    assert play.wire.aborted is True
    assert wire.aborted is (moment == "sending")


async def test_a_request_is_repeated_once() -> None:
    """A repeat, for which a new connection is asked for, is not repeated if it meets the same fate."""
    play = Play()
    connect = play.destination.connect
    asked_for = []

    async def used(peer: object, *, new: bool = False) -> NodeConnection:
        asked_for.append(new)
        connection = await connect(peer, new=new)
        connection.served = 7
        return connection

    play.destination.connect = used  # type: ignore[method-assign]
    await tell(play, GET)
    for number in range(2):
        assert len(play.destination.wires) == number + 1
        play.destination.wires[number].close()
        await settle()
    assert bytes(play.wire.written).startswith(b"HTTP/1.1 502 ")
    assert [bytes(wire.written) for wire in play.destination.wires] == [GET, GET]
    assert asked_for == [False, True]


async def test_a_client_that_leaves_while_its_node_is_called() -> None:
    """The call is given up with the client."""
    play = Play()
    cancelled = asyncio.Event()

    async def connect(_peer: object, **_: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    play.destination.connect = connect  # type: ignore[assignment]
    await tell(play, GET)
    play.client.eof_received()
    await cancelled.wait()
    await settle()
    assert len(play.relay) == 0


async def test_draining_lets_an_exchange_end_and_begins_no_other() -> None:
    """While draining, the answer that is under way says close, and what was pipelined is left."""
    play = Play()
    await tell(play, GET + GET)
    drained = asyncio.create_task(play.relay.drain())
    await settle()
    assert drained.done() is False
    await answer(play, OK)
    assert bytes(play.wire.written) == OK[:-2] + b"Connection: close\r\n\r\n"
    assert bytes(play.node.written) == GET
    play.client.eof_received()
    await drained


async def test_draining_behind_a_head_that_was_sent() -> None:
    """An answer whose head went out before draining began still ends with a close."""
    play = Play()
    await tell(play, GET)
    await answer(play, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n1")
    play.relay.draining = True
    await answer(play, b"2")
    assert (play.wire.ended, play.wire.aborted) == (True, False)


async def test_draining_closes_idle_connections_at_once() -> None:
    """A client between two requests does not hold up the end."""
    play = Play()
    await tell(play, GET)
    await answer(play, OK)
    await play.relay.drain()
    assert (play.wire.closed, len(play.relay)) == (True, 0)


async def test_draining_does_not_wait_for_who_came_last() -> None:
    """A client that was accepted while draining began, and asks nothing, is not waited for."""
    play = Play()
    play.client.since = play.relay.now
    play.relay.left(play.client)
    await play.relay.drain()
    play.relay.joined(play.client)
    play.client.since -= 2
    play.relay._tick()
    assert play.wire.aborted is True


async def test_draining_is_bounded() -> None:
    """An exchange without end is cut off by closing after the time that was set."""
    play = Play(Limits(drain_s=0.01))
    await tell(play, GET)
    await play.relay.drain()
    play.relay.close()
    await settle()
    assert (play.wire.aborted, play.node.aborted, len(play.relay)) == (True, True, 0)


async def retiring(play: Play) -> "asyncio.Task[None]":
    """Begin to retire, and see that it is not done at once."""
    retired = asyncio.create_task(play.relay.retire())
    await settle()
    assert retired.done() is False
    return retired


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_retiring_lets_idle_clients_ask_once_more(version: bytes) -> None:
    """A client that was idle is not closed: it is answered once more, and that answer says close."""
    play = Play()
    request = GET.replace(b"1.1", version).replace(
        b"\r\n\r\n", b"\r\nconnection: keep-alive\r\n\r\n"
    )
    await tell(play, request)
    await answer(play, OK)
    assert b"close" not in play.wire.written
    retired = await retiring(play)
    assert (play.wire.ended, play.wire.aborted) == (False, False)
    play.wire.written.clear()
    await tell(play, request)
    await answer(play, OK)
    assert b"Connection: close\r\n" in play.wire.written
    assert (play.wire.ended, play.wire.aborted) == (True, False)
    play.client.eof_received()
    await retired


async def test_retiring_answers_what_was_pipelined() -> None:
    """Requests that came are all answered, in turn; the last answer alone says close."""
    play = Play()
    await tell(play, GET * 3)
    retired = await retiring(play)
    for number in range(3):
        play.wire.written.clear()
        await answer(play, OK)
        last = number == 2
        assert bytes(play.wire.written) == OK[:-2] + b"Connection: close\r\n" * last + b"\r\n"
        assert play.wire.ended is last
    play.client.eof_received()
    await retired


async def test_retiring_behind_a_head_that_was_sent() -> None:
    """An answer that began before does not say close, so its connection stays for the next one."""
    play = Play()
    await tell(play, GET)
    await answer(play, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n1")
    retired = await retiring(play)
    await answer(play, b"2")
    assert (play.wire.ended, play.wire.aborted) == (False, False)
    await tell(play, GET)
    await answer(play, OK)
    assert (play.wire.ended, play.wire.aborted) == (True, False)
    play.client.eof_received()
    await retired


async def test_retiring_is_bounded() -> None:
    """Who does not leave in the time that was set is not waited for."""
    play = Play(Limits(drain_s=0.01))
    await tell(play, GET)
    await play.relay.retire()
    assert len(play.relay) == 1
    play.relay.close()
    await settle()


async def test_too_many_connections() -> None:
    """A connection over the limit is told so."""
    play = Play(Limits(connections=0))
    assert bytes(play.wire.written).startswith(b"HTTP/1.1 503 ")


async def test_time_outs() -> None:
    """A client that owes something for too long is told, or cut off where nothing can be told."""
    limits = Limits(head_timeout_s=10, idle_timeout_s=20)
    put = b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: 9\r\n\r\n1"
    begun = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n1"
    for sent, got, awaited, patience_s, expected in (
        (b"", b"", Awaited.REQUEST, 20, b""),
        (b"GET", b"", Awaited.HEAD, 10, b"HTTP/1.1 408"),
        (put, b"", Awaited.BODY, 20, b"HTTP/1.1 408"),
        (put, begun, Awaited.BODY, 20, b"HTTP/1.1 200"),
        (GET, b"", Awaited.ANSWER, 10**9, b""),
        (GET, begun, Awaited.NOTHING, 10**9, b""),
    ):
        play = Play(limits)
        if sent:
            await tell(play, sent)
        if got:
            await answer(play, got)
        assert play.client.awaited() is awaited
        play.client.since -= patience_s - 1
        play.relay._tick()
        assert play.client.awaited() is awaited
        play.client.since -= 2
        if awaited in {Awaited.ANSWER, Awaited.NOTHING}:
            continue
        play.relay._tick()
        await settle()
        assert bytes(play.wire.written[:12]) == expected
        assert play.wire.aborted is not expected.endswith(b"408")
        play.relay.close()


async def test_a_cluster_that_thinks_for_too_long() -> None:
    """A request that came whole is a 504 after its time, however much the client sends meanwhile."""
    put = b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\n1"
    play = Play(Limits(answer_timeout_s=10))
    await tell(play, put)
    play.client.since -= 11
    play.relay._tick()  # the client is waited for, which is not thinking
    assert bytes(play.node.written) == put
    await tell(play, b"2")
    since = play.client.since
    play.relay.now += 5
    await tell(play, GET)
    assert play.client.since == since
    play.client.since -= 11
    play.relay._tick()
    assert play.node.aborted is True
    assert bytes(play.wire.written).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert b'"type":"receive_timeout_transport_exception"' in play.wire.written
    assert play.wire.ended is True


async def test_an_answer_s_time_begins_with_the_end_of_its_request() -> None:
    """A head that came slowly, a client or a node that did not read, take none of it."""
    play = Play(Limits(answer_timeout_s=10))
    await tell(play, GET[:5])
    play.client.since -= 11
    await tell(play, GET[5:])
    play.relay._tick()
    assert bytes(play.wire.written) == b""
    await answer(play, OK)
    play.client.pause_writing()
    await tell(play, GET)
    play.client.since -= 11
    play.client.resume_writing()
    play.relay._tick()
    assert bytes(play.wire.written) == OK
    await answer(play, OK)
    await tell(play, b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: 1\r\n\r\n1")
    assert play.node.protocol is not None
    play.node.protocol.pause_writing()
    play.client.since -= 11
    play.node.protocol.resume_writing()
    play.relay._tick()
    assert bytes(play.wire.written) == OK + OK
    play.client.since -= 11
    play.relay._tick()
    assert b"HTTP/1.1 504 " in play.wire.written


@pytest.mark.parametrize("patience", [{"idle_timeout_s": 10}, {"answer_timeout_s": 10}])
async def test_a_body_that_is_never_asked_for(patience: dict[str, float]) -> None:
    """A client that sends it all the same, to a node that waits for it, is told so after a time."""
    head = b"PUT / HTTP/1.1\r\nHost: c\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    for together in (True, False):
        play = Play(Limits(**patience))
        for piece in (head + b"12",) if together else (head, b"12"):
            await tell(play, piece)
        assert play.client.awaited() is Awaited.CONTINUE
        play.client.since -= 9
        play.relay._tick()
        assert bytes(play.wire.written) == b""
        play.client.since -= 2
        play.relay._tick()
        assert bytes(play.wire.written).startswith(b"HTTP/1.1 504 ")
        assert (bytes(play.node.written), play.node.aborted) == (head, True)
        play.relay.close()


async def test_a_late_request_without_an_answer_s_body() -> None:
    """Who has asked with HEAD is not sent a body, whatever is late."""
    for sent in (b"HEAD / HT", b"HEAD / HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\n\r\n1"):
        play = Play(Limits(head_timeout_s=10, idle_timeout_s=10))
        await tell(play, sent)
        play.client.since -= 11
        play.relay._tick()
        assert bytes(play.wire.written).startswith(b"HTTP/1.1 408 ")
        assert bytes(play.wire.written).endswith(b"\r\n\r\n")
        play.relay.close()


async def test_a_body_s_time_begins_when_it_is_asked_for() -> None:
    """A client that waits for its 100 owes nothing; from then on it owes its body."""
    head = b"PUT / HTTP/1.1\r\nHost: c\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    play = Play(Limits(idle_timeout_s=10))
    await tell(play, head)
    play.client.since -= 11
    play.relay._tick()
    assert play.client.awaited() is Awaited.ANSWER
    await answer(play, b"HTTP/1.1 100 Continue\r\n\r\n")
    assert play.client.awaited() is Awaited.BODY
    play.relay._tick()
    assert bytes(play.wire.written) == b"HTTP/1.1 100 Continue\r\n\r\n"
    play.client.since -= 11
    play.relay._tick()
    assert b"HTTP/1.1 408 " in play.wire.written


async def test_a_head_s_time_begins_with_its_first_byte() -> None:
    """A head that comes drop by drop does not get new time with each of them."""
    play = Play()
    await tell(play, b"G")
    since = play.client.since
    play.relay.now += 5
    await tell(play, b"E")
    assert play.client.since == since


async def test_a_slow_reader_of_the_last_answer_is_given_time() -> None:
    """After our last word a client may still be reading: then it is not yet asked to leave."""

    class Unread(Wire):
        def get_write_buffer_size(self) -> int:
            return 1

    play = Play()
    await tell(play, b"GET / HTTP/1.1\r\n\r\n")
    play.wire.__class__ = Unread
    assert play.client.awaited() is Awaited.READER
