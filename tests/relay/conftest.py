"""Event loops for the relay's tests."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Have tests on sockets run on both loops, for they differ in how a connection ends."""
    if item.path.name in {"test_cluster.py", "test_sockets.py"}:
        return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
    if (
        item.path.name == "test_tls_clients.py"
    ):  # plain asyncio does not read on after its last word
        return {"uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.SelectorEventLoop}
