"""The settings of the cluster, and one of its nodes: how it is connected to, and its connections.

Rules of the file

- Every connection looks its node's name up anew, but for those that are made at the same time: the
  system looks few names up at once. Now and then the names of those that serve nobody are, too, and
  whoever is connected to an address that the name has lost is closed.
- ``connect_timeout_s`` is for all that it takes to connect to a node: its name, its addresses, TLS.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from signals_proxy.errors import NotConnected, TimedOut, UpstreamError
from signals_proxy.relay.node import NodeConnection
from signals_proxy.relay.nodes import Node
from signals_proxy.relay.pool import Pool
from signals_proxy.relay.sockets import keep_alive
from signals_proxy.relay.tls import ClientCertificate

__all__ = ["NodePool", "Resolve", "Upstream", "is_our_own_lack", "resolved"]

_MOST_ADDRESSES: Final = 8  # of one name, that are tried
_LACKS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a name, in the order to try them in. Raises ``OSError``."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The settings of the cluster: see ``upstream`` in ``config.example.yaml``.

    ``ca_certificates`` is the text of the file. ``shown`` is what is shown to nodes that ask for a
    certificate, on the connections for clients alone; ``shared_identity`` tells that every client
    may be who the cluster takes it for.
    """

    hosts: tuple[str, ...]
    ca_certificates: str | None = None
    ca_fingerprint: str | None = None
    connect_timeout_s: float = 5.0
    host_field: Literal["client", "upstream"] | None = None
    shown: ClientCertificate | None = None
    shared_identity: bool = False


async def resolved(name: str, port: int) -> list[str]:
    """Return the addresses that the system knows for a name."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def is_our_own_lack(failed: UpstreamError) -> bool:
    """Tell whether a connection failed for what this machine has too few of: that is no node's fault."""
    error = failed.__cause__
    if isinstance(error, socket.gaierror):  # which does not tell why
        try:
            socket.socket().close()
        except OSError:
            return True
    return isinstance(error, OSError) and error.errno in _LACKS


class NodePool(Pool):
    """One node, and the connections to it.

    ``waiting`` are those who wait for a place; ``freed`` is called when one is free, if anybody does.
    """

    def __init__(
        self,
        url: str,
        node: Node,
        upstream: Upstream,
        tls: ssl.SSLContext | None,
        response_head_size: int,
        resolve: Resolve,
        waiting: Collection[object],
        freed: Callable[[Node], None],
    ) -> None:
        super().__init__(response_head_size)
        parts = urlsplit(url)
        https = parts.scheme == "https"
        self.name = name = parts.hostname or ""
        self.port = parts.port or (443 if https else 9200)
        authority = f"[{name}]" if ":" in name else name
        if parts.port not in {None, 443 if https else 80}:  # as clients write it (RFC 9110 7.2)
            authority += f":{parts.port}"
        self._authority = authority
        self.is_named = not _is_address(name)
        # Managed clusters are reached by https and a name, and route by it; everything else sees the
        # Host field that the client wrote.
        by_name = upstream.host_field is None and https and self.is_named
        self.host_field = (
            authority.encode() if by_name or upstream.host_field == "upstream" else None
        )
        self.node = node
        self.url = url
        self.connected = self.failed = 0  # how often a connection was made, and could not be
        self._tls = tls if https else None
        self._timeout_s = upstream.connect_timeout_s
        self._resolve = resolve
        self._lookup: asyncio.Task[Sequence[str]] | None = None
        self._waiting = waiting
        self._freed = freed

    def idle(self, peer: object) -> NodeConnection | None:  # noqa: ARG002
        """See ``Destination``."""
        connection = self._take()
        if connection is not None:
            self.node.in_flight += 1
        return connection

    async def connect(self, peer: object, *, new: bool = False) -> NodeConnection:  # noqa: ARG002
        """See ``Destination``. The addresses of the node's name are tried in turn.

        The place of one that fails is for the caller to give away: first the node may have to die.
        """
        self.node.in_flight += 1
        try:
            connection = await self._connect()
        except BaseException as error:
            self.failed += isinstance(error, UpstreamError)
            self.node.in_flight -= 1
            raise
        self.connected += 1
        return connection

    def take_back(self, connection: NodeConnection) -> None:
        """See ``answered.Home``."""
        self.node.heard_at = connection.idle_since = self._now
        self._idle.append(connection)
        self._free()

    def forget(self, connection: NodeConnection) -> None:
        """See ``answered.Home``."""
        if connection in self._all and connection not in self._idle:
            self.node.is_suspect = self.node.is_suspect or connection.is_in_use
            self._free()
        super().forget(connection)

    def drop_idle(self) -> None:
        """Close the connections that serve nobody: the node is dead."""
        self._drop_idle(lambda _: True)

    async def drop_moved(self) -> None:
        """Close those of them whose address the node's name does not have any more."""
        try:
            addresses = await self._addresses()
        except UpstreamError:
            return  # a name service that does not answer has moved nobody

        def moved(connection: NodeConnection) -> bool:
            assert connection.transport is not None  # noqa: S101
            peer = connection.transport.get_extra_info("peername")
            return peer is not None and peer[0] not in addresses

        self._drop_idle(moved)

    def _free(self) -> None:
        self.node.in_flight -= 1
        if self._waiting:
            self._freed(self.node)

    async def _addresses(self) -> Sequence[str]:
        if not self.is_named:
            return [self.name]
        if self._lookup is None:
            self._lookup = asyncio.get_running_loop().create_task(self._look_up())
            self._lookup.add_done_callback(self._looked_up)
        return await asyncio.shield(self._lookup)

    def _looked_up(self, lookup: asyncio.Task[Sequence[str]]) -> None:
        self._lookup = None
        if not lookup.cancelled():
            lookup.exception()  # so that nobody is told if all who waited for it have left

    async def _look_up(self) -> Sequence[str]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._resolve(self.name, self.port)
        except TimeoutError as error:
            raise TimedOut(f"no address for {self.name} in {self._timeout_s:g} s") from error
        except (OSError, UnicodeError) as error:  # the latter for what cannot be a name
            raise NotConnected(f"no connection to {self._authority}: {error}") from error

    async def _connect(self) -> NodeConnection:
        error: UpstreamError = NotConnected(f"no connection to {self._authority}: no address")
        clock = asyncio.get_running_loop().time
        until = clock() + self._timeout_s
        addresses = (await self._addresses())[:_MOST_ADDRESSES]
        for position, address in enumerate(addresses):
            # A share for each: one that is silent leaves the others theirs.
            share = (until - clock()) / (len(addresses) - position)
            try:
                return await self._connect_to(address, share)
            except (NotConnected, TimedOut) as failed:
                error = failed
        raise error

    async def _connect_to(self, address: str, within_s: float) -> NodeConnection:
        connection = NodeConnection(self, self._authority.encode(), self.host_field)
        name = self.name if self._tls else None
        shown = self._authority
        try:
            async with asyncio.timeout(within_s):
                transport, _ = await asyncio.get_running_loop().create_connection(
                    lambda: connection, address, self.port, ssl=self._tls, server_hostname=name
                )
        except TimeoutError as error:
            raise TimedOut(f"no connection to {shown} in {self._timeout_s:g} s") from error
        except (OSError, ssl.SSLError) as error:
            raise NotConnected(f"no connection to {shown}: {error}") from error
        if connection.transport is None:
            raise NotConnected(f"no connection to {shown}: closed at once")
        keep_alive(transport)
        self._all.add(connection)
        return connection


def _is_address(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
        except OSError:
            continue
        return True
    return False
