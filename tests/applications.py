"""The account application on a listener of its own, and a client that sends paths as written."""

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, web
from yarl import URL

from signals_proxy.api import RUNNER_OPTIONS, protocols

JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    """One answer, read whole."""

    status: int
    fields: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    """Speaks to the application; paths are sent as they are written."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self.session = session
        self.url = url.rstrip("/")

    @property
    def address(self) -> tuple[str, int]:
        """Where raw sockets connect to."""
        url = URL(self.url)
        return url.host or "", url.port or 0

    async def ask(self, method: str, path: str, body: Any = None, **fields: str) -> Answer:
        """Return the answer; a body that is not bytes is sent as JSON. ``a_b`` is field ``a-b``."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in fields.items()}
        if data is not None:
            given = {**JSON, **given}
        url = URL(self.url + "/_signals/account/" + path, encoded=True)
        skipped = () if "Content-Type" in given else ("Content-Type",)
        async with self.session.request(
            method,
            url,
            data=io.BytesIO(data) if data else data,
            headers=given,
            skip_auto_headers=skipped,
        ) as answer:
            text = (await answer.read()).decode()
            return Answer(answer.status, dict(answer.headers), text)

    async def put(self, body: Any, path: str = "email/default", **fields: str) -> Answer:
        return await self.ask("PUT", path, body, **fields)

    async def get(self, path: str = "email/default", **fields: str) -> Answer:
        return await self.ask("GET", path, **fields)

    async def delete(self, path: str = "email/default", **fields: str) -> Answer:
        return await self.ask("DELETE", path, **fields)


@asynccontextmanager
async def served(
    app: web.Application, shutdown_timeout_s: float = 1, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[web.AppRunner, int]]:
    """Serve an application on a port of its own; its connections are cut in the end."""
    runner = web.AppRunner(app, shutdown_timeout=shutdown_timeout_s, **RUNNER_OPTIONS)
    await runner.setup()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocols(runner), "127.0.0.1", 0, ssl=tls)
    try:
        yield runner, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await runner.cleanup()
