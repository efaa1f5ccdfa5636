"""Where requests go: the nodes of the cluster, or a server of this process, and their connections."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

from signals_proxy.errors import NotConnected, TimedOut
from signals_proxy.relay.node import NodeConnection
from signals_proxy.relay.sockets import keep_alive

__all__ = ["Cluster", "Destination", "LocalServer", "Upstream"]

IDLE_S: Final = 60.0
"""How long a connection may serve nobody: shorter than what firewalls and balancers forget after."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The settings of the cluster: see ``upstream`` in ``config.example.yaml``.

    ``ca_certificates`` is the text of the file.
    """

    hosts: tuple[str, ...]
    ca_certificates: str | None = None
    ca_fingerprint: str | None = None
    connect_timeout_s: float = 5.0
    host_field: Literal["client", "upstream"] | None = None


class Destination(Protocol):
    """A place that requests can be sent to."""

    def idle(self, peer: object) -> NodeConnection | None:
        """Return a connection that waits for work, if there is one, for a client at ``peer``."""
        ...

    async def connect(self, peer: object) -> NodeConnection:
        """Return a new connection. Raises ``NotConnected`` and ``TimedOut``."""
        ...

    def tick(self, now: float) -> None:
        """Close what was idle for too long. ``now`` is the event loop's time, in seconds."""
        ...

    def transports(self) -> list[asyncio.Transport]:
        """Return the transports of all connections."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


class _Pool:
    """Keeps connections that serve nobody: the one used last is used next, so the rest can age."""

    def __init__(self, response_head_size: int) -> None:
        self.response_head_size = response_head_size
        self._idle: list[NodeConnection] = []
        self._all: set[NodeConnection] = set()
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._all)

    def take_back(self, connection: NodeConnection) -> None:
        connection.idle_since = self._now
        self._idle.append(connection)

    def forget(self, connection: NodeConnection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def tick(self, now: float) -> None:
        self._now = now
        for connection in [one for one in self._idle if now - one.idle_since > IDLE_S]:
            self._idle.remove(connection)
            connection.drop()

    def transports(self) -> list[asyncio.Transport]:
        return [it.transport for it in self._all if it.transport is not None]

    def close(self) -> None:
        for connection in list(self._all):
            connection.drop()

    def _take(self) -> NodeConnection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_still():
                return connection
            connection.drop()
        return None


@dataclass(frozen=True, slots=True)
class _Node:
    name: str
    port: int
    tls: bool
    host_field: bytes | None
    authority: bytes


class Cluster(_Pool):
    """The nodes of the cluster.

    ``tls`` is the context for those whose URL says ``https``.
    """

    def __init__(
        self, upstream: Upstream, tls: ssl.SSLContext | None, response_head_size: int
    ) -> None:
        super().__init__(response_head_size)
        self._nodes = [_node(url, upstream.host_field) for url in upstream.hosts]
        self._tls = tls
        self._timeout_s = upstream.connect_timeout_s
        self._preferred = 0

    def idle(self, peer: object) -> NodeConnection | None:  # noqa: ARG002
        """See ``Destination``."""
        return self._take()

    async def connect(self, peer: object) -> NodeConnection:  # noqa: ARG002
        """See ``Destination``. Nodes are tried in turn, beginning with the one that answered last."""
        error: NotConnected | TimedOut = NotConnected("no node is configured")
        for offset in range(len(self._nodes)):
            index = (self._preferred + offset) % len(self._nodes)
            try:
                connection = await self._connect(self._nodes[index])
            except (NotConnected, TimedOut) as failed:
                error = failed
            else:
                self._preferred = index
                return connection
        raise error

    async def _connect(self, node: _Node) -> NodeConnection:
        connection = NodeConnection(self, node.authority, node.host_field)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                transport, _ = await loop.create_connection(
                    lambda: connection, node.name, node.port, ssl=self._tls if node.tls else None
                )
        except TimeoutError as error:
            raise TimedOut(f"no connection to {_shown(node)} in {self._timeout_s:g} s") from error
        except (OSError, ssl.SSLError) as error:
            raise NotConnected(f"no connection to {_shown(node)}: {error}") from error
        keep_alive(transport)
        self._all.add(connection)
        return connection


class LocalServer(_Pool):
    """A server of this process, reached without a network.

    ``server`` makes its protocols, as a server's listener would; ``introduce`` is told by which
    protocol the next request of which client will be read, for a socket pair has no addresses.
    """

    def __init__(
        self,
        server: Callable[[], asyncio.BaseProtocol],
        introduce: Callable[[asyncio.BaseProtocol, object], None],
        response_head_size: int,
    ) -> None:
        super().__init__(response_head_size)
        self._server = server
        self._introduce = introduce
        self._their_ends: dict[NodeConnection, asyncio.BaseProtocol] = {}

    def idle(self, peer: object) -> NodeConnection | None:
        """See ``Destination``."""
        connection = self._take()
        if connection is not None:
            self._introduce(self._their_ends[connection], peer)
        return connection

    async def connect(self, peer: object) -> NodeConnection:
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
        """See ``node.Home``."""
        super().forget(connection)
        self._their_ends.pop(connection, None)


def _node(url: str, host_field: Literal["client", "upstream"] | None) -> _Node:
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    name = parts.hostname or ""
    authority = f"[{name}]" if ":" in name else name
    if parts.port not in {None, 443 if tls else 80}:  # as clients write it (RFC 9110 7.2)
        authority += f":{parts.port}"
    # Managed clusters are reached by https and a name, and route by it; everything else sees the
    # Host field that the client wrote.
    by_name = tls and not _is_address(name)
    upstream = host_field == "upstream" or (host_field is None and by_name)
    return _Node(
        name=name,
        port=parts.port or (443 if tls else 9200),
        tls=tls,
        host_field=authority.encode() if upstream else None,
        authority=authority.encode(),
    )


def _is_address(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
        except OSError:
            continue
        return True
    return False


def _shown(node: _Node) -> str:
    return node.authority.decode()
