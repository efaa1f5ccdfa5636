"""Clients that speak TLS, on real sockets: everything is as without, from the handshake on."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from tls_servers import NAME, Talk, listening

from signals_proxy.errors import ConfigError
from signals_proxy.relay import Cluster, Limits, Relay, ServerTls, Upstream
from signals_proxy.relay.client import ClientConnection
from signals_proxy.relay.reading import Awaited
from signals_proxy.relay.relay import LINGER_S
from signals_proxy.relay.tls import server_context
from signals_proxy.secret import Secret

GET = b"GET / HTTP/1.1\r\nHost: c\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MEBIBYTE = 1024 * 1024
BLOCK = bytes(range(256)) * 1024

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


def pem(*blobs: trustme.Blob) -> str:
    return "".join(blob.bytes().decode() for blob in blobs)


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ServerTls:
    issued = authority.issue_cert(NAME)
    return ServerTls(pem(*issued.cert_chain_pems), Secret(pem(issued.private_key_pem)))


def asking(tls: ServerTls, authority: trustme.CA, how: Any = "required") -> ServerTls:
    """The same settings, with clients asked for certificates of an authority."""
    return ServerTls(tls.certificate, tls.key, pem(authority.cert_pem), how)


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What an ordinary client believes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


class Served:
    """A relay that listens with TLS in front of a node, and its clients."""

    def __init__(self, relay: Relay, port: int) -> None:
        self.relay = relay
        self.port = port

    async def client(self, context: ssl.SSLContext) -> Streams:
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=NAME
        )

    async def in_clear(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def connection(self) -> ClientConnection:
        """The only client's connection."""
        await eventually(lambda: len(self.relay._clients) == 1)
        (found,) = self.relay._clients
        return found


@asynccontextmanager
async def serving(
    tls: ServerTls, talk: Talk, limits: Limits | None = None
) -> AsyncIterator[Served]:
    """Serve, and see to it that nothing is left."""
    async with listening(talk) as port:
        cluster = Cluster(Upstream(hosts=(f"http://127.0.0.1:{port}",)), None, MEBIBYTE)
        relay = Relay(lambda _: cluster, [cluster], limits or Limits())
        loop = asyncio.get_running_loop()
        server = await loop.create_server(relay.over(server_context(tls)), "127.0.0.1", 0)
        try:
            yield Served(relay, server.sockets[0].getsockname()[1])
        finally:
            server.close()
            relay.close()
            await eventually(lambda: len(relay) == len(cluster) == 0)


