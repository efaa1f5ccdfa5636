"""The cluster as a destination: its nodes, the connections to them, and who waits for a place there.

Rules of the file

- Which node is next, and which is dead, is decided in ``nodes``; here it is carried out.
- Another node is tried only while nothing was sent: when no connection could be made. That nothing
  can be made here, for want of descriptors, is told of no node.
- A place at a node is taken from the moment in which a connection to it is chosen or begun, until
  that connection is free again or has ended. Whoever waits is served in the order of coming.
"""

import asyncio
import ssl
from collections.abc import Coroutine, Sequence
from math import inf
from typing import Final

from signals_proxy.errors import Lost, NotConnected, Rejected, TimedOut, UpstreamError
from signals_proxy.relay.errand import ask
from signals_proxy.relay.node import NodeConnection
from signals_proxy.relay.nodes import Node, Nodes
from signals_proxy.relay.pool import IDLE_S
from signals_proxy.relay.tally import Tally
from signals_proxy.relay.upstream import NodePool, Resolve, Upstream, is_our_own_lack, resolved

__all__ = ["Cluster"]

_PROBE: Final = b"GET / HTTP/1.0\r\n\r\n"


class Cluster:
    """The nodes of the cluster.

    ``tls`` is the context for those whose URL says ``https``. ``places`` is how many requests a node
    is given at a time, and ``place_timeout_s`` how long one waits for a place; as many may wait as
    there are places. While ``closed_because`` says why, nothing is connected to.
    """

    patient = False

    def __init__(
        self,
        upstream: Upstream,
        tls: ssl.SSLContext | None,
        response_head_size: int,
        *,
        places: int | None = None,
        place_timeout_s: float = 5.0,
        resolve: Resolve = resolved,
    ) -> None:
        self._now = self._looked_up = asyncio.get_running_loop().time()
        self._nodes = Nodes(len(upstream.hosts), self._now)
        # In the order of coming, and what each has tried in vain.
        self._waiting: dict[asyncio.Future[Node], list[Node]] = {}
        self._pools = [
            NodePool(
                *(url, node, upstream, tls, response_head_size),
                *(resolve, self._waiting, self._freed),
            )
            for url, node in zip(upstream.hosts, self._nodes.all, strict=True)
        ]
        self._places: float = inf if places is None else places
        self._place_timeout_s = place_timeout_s
        self._timeout_s = upstream.connect_timeout_s
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed_because = ""
        self.tally = Tally("cluster")

    def __len__(self) -> int:
        """Return the number of connections."""
        return sum(map(len, self._pools))

    @property
    def pools(self) -> Sequence[NodePool]:
        """Its nodes, in the order of the configuration."""
        return self._pools

    def idle(self, peer: object) -> NodeConnection | None:
        """See ``Destination``."""
        node = self._nodes.choose()
        if node is None or node.in_flight >= self._places:
            return None
        return self._pools[node.index].idle(peer)

    async def connect(self, peer: object, *, new: bool = False) -> NodeConnection:
        """See ``Destination``. A node that cannot be connected to is passed over for the next."""
        if self.closed_because:
            raise NotConnected(self.closed_because)
        error: UpstreamError = NotConnected("no node is configured")
        tried: list[Node] = []
        # The first is the node in which ``idle`` has just found nothing: the next may have some.
        while (
            len(tried) < len(self._pools)
            and (node := self._nodes.choose(tried, turn=bool(tried))) is not None
        ):
            if node.in_flight >= self._places:
                node = await self._turn(tried)
                free = None if new else self._pools[node.index].idle(peer)
                if free is not None:
                    return free
            try:
                connection = await self._pools[node.index].connect(peer)
            except BaseException as failed:
                if not isinstance(failed, NotConnected | TimedOut) or is_our_own_lack(failed):
                    self._freed(node)
                    raise
                error = failed
                tried.append(node)
                self._nodes.unreachable(node, self._now)
                self._changed(node)
            else:
                self._nodes.reached(node)
                return connection
        raise error

    def tick(self, now: float) -> None:
        """See ``Destination``. Nodes are probed, and names looked up, in tasks of their own."""
        self._now = now
        for pool in self._pools:
            pool.tick(now)
        if self.closed_because:
            return
        for node in self._nodes.to_probe(now):
            self._spawn(self._probe(node))
        if now - self._looked_up >= IDLE_S:
            self._looked_up = now
            for pool in self._pools:
                if pool.is_named and len(pool):
                    self._spawn(pool.drop_moved())

    def transports(self) -> list[asyncio.Transport]:
        """See ``Destination``."""
        return [transport for pool in self._pools for transport in pool.transports()]

    def close(self) -> None:
        """See ``Destination``."""
        for task in self._tasks:
            task.cancel()
        for pool in self._pools:
            pool.close()

    # Places.

    async def _turn(self, tried: list[Node]) -> Node:
        """Wait until there is a place at a node not yet ``tried``, and return that node."""
        if len(self._waiting) >= self._places * len(self._pools):
            raise Rejected(f"every node is busy, and {len(self._waiting)} requests wait already")
        turn: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = tried
        try:
            async with asyncio.timeout(self._place_timeout_s):
                node = await turn
        except TimeoutError:
            self._give_up(turn)
            message = f"every node is busy: no place in {self._place_timeout_s:g} s"
            raise NotConnected(message) from None
        except asyncio.CancelledError:  # its client has left
            self._give_up(turn)
            raise
        node.in_flight -= 1  # it was kept for us, and is counted again by who takes it
        return node

    def _give_up(self, turn: "asyncio.Future[Node]") -> None:
        if turn in self._waiting:
            del self._waiting[turn]
        elif not turn.cancelled():  # its turn came in the same moment: it is the next one's
            node = turn.result()
            node.in_flight -= 1
            self._freed(node)

    def _freed(self, node: Node) -> None:
        """Give the places that a node has to those who wait."""
        while node.in_flight < self._places and self._nodes.is_open(node):
            turn = next((it for it, tried in self._waiting.items() if node not in tried), None)
            if turn is None:
                return
            del self._waiting[turn]
            if not turn.done():
                node.in_flight += 1
                turn.set_result(node)

    # Life and death.

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _probe(self, node: Node) -> None:
        """Ask a node for anything: any answer in HTTP counts, a 401 as well as a 503.

        It has as much time to answer as to take a connection, both together.
        """
        pool = self._pools[node.index]
        answered: bool | None = False
        try:
            try:
                await ask(pool, _PROBE, b"", timeout_s=self._timeout_s)
            except Lost:  # it may just have closed the connection that was kept: a new one tells
                pool.drop_idle()
                await ask(pool, _PROBE, b"", timeout_s=self._timeout_s)
            answered = True
        except UpstreamError as failed:
            answered = None if is_our_own_lack(failed) else False
        finally:
            self._nodes.probed(node, self._now, answered=answered)
            self._changed(node)

    def _changed(self, node: Node) -> None:
        if node.is_dead:
            self._pools[node.index].drop_idle()
        # There may be places where there were none, also at the dead if the last that lived has died:
        # nobody who comes later gets them.
        for each in self._nodes.all if self._waiting else ():
            self._freed(each)
