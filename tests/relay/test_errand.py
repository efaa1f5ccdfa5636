"""A request of the relay's own: what arrives at the node, and what comes back of its answer."""

import asyncio
from typing import Any

import pytest
from wire import PlayedDestination, settle

from signals_proxy.errors import Lost, TimedOut
from signals_proxy.relay.errand import ANSWER_LIMIT, Answer, ask
from signals_proxy.relay.node import NodeConnection

HEAD = b"DELETE /x HTTP/1.0\r\nHost: c\r\nAuthorization: Basic eA==\r\nContent-Length: 2\r\n"


class Errand:
    """One errand under way, and the node that it went to."""

    def __init__(self, destination: PlayedDestination, **options: Any) -> None:
        self.destination = destination
        head = HEAD + b"Keep-Alive: 1\r\nConnection: x-mine\r\nX-Mine: 1\r\n\r\n"
        self.task = asyncio.create_task(ask(destination, head, b"{}", **options))

    async def answer(self, *pieces: bytes) -> None:
        for piece in pieces:
            await settle()
            protocol = self.destination.wires[-1].protocol
            assert protocol is not None
            protocol.data_received(piece)


async def test_what_is_sent_and_what_comes_back() -> None:
    """What concerns one connection only is left out both ways, and the connection is kept."""
    destination = PlayedDestination()
    for _ in range(2):
        errand = Errand(destination)
        await errand.answer(
            b"HTTP/1.1 404 Not Found\r\nwarning: 299 x\r\nkeep-alive: 5\r\n",
            b"transfer-encoding: chunked\r\n\r\n2\r\nno\r\n1\r\n",
            b"!\r\n0\r\n\r\n",
        )
        assert await errand.task == Answer(404, ((b"warning", b"299 x"),), b"no!")
    sent = HEAD.replace(b"HTTP/1.0", b"HTTP/1.1") + b"\r\n{}"
    assert [bytes(it.written) for it in destination.wires] == [sent + sent]
    assert len(destination.kept) == 1


async def test_interim_answers_are_passed_over() -> None:
    errand = Errand(PlayedDestination())
    await errand.answer(b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1")
    assert await errand.task == Answer(200, ((b"content-length", b"1"),), b"1")


async def test_an_answer_that_ends_with_its_connection() -> None:
    errand = Errand(PlayedDestination())
    await errand.answer(b"HTTP/1.0 200 OK\r\n\r\nall", b" of it")
    protocol = errand.destination.wires[0].protocol
    assert protocol is not None
    protocol.eof_received()
    assert await errand.task == Answer(200, (), b"all of it")
    assert errand.destination.kept == []


async def test_a_connection_that_ends_too_soon() -> None:
    errand = Errand(PlayedDestination())
    await errand.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n1")
    errand.destination.wires[0].close()
    with pytest.raises(Lost, match="closed the connection"):
        await errand.task


async def test_an_answer_that_is_too_long() -> None:
    """An answer without end is read no further than its limit."""
    errand = Errand(PlayedDestination())
    await errand.answer(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * ANSWER_LIMIT, b"x", b"x")
    with pytest.raises(Lost, match="over 1048576 bytes"):
        await errand.task
    assert errand.destination.wires[0].aborted


async def test_no_answer_in_time() -> None:
    errand = Errand(PlayedDestination(), timeout_s=0)
    with pytest.raises(TimedOut, match="within 0 s"):
        await errand.task
    assert errand.destination.wires[0].aborted


async def test_no_connection_in_time() -> None:
    """The time is for all of it: a connection that is not made takes no more."""

    class Unreachable(PlayedDestination):
        async def connect(self, _peer: object, *, new: bool = False) -> NodeConnection:  # noqa: ARG002
            await asyncio.Event().wait()
            raise AssertionError

    with pytest.raises(TimedOut, match="within 0 s"):
        await Errand(Unreachable(), timeout_s=0).task


async def test_whoever_asked_is_gone() -> None:
    """The connection of an errand that is cancelled is dropped: the cluster cancels its work."""
    errand = Errand(PlayedDestination())
    await settle()
    errand.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await errand.task
    assert errand.destination.wires[0].aborted
