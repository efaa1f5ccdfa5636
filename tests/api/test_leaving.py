"""Uploads that do not end, clients that leave, servers that stop."""

import asyncio
import json
import socket
from typing import Any

import pytest
from applications import served
from faults import Fault
from rawhttp import BODY, put

from signals_proxy.api import build, protocols, remote_of
from signals_proxy.authorization import Anybody
from signals_proxy.telemetry.audit import Audit


async def test_a_body_that_never_ends(serve: Any, cluster: Any) -> None:
    """A body that does not come whole in time is a 400."""
    client = await serve(body_timeout_s=0.1)
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(put("Content-Length: 1000"))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    length = int(head.split(b"Content-Length: ")[1].split()[0])
    assert b"did not arrive within 0.1 s" in await reader.readexactly(length)
    writer.close()
    assert not cluster.exists()


async def settled(condition: Any) -> None:
    """Wait until something that has to happen has happened."""
    while not condition():
        await asyncio.sleep(0.01)


async def test_a_client_that_leaves_while_sending(
    client: Any, cluster: Any, audit_lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that ends in the middle stores nothing, and is one audit line and no traceback."""
    _, writer = await asyncio.open_connection(*client.address)
    writer.write(put("Content-Length: 1000"))
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    await settled(audit_lines)
    (line,) = audit_lines()
    assert (line["event.outcome"], line["error.type"]) == ("unknown", "cancelled")
    assert line["event.action"] == "account/put"
    assert not cluster.exists()
    assert [it for it in caplog.records if it.levelname == "ERROR" or it.exc_info] == []


async def test_a_client_that_leaves_while_reading(
    serve: Any, connected: Any, faulty_wire: Any, audit_lines: Any
) -> None:
    """A call that only reads ends with its client."""
    client = await serve(registry=connected(faulty_wire.url))
    plan = faulty_wire.plan(b"GET /.signals", Fault.HOLD_REQUEST)
    _, writer = await asyncio.open_connection(*client.address)
    writer.write(b"GET /_signals/account/email/a HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await plan.met.wait()
    writer.close()
    await settled(audit_lines)
    (line,) = audit_lines()
    assert (line["event.outcome"], line["error.type"]) == ("unknown", "cancelled")
    plan.release.set()


@pytest.mark.parametrize("fault", [Fault.HOLD_REQUEST, Fault.HOLD_ANSWER])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_client_that_leaves_while_writing(
    serve: Any,
    connected: Any,
    faulty_wire: Any,
    cluster: Any,
    audit_lines: Any,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    method: str,
) -> None:
    """A write that has begun is finished, and its audit line tells what was done."""
    client = await serve(registry=connected(faulty_wire.url))
    if method == "DELETE":
        await client.put(json.loads(BODY))
    already = len(audit_lines())
    plan = faulty_wire.plan(b"POST /_bulk", fault)
    _, writer = await asyncio.open_connection(*client.address)
    writer.write(put().replace(b"PUT", method.encode()))
    await plan.met.wait()
    writer.transport.abort()
    await asyncio.sleep(0.05)
    assert len(audit_lines()) == already
    plan.release.set()
    await settled(lambda: len(audit_lines()) > already)
    line = audit_lines()[-1]
    result = {"PUT": "created", "DELETE": "deleted"}[method]
    assert (line["event.outcome"], line["signals_proxy.result"]) == ("success", result)
    assert (cluster.source() is None) == (method == "DELETE")
    assert len(audit_lines()) == already + 1
    assert [it for it in caplog.records if it.levelname == "ERROR" or it.exc_info] == []


async def test_a_server_that_stops_while_writing(
    registry: Any, types: Any, keyring: Any, connected: Any, faulty_wire: Any, cluster: Any
) -> None:
    """A write that has begun when the server stops is finished and answered."""
    assert registry
    app = build(
        registry=connected(faulty_wire.url),
        keyring=keyring,
        types=types,
        authorizer=Anybody(),
        audit=Audit(),
    )
    plan = faulty_wire.plan(b"POST /_bulk", Fault.HOLD_ANSWER)
    async with served(app, shutdown_timeout_s=0.05) as (runner, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(put())
        await plan.answered.wait()
        stopping = asyncio.create_task(runner.cleanup())
        await asyncio.sleep(0.02)
        plan.release.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 201 ")
        await stopping
        writer.close()
    assert cluster.source() is not None


async def test_behind_a_socket_pair(
    registry: Any, types: Any, keyring: Any, audit_lines: Any, example: Any
) -> None:
    """The application works on one end of a socket pair; who the client is, is told beside it."""
    app = build(
        registry=registry,
        keyring=keyring,
        types=types,
        authorizer=Anybody(),
        audit=Audit(),
        peer_of=lambda request: remote_of(request) or "192.0.2.9",
    )
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    async with served(app) as (runner, _):
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(protocols(runner), sock=theirs)
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(put(body=json.dumps(example).encode()) + put("Connection: close"))
        answers = await reader.read()
        writer.close()
    statuses = [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"201", b"400"]  # the second one lacks the user that the password needs
    assert [line["client.address"] for line in audit_lines()] == ["192.0.2.9"] * 2
