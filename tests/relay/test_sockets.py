"""The relay on real sockets: what only a kernel and an event loop can show."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from wire import Dialogue, read_dialogues

from signals_proxy.errors import NotConnected, TimedOut
from signals_proxy.relay import Cluster, Limits, LocalServer, Relay, Upstream
from signals_proxy.relay.client import ClientConnection
from signals_proxy.relay.sockets import Vanished, is_silent, reset

DIALOGUES = read_dialogues(Path(__file__).parent / "dialogues")
GET = b"GET / HTTP/1.1\r\nHost: c\r\n\r\n"
MEBIBYTE = 1024 * 1024


class Node:
    """A recording upstream on a raw socket: it does what a test tells it."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            asyncio.Queue()
        )
        self.server: asyncio.Server | None = None
        self.address = ""

    async def start(self, **options: Any) -> str:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0, **options)
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self.address

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.connections.put((reader, writer))

    async def close(self) -> None:
        assert self.server is not None
        self.server.close()
        while not self.connections.empty():
            self.connections.get_nowait()[1].close()


class Watched(ClientConnection):
    """A client's connection that tells when it is stuck, and how much is then kept for it."""

    __slots__ = ("kept", "was_stuck")

    def __init__(self, switchboard: Any) -> None:
        super().__init__(switchboard)
        self.was_stuck = asyncio.Event()
        self.kept = 0

    def pause_writing(self) -> None:
        super().pause_writing()
        self.was_stuck.set()

    def pass_on(self, data: bytes) -> None:
        super().pass_on(data)
        self.kept = max(self.kept, self.transport.get_write_buffer_size())

    def node_is_full(self, full: bool) -> None:
        super().node_is_full(full)
        if full:
            self.was_stuck.set()