async def eventually(true: Callable[[], bool]) -> None:
    """Wait until it is true; a test that waits in vain is ended by its own time limit."""
    while not true():
        await asyncio.sleep(0.005)


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be a node that answers everything, as long as anything comes."""
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(OK)


def hello(context: ssl.SSLContext) -> bytes:
    """The first words of a handshake."""
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=NAME).do_handshake()
    return out.read()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes before the end, be it a regular end or a reset."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_one_after_another(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """Requests that come at once are answered in their order, and the connection stays."""

    async def named(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            name = head.split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))

    async with serving(tls, named) as served:
        reader, writer = await served.client(trusting)
        for _ in range(2):
            writer.write(GET.replace(b"/ ", b"/a ") + GET.replace(b"/ ", b"/b "))
            for name in (b"/a", b"/b"):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(2) == name
        assert len(served.relay) == 1
        assert (await served.connection()).peer == writer.get_extra_info("sockname")
        writer.close()


async def test_bulk_both_ways(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """64 MiB go up and down at once, and come back as they were sent."""
    size = 64 * MEBIBYTE
    head = b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: %d\r\n\r\n" % size

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while data := await reader.read(MEBIBYTE):
            writer.write(data)
            await writer.drain()

    sent, came = hashlib.sha256(), hashlib.sha256()

    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for number in range(size // len(BLOCK)):
            block = number.to_bytes(4, "big") + BLOCK[4:]
            sent.update(block)
            writer.write(block)
            await writer.drain()

    async with serving(tls, echo) as served:
        reader, writer = await served.client(trusting)
        sending = asyncio.create_task(send(writer))
        await reader.readuntil(b"\r\n\r\n")
        left = size
        while left:
            data = await reader.read(left)
            came.update(data)
            left -= len(data)
        await sending
        assert came.digest() == sent.digest()
        writer.close()


async def test_a_slow_reader(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """Little is kept for who does not read; who is told to leave gets the last byte all the same."""
    count = 64 * MEBIBYTE // len(BLOCK)
    sent = asyncio.Event()

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * len(BLOCK)))
        for _ in range(count):
            writer.write(BLOCK)
            await writer.drain()
        sent.set()

    async with serving(tls, send) as served:
        reader, writer = await served.client(trusting)
        writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await reader.readuntil(b"\r\n\r\n")
        connection = await served.connection()
        writer.transport.pause_reading()
        await eventually(lambda: connection.stuck)
        assert connection.transport.get_write_buffer_size() <= MEBIBYTE // 3
        assert not sent.is_set()
        writer.transport.resume_reading()
        for number in range(count):
            if number == count - 8:  # what is left is with the relay, or in the kernel
                await sent.wait()
                await eventually(lambda: connection.awaited() is not Awaited.NOTHING)
                assert connection.awaited() is Awaited.READER
            assert await reader.readexactly(len(BLOCK)) == BLOCK
        assert await reader.read() == b""
        writer.close()


async def test_an_early_answer(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """An answer that comes while the request is still sent is not lost to a reset."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    closing = threading.Event()

    def upload(port: int) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            trusting.wrap_socket(plain, server_hostname=NAME) as client,
        ):
            client.sendall(b"PUT / HTTP/1.1\r\nHost: c\r\nContent-Length: 999999999\r\n\r\n")
            closing.wait()
            for _ in range(8):
                client.sendall(BLOCK)
            return b"".join(iter(lambda: client.recv(1024), b""))

    async with serving(tls, refuse) as served:
        uploading = asyncio.create_task(asyncio.to_thread(upload, served.port))
        connection = await served.connection()
        await eventually(lambda: connection.awaited() is Awaited.END)
        closing.set()
        answer = await uploading
        assert answer.startswith(b"HTTP/1.1 413")
        assert answer.endswith(b"no")


