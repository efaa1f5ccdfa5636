"""What one client sends is never taken for another's: connections to nodes and to us are shared."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rawhttp import exchange, get
from served import configure, serve

CHUNKED = b"Host: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def proxied(elasticsearch: str, tmp_path: Path) -> AsyncIterator[tuple[str, int]]:
    """The address of a whole proxy."""
    async with serve(configure(tmp_path, elasticsearch)) as proxy:
        address = await proxy.served()
        await proxy.event("ready")
        yield ("127.0.0.1", address.port)
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0


@pytest.mark.parametrize("trailer", [b"X-Opaque-Id: mine", b"Host: x", b"Origin: http://mine"])
async def test_trailers_stay_with_their_request(proxied: tuple[str, int], trailer: bytes) -> None:
    """Trailers are no fields of the next request, which the server behind a pool could think."""
    target = b"GET /_signals/account/email/default HTTP/1.1\r\n"
    for _ in range(3):
        await exchange(proxied, target + CHUNKED + b"2\r\n{}\r\n0\r\n" + trailer + b"\r\n\r\n")
        head, _ = await exchange(proxied, get())
        assert head.startswith(b"HTTP/1.1 404 ")
        assert b"mine" not in head


@pytest.mark.parametrize("extension", [b"a(", b"\xe4", b'a="b', b" a"])
async def test_chunks_that_kill_a_connection(proxied: tuple[str, int], extension: bytes) -> None:
    """Extensions after which a node never answers again on its connection are refused."""
    search = b"POST /_search HTTP/1.1\r\nContent-Type: application/json\r\n"
    chunks = b"2;" + extension + b"\r\n{}\r\n0\r\n\r\n"
    for _ in range(3):
        head, _ = await exchange(proxied, search + CHUNKED + chunks)
        assert head.startswith(b"HTTP/1.1 400 ")
        count = b"POST /_refresh HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        head, _ = await exchange(proxied, count)
        assert head.startswith(b"HTTP/1.1 200 ")
