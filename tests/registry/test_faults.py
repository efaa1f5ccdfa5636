"""What networks and clusters do to reads and writes, and what the registry makes of it."""

import asyncio
from typing import Any

import pytest
from faults import Fault, Wire

from signals_proxy.account.ref import Ref
from signals_proxy.errors import (
    Lost,
    NotConnected,
    TimedOut,
)
from signals_proxy.registry.documents import Registry, Version

REF = Ref("email", "default")
WRITE = b"POST /_bulk"
READ = b"GET /.signals"


@pytest.fixture
def registry(connected: Any, faulty_wire: Wire) -> Registry:
    """A registry whose connections pass a wire that can be cut."""
    return connected(faulty_wire.url)


def writes(wire: Wire) -> int:
    return sum(WRITE in request for request in wire.requests)


async def test_the_answer_to_a_creation_is_lost(
    registry: Registry, faulty_wire: Wire, seal: Any
) -> None:
    """A write that was done though its answer was lost counts as done, and is sent once."""
    faulty_wire.plan(WRITE, Fault.LOSE_ANSWER)
    sealed = seal()
    version = await registry.put(sealed, None)
    assert version == Version(1, 0, 1)
    stored = await registry.get(REF)
    assert stored is not None
    assert stored.account == sealed
    assert writes(faulty_wire) == 1


async def test_the_answer_to_an_update_is_lost(
    registry: Registry, faulty_wire: Wire, seal: Any
) -> None:
    """So does an update; its new version guards the next write."""
    first = await registry.put(seal(), None)
    faulty_wire.plan(WRITE, Fault.LOSE_ANSWER)
    second = await registry.put(seal(port=25), first)
    assert second == Version(2, 1, 1)
    assert await registry.put(seal(port=26), second) == Version(3, 2, 1)
    assert writes(faulty_wire) == 3


async def test_a_write_is_lost(registry: Registry, faulty_wire: Wire, seal: Any) -> None:
    """A write that cannot be found afterwards is lost: it is never sent again by itself."""
    first = await registry.put(seal(), None)
    faulty_wire.plan(WRITE, Fault.LOSE_REQUEST)
    with pytest.raises(Lost, match="write the account"):
        await registry.put(seal(port=25), first)
    assert writes(faulty_wire) == 2
    stored = await registry.get(REF)
    assert stored is not None
    assert stored.version == first


async def test_somebody_else_is_found(
    registry: Registry, faulty_wire: Wire, connected: Any, elasticsearch: str, seal: Any
) -> None:
    """What somebody else stored meanwhile is not taken for our lost write, however alike."""
    plan = faulty_wire.plan(WRITE, Fault.LOSE_REQUEST)
    await connected(elasticsearch).put(seal(), None)
    with pytest.raises(Lost):
        await registry.put(seal(), None)
    assert plan.met.is_set()


async def test_nobody_can_tell(registry: Registry, faulty_wire: Wire, seal: Any) -> None:
    """Where looking for the write fails too, the first error is what is told."""
    first = await registry.put(seal(), None)
    faulty_wire.plan(WRITE, Fault.LOSE_ANSWER)
    faulty_wire.plan(b"/_doc/", Fault.LOSE_REQUEST, times=20)
    with pytest.raises(Lost, match="write the account"):
        await registry.put(seal(port=25), first)


async def test_a_write_takes_too_long(
    connected: Any, faulty_wire: Wire, elasticsearch: str, seal: Any
) -> None:
    """A write without an answer in time is looked for as well, and found once it was done."""
    first = await connected(elasticsearch).put(seal(), None)
    impatient = connected(faulty_wire.url, write_timeout_s=0.2)
    held = faulty_wire.plan(WRITE, Fault.HOLD_ANSWER)
    looking = faulty_wire.plan(b"/_doc/", Fault.HOLD_REQUEST)
    writing = asyncio.create_task(impatient.put(seal(port=25), first))
    await held.answered.wait()
    await looking.met.wait()
    looking.release.set()
    assert await writing == Version(2, 1, 1)
    held.release.set()


async def test_a_write_takes_for_ever(
    connected: Any, faulty_wire: Wire, elasticsearch: str, seal: Any
) -> None:
    """A write that was not done in time, and may still be, is a time-out."""
    first = await connected(elasticsearch).put(seal(), None)
    impatient = connected(faulty_wire.url, write_timeout_s=0.2)
    held = faulty_wire.plan(WRITE, Fault.HOLD_REQUEST)
    with pytest.raises(TimedOut, match="write the account"):
        await impatient.put(seal(port=26), first)
    held.release.set()


async def test_the_answer_to_a_deletion_is_lost(
    registry: Registry, faulty_wire: Wire, seal: Any
) -> None:
    """An account that is gone counts as deleted, also if the answer was lost."""
    first = await registry.put(seal(), None)
    faulty_wire.plan(WRITE, Fault.LOSE_ANSWER)
    assert (await registry.delete(REF, first)).version == 2
    assert await registry.get(REF) is None


async def test_a_deletion_is_lost(registry: Registry, faulty_wire: Wire, seal: Any) -> None:
    """An account that is still there after a lost deletion may or may not stay."""
    first = await registry.put(seal(), None)
    faulty_wire.plan(WRITE, Fault.LOSE_REQUEST)
    with pytest.raises(Lost, match="delete the account"):
        await registry.delete(REF, first)
    faulty_wire.plan(WRITE, Fault.LOSE_REQUEST)
    faulty_wire.plan(READ, Fault.LOSE_REQUEST, times=20)
    with pytest.raises(Lost, match="delete the account"):
        await registry.delete(REF, first)


async def test_reads_are_repeated(registry: Registry, faulty_wire: Wire, seal: Any) -> None:
    """A read whose connection broke is made again, a few times."""
    await registry.put(seal(), None)
    faulty_wire.plan(READ, Fault.LOSE_REQUEST)
    assert await registry.get(REF) is not None
    faulty_wire.plan(READ, Fault.LOSE_REQUEST, times=20)
    with pytest.raises(Lost, match="read the account"):
        await registry.get(REF)


async def test_a_read_takes_too_long(faulty_wire: Wire, connected: Any) -> None:
    """A read without an answer in time is a time-out."""
    registry = connected(faulty_wire.url, read_timeout_s=0.2)
    held = faulty_wire.plan(READ, Fault.HOLD_REQUEST)
    with pytest.raises(TimedOut, match="read the account"):
        await registry.get(REF)
    held.release.set()


async def test_nobody_listens(connected: Any, seal: Any, unused_tcp_port: int) -> None:
    """A node that cannot be reached has been sent nothing."""
    registry = connected(f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(NotConnected, match="read the account"):
        await registry.get(REF)
    with pytest.raises(NotConnected, match="describe the registry's index"):
        await registry.put(seal(), None)
    with pytest.raises(NotConnected, match="delete the account"):
        await registry.delete(REF, Version(1, 0, 1))


async def test_no_trust(connected: Any, elasticsearch: str) -> None:
    """A TLS handshake that fails has sent nothing either."""
    registry = connected(elasticsearch.replace("http://", "https://"))
    with pytest.raises(NotConnected):
        await registry.get(REF)
