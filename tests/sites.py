"""Proxies as operators run them, which may deliver to this machine."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from applications import Answer, Client
from mail_servers import MESSAGE
from prometheus_client.parser import text_string_to_metric_families
from served import Served, _get, serve

LOOPBACK = "delivery: {allowed_networks: 127.0.0.0/8}\n"
FROM = {"default_from": "alerts@mail.test"}


class Site:
    """A proxy that runs, and a client of it."""

    def __init__(self, proxy: Served, url: str, health_port: int, session: ClientSession) -> None:
        self.proxy = proxy
        self.url = url
        self.client = Client(session, url)
        self._health_port = health_port

    async def send(self, path: str, message: Any = MESSAGE, **fields: str) -> Answer:
        return await self.client.ask("POST", f"{path}/_send", message, **fields)

    async def status(self, path: str) -> Any:
        return (await self.client.ask("GET", f"{path}/_status")).json

    async def deliveries(self) -> dict[tuple[str, ...], float]:
        """Return how many ended in which way, by type, action and outcome."""
        _, body = await _get(self._health_port, "/metrics")
        return {
            (it.labels["type"], it.labels["action"], it.labels["outcome"]): it.value
            for family in text_string_to_metric_families(body.decode())
            for it in family.samples
            if it.name == "signals_proxy_deliveries_total"
        }

    async def stop(self) -> None:
        self.proxy.signal(signal.SIGTERM)
        assert await self.proxy.ended() == 0


@asynccontextmanager
async def running(file: Path) -> AsyncIterator[Site]:
    async with serve(file) as proxy, ClientSession() as session:
        at = await proxy.served()
        await proxy.event("ready")
        yield Site(proxy, f"http://127.0.0.1:{at.port}", at.health_port, session)


def audited(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "audit.json").read_text().splitlines()]


def account(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, **FROM, **more}
