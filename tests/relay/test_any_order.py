"""Whatever pieces come in whatever order, the result is that of whole messages, one by one.

A conversation is first held in the plain order: each part whole, and nothing else meanwhile. Then it
is held again as hypothesis says: in other pieces, requests before the last one was answered, readers
that stop and go on, ticks, a loop that got around to nothing or to everything.

``SIGNALS_PROXY_EXAMPLES=20000`` looks for more, each time elsewhere.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire import Play, Wire, settle

EXAMPLES = int(os.environ.get("SIGNALS_PROXY_EXAMPLES", "0"))
any_order = settings(
    max_examples=EXAMPLES or 200,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

Parts = Sequence[tuple[bytes, bytes]]
"""What a client sends, and what the node says once it has seen that."""

Result = tuple[bytes, bytes, bool, bool]
"""What nodes saw, what the client got, and whether it got the end of it or was cut off."""

HOST = b"Host: c\r\n"
SHORT = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n"
REQUESTS = (
    b"GET / HTTP/1.1\r\n" + HOST + b"\r\n",
    b"\r\nGET /a%2Fb HTTP/1.1\r\nConnection: x-mine\r\nX-Mine: 1\r\n" + HOST + b"\r\n",
    b"PUT /x HTTP/1.1\r\n" + HOST + b"Content-Length: 8\r\n\r\nGET / HT",
    b"POST /x HTTP/1.1\r\n" + HOST + CHUNKS + b"\r\n",
    b"POST /x HTTP/1.1\r\n" + HOST + CHUNKS.replace(b"00A", b'00A;a="b c"') + b"x-t: 1\r\n\r\n",
)
ANSWERS = (
    SHORT,
    b"HTTP/1.1 200 OK\r\n" + CHUNKS + b"x-t: 1\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
    b"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 413 Too Much\r\ncontent-length: 0\r\n\r\n",
    SHORT.replace(b"content-length", b"connection: close\r\ncontent-length"),
)
HEAD = b"HEAD /x HTTP/1.1\r\n" + HOST + b"\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
EXPECTING = (
    (REQUESTS[2].removesuffix(b"\r\nGET / HT") + b"Expect: 100-continue\r\n\r\n", b"HTTP/1.1 100 \r\n\r\n"),
    (b"GET / HT", SHORT),
)  # fmt: skip
ENDLESS = b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nuntil the end"
"""An answer that ends with its connection."""
LAST: Sequence[Parts] = (
    (),
    ((REQUESTS[0], ENDLESS),),
    ((b"GET / HTTP/1.0\r\n\r\n", ANSWERS[1]),),
    ((REQUESTS[0].replace(b"Host", b"Connection: close\r\nHost"), SHORT), (b"more\r\n\r\n", b"")),
)

exchange = st.one_of(
    st.tuples(st.tuples(st.sampled_from(REQUESTS), st.sampled_from(ANSWERS))),
    st.sampled_from([(HEAD,), EXPECTING]),
)
exchanges = st.lists(exchange, min_size=1, max_size=4).map(lambda them: [*sum(them, ())])
conversation = st.builds(lambda some, last: [*some, *last], exchanges, st.sampled_from(LAST))
WHO = ("client", "node", "client", "node", "client", "node", "client stops", "client reads",
       "node stops", "node reads", "tick")  # fmt: skip
TURNS = (0, 1, 6, 6)
Event = tuple[str, int, int]
"""What happens, to how many bytes, and how often the event loop gets around after that."""


def happening(drawn: bytes) -> list[Event]:
    """Return what happens: drawn as bytes, of which many are drawn at once."""
    pairs = zip(drawn[::2], drawn[1::2], strict=False)
    return [(WHO[a % len(WHO)], 1 + b % (64 if a & 1 else 8), TURNS[b >> 6]) for a, b in pairs]


schedule = st.binary(min_size=60, max_size=240).map(happening)


@dataclass
class Held:
    """A conversation that is being held, up to where it has got."""

    parts: Parts
    seen_after: Sequence[int] = ()  # bytes that the node has seen when it answers each part
    play: Play = field(default_factory=Play)
    to_send: bytes = b""
    to_say: bytes = b""
    said: int = 0  # parts whose answer has been begun
    stopped: set[int] = field(default_factory=set)

    @property
    def seen(self) -> bytes:
        """What nodes have seen, on whatever connections."""
        return b"".join(bytes(wire.written) for wire in self.play.destination.wires)

    @property
    def got(self) -> bytes:
        """What the client has got."""
        return bytes(self.play.wire.written)

    @property
    def result(self) -> Result:
        """What is the same in any order."""
        wire = self.play.wire
        return self.seen, self.got, wire.ended, wire.aborted

    @property
    def node(self) -> Wire | None:
        """The connection to the node that is in use, if it can be heard."""
        wires = self.play.destination.wires
        return wires[-1] if wires and not wires[-1].closed else None

    def do(self, who: str, size: int) -> None:
        """Have one thing happen, if it can."""
        client, node = self.play.client, self.node
        match who:
            case "client" if self.to_send and self.play.wire.reading and not self.play.wire.closed:
                data, self.to_send = self.to_send[:size], self.to_send[size:]
                client.data_received(data)
            case "node" if node is not None and node.reading:
                self.say(node, size)
            case "client stops" if not client.stuck and not self.play.wire.closed:
                client.pause_writing()
            case "client reads" if client.stuck:
                client.resume_writing()
            case "node stops" if node is not None and not node.protocol.full:
                node.protocol.pause_writing()
            case "node reads" if node is not None and node.protocol.full:
                node.protocol.resume_writing()
            case "tick":
                self.play.relay._timer.cancel()
                self.play.relay._tick()

    def say(self, node: Wire, size: int) -> None:
        """Have the node say more of its answer, once it has seen what it answers."""
        if not self.to_say:
            if self.said == len(self.parts) or len(self.seen) < self.seen_after[self.said]:
                return
            self.to_say = self.parts[self.said][1]
            self.said += 1
        data, self.to_say = self.to_say[:size], self.to_say[size:]
        if data:
            node.protocol.data_received(data)
        if not self.to_say and self.parts[self.said - 1][1] is ENDLESS:
            node.protocol.eof_received()
            node.close()

    async def follow(self, events: Sequence[Event]) -> None:
        """Have these things happen, one after the other."""
        for who, size, turns in events:
            self.do(who, size)
            for _ in range(turns):
                await asyncio.sleep(0)

    async def finish(self) -> None:
        """Have everybody read, send and say all that is left."""
        before = None
        while before != (before := (self.to_send, self.to_say, self.said, self.result)):
            for who in ("client reads", "node reads", "client", "node"):
                self.do(who, 1 << 20)
                await settle()

    async def close(self) -> None:
        """End what is left, and look that nothing stays."""
        self.play.relay.close()
        await settle()
        assert len(self.play.relay) == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def plainly(parts: Parts) -> tuple[Result, list[int], list[int]]:
    """Hold a conversation in the plain order; return its result, and what was there after each part.

    This is how many bytes the node had seen, and how many the client had got.
    """
    held, seen, got = Held(parts), [], []
    for sent, _ in parts:
        held.to_send = sent
        held.do("client", len(sent))
        await settle()
        seen.append(len(held.seen))
        held.seen_after = seen
        held.do("node", 1 << 20)
        await settle()
        got.append(len(held.got))
    result = held.result
    await held.close()
    return result, seen, got


@any_order
@given(parts=conversation, events=schedule)
def test_the_result_is_the_same(parts: Parts, events: Sequence[Event]) -> None:
    """Any pieces in any order end as whole messages one by one."""

    async def both() -> None:
        plain, seen, _ = await plainly(parts)
        held = Held(parts, seen, to_send=b"".join(sent for sent, _ in parts))
        await held.follow(events)
        await held.finish()
        assert held.result == plain
        await held.close()

    asyncio.run(both())


@any_order
@given(parts=conversation, events=schedule, leaves=st.sampled_from(["half-closes", "resets"]))
def test_a_client_that_leaves(parts: Parts, events: Sequence[Event], leaves: str) -> None:
    """Whenever a client leaves, its request goes with it, and all that was passed on was right."""

    async def until_then() -> None:
        plain, seen, _ = await plainly(parts)
        held = Held(parts, seen, to_send=b"".join(sent for sent, _ in parts))
        await held.follow(events)
        client, wire = held.play.client, held.play.wire
        if wire.closed or not wire.reading:  # which a tick notices, from the kernel
            await held.close()
            return
        if leaves == "half-closes":
            client.eof_received()
        else:
            wire.close()
        await settle()
        assert len(held.play.relay) == 0
        assert plain[0].startswith(held.seen)
        assert plain[1].startswith(held.got)
        open_ones = [it.protocol for it in held.play.destination.wires if not it.closed]
        assert open_ones == held.play.destination.kept  # ready for other clients' requests
        await held.close()

    asyncio.run(until_then())


@any_order
@given(parts=exchanges, events=schedule)
def test_a_node_that_leaves(parts: Parts, events: Sequence[Event]) -> None:
    """Whenever a node's connection is lost, no client takes for whole what is not."""

    async def until_then() -> None:
        plain, seen, got = await plainly(parts)
        held = Held(parts, seen, to_send=b"".join(sent for sent, _ in parts))
        await held.follow(events)
        node, wire = held.node, held.play.wire
        if node is None or wire.closed or wire.ended:
            await held.close()
            return
        node.close()
        await settle()
        passed, told, _ = held.got.partition(b"HTTP/1.1 502 ")
        assert plain[1].startswith(passed)
        # What is neither cut off nor told so is idle, or asked once more.
        assert wire.aborted + (told != b"") + (len(passed) in {0, *got}) > 0
        assert wire.ended is (told != b"")
        await held.close()

    asyncio.run(until_then())
