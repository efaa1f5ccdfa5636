"""Keys come and go while three proxies serve one registry: nobody notices."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from applications import Client
from processes import free_ports
from served import Served, configure, serve

from signals_proxy.account import Account, Keyring, Ref, seal
from signals_proxy.account import keyring as keyrings
from signals_proxy.registry.documents import Registry
from signals_proxy.secret import REDACTED, Secret

PAUSE_S = 0.05  # between two requests of the load: 20 a second
FEW = 30
MANY = 800


class Site:
    """A proxy in a folder of its own, as on a machine of its own."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.folder = folder
        self.config = config
        self.keyring = folder / "keyring"
        self.client: Client
        self.proxy: Served
        self.health = ""

    @contextlib.asynccontextmanager
    async def runs(self) -> AsyncIterator[None]:
        async with serve(self.config) as self.proxy, ClientSession() as session:
            health = await self.proxy.event("health listener")
            serving = await self.proxy.event("serving")
            await self.proxy.event("ready")
            self.health = f"http://{health['address']}"
            self.client = Client(session, f"http://{serving['addresses']}")
            yield
            self.proxy.signal(signal.SIGTERM)
            assert await self.proxy.ended() == 0


async def command(*arguments: str) -> tuple[int, str]:
    """Run a command to its end; return its exit status and what it said."""
    process = await started(*arguments)
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "signals_proxy", *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(os.environ),
    )  # fmt: skip


class Cast:
    """Three proxies, and what an administrator does to them."""

    def __init__(self, sites: list[Site]) -> None:
        self.sites = sites
        self.config = f"--config={sites[0].config}"
        self.healths: list[str] = []

    async def ran(self, status: int, *arguments: str) -> str:
        """Run a command against the first proxy's files; its exit status has to be this."""
        got, said = await command(*arguments, self.config)
        assert got == status, said
        return said

    async def settled(self) -> None:
        """Wait until no worker has another keyring: those that a reload replaced may answer a
        little longer, on connections that are kept."""
        keys = {key.id for key in ring(self.sites[0]).keys}
        for site in self.sites:
            while set((await health(site))["keys"]) != keys:
                await asyncio.sleep(PAUSE_S)

    async def all_have(self, status: int) -> None:
        """Wait until no proxy lacks a key; then an administrator finds that none does."""
        await self.settled()
        assert "lacks" not in await self.ran(status, "keys", "status", *self.healths)

    async def append(self) -> None:
        """A new key, for opening only, on the first machine; nobody knows it yet."""
        status, said = await command("keys", "generate", f"--append={self.sites[0].keyring}")
        assert status == 0, said

    async def spread(self, sites: list[Site] | None = None) -> None:
        """Copy the first machine's keyring to others, and reload all: the first by a command."""
        for site in sites or self.sites:
            if site is self.sites[0]:
                await self.ran(0, "reload")
            else:
                shutil.copyfile(self.sites[0].keyring, site.keyring)
                await site.proxy.reloaded()

    def move_to_top(self) -> None:
        """Make the last key of the first machine's keyring its primary."""
        lines = self.sites[0].keyring.read_text().splitlines(keepends=True)
        *_, newest = (line for line in lines if line.startswith("signals-proxy-key-1"))
        lines.remove(newest)
        self.sites[0].keyring.write_text("".join([newest, *lines]))

    def take_old_away(self) -> None:
        """Leave the primary alone in the first machine's keyring."""
        lines = self.sites[0].keyring.read_text().splitlines(keepends=True)
        keys = [line for line in lines if line.startswith("signals-proxy-key-1")]
        self.sites[0].keyring.write_text("".join(it for it in lines if it not in keys[1:]))


@pytest.fixture
async def cast(tmp_path: Path, elasticsearch: str, index: str) -> AsyncIterator[Cast]:
    sites = []
    for name, port in zip("abc", free_ports(3), strict=True):
        folder = tmp_path / name
        folder.mkdir()
        if sites:
            shutil.copy(sites[0].keyring, folder)
        more = f'registry: {{index: "{index}"}}\nlimits: {{drain: 5s}}\n'
        file = configure(folder, elasticsearch, more)
        # A port that stands in the file, by which `reload` finds the proxy.
        text = file.read_text().replace(
            'health: {listen: "127.0.0.1:0"}', f"health: {{listen: '127.0.0.1:{port}'}}"
        )
        file.write_text(text)
        sites.append(Site(folder, file))
    cast = Cast(sites)
    async with contextlib.AsyncExitStack() as stack:
        for site in sites:
            await stack.enter_async_context(site.runs())
        cast.healths = [f"--health={site.health}" for site in sites]
        yield cast


