"""Commands as a shell runs them, and a registry on a real node for them to speak to."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler
from applications import served
from delivering import settings

from signals_proxy.account.account_type import AccountType
from signals_proxy.account.keyring import Keyring
from signals_proxy.api import build
from signals_proxy.api.rooms import Sending
from signals_proxy.authorization import Anybody
from signals_proxy.delivery.settings import DeliverySettings
from signals_proxy.registry.documents import Registry
from signals_proxy.telemetry.audit import Audit

Result = subprocess.CompletedProcess[str]
Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run() -> Iterator[Run]:
    """Return a function that runs a command; what it names in capitals is its environment.

    ``stdin`` is its standard input, in which surrogates stand for bytes that are no text.
    """

    async def run(*arguments: object, stdin: str = "", **environ: str) -> Result:
        command = partial(
            subprocess.run,
            [sys.executable, "-m", "signals_proxy", *map(str, arguments)],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            input=stdin,
            check=False,
            env={**os.environ, **environ},
        )
        return await asyncio.get_running_loop().run_in_executor(threads, command)

    # Of its own: the loop's are for the registry that the commands wait for.
    with ThreadPoolExecutor(16) as threads:
        yield run


Before = Callable[[], Awaitable[web.Response | None]]


@pytest.fixture
def first_write() -> list[Before]:
    """What happens before the first PUT that is no dry run, for a test to put in.

    It may return an answer, which is given instead.
    """
    return []


@pytest.fixture
def delivery() -> DeliverySettings:
    """How accounts are used."""
    return settings()


@pytest.fixture
def application(
    registry: Registry,
    keyring: Keyring,
    types: Mapping[str, AccountType],
    first_write: list[Before],
    delivery: DeliverySettings,
) -> web.Application:
    """The account application."""

    @web.middleware
    async def interfere(request: web.Request, handler: Handler) -> web.StreamResponse:
        writes = request.method == "PUT" and "dry_run" not in request.query
        answer = await first_write.pop()() if writes and first_write else None
        return answer or await handler(request)

    app = build(
        registry=registry,
        keyring=keyring,
        types=types,
        authorizer=Anybody(),
        audit=Audit(),
        sending=Sending.by(delivery, registry.health),
    )
    app.middlewares.insert(0, interfere)
    return app


@pytest.fixture
async def proxy(application: web.Application) -> AsyncIterator[str]:
    """The URL of a server of the account API."""
    async with served(application) as (_, port):
        yield f"http://127.0.0.1:{port}"


Put = Callable[..., Awaitable[None]]


@pytest.fixture
def put(proxy: str) -> Put:
    """Return a function that stores an account by its id."""

    async def put(name: str, **attributes: object) -> None:
        async with ClientSession() as session:
            url = f"{proxy}/_signals/account/{name}"
            async with session.put(url, json=attributes) as answer:
                assert answer.status in {200, 201}, await answer.text()

    return put


@pytest.fixture
def apply(run: Run, proxy: str, tmp_path: Path) -> Run:
    """Return a function that applies the folder ``files`` to the registry."""

    async def apply(*options: str) -> Result:
        return await run("accounts", "apply", tmp_path / "files", *options, SIGNALS_PROXY_URL=proxy)

    return apply
