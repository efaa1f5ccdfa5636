"""Health listeners that say what they are told to."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


@asynccontextmanager
async def health(said: Any, status: int = 200) -> AsyncIterator[str]:
    """Serve ``GET /keys`` with this answer, bytes as they are; yield the listener's URL.

    Its field ``Location`` leads to a right answer.
    """

    async def keys(_: web.Request) -> web.Response:
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        return web.Response(status=status, body=body, headers={"Location": "/elsewhere"})

    app = web.Application()

    async def elsewhere(_: web.Request) -> web.Response:
        return web.json_response({"primary": "a" * 32, "keys": ["a" * 32]})

    app.router.add_get("/keys", keys)
    app.router.add_get("/elsewhere", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
