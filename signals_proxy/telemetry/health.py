"""The health listener: ``/live`` and ``/ready``, for load balancers and for what restarts processes.

``/live`` is 200 while something is there that serves or will serve by itself; ``/ready`` is 200
while new requests are welcome, and otherwise 503 with the reason in words. Nothing else is there.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

__all__ = ["Health", "application"]


@dataclass(frozen=True, slots=True)
class Health:
    """``reason`` says why the proxy is not ready; empty if it is."""

    live: bool
    reason: str = ""


def application(look: Callable[[], Health]) -> web.Application:
    """Return the application, which takes a fresh ``look`` for every question."""

    async def live(_: web.Request) -> web.Response:
        alive = look().live
        return web.json_response({"live": alive}, status=200 if alive else 503)

    async def ready(_: web.Request) -> web.Response:
        reason = look().reason
        if reason:
            return web.json_response({"ready": False, "reason": reason}, status=503)
        return web.json_response({"ready": True})

    async def plain(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Cache-Control"] = "no-store"
        response.headers.popall("Server", None)

    app = web.Application()
    app.router.add_get("/live", live)
    app.router.add_get("/ready", ready)
    app.on_response_prepare.append(plain)
    return app
