"""The health listener, when too many ask."""

import asyncio

import pytest
from aiohttp import web
from served import LIMIT_S, Address

from signals_proxy import listeners
from signals_proxy.telemetry import health
from signals_proxy.telemetry.health import CONNECTIONS, Health


async def test_too_many_connections() -> None:
    """The oldest connection is ended for the newest, so that descriptors stay and it answers."""
    runner = web.AppRunner(health.application(lambda: Health(True, "", "", (), {}), bytes))
    await runner.setup()
    assert runner.server is not None
    listener = listeners.bind_alone(listeners.Address("127.0.0.1", 0), "health.listen")
    at = Address(":0", str(listeners.bound(listener)))
    server = await health.answer(listener, runner.server)
    idle = [
        await asyncio.open_connection("127.0.0.1", at.health_port) for _ in range(2 * CONNECTIONS)
    ]
    async with asyncio.timeout(LIMIT_S):
        assert await idle[0][0].read() == b""
    assert await at.health("/ready") == (200, {"ready": True})
    assert len(runner.server.connections) < CONNECTIONS + 100
    for _, writer in idle:
        writer.close()
    server.close()
    await runner.cleanup()


async def test_bad_requests_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody fills the log with them; a mistake of our own is told."""

    def fail() -> bytes:
        raise ZeroDivisionError

    application = health.application(lambda: Health(True, "", "", (), {}), fail)
    runner = web.AppRunner(application, **health.RUNNER_OPTIONS)
    await runner.setup()
    assert runner.server is not None
    listener = listeners.bind_alone(listeners.Address("127.0.0.1", 0), "health.listen")
    server = await health.answer(listener, runner.server)
    for request, status in (
        (b"GET / HTTP/1.1\r\nA B: c\r\n\r\n", b"400"),
        (b"GET /%b HTTP/1.1\r\n\r\n" % (b"a" * 10_000), b"400"),
        (b"POST /metrics HTTP/1.0\r\n\r\n", b"405"),
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"500"),
    ):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(request)
        assert (await reader.read()).split()[1] == status
        writer.close()
    assert [record.exc_info and record.exc_info[0] for record in caplog.records] == [
        ZeroDivisionError
    ]
    server.close()
    await runner.cleanup()