class Setting:
    """A node, a relay in front of it, and clients."""

    def __init__(self) -> None:
        self.node = Node()
        self.clients: list[Watched] = []
        self.relay: Relay
        self.cluster: Cluster
        self.port = 0
        self._open: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def start(self, limits: Limits | None = None) -> None:
        address = await self.node.start()
        self.cluster = Cluster(Upstream(hosts=(f"http://{address}",)), None, MEBIBYTE)
        self.relay = Relay(lambda _: self.cluster, [self.cluster], limits or Limits())

        def connection() -> Watched:
            self.clients.append(Watched(self.relay))
            return self.clients[-1]

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(connection, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._open.append(writer)
        return reader, writer

    async def stop(self) -> None:
        for writer in self._open:
            writer.close()
        assert self._server is not None
        self._server.close()
        self.relay.close()
        await self.node.close()
        await eventually(lambda: len(self.relay) == len(self.cluster) == 0)


async def eventually(true: Callable[[], bool]) -> None:
    """Wait until it is true; a test that waits in vain is ended by its own time limit."""
    while not true():
        await asyncio.sleep(0.005)


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    """A node on a raw socket, and the relay in front of it; nothing is left of either."""
    setting = Setting()
    await setting.start()
    yield setting
    await setting.stop()


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda dialogue: dialogue.title)
async def test_dialogue(setting: Setting, dialogue: Dialogue) -> None:
    """A dialogue runs over real sockets as it does in memory."""
    reader, writer = await setting.client()
    node: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    nodes = []

    async def the_node() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        nonlocal node
        if node is None:
            node = await setting.node.connections.get()
            nodes.append(node[1])
        return node

    for step in dialogue.steps:
        data = step.data.replace(b"node:9200", setting.node.address.encode())
        match step.action:
            case "client":
                writer.write(data)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
            case "client ends":
                writer.write_eof()
            case "node":
                (await the_node())[1].write(data)
            case "node ends":
                (await the_node())[1].close()
            case "new node":
                node = None
            case "node sees":
                assert await (await the_node())[0].readexactly(len(data)) == data
            case "node sees the end":
                assert await _rest((await the_node())[0]) == b""
            case "client gets":
                assert await reader.readexactly(len(data)) == data
            case "client gets the end":
                assert await reader.read() == b""
            case "client is cut off":
                assert await _rest(reader) == b""
    for open_writer in nodes:
        open_writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """Return what still comes before the end, be it a regular end or a reset."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def test_a_cut_answer_is_a_reset(setting: Setting) -> None:
    """An answer that ends with its connection, and is cut, ends in a reset: it must not look whole."""
    reader, writer = await setting.client()
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    from_relay, to_relay = await setting.node.connections.get()
    await from_relay.readuntil(b"\r\n\r\n")
    to_relay.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    assert await reader.readexactly(len(head) + 3) == head + b"abc"
    to_relay.close()
    with pytest.raises(ConnectionResetError):
        await reader.read()


async def test_a_slow_reader_stops_the_node(setting: Setting) -> None:
    """A client that does not read makes the node wait; little is kept, and nothing is lost."""
    reader, writer = await setting.client()
    writer.write(GET)
    from_relay, to_relay = await setting.node.connections.get()
    await from_relay.readuntil(b"\r\n\r\n")
    block = bytes(range(256)) * 256
    count = 64 * MEBIBYTE // len(block)
    to_relay.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (count * len(block)))

    async def send() -> None:
        for _ in range(count):
            to_relay.write(block)
            await to_relay.drain()

    sending = asyncio.create_task(send())
    (client,) = setting.clients
    writer.transport.pause_reading()
    await client.was_stuck.wait()
    assert sending.done() is False
    writer.transport.resume_reading()
    await reader.readuntil(b"\r\n\r\n")
    for _ in range(count):
        assert await reader.readexactly(len(block)) == block
    await sending
    assert client.kept <= MEBIBYTE
    to_relay.close()


async def test_a_slow_node_stops_the_client(setting: Setting) -> None:
    """A node that does not read makes the client wait, and nothing is lost."""
    reader, writer = await setting.client()
    block = bytes(range(256)) * 256
    count = 64 * MEBIBYTE // len(block)
    writer.write(b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n" % (count * len(block)))

    async def send() -> None:
        for _ in range(count):
            writer.write(block)
            await writer.drain()

    sending = asyncio.create_task(send())
    from_relay, to_relay = await setting.node.connections.get()
    (client,) = setting.clients
    await client.was_stuck.wait()
    assert sending.done() is False
    await from_relay.readuntil(b"\r\n\r\n")
    for _ in range(count):
        assert await from_relay.readexactly(len(block)) == block
    await sending
    to_relay.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    assert client.is_held() is False
    to_relay.close()


async def test_a_client_that_leaves_while_it_is_not_read(setting: Setting) -> None:
    """A client's end is noticed though its upload is paused, and the node sees it."""
    _, writer = await setting.client()
    writer.write(b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n" % (64 * MEBIBYTE))
    writer.write(bytes(64 * MEBIBYTE))
    from_relay, to_relay = await setting.node.connections.get()
    (client,) = setting.clients
    to_relay.transport.pause_reading()  # type: ignore[attr-defined]
    times = 0
    while times < 20:  # the kernel's buffers are full as well when it stays so
        times = times + 1 if client.is_held() else 0
        await asyncio.sleep(0.01)
    # A regular end would queue behind what was not sent yet, where nobody can see it.
    reset(writer.transport)
    await eventually(lambda: len(setting.relay) == 0)
    to_relay.transport.resume_reading()  # type: ignore[attr-defined]
    with contextlib.suppress(ConnectionResetError):
        while await from_relay.read(MEBIBYTE):
            pass
    to_relay.close()


async def test_an_idle_peer_that_vanishes_will_be_noticed(setting: Setting) -> None:
    """Both sides' sockets have probes, which take two minutes at most to be missed."""
    _, writer = await setting.client()
    writer.write(GET)
    from_relay, to_relay = await setting.node.connections.get()
    await from_relay.readuntil(b"\r\n\r\n")
    ours = [setting.clients[0].transport, *setting.cluster.transports()]
    assert len(ours) == 2
    for transport in ours:
        connection = transport.get_extra_info("socket")
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle, interval, count = (
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + interval * count <= 120
    to_relay.close()


def test_silence() -> None:
    """Silent is who owes an acknowledgement, of data or of a probe, and gave none for long."""
    for probes, unacknowledged, last_ms, expected in (
        (0, 0, 10**9, False),  # nothing was sent: nothing is owed
        (0, 5, 29_999, False),
        (0, 5, 30_000, True),
        (1, 0, 30_000, True),
    ):
        info = struct.pack("=3xB20xI28xI", probes, unacknowledged, last_ms)
        assert is_silent(info, 30) is expected


async def test_a_peer_that_does_not_read_has_not_vanished(setting: Setting) -> None:
    """A client that reads nothing acknowledges all the same: it is given its time."""
    _, writer = await setting.client()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(GET)
    from_relay, to_relay = await setting.node.connections.get()
    await from_relay.readuntil(b"\r\n\r\n")
    to_relay.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (64 * MEBIBYTE))
    to_relay.write(bytes(64 * MEBIBYTE))
    (client,) = setting.clients
    await client.was_stuck.wait()
    vanished = Vanished()
    for _ in range(5):
        assert vanished.among([client.transport]) == []
    to_relay.transport.abort()


@pytest.mark.parametrize("who", ["client", "node"])
async def test_a_vanished_peer_is_ended(setting: Setting, who: str) -> None:
    """Whoever vanished is ended: a client takes its request with it, a node's client is told."""
    reader, writer = await setting.client()
    writer.write(GET)
    from_relay, to_relay = await setting.node.connections.get()
    await from_relay.readuntil(b"\r\n\r\n")
    client, node = setting.clients[0].transport, setting.cluster.transports()[0]

    class Gone(Vanished):
        def among(self, transports: Any) -> Any:
            return [it for it in transports if it is (client if who == "client" else node)]

    setting.relay._vanished = Gone()
    setting.relay._looked -= Vanished.EVERY_S
    assert await from_relay.read() == b""
    answer = await _rest(reader)
    assert answer[:12] == (b"" if who == "client" else b"HTTP/1.1 502")
    to_relay.close()


async def test_a_connection_on_which_something_came_unasked_is_not_used() -> None:
    """The pool asks the kernel: neither an end nor bytes that nobody has read are overlooked."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        cluster = Cluster(Upstream(hosts=(url,)), None, MEBIBYTE)
        for unasked in (None, b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n", b""):
            connection = await cluster.connect(None)
            with server.accept()[0] as node:
                cluster._pools[0].take_back(connection)
                if unasked:
                    node.sendall(unasked)
                elif unasked is not None:
                    node.shutdown(socket.SHUT_WR)
                # The event loop did not run since, so only the kernel knows.
                assert cluster.idle(None) is (connection if unasked is None else None)
    cluster.close()
    await eventually(lambda: len(cluster) == 0)


async def test_a_connection_that_is_closing_is_not_used(setting: Setting) -> None:
    """A connection that the event loop is about to take away is not handed out."""
    connection = await setting.cluster.connect(None)
    _, to_relay = await setting.node.connections.get()
    setting.cluster._pools[0].take_back(connection)
    assert connection.transport is not None
    connection.transport.abort()
    assert setting.cluster.idle(None) is None
    to_relay.close()


async def test_idle_connections_to_a_node_are_closed_in_time(setting: Setting) -> None:
    """A connection that nobody needed for a minute is closed; a stale one is not handed out."""
    reader, writer = await setting.client()
    writer.write(GET)
    from_relay, to_relay = await setting.node.connections.get()
    await from_relay.readuntil(b"\r\n\r\n")
    to_relay.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    now = setting.relay.now
    setting.cluster.tick(now)
    setting.cluster.tick(now + 59)
    assert len(setting.cluster) == 1
    setting.cluster.tick(now + 120)
    assert setting.cluster.idle(None) is None
    assert await from_relay.read() == b""
    await eventually(lambda: len(setting.cluster) == 0)
    to_relay.close()


async def test_the_next_node_is_asked_if_one_cannot_be_reached() -> None:
    """A node that refuses is passed over; it is not asked again for each request."""
    node = Node()
    address = await node.start()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        cluster = Cluster(Upstream(hosts=(nobody, f"http://{address}")), None, MEBIBYTE)
        first, second = await cluster.connect(None), await cluster.connect(None)
        for connection in (first, second):
            assert connection.default_host == address.encode()
        with pytest.raises(NotConnected, match="no connection to 127"):
            await Cluster(Upstream(hosts=(nobody,)), None, MEBIBYTE).connect(None)
    cluster.close()
    await eventually(lambda: len(cluster) == 0)
    await node.close()


async def test_a_node_that_does_not_take_the_connection_in_time() -> None:
    """The time to connect is bounded, the TLS handshake included."""
    node = Node()
    address = await node.start()
    upstream = Upstream(hosts=(f"https://{address}",), connect_timeout_s=0.05)
    with pytest.raises(TimedOut, match=r"in 0.05 s"):
        await Cluster(upstream, ssl.create_default_context(), MEBIBYTE).connect(None)
    await node.close()


@pytest.mark.parametrize(
    ("url", "setting_of_host", "expected"),
    [
        ("http://127.0.0.1:9200", None, None),
        ("http://es.example:9200", None, None),
        ("http://es.example", "upstream", b"es.example"),
        ("https://es.example:9243", None, b"es.example:9243"),
        ("https://es.example:443", None, b"es.example"),
        ("https://es.example:9243", "client", None),
        ("https://10.0.0.1:9200", None, None),
        ("https://[::1]:9200", None, None),
        ("https://[::1]:9200", "upstream", b"[::1]:9200"),
    ],
)
async def test_host_field(url: str, setting_of_host: Any, expected: bytes | None) -> None:
    """Managed clusters, reached by https and a name, see their own name; others the client's."""
    cluster = Cluster(Upstream(hosts=(url,), host_field=setting_of_host), None, MEBIBYTE)
    assert cluster._pools[0].host_field == expected


async def test_upstream_by_tls() -> None:
    """A node behind TLS is reached through its authority, and by no other."""
    authority, other = trustme.CA(), trustme.CA()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(theirs)
    node = Node()
    address = (await node.start(ssl=theirs)).replace("127.0.0.1", "localhost")
    trusting, distrusting = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(trusting)
    other.configure_trust(distrusting)
    cluster = Cluster(Upstream(hosts=(f"https://{address}",)), trusting, MEBIBYTE)
    relay = Relay(lambda _: cluster, [cluster], Limits())
    server = await asyncio.get_running_loop().create_server(relay, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(GET)
    from_relay, to_relay = await node.connections.get()
    expected = GET.replace(b"Host: c", b"Host: " + address.encode())
    assert await from_relay.readuntil(b"\r\n\r\n") == expected
    body = bytes(range(256)) * 4096
    to_relay.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(len(body)) == body
    with pytest.raises(NotConnected, match="no connection to localhost"):
        await Cluster(Upstream(hosts=(f"https://{address}",)), distrusting, MEBIBYTE).connect(None)
    writer.close()
    relay.close()
    server.close()
    to_relay.close()
    await eventually(lambda: len(relay) == len(cluster) == 0)
    await node.close()


async def test_a_server_of_this_process() -> None:
    """An aiohttp application is a destination as any, and learns who its clients are."""
    seen: list[object] = []
    peers: dict[asyncio.BaseProtocol, object] = {}

    async def handle(request: web.Request) -> web.Response:
        seen.append(peers[request.protocol])
        return web.Response(body=await request.read())

    application = web.Application(client_max_size=4 * MEBIBYTE)
    application.router.add_route("*", "/{tail:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    assert runner.server is not None
    local = LocalServer(runner.server, peers.__setitem__, MEBIBYTE)
    relay = Relay(lambda _: local, [local], Limits())
    server = await asyncio.get_running_loop().create_server(relay, "127.0.0.1", 0)
    addresses = []
    for size in (0, 1, 3 * MEBIBYTE):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        addresses.append(writer.get_extra_info("sockname"))
        body = bytes(size)
        for _ in range(2):
            writer.write(
                b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n%b" % (size, body)
            )
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(size) == body
        writer.close()
    assert seen == [address for address in addresses for _ in range(2)]
    assert len(local) == 1
    relay.close()
    server.close()
    await eventually(lambda: len(relay) == len(local) == 0)
    await runner.cleanup()
