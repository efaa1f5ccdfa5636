"""The account application, with the real registry on a real node."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import ClientSession
from applications import Client, served

from signals_proxy.account.account_type import AccountType
from signals_proxy.account.keyring import Keyring
from signals_proxy.api import build
from signals_proxy.authorization import Anybody
from signals_proxy.registry.documents import Registry
from signals_proxy.telemetry.audit import LOGGER, Audit

Serve = Callable[..., Awaitable[Client]]


@pytest.fixture
async def serve(
    registry: Registry, keyring: Keyring, types: Mapping[str, AccountType]
) -> AsyncIterator[Serve]:
    """Return a function that serves an application; arguments replace those of ``build``."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(ClientSession())

        async def serve(**arguments: Any) -> Client:
            app = build(
                **{
                    "registry": registry,
                    "keyring": keyring,
                    "types": types,
                    "authorizer": Anybody(),
                    "audit": Audit(),
                    **arguments,
                }
            )
            _, port = await stack.enter_async_context(served(app))
            return Client(session, f"http://127.0.0.1:{port}")

        yield serve


@pytest.fixture
async def client(serve: Serve) -> Client:
    return await serve()


@pytest.fixture
def example(canary: Callable[[str], str]) -> dict[str, Any]:
    """The reference product's own example of an account, with a password of the test's."""
    return {
        "host": "smtp.example.com",
        "port": 465,
        "user": "signals",
        "password": canary("password"),
        "enable_tls": True,
        "default_from": "Signals <signals@example.com>",
        "default_bcc": "signals@example.com",
    }


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def audit_lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Return a function that reads the audit lines written so far."""
    caplog.set_level(logging.INFO, LOGGER)
    return lambda: [json.loads(it.getMessage()) for it in caplog.records if it.name == LOGGER]
