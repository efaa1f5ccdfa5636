"""``python -m bench.soak [--seconds N]``: everything at once, for long; then a verdict.

Three real nodes, two workers, and clients of every kind (``trouble``). All the time nodes are killed,
stopped and continued, and started again, in turn. In the first half workers are killed and the proxy
is reloaded as well; in the second the workers stay the same, so that their memory tells something.

The verdict: every write that was acknowledged is there, none was done twice, nobody saw an answer that
there is no reason for (see ``trouble``), and the workers hold as many descriptors as before, and hardly
more memory.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import aiohttp

from bench.children import free_ports, run
from bench.meters import memory_size
from bench.trouble import CLIENTS, Client, Seen, prepare
from signals_proxy import embedded
from signals_proxy.account import keyring
from signals_proxy.embedded import Node, archive, jars
from signals_proxy.errors import ConfigError

_CONFIG: Final = """\
listen: 127.0.0.1:{port}
workers: 2
upstream: {{hosts: {hosts}, connect_timeout: 1s}}
keyring: {{file: keyring}}
authorization: {{backend: none}}
health: {{listen: "127.0.0.1:{health}"}}
"""
_MOST_GROWTH: Final = 8 * 1024 * 1024
_TURN_S: Final = 20.0
_SETTLED_S: Final = 65.0
"""After the clients have left: by then the proxy has closed the connections that serve nobody."""
_PROBE_S: Final = 5.0
"""By then after a death the proxy knows who lives, and what was under way has its answer."""
_KEPT: Final = 24
"""Descriptors beyond those before: what the registry's client keeps to each node, for itself."""


