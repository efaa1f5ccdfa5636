"""One worker: every room built and joined, from its start on inherited sockets to its drained end.

::

    client ─► relay ─► route(target) ─► the cluster's nodes
                                    └─► the account application, through a socket pair

On ``accounts.listen`` a relay of its own knows an account application of its own and nothing else:
what is not for that is a 404, for there is no way to the cluster.

Order of an end: nobody listens any more, the relay's exchanges end, then the application, then its
connections to the cluster.
"""

import asyncio
import os
import secrets
import signal
import socket
import ssl
from collections.abc import Collection, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from aiohttp import web

from signals_proxy import api
from signals_proxy.account import ref
from signals_proxy.api import scrolling
from signals_proxy.authorization import (
    Anybody,
    Asking,
    AuthInfo,
    AuthorizationSettings,
    Authorizer,
    HasPrivileges,
    Rights,
    StaticUsers,
)
from signals_proxy.config import Settings
from signals_proxy.errors import InvalidTarget, NotFound
from signals_proxy.listeners import BACKLOG
from signals_proxy.registry.client import connect
from signals_proxy.registry.documents import Registry
from signals_proxy.relay import ByBody, Cluster, Destination, LocalServer, Relay
from signals_proxy.relay.errand import ask
from signals_proxy.server.access_log import AccessLog
from signals_proxy.server.figures import Rooms, keep_telling, tell
from signals_proxy.server.material import keyring_of, listener_tls, tls_for, types_of
from signals_proxy.server.peers import Peers
from signals_proxy.server.watch import open_at_start, watch
from signals_proxy.telemetry.audit import Audit, Entry
from signals_proxy.telemetry.status import Order, Started, StatusPipe

__all__ = ["serve"]

_MOST_QUESTIONS: Final = 256
"""How many questions about callers a node is asked at a time: a slow one is not to be flooded."""


