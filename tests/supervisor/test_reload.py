"""SIGHUP: another configuration without a gap, or the same one as before and the reason why."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from processes import descendants, free_ports, wait_for_ends, watch
from served import Address, Served, configure, serve, upstream
from stub_worker import FAILS, SERVES, News, command

from signals_proxy.account import keyring
from signals_proxy.supervisor import supervise

NOWHERE = "http://127.0.0.1:1"
GET = b"GET /_search HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Client:
    """A connection that is kept until the proxy says that it closes it."""

    def __init__(self, at: Address) -> None:
        self._at = at
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, target: str = "/_search") -> tuple[int, bool]:
        """Return an answer's status, and whether it was the last on its connection."""
        if self._streams is None:
            self._streams = await self._at.connect()
        reader, writer = self._streams
        writer.write(GET.replace(b"/_search", target.encode()))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        last = b"connection: close" in head
        if last:
            assert await reader.read() == b""
            self.close()
        return int(head.split()[1]), last

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


Dial = Callable[[Address], Client]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Return a function that makes clients, whose connections are closed in the end."""
    made: list[Client] = []

    def dial(at: Address) -> Client:
        made.append(Client(at))
        return made[-1]

    yield dial
    for each in made:
        each.close()
    await asyncio.sleep(0)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def ids_of(file: Path) -> list[str]:
    return [key.id for key in keyring.parse(file.read_text()).keys]


async def ended(*processes: int) -> None:
    """Wait until these processes have ended."""
    watched = []
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            watched += watch([process])
    await asyncio.to_thread(wait_for_ends, watched)


class TestNothingIsCut:
    async def test_many_times_under_load(self, tmp_path: Path, dial: Dial) -> None:
        """Nobody is refused or cut: kept connections, new ones, long requests, account calls."""
        async with (
            upstream() as stands,
            serve(configure(tmp_path, stands.url)) as proxy,
        ):
            at = await proxy.served()
            await proxy.event("ready")
            stop, done, lasts = asyncio.Event(), [0], [0]

            async def work(target: str, *, keep: bool) -> None:
                client = dial(at)
                while not stop.is_set():
                    status, last = await client.ask(target)
                    assert status == (200 if "search" in target else 502)
                    done[0] += 1
                    lasts[0] += last
                    if not keep:
                        client.close()
                    await asyncio.sleep(0.05)
                client.close()

            account = "/_signals/account/email/default"
            load = [asyncio.create_task(work("/_search", keep=True)) for _ in range(6)]
            load += [asyncio.create_task(work("/_search", keep=False)) for _ in range(3)]
            load += [asyncio.create_task(work(account, keep=keep)) for keep in (True, False)]
            measured = []
            for _ in range(10):
                idle, slow = dial(at), dial(at)
                assert await idle.ask() == (200, False)
                under_way = asyncio.create_task(slow.ask("/slow"))
                await stands.slow_asked.wait()
                old = proxy.workers()
                await proxy.reloaded()
                assert (await at.health("/ready"))[0] == 200
                stands.slow_answer.set()
                assert await under_way == (200, True)
                assert await idle.ask() == (200, True)
                stands.slow_asked.clear()
                stands.slow_answer.clear()
                await ended(*old)
                measured.append(_cost(proxy.process.pid))
                assert not any(task.done() for task in load)
            stop.set()
            await asyncio.gather(*load)
            assert done[0] > 300
            assert lasts[0] > 10
            files, processes, kilobytes = zip(*measured, strict=True)
            # The least of several: a health connection, or a dead worker, may just be there. What
            # each reload leaves open would be five more.
            assert min(files[5:]) < min(files[:5]) + 5
            assert min(processes[5:]) == 1
            assert kilobytes[9] < kilobytes[4] + 1024

    async def test_a_backlog_is_answered(self, tmp_path: Path) -> None:
        """Who waits to be accepted on an address that is no longer listened on is let in."""
        port, other = free_ports(2)
        async with upstream() as stands:
            file = configure(tmp_path, stands.url)
            edit(file, "listen: 127.0.0.1:0", f"listen: ['127.0.0.1:0', '127.0.0.1:{port}']")
            async with serve(file) as proxy:
                await proxy.event("ready")
                (worker,) = proxy.workers()
                os.kill(worker, signal.SIGSTOP)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(GET)
                edit(file, f"127.0.0.1:{port}", f"127.0.0.1:{other}")
                await proxy.reloaded()
                os.kill(worker, signal.SIGCONT)
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                writer.close()

    async def test_draining_is_bounded(self, tmp_path: Path, dial: Dial) -> None:
        """An idle connection and an endless request are closed when the drain time is over."""
        async with (
            upstream() as stands,
            serve(configure(tmp_path, stands.url, "limits: {drain: 1ms}")) as proxy,
        ):
            at = await proxy.served()
            idle, slow = dial(at), dial(at)
            await idle.ask()
            under_way = asyncio.create_task(slow.ask("/slow"))
            await stands.slow_asked.wait()
            old = proxy.workers()
            await proxy.reloaded()
            await ended(*old)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await under_way
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await idle.ask()


def _cost(process: int) -> tuple[int, int, int]:
    """Return the number of descriptors and of children, and the resident memory in KiB."""
    files = len(list(Path(f"/proc/{process}/fd").iterdir()))
    (line,) = (
        line
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return files, len(descendants(process)), int(line.split()[1])


class TestNothingChanges:
    async def test_mistakes(self, tmp_path: Path) -> None:
        """Whatever is wrong, the old workers stay, and the reason is told with its place."""
        async with upstream() as stands:
            file = configure(tmp_path, stands.url)
            good, ring = file.read_text(), (tmp_path / "keyring").read_text()
            async with serve(file) as proxy:
                at = await proxy.served()
                await proxy.event("ready")
                with socket.create_server(("127.0.0.1", 0)) as other:
                    taken = f"127.0.0.1:{other.getsockname()[1]}"
                    (given_up,) = free_ports(1)
                    mistakes = {
                        f"{file}:8: not YAML: ": good + "\nlimits: [",
                        f"{file}:1: listen.0: cannot listen on {taken}: the address is taken": (
                            good.replace("127.0.0.1:0", taken, 1)
                        ),
                        f"{file}:6: health.listen: cannot listen on {taken}: the": good.replace(
                            "listen: 127.0.0.1:0",
                            f"listen: ['127.0.0.1:0', '127.0.0.1:{given_up}']",
                        ).replace('listen: "127.0.0.1:0', f'listen: "{taken}'),
                        f"{file}:4: keyring.command: the command fails with status 1": (
                            good.replace("file: keyring", "command: ['false']")
                        ),
                    }
                    for number, (reason, text) in enumerate(mistakes.items(), 1):
                        file.write_text(text)
                        await _refused(proxy, at, reason, number)
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", given_up)
                file.write_text(good)
                (tmp_path / "keyring").chmod(0o644)
                await _refused(proxy, at, f"{file}:4: keyring.file: {tmp_path}/keyring: may be", 5)
                (tmp_path / "keyring").chmod(0o600)
                (tmp_path / "keyring").write_text("broken\n" + ring)
                await _refused(proxy, at, f"{tmp_path}/keyring:1: not a line of a keyring", 6)
                (tmp_path / "keyring").write_text(ring)
                await proxy.reloaded()
                assert (await at.health("/generation"))[1]["reload"]["errors"] == []

    async def test_a_worker_cannot_start(self, tmp_path: Path, news: News) -> None:
        """If a new worker fails, the other new ones end as well, and the old ones stay."""
        flag = tmp_path / "flag"
        body = (
            f"flag = Path({str(flag)!r})\n"
            f"if flag.exists():\n    flag.unlink()\n    {FAILS}\nelse:\n    {SERVES}"
        )
        file = configure(tmp_path, NOWHERE, "workers: 2\n")
        running = asyncio.create_task(supervise(file, {}, command(body)))
        own = (await news.event("health listener"))["address"]
        at = Address(str((await news.event("serving"))["addresses"]), str(own))
        before = descendants(os.getpid())
        flag.touch()
        os.kill(os.getpid(), signal.SIGHUP)
        assert str((await news.event("reload failed"))["reason"]) == "/f:3: a.b: no"
        assert descendants(os.getpid()) == before
        state = (await at.health("/generation"))[1]
        assert (state["number"], state["reload"]["done"]) == (1, 1)
        assert [error["message"] for error in state["reload"]["errors"]] == ["no"]
        os.kill(os.getpid(), signal.SIGTERM)
        assert await running is True

    async def test_a_worker_dies_between_edit_and_reload(self, tmp_path: Path) -> None:
        """What replaces a dead worker goes by what was loaded, whatever the files say by now."""
        async with upstream() as old, upstream() as new:
            file = configure(tmp_path, old.url)
            async with serve(file) as proxy:
                at = await proxy.served()
                await proxy.event("ready")
                edit(file, old.url, new.url)
                (tmp_path / "keyring").unlink()
                (worker,) = proxy.workers()
                os.kill(worker, signal.SIGKILL)
                assert await at.get("/_search") == (200, b"ok")
                assert old.asked.is_set()
                assert new.heads == []


async def _refused(proxy: Served, at: Address, reason: str, number: int) -> None:
    """Reload, and see that it is refused for this reason and that nothing is different."""
    workers = proxy.workers()
    proxy.signal(signal.SIGHUP)
    told = (await proxy.event("reload failed"))["reason"]
    assert reason == told[: len(reason)]
    state = (await at.health("/generation"))[1]
    (error,) = state["reload"]["errors"]
    assert error["message"] in told
    assert (state["number"], state["reload"]["done"]) == (1, number)
    assert proxy.workers() == workers
    assert await at.get("/_search") == (200, b"ok")
    assert await at.health("/ready") == (200, {"ready": True})


class TestChanges:
    async def test_keyring(self, tmp_path: Path, dial: Dial, elasticsearch: str) -> None:
        """New keys are in force after it, and told once no worker is left that lacks one."""
        file = configure(tmp_path, elasticsearch, "registry: {index: .signals_reloaded}\n")
        ring = tmp_path / "keyring"
        (old,) = ids_of(ring)
        async with serve(file) as proxy:
            at = await proxy.served()
            await proxy.event("ready")
            assert await at.health("/keys") == (200, {"primary": old, "keys": [old]})
            client = dial(at)
            assert await client.ask("/_signals/account/slack/none") == (404, False)
            ring.write_text(keyring.generate().splitlines()[3] + "\n" + ring.read_text())
            new = ids_of(ring)[0]
            workers = proxy.workers()
            await proxy.reloaded()
            assert await at.health("/keys") == (200, {"primary": new, "keys": [old]})
            client.close()
            await ended(*workers)
            while (found := await at.health("/keys"))[1]["keys"] == [old]:
                pass  # the supervisor has not heard of that end yet
            assert found == (200, {"primary": new, "keys": [new, old]})
            assert await _seal(at, elasticsearch) == new

    async def test_command_and_hosts(self, tmp_path: Path) -> None:
        """Other nodes, and a keyring from elsewhere, are used from the reload on."""
        async with upstream() as old, upstream() as new:
            file = configure(tmp_path, old.url)
            async with serve(file) as proxy:
                at = await proxy.served()
                edit(file, old.url, new.url)
                edit(file, "file: keyring", "command: [sh, -c, 'echo x >> ran; cat keyring']")
                edit(file, "listen: 127", "workers: 2\nlisten: 127")
                (worker,) = proxy.workers()
                await proxy.reloaded()
                await ended(worker)  # until then it may accept a connection
                assert await at.get("/_search") == (200, b"ok")
                assert (new.asked.is_set(), old.asked.is_set()) == (True, False)
                assert (tmp_path / "ran").read_text() == "x\n"

    async def test_addresses(self, tmp_path: Path) -> None:
        """An address that stays keeps its socket; a new one is served, an old one no longer."""
        first, second = free_ports(2)
        async with upstream() as stands:
            file = configure(tmp_path, stands.url)
            edit(file, "listen: 127.0.0.1:0", f"listen: ['127.0.0.1:0', '127.0.0.1:{first}']")
            async with serve(file) as proxy:
                at = await proxy.served()
                await proxy.event("ready")
                edit(file, f"127.0.0.1:{first}", f"127.0.0.1:{second}")
                health = free_ports(1)[0]
                edit(
                    file, 'health: {listen: "127.0.0.1:0', f'health: {{listen: "127.0.0.1:{health}'
                )
                workers = proxy.workers()
                told = await proxy.reloaded()
                assert told["addresses"] == f"127.0.0.1:{at.port},127.0.0.1:{second}"
                await ended(*workers)
                for port in (at.port, second):
                    assert await Address(f"127.0.0.1:{port}", ":0").get("/_search") == (200, b"ok")
                for port in (first, at.health_port):
                    with pytest.raises(ConnectionRefusedError):
                        await asyncio.open_connection("127.0.0.1", port)
                moved = Address(":0", f"127.0.0.1:{health}")
                assert await moved.health("/ready") == (200, {"ready": True})

    async def test_workers(self, tmp_path: Path) -> None:
        """More workers and fewer: every connection is served, on however many sockets."""
        async with upstream() as stands:
            file = configure(tmp_path, stands.url, "workers: 2\n")
            async with serve(file) as proxy:
                at = await proxy.served()
                before = 2
                for workers in (3, 1, 2):
                    edit(file, f"workers: {before}", f"workers: {workers}")
                    old, before = proxy.workers(), workers
                    assert (await proxy.reloaded())["workers"] == str(workers)
                    await ended(*old)
                    while len(left := descendants(proxy.process.pid)) > workers:
                        await asyncio.sleep(0.01)  # the supervisor has not heard of an end yet
                    assert len(left) == workers
                    assert [await at.get("/_search") for _ in range(20)] == [(200, b"ok")] * 20


class TestSignals:
    async def test_two_at_once(self, tmp_path: Path) -> None:
        """A SIGHUP during a reload is not lost: one more reload, which has all the edits, follows."""
        async with upstream() as old, upstream() as new:
            file = configure(tmp_path, old.url)
            async with serve(file) as proxy:
                at = await proxy.served()
                proxy.signal(signal.SIGHUP)
                await proxy.event("reloading")
                await proxy.event("worker started")  # the first
                await proxy.event("worker started")
                edit(file, old.url, new.url)
                proxy.signal(signal.SIGHUP)
                await proxy.event("serving", generation="2")
                await proxy.event("serving", generation="3")
                await ended(*proxy.workers()[:2])  # until then one may accept a connection
                assert await at.get("/_search") == (200, b"ok")
                assert new.asked.is_set()

    @pytest.mark.parametrize("moment", ["reloading", "worker started"])
    async def test_stop(self, tmp_path: Path, dial: Dial, moment: str) -> None:
        """A stop during a reload, also while the keyring's command runs, ends everything."""
        async with upstream() as stands:
            file = configure(tmp_path, stands.url)
            async with serve(file) as proxy:
                at = await proxy.served()
                await proxy.event("worker started")
                if moment == "reloading":
                    os.mkfifo(tmp_path / "never")
                    edit(file, "file: keyring", "command: [cat, never]")
                under_way = asyncio.create_task(dial(at).ask("/slow"))
                await stands.slow_asked.wait()
                proxy.signal(signal.SIGHUP)
                await proxy.event(moment)
                proxy.signal(signal.SIGTERM)
                await proxy.event("draining")
                stands.slow_answer.set()
                assert (await under_way)[0] == 200
                assert await proxy.ended() == 0

    async def test_a_worker(self, tmp_path: Path) -> None:
        """A worker takes no notice of it: who signals all processes of a name cuts nobody off."""
        async with upstream() as stands, serve(configure(tmp_path, stands.url)) as proxy:
            at = await proxy.served()
            (worker,) = proxy.workers()
            os.kill(worker, signal.SIGHUP)
            assert await at.get("/_search") == (200, b"ok")
            proxy.signal(signal.SIGTERM)
            assert await proxy.ended() == 0
            assert proxy.workers() == [worker]


async def _seal(at: Address, elasticsearch: str) -> str:
    """Put an account and return the id of the key that sealed it."""
    index = f"{elasticsearch}/.signals_reloaded/_doc/webhook%2Fa"
    path = "/_signals/account/slack/a"
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{at.port}{path}"
        async with session.put(url, json={"url": "https://example.com/a"}) as answer:
            assert answer.status in {200, 201}, await answer.text()
        async with session.get(index.replace("webhook", "slack")) as answer:
            found: Any = json.loads(await answer.text())
    key: str = found["_source"]["_sealed"]["key"]
    return key
