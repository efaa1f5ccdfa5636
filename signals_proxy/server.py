"""One worker: every room built and joined, from its start on inherited sockets to its drained end.

::

    client ─► relay ─► route(target) ─► the cluster's nodes
                                    └─► the account application, through a socket pair

On ``accounts.listen`` a relay of its own knows the account application and nothing else: what is
not for that is a 404, for there is no way to the cluster.

Order of an end: nobody listens any more, the relay's exchanges end, then the application, then its
connections to the cluster.
"""

import asyncio
import os
import secrets
import signal
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Final

from aiohttp import web

from signals_proxy import api
from signals_proxy.account import keyring, ref, schema
from signals_proxy.account.keyring import Keyring
from signals_proxy.api import scrolling
from signals_proxy.authorization import Anybody, AuthorizationSettings, Authorizer
from signals_proxy.config import Settings
from signals_proxy.errors import ConfigError, InvalidTarget, NotFound, UpstreamError
from signals_proxy.listeners import BACKLOG
from signals_proxy.registry import Registry, connect
from signals_proxy.relay import ByBody, Cluster, Destination, LocalServer, Relay, Upstream
from signals_proxy.relay.errand import Answer, ask
from signals_proxy.relay.probe import reach
from signals_proxy.relay.tls import client_context
from signals_proxy.telemetry.audit import Audit, Entry
from signals_proxy.telemetry.status import ClusterState, Order, Started, StatusPipe

__all__ = ["keyring_of", "serve", "tls_for"]

ASKED_EVERY_S: Final = 5.0
ASKED_EVERY_S_WHILE_DOWN: Final = 1.0