async def serve(
    settings: Settings,
    sockets: Sequence[socket.socket],
    accounts_sockets: Sequence[socket.socket],
    status: StatusPipe,
    orders_from: int,
    counters: int,
) -> None:
    """Serve when ordered to, until ordered to retire or to stop; then drain.

    ``sockets`` are for everything, ``accounts_sockets`` for the account API alone.

    It serves also while no node answers, and tells ``status`` whenever that changes. ``counters`` is
    the descriptor of memory for what it counts.

    :raises ConfigError: if a file that the settings name does not serve its purpose.
    """
    orders = _orders(orders_from)
    tls = tls_for(settings.upstream, settings.registry.credentials)
    for_clients = listener_tls(settings)
    head_size = settings.limits.response_head_size
    async with AsyncExitStack() as stack:
        registry_client = connect(settings.registry, settings.upstream.hosts, tls and tls.registry)
        stack.push_async_callback(registry_client.close)
        peers, audit = Peers(settings.trusted_proxies), Audit(settings.audit)
        stack.push_async_callback(audit.close)
        types = types_of(settings)
        limits = settings.limits
        cluster = Cluster(
            *(settings.upstream, tls and tls.clients, head_size),
            places=limits.in_flight,
            place_timeout_s=limits.place_timeout_s,
        )
        # Whoever decides is asked on connections that no client's request is ever on.
        deciding = Cluster(
            settings.upstream, tls and tls.decisions, head_size, places=_MOST_QUESTIONS
        )
        asking = Asking(partial(ask, deciding))
        authorizer = _authorizer(settings.authorization, asking, types)
        registry = Registry(registry_client, settings.registry.index, types)
        stack.push_async_callback(registry.health.flush)
        sending = api.Sending.by(settings.delivery, registry.health)
        build = partial(
            api.build,
            registry=registry,
            keyring=keyring_of(settings),
            types=types,
            authorizer=authorizer,
            audit=audit,
            sending=sending,
            peer_of=peers.of,
        )

        async def local(application: web.Application) -> LocalServer:
            runner = web.AppRunner(application, **api.RUNNER_OPTIONS)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            return LocalServer(api.protocols(runner), peers.introduce, head_size)

        accounts = await local(build(pass_on=partial(ask, cluster)))
        alone = await local(build(own_pages="https" if for_clients else "http"))

        def decide(target: str, body: bytes) -> Destination:
            return accounts if scrolling.concerns_us(target, body) else cluster

        by_body = ByBody(decide, otherwise=cluster)

        def route(target: str) -> Destination | ByBody:
            if _is_ours(target, audit):
                return accounts
            return by_body if scrolling.is_scroll(target) else cluster

        def route_alone(target: str) -> Destination:
            if not _is_ours(target, audit) and not scrolling.is_scroll(target):
                raise NotFound("Not found")
            return alone

        access_log = None
        if settings.access_log is not None:
            access_log = AccessLog(settings.access_log.file, settings.trusted_proxies)
            stack.push_async_callback(access_log.close)
        relay_of = partial(Relay, limits=limits, access=access_log, forwarding=settings.forwarding)
        served = (
            (relay_of(route, (cluster, deciding, accounts)), sockets),
            (relay_of(route_alone, (alone,)), accounts_sockets),
        )
        lookups = authorizer.lookups if isinstance(authorizer, HasPrivileges | AuthInfo) else {}
        relays = [relay for relay, _ in served]
        tallies = [cluster.tally, accounts.tally, alone.tally, *(relay.tally for relay in relays)]
        rooms = Rooms(relays, tallies, cluster, audit, access_log, lookups, sending.ended)
        for relay, _ in served:
            stack.callback(relay.close)
        if settings.upstream.shown and not settings.upstream.shared_identity:
            cluster.closed_because = "it is not known yet whom the cluster takes the proxy for"
            await open_at_start(cluster, settings.upstream, tls)
        telling = asyncio.create_task(keep_telling(counters, rooms))
        stack.callback(telling.cancel)
        watching = asyncio.create_task(watch(settings.upstream, tls, cluster, status))
        stack.callback(watching.cancel)
        writing = asyncio.create_task(registry.health.keep_writing())
        stack.callback(writing.cancel)
        if settings.authorization.backend in {"elasticsearch", "opensearch"}:
            learning = asyncio.create_task(asking.learn())
            stack.callback(learning.cancel)
        status.tell(Started())
        if await orders.get() is Order.SERVE:
            await _serve(served, for_clients, orders)
    tell(counters, rooms)  # what ended while all was closed counts, too


async def _serve(
    served: Sequence[tuple[Relay, Sequence[socket.socket]]],
    tls: ssl.SSLContext | None,
    orders: asyncio.Queue[Order],
) -> None:
    loop = asyncio.get_running_loop()
    listening = [
        (relay if tls is None else relay.over(tls), each)
        for relay, sockets in served
        for each in sockets
    ]
    servers = [
        await loop.create_server(protocol, sock=each, backlog=BACKLOG)
        for protocol, each in listening
    ]
    order = await orders.get()
    waiting = [(protocol, one) for protocol, each in listening for one in _waiting(each)]
    for server in servers:
        server.close()
    for protocol, connection in waiting:
        await loop.connect_accepted_socket(protocol, connection)
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


def _is_ours(target: str, audit: Audit) -> bool:
    """Tell whether a target is one for the account application, which refuses it if it is wrong.

    A look-alike is refused and audited here, where neither the method nor the client is known.
    """
    if ref.is_in_our_spelling(target):
        return True
    try:
        ref.parse(target)
    except InvalidTarget as error:
        entry = Entry(request_id=secrets.token_hex(16), method=None, address=None)
        with audit.call(entry):
            entry.error, entry.status = type(error).__name__, error.status
        raise
    return False


def _authorizer(
    settings: AuthorizationSettings, asking: Asking, types: Collection[str]
) -> Authorizer:
    match settings.backend:
        case "elasticsearch":
            return HasPrivileges(asking, settings.cache_s)
        case "opensearch":
            return AuthInfo(asking, settings.cache_s, Rights(settings.roles, types))
        case "static":
            return StaticUsers(settings.users, Rights(settings.roles, types), settings.cache_s)
        case "none":
            return Anybody(settings.hostnames)


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
