"""Errors outside of the boundary's reach, where aiohttp would speak for itself."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from applications import served
from rawhttp import exchange, get

from signals_proxy.api import build
from signals_proxy.authorization import Anybody
from signals_proxy.telemetry.audit import Audit


@pytest.fixture
def app(registry: Any, keyring: Any, types: Mapping[str, Any]) -> web.Application:
    """An application that the test may break."""
    return build(
        registry=registry, keyring=keyring, types=types, authorizer=Anybody(), audit=Audit()
    )


async def test_before_the_boundary(
    app: web.Application, canary: Any, audit_lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in front of the boundary is a 500 like any other, and has its audit line."""

    @web.middleware
    async def crash(_: web.Request, handler: Any) -> web.StreamResponse:
        assert handler
        raise KeyError(canary("message"))

    app.middlewares.insert(0, crash)
    async with served(app) as (_, port):
        head, body = await exchange(("127.0.0.1", port), get())
    assert head.split()[1] == b"500"
    (line,) = audit_lines()
    assert line["http.request.id"] in json.loads(body)["error"]
    (record,) = [it for it in caplog.records if it.name == "signals_proxy.api"]
    assert record.fields["way"].endswith("builtins.KeyError")


async def test_after_the_boundary(
    app: web.Application, canary: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An error while an answer is made ready ends the connection; its message is not logged."""

    async def crash(*_: Any) -> None:
        raise KeyError(canary("message"))

    app.on_response_prepare.append(crash)
    async with served(app) as (_, port):
        assert await exchange(("127.0.0.1", port), get()) == (b"", b"")
    (record,) = [it for it in caplog.records if it.name == "signals_proxy.api"]
    assert record.fields["way"].endswith("builtins.KeyError")


async def test_in_the_middle_of_an_answer(
    app: web.Application, canary: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in front of the boundary after the head was sent ends the connection too."""

    @web.middleware
    async def crash(request: web.Request, handler: Any) -> web.StreamResponse:
        assert handler
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise KeyError(canary("message"))

    app.middlewares.insert(0, crash)
    async with served(app) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get())
        answer = await reader.read()
        writer.close()
    assert b"\r\n0\r\n\r\n" not in answer
    assert [it.name for it in caplog.records if it.levelname == "ERROR"] == []