async def serve(
    settings: Settings,
    sockets: Sequence[socket.socket],
    accounts_sockets: Sequence[socket.socket],
    status: StatusPipe,
    orders_from: int,
) -> None:
    """Serve when ordered to, until ordered to retire or to stop; then drain.

    ``sockets`` are for everything, ``accounts_sockets`` for the account API alone.

    It serves also while no node answers, and tells ``status`` whenever that changes.

    :raises ConfigError: if a file that the settings name does not serve its purpose.
    """
    orders = _orders(orders_from)
    tls = tls_for(settings.upstream)
    head_size = settings.limits.response_head_size
    async with AsyncExitStack() as stack:
        registry_client = connect(settings.registry, settings.upstream.hosts, tls)
        stack.push_async_callback(registry_client.close)
        peers, audit = _Peers(), Audit()
        types = schema.load()
        cluster = Cluster(settings.upstream, tls, head_size)

        async def pass_on(head: bytes, body: bytes) -> Answer:
            return await ask(cluster, head, body)

        application = api.build(
            registry=Registry(registry_client, settings.registry.index, types),
            keyring=keyring_of(settings),
            types=types,
            authorizer=_authorizer(settings.authorization),
            audit=audit,
            peer_of=peers.of,
            pass_on=pass_on,
        )
        runner = web.AppRunner(application, **api.RUNNER_OPTIONS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        accounts, alone = (
            LocalServer(api.protocols(runner), peers.introduce, head_size) for _ in range(2)
        )

        def decide(target: str, body: bytes) -> Destination:
            return accounts if scrolling.concerns_us(target, body) else cluster

        by_body = ByBody(decide, otherwise=cluster)

        def route(target: str) -> Destination | ByBody:
            if _call(target, audit) is not None:
                return accounts
            return by_body if scrolling.is_scroll(target) else cluster

        def route_alone(target: str) -> Destination:
            if _call(target, audit) is None:
                raise NotFound("Not found")
            return alone

        served = (
            (Relay(route, (cluster, accounts), settings.limits), sockets),
            (Relay(route_alone, (alone,), settings.limits), accounts_sockets),
        )
        for relay, _ in served:
            stack.callback(relay.close)
        watching = asyncio.create_task(_watch(settings.upstream, tls, status))
        stack.callback(watching.cancel)
        status.tell(Started())
        if await orders.get() is Order.SERVE:
            await _serve(served, orders)


async def _serve(
    served: Sequence[tuple[Relay, Sequence[socket.socket]]], orders: asyncio.Queue[Order]
) -> None:
    loop = asyncio.get_running_loop()
    listening = [(relay, each) for relay, sockets in served for each in sockets]
    servers = [
        await loop.create_server(relay, sock=each, backlog=BACKLOG) for relay, each in listening
    ]
    order = await orders.get()
    waiting = [(relay, connection) for relay, each in listening for connection in _waiting(each)]
    for server in servers:
        server.close()
    for relay, connection in waiting:
        await loop.connect_accepted_socket(relay, connection)
    if order is Order.RETIRE:
        retired = asyncio.gather(*(relay.retire() for relay, _ in served))
        stop = asyncio.create_task(orders.get())
        await asyncio.wait((retired, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if retired.done():
            return
        retired.cancel()
    await asyncio.gather(*(relay.drain() for relay, _ in served))


def _waiting(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield the connections in a backlog: nobody else may be there to accept them."""
    for _ in range(BACKLOG):
        try:
            yield listener.accept()[0]
        except OSError:  # none is left
            return


def keyring_of(settings: Settings) -> Keyring:
    """Return the keyring that was read.

    :raises ConfigError: if it is none; of a command's output, with the setting.
    """
    found = settings.keyring
    try:
        return keyring.parse(found.text.reveal(), found.file)
    except ConfigError as error:
        if found.file is not None:
            raise
        line = f"line {error.line} of what it prints: " if error.line else ""
        raise ConfigError(
            line + error.message, remedy=error.remedy, path="keyring.command"
        ) from error


def tls_for(upstream: Upstream) -> ssl.SSLContext | None:
    """Return the one context for all connections to the cluster; None if no node is https.

    :raises ConfigError: if ``ca_certificates`` holds none.
    """
    if not any(host.startswith("https://") for host in upstream.hosts):
        return None
    return client_context(upstream.ca_certificates, upstream.ca_fingerprint)


def _call(target: str, audit: Audit) -> ref.AccountCall | None:
    """Return the account call that a target stands for; one that is refused here is audited here.

    Neither the method nor the client is known at this place.
    """
    try:
        return ref.parse(target)
    except InvalidTarget as error:
        entry = Entry(request_id=secrets.token_hex(16), method=None, address=None)
        with audit.call(entry):
            entry.error, entry.status = type(error).__name__, error.status
        raise


class _Peers:
    """Who a request came from: the application sees a socket pair, which has no addresses."""

    def __init__(self) -> None:
        self._addresses: dict[asyncio.BaseProtocol, str | None] = {}

    def introduce(self, protocol: asyncio.BaseProtocol, peer: object) -> None:
        """Note that the next request which ``protocol`` reads is that of ``peer``, a socket name."""
        if protocol not in self._addresses:
            # aiohttp's protocols take no weak references; those that have ended have no transport.
            for ended in [it for it in self._addresses if getattr(it, "transport", None) is None]:
                del self._addresses[ended]
        self._addresses[protocol] = str(peer[0]) if isinstance(peer, tuple) else None

    def of(self, request: web.BaseRequest) -> str | None:
        """Return the address of a request's client."""
        return self._addresses.get(request.protocol)


def _authorizer(settings: AuthorizationSettings) -> Authorizer:
    match settings.backend:
        case "none":
            return Anybody(settings.hostnames)
        case _:
            raise ConfigError("is not there yet", path="authorization.backend")


def _orders(descriptor: int) -> asyncio.Queue[Order]:
    """Return what is told on a pipe. Its end, and so that of the supervisor, is a stop, as SIGTERM."""
    orders: asyncio.Queue[Order] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, orders.put_nowait, Order.STOP)

    def read() -> None:
        order = Order(os.read(descriptor, 1))
        orders.put_nowait(order)
        if order is Order.STOP:
            loop.remove_reader(descriptor)

    loop.add_reader(descriptor, read)
    return orders


async def _watch(upstream: Upstream, tls: ssl.SSLContext | None, status: StatusPipe) -> None:
    """Ask the cluster again and again whether it answers, and tell when that changes."""
    told: ClusterState | None = None
    while True:
        try:
            await reach(upstream, tls)
            state = ClusterState(answers=True)
        except UpstreamError as error:
            state = ClusterState(answers=False, reason=error.message)
        if state != told:
            told = state
            status.tell(state)
        await asyncio.sleep(ASKED_EVERY_S if state.answers else ASKED_EVERY_S_WHILE_DOWN)
