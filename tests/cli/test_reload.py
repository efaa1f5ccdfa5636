"""``signals-proxy reload``: what it says, and whom it signals."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from processes import free_ports
from served import Served, configure, serve, upstream


def _reload(file: Path) -> tuple[int, str]:
    """Run it to its end; return its exit status and what it said."""
    found = subprocess.run(
        [sys.executable, "-m", "signals_proxy", "reload", "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert found.stdout == ""
    return found.returncode, found.stderr.replace("signals-proxy: ", "")


def _configured(folder: Path, url: str, port: int) -> Path:
    file = configure(folder, url)
    file.write_text(file.read_text().replace('health: {listen: "127.0.0.1:0"}', _health(port)))
    return file


def _health(port: int) -> str:
    return f'health: {{listen: "127.0.0.1:{port}"}}'


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[tuple[Served, Path]]:
    """A proxy that serves, and its configuration."""
    async with upstream() as stands:
        file = _configured(tmp_path, stands.url, *free_ports(1))
        async with serve(file) as proxy:
            await proxy.served()
            yield proxy, file


async def test_reloads(running: tuple[Served, Path]) -> None:
    """It returns when the new workers serve, and says how many."""
    proxy, file = running
    file.write_text(file.read_text() + "workers: 2\n")
    assert await asyncio.to_thread(_reload, file) == (0, "reloaded: 2 workers\n")
    assert len(proxy.workers()) == 3


async def test_refused(running: tuple[Served, Path]) -> None:
    """What the supervisor finds wrong is told as at a start: all errors, each with its remedy."""
    proxy, file = running
    ring = file.with_name("keyring")
    ring.write_text("hunter2\n" + ring.read_text())
    status, said = await asyncio.to_thread(_reload, file)
    assert status == 1
    assert said.startswith(f"error: {ring}:1: not a line of a keyring\nhint: a line begins with")
    assert said.endswith("nothing has changed: the proxy goes on as before\n")
    assert "hunter2" not in said
    assert len(proxy.workers()) == 1


async def test_broken_configuration(running: tuple[Served, Path]) -> None:
    """The proxy is found by `health.listen` alone: what else is wrong, it tells itself, by its own
    environment; a file that cannot be read asks for nothing."""
    proxy, file = running
    whole = file.read_text()
    file.write_text(whole + "wrokers: 2\nworkers: ${ONLY_THE_SERVICE_HAS_IT}\n")
    status, said = await asyncio.to_thread(_reload, file)
    assert status == 1
    assert f"error: {file}:7: wrokers: unknown setting\n" in said
    assert "ONLY_THE_SERVICE_HAS_IT is not set" in said
    asked = len(proxy.lines)
    for broken in (whole + "a: [\n", whole.replace("127.0.0.1", "nowhere:"), " " * 200_000):
        file.write_text(broken)
        status, said = await asyncio.to_thread(_reload, file)
        assert (status, said.startswith(f"error: {file}")) == (2, True), said
    assert len(proxy.lines) == asked


async def test_moved_health_listener(running: tuple[Served, Path]) -> None:
    """A proxy that is not found, as the same change moved its listener, is told how to reach."""
    _, file = running
    (port,) = free_ports(1)
    text = file.read_text().splitlines()
    file.write_text("\n".join([*text[:-1], _health(port)]))
    status, said = await asyncio.to_thread(_reload, file)
    assert status == 1
    address = f"127.0.0.1:{port}"
    told = f"error: no proxy answers at {address}, its health listener: connection refused\n"
    assert said.startswith(told)
    assert "kill -HUP PID" in said


def test_no_port(tmp_path: Path) -> None:
    """A listener on any port is not found."""
    status, said = _reload(configure(tmp_path, "http://127.0.0.1:1"))
    assert status == 1
    assert said.startswith("error: health.listen has port 0, by which no running proxy is found\n")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("hello", "what answers at {at} is no health listener of this version"),
        ("[]", "what answers at {at} is no health listener of this version"),
        ("{}", "what answers at {at} is no health listener of this version"),
        ({"pid": float("inf")}, "what answers at {at} is no health listener of this version"),
        ({"pid": os.getpid()}, "the proxy that answers at {at} is no process of this machine"),
        ({"pid": 0}, "the proxy that answers at {at} is no process of this machine"),
        ({"pid": -1}, "the proxy that answers at {at} is no process of this machine"),
        ({"pid": 2**40}, "the proxy that answers at {at} is no process of this machine"),
    ],
)
async def test_somebody_else(tmp_path: Path, answer: Any, told: str) -> None:
    """Whoever else answers at the address has no process of its choice signalled."""
    (port,) = free_ports(1)
    if not isinstance(answer, str):
        last = {"asked": 0, "done": 0, "errors": []}
        answer = json.dumps({"workers": 1, "reload": last, **answer})

    async def say(_: web.Request) -> web.Response:
        return web.Response(text=answer)

    app = web.Application()
    app.router.add_get("/generation", say)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    file = _configured(tmp_path, "http://127.0.0.1:1", port)
    status, said = await asyncio.to_thread(_reload, file)
    await runner.cleanup()
    assert status == 1
    assert said.startswith(f"error: {told.format(at=f'127.0.0.1:{port}')}\nhint: ")
