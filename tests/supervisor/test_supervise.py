"""The supervisor itself, with workers that do what a test wants."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from processes import descendants
from served import Address, configure
from stub_worker import FAILS, SERVES, News, command, program

from signals_proxy.errors import ConfigError
from signals_proxy.supervisor import supervise

NOWHERE = "http://127.0.0.1:1"


async def test_first_worker_fails(tmp_path: Path) -> None:
    """A configuration error of the first worker ends the supervisor with that error."""
    with pytest.raises(ConfigError) as raised:
        await supervise(configure(tmp_path, NOWHERE), {}, command(FAILS))
    assert str(raised.value) == "/f:3: a.b: no"


@pytest.mark.parametrize(
    "line", [b'{"kind": "Other"}', b'{"kind": "Started", "x": 1}', b"[]", b"?"]
)
async def test_another_version(tmp_path: Path, line: bytes) -> None:
    """A worker of a program that was upgraded meanwhile is ended, and told what it is."""
    body = f"import os; os.write(pipe._descriptor, {line!r} + b'\\n'); signal.pause()"
    before = descendants(os.getpid())
    with pytest.raises(ConfigError) as raised:
        await supervise(configure(tmp_path, NOWHERE), {}, command(body))
    assert str(raised.value) == "a worker speaks as another version of this program does"
    assert descendants(os.getpid()) == before


async def test_no_worker_lives(tmp_path: Path, news: News) -> None:
    """While the last worker is dead and none can be started, it is neither live nor ready."""
    python = program(tmp_path)
    file = configure(tmp_path, NOWHERE)
    running = asyncio.create_task(supervise(file, {}, command(SERVES, python)))
    own = (await news.event("health listener"))["address"]
    at = Address(str((await news.event("serving"))["addresses"]), str(own))
    assert await at.health("/ready") == (503, {"ready": False, "reason": "starting"})
    assert await at.health("/live") == (200, {"live": True})
    python.unlink()
    pid = (await news.event("worker started"))["pid"]
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    await news.event("no worker can be started")
    assert await at.health("/ready") == (503, {"ready": False, "reason": "no worker lives"})
    assert await at.health("/live") == (503, {"live": False})
    assert await at.health("/keys") == (503, {"reason": "no worker serves"})
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running is True