async def test_a_cut_answer(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """An answer whose end never came does not end as a whole one would."""

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")

    async with serving(tls, cut) as served:
        reader, writer = await served.client(trusting)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        await reader.readuntil(b"abc")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_client_that_leaves(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """Its request ends with it: while the node thinks, and while the client does not read."""
    gone = asyncio.Event()

    async def think(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b""
        gone.set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 10**9)
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(BLOCK)
                await writer.drain()
        gone.set()

    for node in (think, talk):
        gone.clear()
        async with serving(tls, node) as served:
            _, writer = await served.client(trusting)
            writer.write(GET)
            connection = await served.connection()
            if node is talk:
                writer.transport.pause_reading()
                await eventually(lambda: connection.stuck)  # noqa: B023
            else:
                await eventually(lambda: connection.awaited() is Awaited.ANSWER)  # noqa: B023
            writer.close()
            await gone.wait()


async def test_a_client_that_reads_nothing_and_says_no_more(
    tls: ServerTls, trusting: ssl.SSLContext
) -> None:
    """Who ends his half of the connection while he reads nothing is gone, as he is without TLS."""
    left = asyncio.Event()

    async def pouring(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 * MEBIBYTE))
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(BLOCK)
                await writer.drain()
        left.set()

    async with serving(tls, pouring) as served:
        raw = socket.create_connection(("127.0.0.1", served.port))
        raw.setblocking(False)
        client = ClientOfBytes(raw, trusting)
        await client.handshake()
        await client.send(GET)
        connection = await served.connection()
        await eventually(lambda: connection.stuck)
        raw.shutdown(socket.SHUT_WR)
        await left.wait()
        await eventually(lambda: not served.relay._clients)
        raw.close()


class ClientOfBytes:
    """A TLS client that reads only what it needs, and can half-close the connection below."""

    def __init__(self, raw: socket.socket, context: ssl.SSLContext) -> None:
        self._raw = raw
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=NAME)

    async def handshake(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                self._in.write(await loop.sock_recv(self._raw, MEBIBYTE))
            else:
                return await self._flush()

    async def send(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    async def _flush(self) -> None:
        await asyncio.get_running_loop().sock_sendall(self._raw, self._out.read())


async def test_in_clear(tls: ServerTls) -> None:
    """A client that speaks no TLS is told nothing, and its connection ends."""
    async with serving(tls, answering) as served:
        reader, writer = await served.in_clear()
        writer.write(GET)
        assert await rest(reader) == b""
        await eventually(lambda: len(served.relay) == 0)
        writer.close()


async def test_old_tls(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """TLS before 1.2 is not spoken; 1.2 is."""
    trusting.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        trusting.minimum_version = ssl.TLSVersion.TLSv1
        trusting.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(tls, answering) as served:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await served.client(trusting)
        trusting.maximum_version = ssl.TLSVersion.TLSv1_2
        reader, writer = await served.client(trusting)
        writer.write(GET)
        assert (await reader.readexactly(12)) == b"HTTP/1.1 200"
        writer.close()


async def test_what_is_agreed(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """HTTP/1.1 is chosen of what a client speaks, and nothing is compressed."""
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(tls, answering) as served:
        _, writer = await served.client(trusting)
        agreed = writer.get_extra_info("ssl_object")
        assert agreed.selected_alpn_protocol() == "http/1.1"
        assert agreed.compression() is None
        writer.close()


@pytest.mark.parametrize("how", ["optional", "required"])
@pytest.mark.parametrize("shown", ["none", "theirs", "another's"])
async def test_client_certificates(
    tls: ServerTls, trusting: ssl.SSLContext, how: str, shown: str
) -> None:
    """A certificate of the authority is served, a wrong one never is; without is a setting."""
    clients = trustme.CA()
    if shown != "none":
        issuer = clients if shown == "theirs" else trustme.CA()
        issuer.issue_cert("client.test").configure_cert(trusting)
    async with serving(asking(tls, clients, how), answering) as served:
        expected = (
            b"HTTP/1.1 200" if shown == "theirs" or (shown, how) == ("none", "optional") else b""
        )
        assert await first_words(served, trusting) == expected


async def first_words(served: Served, context: ssl.SSLContext) -> bytes:
    """How an answer begins; nothing if there is none."""
    try:
        reader, writer = await served.client(context)
        writer.write(GET)
        answer = await reader.read(12)
    except (ssl.SSLError, ConnectionError):  # in TLS 1.3 a client is refused after its handshake
        return b""
    writer.close()
    return answer


def junk(words: bytes) -> Callable[[ssl.SSLContext, int], None]:
    """A client who sends this instead of a handshake, says no more, and waits."""

    def send(_: ssl.SSLContext, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(words)
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                client.recv(1024)

    return send


def shake(trusting: ssl.SSLContext, port: int) -> None:
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        trusting.wrap_socket(plain, server_hostname=NAME) as client,
    ):
        client.recv(1)


def distrust(_: ssl.SSLContext, port: int) -> None:
    shake(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), port)


def wait(_: ssl.SSLContext, port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.recv(1)


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (junk(GET), "no_tls"),
        (junk(b"DELETE / HTTP/1.1\r\n\r\n"), "no_tls"),
        (junk(b"\x00" * 100), "no_tls"),
        (distrust, "refused"),
        (shake, "certificate"),  # it shows none
        (wait, "slow"),
        (junk(b""), "left"),
        (junk(b"\x16\x03\x01\x02\x00"), "left"),
        (junk(b"\x15\x03\x01\x00\x02\x02\x28"), "other"),
        (junk(b"\x16\x03\x01\xff\xff" + b"a" * 65535), "other"),
    ],
)
async def test_failed_handshakes_are_counted(
    tls: ServerTls,
    authority: trustme.CA,
    trusting: ssl.SSLContext,
    client: Callable[[ssl.SSLContext, int], None],
    reason: str,
) -> None:
    """Each by why it failed, once, and never as a client."""
    limits = Limits(head_timeout_s=0.2 if client is wait else 60)
    async with serving(asking(tls, authority), answering, limits) as served:
        with contextlib.suppress(OSError):
            await asyncio.to_thread(client, trusting, served.port)
        await eventually(lambda: len(served.relay) == 0)
        assert served.relay.failed_handshakes == {reason: 1}
        assert served.relay.accepted == 0


async def test_half_a_handshake(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """It ends in time, be it silent or begun; meanwhile it has a place among the connections."""
    limits = Limits(head_timeout_s=0.2, connections=2)
    async with serving(tls, answering, limits) as served:
        for words in (b"", hello(trusting)[:50]):
            reader, writer = await served.in_clear()
            writer.write(words)
            await eventually(lambda: len(served.relay) == 1)
            assert await rest(reader) == b""
            await eventually(lambda: len(served.relay) == 0)
            writer.close()


async def test_too_many(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """Who comes when every place is taken, be it by half a handshake, is told so."""
    async with serving(tls, answering, Limits(connections=1)) as served:
        _, half = await served.in_clear()
        await eventually(lambda: len(served.relay) == 1)
        reader, writer = await served.client(trusting)
        assert (await reader.read()).startswith(b"HTTP/1.1 503")
        writer.close()
        await eventually(lambda: len(served.relay) == 1)
        more, another = await served.in_clear()
        await eventually(lambda: len(served.relay) == 2)
        served.relay._handshakes.tick(asyncio.get_running_loop().time() + LINGER_S)
        assert await rest(more) == b""  # who comes in vain gets no more time than to be told so
        assert len(served.relay) == 1
        another.close()
        half.close()
        await eventually(lambda: len(served.relay) == 0)
        assert await first_words(served, trusting) == b"HTTP/1.1 200"


async def test_a_handshake_during_a_reload(tls: ServerTls, trusting: ssl.SSLContext) -> None:
    """Who is in the middle of it when the worker retires is served; at a stop it is waited little."""
    async with serving(tls, answering) as served:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            await eventually(lambda: len(served.relay) == 1)
            retiring = asyncio.create_task(served.relay.retire())

            def ask() -> bytes:
                with trusting.wrap_socket(client, server_hostname=NAME) as secured:
                    secured.sendall(GET)
                    return secured.recv(1024)

            answer = await loop.run_in_executor(None, ask)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"close" in answer
            await retiring
        _, half = await served.in_clear()
        await eventually(lambda: len(served.relay) == 1)
        await served.relay.drain()
        assert len(served.relay) == 0
        half.close()


class TestSettings:
    def test_another_key(self, tls: ServerTls, canary: Any) -> None:
        """A key that is not the certificate's is told with its setting, and not shown."""
        wrong = ServerTls(tls.certificate, Secret(canary("key")))
        with pytest.raises(ConfigError, match=r"^tls.certificate: not a certificate") as raised:
            server_context(wrong)
        assert "is in key, decrypted" in raised.value.remedy

    def test_no_authorities(self, tls: ServerTls) -> None:
        """What holds no certificates of authorities is told with its setting."""
        with pytest.raises(ConfigError, match=r"^tls.client_certificates: not a PEM") as raised:
            server_context(ServerTls(tls.certificate, tls.key, "none"))
        assert "issued the clients' own" in raised.value.remedy
