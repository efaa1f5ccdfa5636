"""Callers, and what asks a cluster about them as a worker does."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from signals_proxy.authorization import Asking, Caller
from signals_proxy.relay import Cluster, Upstream
from signals_proxy.relay.errand import ask
from signals_proxy.secret import Secret


def basic(name: str, password: str) -> str:
    """Return the value of ``Authorization``."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def caller(authorization: str | None = None, **fields: str) -> Caller:
    """Return who comes with these credential fields; ``a_b`` is field ``a-b``."""
    given = {} if authorization is None else {"authorization": authorization}
    given |= {name.replace("_", "-"): value for name, value in fields.items()}
    return Caller(tuple((name, Secret(value)) for name, value in given.items()), None, None)


@asynccontextmanager
async def asking(url: str, **options: Any) -> AsyncIterator[Asking]:
    """Connect to the cluster at a URL; ``options`` are those of ``Asking``."""
    cluster = Cluster(Upstream((url,)), None, 1024 * 1024)
    try:
        yield Asking(partial(ask, cluster), **options)
    finally:
        cluster.close()