class Load:
    """Reads and writes on all proxies; whatever is not as it should be is noted."""

    def __init__(self, sites: list[Site], password: str) -> None:
        self.sites = sites
        self.problems: list[str] = []
        self.count: Counter[str] = Counter()
        self._password = password
        # Two writers of one account may be in each other's way, which is not what is tried here.
        self._turns = [asyncio.Lock() for _ in range(FEW)]

    async def prepare(self) -> None:
        body = {"host": "smtp.example.com", "port": 465, "user": "u", "password": self._password}
        for n in range(FEW):
            assert (await self.sites[0].client.put(body, f"email/{n}")).status == 201

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for n in itertools.count():
                if not self._turns[n % FEW].locked():
                    tasks.create_task(self._request(n))
                await asyncio.sleep(PAUSE_S)

    async def _request(self, n: int) -> None:
        async with self._turns[n % FEW]:
            await self._requested(n)

    async def _requested(self, n: int) -> None:
        client = self.sites[n % 3].client
        path = f"email/{n % FEW}"
        try:
            if n % 2:
                answer = await client.get(path)
                right = answer.status == 200 and answer.json["integrity"] == "verified"
            else:
                # One that keeps its password: it has to be opened to be sealed anew.
                body = {"host": "smtp.example.com", "port": 465, "user": "u", "description": f"{n}"}
                answer = await client.put({**body, "password": REDACTED}, path)
                right = answer.status == 200 and answer.json["result"] == "updated"
            self.count["right" if right else "wrong"] += 1
            if not right:
                self.problems.append(f"{n} {path}: {answer.status} {answer.text}")
        except Exception as error:  # noqa: BLE001  whatever it is, it was noticed
            self.problems.append(f"{n} {path}: {error!r}")


async def sealed_by(cluster: Any) -> dict[str, int]:
    """Return how many documents each key sealed."""
    _, found = await asyncio.to_thread(
        cluster.ask, "POST", "/{index}/_search", {"size": 10_000, "_source": ["_sealed.key"]}
    )
    return dict(Counter(hit["_source"]["_sealed"]["key"] for hit in found["hits"]["hits"]))


async def health(site: Site) -> Any:
    """Return what a proxy says of its keys."""
    async with ClientSession() as session, session.get(f"{site.health}/keys") as answer:
        return await answer.json()


def ring(site: Site) -> Keyring:
    return keyrings.parse(site.keyring.read_text())


@pytest.mark.timeout(400)  # some thirty commands, one after another
async def test_rotation_under_load(cast: Cast, cluster: Any, canary: Any) -> None:
    """Through all phases of a rotation no request fails and no account is unreadable; a second one
    that begins before the first has ended is no other."""
    load = Load(cast.sites, canary("password"))
    await load.prepare()
    old = ring(cast.sites[0]).primary.id
    assert await sealed_by(cluster) == {old: FEW}
    async with load.running():
        await cast.append()
        await cast.spread()
        await cast.all_have(0)
        cast.move_to_top()
        await cast.spread()
        await cast.all_have(3)  # documents are by the old key still
        # A second rotation, before anything was sealed anew.
        await cast.append()
        await cast.spread()
        await cast.all_have(3)
        cast.move_to_top()
        await cast.spread()
        await cast.all_have(3)
        await cast.ran(0, "accounts", "reseal", *cast.healths)
        await cast.ran(0, "keys", "status", *cast.healths)
        cast.take_old_away()
        await cast.spread()
        await cast.all_have(0)
        # Some more of the load, by the last key alone.
        enough = load.count["right"] + 2 * FEW
        while load.count["right"] < enough and not load.problems:
            await asyncio.sleep(PAUSE_S)
    assert load.problems[:3] == []
    (newest,) = ring(cast.sites[0]).keys
    assert newest.id != old
    assert await sealed_by(cluster) == {newest.id: FEW}


