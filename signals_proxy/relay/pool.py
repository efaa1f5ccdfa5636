"""Where requests go, and the connections that wait there; a server of this process is such a place."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, Protocol

from signals_proxy.errors import NotConnected
from signals_proxy.relay.node import NodeConnection
from signals_proxy.relay.tally import Tally

__all__ = ["IDLE_S", "Destination", "LocalServer", "Pool", "Reachable"]

IDLE_S: Final = 60.0
"""How long a connection may serve nobody: shorter than what firewalls and balancers forget after."""


class Reachable(Protocol):
    """What can be connected to."""

    def idle(self, peer: object) -> NodeConnection | None:
        """Return a connection that waits for work, if there is one, for a client at ``peer``."""
        ...

    async def connect(self, peer: object, *, new: bool = False) -> NodeConnection:
        """Return a new connection, or, unless it has to be ``new``, one that was waited for.

        Raises ``NotConnected``, ``TimedOut`` and ``Rejected``.
        """
        ...


class Destination(Reachable, Protocol):
    """A place that clients' requests can be sent to.

    ``patient``: it is a server of this process. Its answers may take as long as they like, whatever
    ``limits.answer_timeout`` says, and it is told what proxies before this one wrote.
    """

    tally: Tally
    patient: bool

    def tick(self, now: float) -> None:
        """Close what was idle for too long. ``now`` is the event loop's time, in seconds."""
        ...

    def transports(self) -> list[asyncio.Transport]:
        """Return the transports of all connections."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class Pool:
    """The connections to one server: which there are, and which of them serve nobody.

    Of these the one used last is used next, so the rest can age.
    """

    def __init__(self, response_head_size: int) -> None:
        self.response_head_size = response_head_size
        self._idle: list[NodeConnection] = []
        self._all: set[NodeConnection] = set()
        self._now = asyncio.get_running_loop().time()

    def __len__(self) -> int:
        return len(self._all)

    def take_back(self, connection: NodeConnection) -> None:
        """See ``answered.Home``."""
        connection.idle_since = self._now
        self._idle.append(connection)

    def forget(self, connection: NodeConnection) -> None:
        """See ``answered.Home``."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def tick(self, now: float) -> None:
        """See ``Destination``."""
        self._now = now
        self._drop_idle(lambda connection: now - connection.idle_since > IDLE_S)

    def transports(self) -> list[asyncio.Transport]:
        """See ``Destination``."""
        return [it.transport for it in self._all if it.transport is not None]

    def close(self) -> None:
        """See ``Destination``."""
        for connection in list(self._all):
            connection.drop()

    def _take(self) -> NodeConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_still():
                return connection
            self._dismiss(connection)
        return None

    def _drop_idle(self, which: Callable[[NodeConnection], bool]) -> None:
        for connection in [one for one in self._idle if which(one)]:
            self._idle.remove(connection)
            self._dismiss(connection)

    def _dismiss(self, connection: NodeConnection) -> None:
        # It is nobody's from here on; that it has ended is only told by the event loop later.
        self._all.discard(connection)
        connection.drop()


class LocalServer(Pool):
    """A server of this process, reached without a network.

    ``server`` makes its protocols, as a server's listener would; ``introduce`` is told by which
    protocol the next request of which client will be read, for a socket pair has no addresses.
    """

    # It bounds what it does by itself; a delivery that has begun is not to be told of as unanswered.
    patient = True

    def __init__(
        self,
        server: Callable[[], asyncio.BaseProtocol],
        introduce: Callable[[asyncio.BaseProtocol, object], None],
        response_head_size: int,
    ) -> None:
        super().__init__(response_head_size)
        self.tally = Tally("accounts")
        self._server = server
        self._introduce = introduce
        self._their_ends: dict[NodeConnection, asyncio.BaseProtocol] = {}

    def idle(self, peer: object) -> NodeConnection | None:
        """See ``Destination``."""
        connection = self._take()
        if connection is not None:
            self._introduce(self._their_ends[connection], peer)
        return connection

    async def connect(self, peer: object, *, new: bool = False) -> NodeConnection:  # noqa: ARG002
        """See ``Destination``."""
        loop = asyncio.get_running_loop()
        connection = NodeConnection(self, b"localhost", None)
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:  # no descriptor is left
            raise NotConnected(f"no connection within the proxy: {error}") from error
        _, their_end = await loop.connect_accepted_socket(self._server, theirs)
        await loop.create_unix_connection(lambda: connection, sock=ours)
        self._all.add(connection)
        self._their_ends[connection] = their_end
        self._introduce(their_end, peer)
        return connection

    def forget(self, connection: NodeConnection) -> None:
        """See ``answered.Home``."""
        super().forget(connection)
        self._their_ends.pop(connection, None)
