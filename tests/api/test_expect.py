"""``Expect: 100-continue``: a body is asked for only once it will be read."""

import asyncio
import json
from typing import Any

import pytest
from rawhttp import BODY, exchange, put

from signals_proxy.authorization import Anybody, Identity
from signals_proxy.errors import Forbidden, SignalsError, Unauthenticated


class Nobody:
    """An authorizer that lets nobody do anything."""

    def __init__(self, refusal: SignalsError) -> None:
        self._refusal = refusal

    async def require(self, *_: Any) -> Identity:
        raise self._refusal


async def expect(client: Any, request: bytes) -> tuple[bytes, asyncio.StreamReader, Any]:
    """Send a head that waits for permission, and return the first head that comes."""
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(request)
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


async def test_continue(client: Any, cluster: Any) -> None:
    """A body that will be read is asked for, and then answered, over the same connection."""
    head, reader, writer = await expect(client, put("Expect: 100-continue")[: -len(BODY)])
    assert head == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
    await reader.readexactly(85)
    writer.write(put("Connection: close"))
    assert b'"result":"noop"' in await reader.read()
    writer.close()
    assert cluster.source()["port"] == 465


@pytest.mark.parametrize(
    ("fields", "authorizer", "status"),
    [
        (["Content-Length: 1048577"], Anybody(), 413),
        (["Content-Length: 99999999999"], Anybody(), 413),
        (["Content-Encoding: br"], Anybody(), 415),
        (["Host: x"], Anybody(), 403),
        ([], Nobody(Forbidden("No.")), 403),
        ([], Nobody(Unauthenticated("Who?", ["Basic"])), 401),
    ],
)
async def test_no_continue(
    serve: Any, cluster: Any, fields: list[str], authorizer: Any, status: int
) -> None:
    """A body that will not be read is never asked for; the connection ends, for it may yet come."""
    client = await serve(authorizer=authorizer)
    request = put("Expect: 100-continue", *fields)[: -len(BODY)]
    if "Host: x" in fields:
        request = request.replace(b"Host: localhost\r\n", b"")
    head, reader, writer = await expect(client, request)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"\r\nConnection: close\r\n" in head
    writer.write_eof()
    assert json.loads(await reader.read())["status"] == status
    writer.close()
    assert not cluster.exists()


async def test_expect_with_the_body_already_there(client: Any) -> None:
    """A client that does not wait gets its answers, and keeps its connection."""
    request = put("Expect: 100-continue", "Content-Encoding: br") + put("Connection: close")
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(request)
    answers = await reader.read()
    assert answers.startswith(b"HTTP/1.1 415 ")
    assert b"HTTP/1.1 201 " in answers
    assert b"100 Continue" not in answers
    writer.close()


async def test_http_1_0_is_not_asked(client: Any) -> None:
    """A client of HTTP/1.0 gets no interim answer (RFC 9110 10.1.1)."""
    request = put("Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    head, _ = await exchange(client.address, request)
    assert head.startswith(b"HTTP/1.0 201 ")


async def test_other_expectations_are_ignored(client: Any) -> None:
    """An expectation that nobody knows changes nothing."""
    head, _ = await exchange(client.address, put("Expect: the-unexpected", "Connection: close"))
    assert head.startswith(b"HTTP/1.1 201 ")
