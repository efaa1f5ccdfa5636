"""Sealing all accounts anew, while somebody else writes, plants, or cuts the wire."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from faults import Fault, Wire
from registries import Connect
from rotations import Rotation

from signals_proxy.account.sealing import Integrity
from signals_proxy.errors import Lost, Refused, Unavailable
from signals_proxy.registry.client import connect
from signals_proxy.registry.reseal import Reseal
from signals_proxy.registry.settings import RegistrySettings
from signals_proxy.registry.survey import Survey

BULK = b"POST /_bulk"

Prepare = Callable[[str], Reseal]


@pytest.fixture
async def prepare(rotation: Rotation, index: str, connected: Connect) -> Any:
    """Return a function that prepares a run against a URL, with the keyring as it is now."""
    clients = []

    def prepare(url: str, write_timeout_s: float = 30) -> Reseal:
        client = connect(RegistrySettings(index), [url], None)
        clients.append(client)
        registry = connected(url, write_timeout_s=write_timeout_s)
        return Reseal(registry, Survey(client, index), rotation.keyring)

    yield prepare
    for client in clients:
        await client.close()


def running(run: Reseal) -> Awaitable[None]:
    return run.run(lambda _, __: None, lambda: False)


async def test_changed_meanwhile(rotation: Rotation, prepare: Prepare, faulty_wire: Wire) -> None:
    """What is put or deleted between reading and writing is neither overwritten nor brought back;
    what a proxy with the old primary writes then is sealed anew as well."""
    await rotation.fill(3)
    old = rotation.keyring
    _, new = rotation.rotate()
    run = prepare(faulty_wire.url)
    plan = faulty_wire.plan(BULK, Fault.HOLD_REQUEST)
    task = asyncio.ensure_future(running(run))
    await plan.met.wait()
    put = rotation.account("email/a0", old)  # by a proxy that still has the old primary
    again = rotation.account("email/a1")
    late = rotation.account("email/late", old)
    await rotation.plant({each.ref.document_id: dict(each.source) for each in (put, again, late)})
    assert rotation.cluster.ask("DELETE", "/{index}/_doc/email%2Fa2")[0] == 200
    plan.release.set()
    await task
    assert await rotation.sealed_by() == {new: 3}
    assert await rotation.states() == {"verified": 3}
    assert (await rotation.documents())["email/a1"] == dict(again.source)
    assert (run.resealed, run.changed.count, dict(run.left)) == (2, 0, {})


async def test_always_changing(rotation: Rotation, prepare: Prepare, faulty_wire: Wire) -> None:
    """An account that is changed each time that it is tried is given up, named, and left whole."""
    await rotation.fill(2)
    old = rotation.keyring
    _, new = rotation.rotate()
    run = prepare(faulty_wire.url)

    async def change() -> None:
        while True:
            plan = faulty_wire.plan(BULK, Fault.HOLD_REQUEST)
            await plan.met.wait()
            await rotation.plant({"email/a0": dict(rotation.account("email/a0", old).source)})
            plan.release.set()

    changing = asyncio.ensure_future(change())
    await running(run)
    changing.cancel()
    assert (run.resealed, run.changed.examples) == (1, ["email/a0"])
    assert await rotation.sealed_by() == {old.primary.id: 1, new: 1}
    assert await rotation.states() == {"verified": 2}


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.LOSE_REQUEST])
async def test_a_lost_write(
    rotation: Rotation, prepare: Prepare, faulty_wire: Wire, fault: Fault
) -> None:
    """After a write whose answer was lost the accounts are read again: each is counted once."""
    await rotation.fill(30)
    _, new = rotation.rotate()
    faulty_wire.plan(BULK, fault)
    run = prepare(faulty_wire.url)
    await running(run)
    assert run.resealed == 30
    assert await rotation.sealed_by() == {new: 30}


async def test_writes_are_lost_for_ever(
    rotation: Rotation, prepare: Prepare, faulty_wire: Wire
) -> None:
    """A wire that loses every write ends the run, after a few tries, with that error."""
    await rotation.fill(2)
    rotation.rotate()
    faulty_wire.plan(BULK, Fault.LOSE_REQUEST, times=100)
    run = prepare(faulty_wire.url)
    with pytest.raises(Lost, match="write the accounts"):
        await running(run)
    assert sum(BULK in request for request in faulty_wire.requests) == 3
    assert run.resealed == 0


async def test_planted(rotation: Rotation, prepare: Prepare, elasticsearch: str) -> None:
    """No planted document, whatever its shape or id, stops it, or is sealed."""
    await rotation.fill(2)
    genuine = dict(rotation.account("email/a0").source)
    sealed = genuine["_sealed"]
    old = rotation.keyring.primary.id
    deep: Any = "x"
    for _ in range(90):
        deep = [deep]
    planted = {
        "email/moved": genuine,
        "email/host": {**rotation.account("email/host").source, "host": "evil.example.com"},
        "email/keys": {**genuine, "_sealed": {**sealed, "key": [old, "x"]}},
        "email/number": {**genuine, "_sealed": {**sealed, "key": 7}},
        "email/none": {**genuine, "_sealed": {**sealed, "key": None}},
        "email/no box": {**genuine, "_sealed": {"v": 1, "key": old}},
        "email/large": {**rotation.account("email/large").source, "owner": "x" * (5 << 20)},
        "email/deep": {**genuine, "deep": deep},
        "email/plain": {"type": "email", "host": "evil.example.com"},
        "email/foreign": {**genuine, "_sealed": {**sealed, "key": "0" * 32}},
        "email/..": {},
        "/": {},
        "//": {},
        "..": {},
        "a/b/c/d": {},
        "email/\ud800": {},
        "x" * 512: {},
    }
    await rotation.plant(planted)
    before = await rotation.documents()
    rotation.rotate()
    run = prepare(elasticsearch)
    await running(run)
    after = await rotation.documents()
    assert {name for name in after if after[name] != before[name]} == {"email/a0", "email/a1"}
    assert run.resealed == 2
    assert sum(sample.count for sample in run.left.values()) + run.strays.count == len(planted)
    assert {*run.left} == {Integrity.FAILED, Integrity.UNKNOWN_KEY, Integrity.UNSEALED}


async def test_more_than_a_page(rotation: Rotation, prepare: Prepare, elasticsearch: str) -> None:
    """Of two thousand accounts none is left out, and progress is told up to the last."""
    await rotation.fill(2000)
    _, new = rotation.rotate()
    told: list[tuple[int, int]] = []
    run = prepare(elasticsearch)
    await run.run(lambda done, total: told.append((done, total)), lambda: False)
    assert told == [(done, 2000) for done in range(25, 2001, 25)]
    assert await rotation.sealed_by() == {new: 2000}


async def test_stopped(rotation: Rotation, prepare: Prepare, elasticsearch: str) -> None:
    """A run that is stopped ends before its next batch, and has the cluster forget its list."""
    await rotation.fill(60)
    _, new = rotation.rotate()
    run = prepare(elasticsearch)
    await run.run(lambda _, __: None, lambda: run.resealed > 0)
    assert run.resealed == 25
    assert (await rotation.sealed_by())[new] == 25
    _, stats = rotation.cluster.ask("GET", "/_nodes/stats/indices/search")
    (node,) = stats["nodes"].values()
    assert node["indices"]["search"]["open_contexts"] == 0


async def test_a_refused_write(rotation: Rotation, prepare: Prepare, elasticsearch: str) -> None:
    """An index that takes no writes ends the run with the reason."""
    await rotation.fill(2)
    rotation.rotate()
    block = {"index.blocks.write": True}
    assert rotation.cluster.ask("PUT", "/{index}/_settings", block)[0] == 200
    run = prepare(elasticsearch)
    with pytest.raises(Unavailable, match="blocked"):
        await running(run)


async def test_the_list_is_lost(rotation: Rotation, prepare: Prepare, faulty_wire: Wire) -> None:
    """A page that was lost is not asked for again: the next one would come, and none be missed."""
    await rotation.fill(30)
    rotation.rotate()
    faulty_wire.plan(b"POST /_search/scroll", Fault.LOSE_ANSWER)
    run = prepare(faulty_wire.url)
    with pytest.raises(Lost, match="list the accounts"):
        await running(run)
    assert run.resealed == 30
    assert sum(b"POST /_search/scroll" in it for it in faulty_wire.requests) == 1


async def test_the_index_vanishes(rotation: Rotation, prepare: Prepare, faulty_wire: Wire) -> None:
    """Where the index vanished before a write, no document makes one by itself."""
    await rotation.fill(2)
    rotation.rotate()
    run = prepare(faulty_wire.url)
    plan = faulty_wire.plan(BULK, Fault.HOLD_REQUEST)
    task = asyncio.ensure_future(running(run))
    await plan.met.wait()
    rotation.cluster.ask("DELETE", "/{index}")
    plan.release.set()
    with pytest.raises(Refused, match="write the accounts"):
        await task
    assert run.resealed == 0
    _, found = rotation.cluster.ask("GET", "/{index}/_mapping")
    assert [index["mappings"] for index in found.values()] == [{}]
