"""TLS servers, honest and not, and clients that tell whether they believe them."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trustme

NAME = "localhost"
FOREIGN_NAME = "somewhere-else.test"


class Identity:
    """What a TLS server shows, and the key that it has for it."""

    def __init__(
        self, folder: Path, leaf: trustme.LeafCert, *shown: trustme.CA | trustme.LeafCert
    ) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        file = folder / f"{id(self)}.pem"
        pems = [leaf.private_key_pem, leaf.cert_chain_pems[0], *map(certificate_of, shown)]
        file.write_bytes(b"".join(pem.bytes() for pem in pems))
        self.context.load_cert_chain(file)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a free port, and leave no connection behind."""
    connections: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in connections:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await server.wait_closed()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")


def serving(identity: Identity) -> AbstractAsyncContextManager[int]:
    return listening(_answer, identity.context)


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """Yield the port of a listener that never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def accepted(context: ssl.SSLContext, port: int, name: str = NAME) -> bool:
    """Return whether a handshake with ``context`` succeeds."""
    try:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name
        )
    except ssl.SSLCertVerificationError:
        return False
    writer.transport.abort()
    return True


def fingerprint_of(certificate: trustme.CA | trustme.LeafCert) -> str:
    pem = certificate_of(certificate).bytes().decode()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def certificate_of(certificate: trustme.CA | trustme.LeafCert) -> trustme.Blob:
    if isinstance(certificate, trustme.CA):
        return certificate.cert_pem
    return certificate.cert_chain_pems[0]