class Soak:
    """One run: ``nodes`` are in one cluster, and ``process_id`` is the proxy's supervisor."""

    def __init__(self, nodes: list[Node], process_id: int, url: str, duration_s: float) -> None:
        self._nodes = nodes
        self._process_id = process_id
        self._url = url
        self._duration_s = duration_s
        # A node ends with the thread that started it.
        self._starting = ThreadPoolExecutor(1)
        self._end = 0.0
        self.seen = Seen()
        self.happened: list[str] = []

    async def run(self) -> bool:
        """Run it, print what was measured, and return whether all is well."""
        clock = asyncio.get_running_loop().time
        # Every answer is to be had: the cluster may take a while to choose another master.
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=90)) as session:
            await prepare(session, self._url)
            before = self._measure("before")
            self._end = clock() + self._duration_s - _SETTLED_S
            half = (clock() + self._end) / 2
            async with asyncio.TaskGroup() as group:
                for client, count in CLIENTS:
                    for _ in range(count):
                        group.create_task(self._work(client))
                group.create_task(self._trouble_nodes())
                await self._trouble_workers(half)
                await asyncio.sleep(_TURN_S)
                first = self._measure("half")
                await asyncio.sleep(max(0.0, self._end - clock() - 1))
                last = self._measure("end")
            await asyncio.sleep(_SETTLED_S)
            rest = self._measure("at rest")
            lost, twice = await self._count(session)
        growth = last[0] - first[0]
        verdict = {
            "no acknowledged write is lost": not lost,
            "no write was done twice": not twice,
            "no answer without a reason": not self.seen.wrong,
            f"memory is flat ({growth / 2**20:+.1f} MiB)": growth < _MOST_GROWTH,
            "no descriptor is left": rest[1] <= before[1] + _KEPT,
        }
        for kind, number in sorted(self.seen.answers.items()):
            _say(f"  {number:>8} {kind}")
        for wrong in self.seen.wrong[:20]:
            _say(f"  wrong: {wrong}")
        for what, right in verdict.items():
            _say(f"{'yes' if right else 'NO ':>3}  {what}")
        return all(verdict.values())

    async def _work(self, client: Client) -> None:
        clock = asyncio.get_running_loop().time
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=90)) as session:
            while clock() < self._end:
                try:
                    await client(session, self._url, self.seen)
                except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
                    self._cut(client, error)

    def _cut(self, client: Client, error: Exception) -> None:
        # Cut answers are those of workers that were killed, and of nodes that died in the middle.
        name = f"{client.__name__[1:]} cut: {type(error).__name__}"
        self.seen.answers[name] += 1
        self.seen.failed(name)

    async def _trouble_nodes(self) -> None:
        loop = asyncio.get_running_loop()
        at = 0
        while loop.time() < self._end - 2 * _TURN_S:
            await asyncio.sleep(_TURN_S / 2)
            with self.seen.trouble(_PROBE_S):
                await self._trouble(at)
            self.happened.append("node")
            at = (at + 1) % 3

    async def _trouble(self, at: int) -> None:
        loop = asyncio.get_running_loop()
        node, stopped = self._nodes[at], self._nodes[(at + 1) % 3]
        await asyncio.to_thread(node.kill)
        await asyncio.sleep(_TURN_S / 4)
        await loop.run_in_executor(self._starting, self._start_again, at)
        await self._green()
        stopped.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(_TURN_S / 4)
        stopped.process.send_signal(signal.SIGCONT)
        await self._green()

    def _start_again(self, at: int) -> None:
        node = self._nodes[at]
        others = [each for each in self._nodes if each is not node]
        self._nodes[at] = embedded.start(
            embedded.VERSION, node.home, http_port=node.http_port, name=node.home.name,
            cluster="soak", join=others,
        )  # fmt: skip

    async def _green(self) -> None:
        """Wait for what a cluster that loses a node at a time needs: copies on all three."""
        target = f"{self._url}/_cluster/health?wait_for_status=green&wait_for_nodes=3&timeout=60s"
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):  # of a worker that is killed
                    async with session.get(target) as answer:
                        await answer.read()
                        if answer.status == 200:
                            return
                await asyncio.sleep(1)

    async def _trouble_workers(self, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await asyncio.sleep(_TURN_S / 2)
            os.kill(self._process_id, signal.SIGHUP)
            self.happened.append("reload")
            await asyncio.sleep(_TURN_S / 2)
            with self.seen.trouble(_PROBE_S):
                os.kill(self._workers()[-1], signal.SIGKILL)
            self.happened.append("worker killed")
        # Those that retire have until the drain limit.
        while len(self._workers()) != 2:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(1)

    def _workers(self) -> list[int]:
        children = Path(f"/proc/{self._process_id}/task/{self._process_id}/children")
        return [int(each) for each in children.read_text().split()]

    def _measure(self, when: str) -> tuple[int, int]:
        memory = memory_size(self._process_id)
        descriptors = sum(
            len(list(Path(f"/proc/{each}/fd").iterdir()))
            for each in (self._process_id, *self._workers())
        )
        _say(f"{when}: {memory / 2**20:.1f} MiB, {descriptors} descriptors")
        return memory, descriptors

    async def _count(self, session: aiohttp.ClientSession) -> tuple[set[str], list[str]]:
        """Return which acknowledged writes are lost, and which documents were written twice."""
        found: dict[str, tuple[int, int]] = {}
        await self._green()
        async with session.post(f"{self._url}/soak/_refresh") as answer:
            await answer.read()
        wanted = {"version": True, "seq_no_primary_term": True, "_source": False}
        query: dict[str, Any] = {"size": 10_000, "sort": ["_doc"], **wanted}
        target = f"{self._url}/soak/_search?scroll=1m"
        while True:
            async with session.post(target, json=query) as answer:
                answer.raise_for_status()
                page = await answer.json()
            if not page["hits"]["hits"]:
                break
            for hit in page["hits"]["hits"]:
                found[hit["_id"]] = hit["_version"], hit["_primary_term"]
            target = f"{self._url}/_search/scroll"
            query = {"scroll": "1m", "scroll_id": page["_scroll_id"]}
        lost = self.seen.acknowledged - found.keys()
        repeated = self.seen.repeated
        twice = [
            name
            for name, (version, term) in found.items()
            if version > 1 or term >= repeated.get(name, math.inf)
        ]
        said = {what: self.happened.count(what) for what in dict.fromkeys(self.happened)}
        _say(f"{len(self.seen.acknowledged)} writes acknowledged, {len(found)} found; {said}")
        _say(
            f"{len(repeated)} of them by a 409: Elasticsearch repeats what a dead primary had begun"
        )
        return lost, twice


def main() -> int:
    """Run it and return the exit status: 0 if all is well, 1 if not, 2 if it could not be told."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long (300)")
    duration_s = parser.parse_args().seconds
    try:
        return 0 if _soaked(duration_s) else 1
    except ConfigError as error:
        _say(f"signals-proxy: error: {error.message}")
        return 2


def _soaked(duration_s: float) -> bool:
    jars.fetch(embedded.VERSION)
    if archive.is_missing(embedded.VERSION):
        archive.make(embedded.VERSION)
    with tempfile.TemporaryDirectory(prefix="soak-") as name, ExitStack() as stack:
        folder, nodes = Path(name), list[Node]()
        # Whoever is there at the end is ended, not those who were at the beginning.
        stack.callback(_kill, nodes)
        for own in ("one", "two", "three"):
            nodes.append(
                embedded.start(
                    embedded.VERSION, folder / own, name=own, cluster="soak", join=list(nodes)
                )
            )
        port, health = free_ports(2)
        ring = folder / "keyring"
        ring.touch(0o600)
        ring.write_text(keyring.generate())
        hosts = json.dumps([node.url for node in nodes])
        file = folder / "proxy.yaml"
        file.write_text(_CONFIG.format(port=port, hosts=hosts, health=health))
        command = [sys.executable, "-P", "-m", "signals_proxy", "serve", "--config", str(file)]
        process_id = stack.enter_context(run(command, folder, port, workers=2))
        began = time.monotonic()
        right = asyncio.run(Soak(nodes, process_id, f"http://127.0.0.1:{port}", duration_s).run())
        _say(f"{time.monotonic() - began:.0f} s; the proxy's log: {_errors(folder)}")
        return right


def _kill(nodes: list[Node]) -> None:
    for node in nodes:
        node.kill()


def _errors(folder: Path) -> dict[str, int]:
    """Count the events that the proxy logged as errors."""
    counts: dict[str, int] = {}
    for line in (folder / "output.log").read_text().splitlines():
        if "level=error" in line:
            event = line.partition("event=")[2].split(" pid=")[0][:60]
            counts[event] = counts.get(event, 0) + 1
    return counts


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
