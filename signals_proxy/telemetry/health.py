"""The health listener, for load balancers, for what restarts processes, and for our own commands.

``/live`` is 200 while something is there that serves or will serve by itself; ``/ready`` is 200
while new requests are welcome, and otherwise 503 with the reason in words. ``/keys`` tells the ids
of the keys with which every living worker can open accounts, 503 before one serves; ``/generation``
what became of the last reload; ``/metrics`` what was counted. Nothing else is there, and no secret.

Whoever reaches it must not take away the descriptors that the supervisor needs for its workers:
of too many connections the oldest are ended, so that the next question is answered all the same.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from signals_proxy.telemetry.metrics import CONTENT_TYPE

__all__ = ["CONNECTIONS", "RUNNER_OPTIONS", "Health", "answer", "application"]

CONNECTIONS: Final = 256

_BACKLOG: Final = 64
"""Connections that are accepted in one go, before any is looked at."""


def _is_no_bad_request(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_logger = logging.getLogger("signals_proxy.health")
_logger.addFilter(_is_no_bad_request)

RUNNER_OPTIONS: Final[Mapping[str, Any]] = {"access_log": None, "logger": _logger}
"""How the application is to be run: whoever sends what is no HTTP does not fill the log."""


@dataclass(frozen=True, slots=True)
class Health:
    """``reason`` says why the proxy is not ready; empty if it is. ``primary``: empty if none is."""

    live: bool
    reason: str
    primary: str
    keys: Sequence[str]
    generation: Mapping[str, Any]


def application(look: Callable[[], Health], measure: Callable[[], bytes]) -> web.Application:
    """Return the application, which takes a fresh ``look`` for every question.

    ``measure`` returns what Prometheus is told.
    """

    async def live(_: web.Request) -> web.Response:
        alive = look().live
        return web.json_response({"live": alive}, status=200 if alive else 503)

    async def ready(_: web.Request) -> web.Response:
        reason = look().reason
        if reason:
            return web.json_response({"ready": False, "reason": reason}, status=503)
        return web.json_response({"ready": True})

    async def keys(_: web.Request) -> web.Response:
        found = look()
        if not found.primary:
            return web.json_response({"reason": "no worker serves"}, status=503)
        return web.json_response({"primary": found.primary, "keys": found.keys})

    async def generation(_: web.Request) -> web.Response:
        return web.json_response(look().generation)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=measure(), headers={"Content-Type": CONTENT_TYPE})

    async def plain(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Cache-Control"] = "no-store"
        response.headers.popall("Server", None)

    app = web.Application()
    for handler in (live, ready, keys, generation, metrics):
        app.router.add_get(f"/{handler.__name__}", handler)
    app.on_response_prepare.append(plain)
    return app


async def answer(listener: socket.socket, server: web.Server) -> asyncio.Server:
    """Answer whoever connects to a listening socket, by the server of an application's runner."""

    def protocol() -> asyncio.Protocol:
        for oldest in server.connections[:-CONNECTIONS]:
            if oldest.transport is not None:
                oldest.transport.abort()
        return server()

    loop = asyncio.get_running_loop()
    return await loop.create_server(protocol, sock=listener, backlog=_BACKLOG)