async def test_a_proxy_without_the_new_key_is_named(cast: Cast, cluster: Any, canary: Any) -> None:
    """Who has not got the new key is named by `keys status`, and resealing does not begin."""
    load = Load(cast.sites, canary("password"))
    await load.prepare()
    before = await sealed_by(cluster)
    await cast.append()
    await cast.spread(cast.sites[:2])
    new = ring(cast.sites[0]).keys[-1].id
    for site in cast.sites[:2]:
        while (
            new not in (await health(site))["keys"]
        ):  # their old workers may answer a little longer
            await asyncio.sleep(PAUSE_S)
    said = await cast.ran(3, "keys", "status", *cast.healths)
    (line,) = (line for line in said.splitlines() if "lacks" in line)
    assert cast.sites[2].health in line
    assert new in line
    cast.move_to_top()
    await cast.spread(cast.sites[:2])
    said = await cast.ran(1, "accounts", "reseal", *cast.healths)
    assert cast.sites[2].health in said
    assert await sealed_by(cluster) == before


async def test_resealing_is_killed(
    cast: Cast, cluster: Any, registry: Registry, canary: Any
) -> None:
    """Killed in the middle, resealing leaves nothing unreadable, and goes on when run again."""
    old = ring(cast.sites[0])
    public = {"host": "smtp.example.com", "port": 465, "user": "u"}
    secrets = {"password": Secret(canary("password"))}
    accounts = [seal(Account(Ref("email", f"{n}"), public, secrets), old) for n in range(MANY)]
    await registry.put(accounts[0], None)  # makes the index
    lines = [
        json.dumps(line)
        for each in accounts[1:]
        for line in ({"create": {"_id": each.ref.document_id}}, dict(each.source))
    ]
    bulk = "/{index}/_bulk?refresh=true"
    status, _ = await asyncio.to_thread(cluster.ask, "POST", bulk, "\n".join([*lines, ""]).encode())
    assert status == 200
    await cast.append()
    cast.move_to_top()
    await cast.spread()
    resealing = await started("accounts", "reseal", cast.config)
    while len(await sealed_by(cluster)) < 2 and resealing.returncode is None:
        await asyncio.to_thread(cluster.ask, "POST", "/{index}/_refresh")
    resealing.kill()
    await resealing.communicate()
    await asyncio.to_thread(cluster.ask, "POST", "/{index}/_refresh")
    half = await sealed_by(cluster)
    assert half.keys() == {old.primary.id, ring(cast.sites[0]).primary.id}
    for n in range(0, MANY, MANY // 50):
        answer = await cast.sites[n % 3].client.get(f"email/{n}")
        assert answer.json["integrity"] == "verified"
    await cast.ran(0, "accounts", "reseal")
    assert await sealed_by(cluster) == {ring(cast.sites[0]).primary.id: MANY}


async def test_a_lost_key(cast: Cast, cluster: Any, canary: Any) -> None:
    """A key that is lost is told wherever its accounts show; others go on; a PUT of secrets heals."""
    site = cast.sites[0]
    body = {"host": "smtp.example.com", "port": 465, "user": "u", "password": canary("password")}
    assert (await site.client.put(body, "email/lost")).status == 201
    lost = ring(site).primary.id
    await cast.append()
    cast.move_to_top()
    cast.take_old_away()
    await cast.spread()
    await cast.settled()
    assert (await site.client.put(body, "email/other")).status == 201
    shown = (await site.client.get("email/lost")).json
    assert shown["integrity"] == "unknown_key"
    assert "Put its line back" in shown["remedy"]
    assert shown["_source"]["password"] == REDACTED
    kept = await site.client.put({**body, "password": REDACTED}, "email/lost")
    assert kept.status == 409
    assert shown["remedy"] in kept.json["error"]
    for words in (("keys", "status"), ("accounts", "reseal")):
        said = await cast.ran(3, *words)
        assert "email/lost" in said
        assert "put its line back" in said.lower()
    assert lost in await cast.ran(3, "keys", "status")
    assert (await site.client.get("email/other")).json["integrity"] == "verified"
    assert (await site.client.put({**body, "port": 25}, "email/other")).status == 200
    assert (await site.client.put(body, "email/lost")).status == 200
    assert (await cast.sites[1].client.get("email/lost")).json["integrity"] == "verified"
    assert await sealed_by(cluster) == {ring(site).primary.id: 2}
    await cast.ran(0, "keys", "status")
