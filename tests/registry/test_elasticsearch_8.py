"""The registry on an Elasticsearch of the version before: what differs between the two is tested."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from faults import Fault, Wire
from rotations import Rotation

from signals_proxy.account.ref import Ref
from signals_proxy.account.schema import index_mapping
from signals_proxy.errors import ForeignIndex, VersionConflict
from signals_proxy.registry.documents import Registry, Version
from signals_proxy.registry.index import foreign

REF = Ref("email", "default")


@pytest.fixture
def elasticsearch(elasticsearch_8: str) -> Iterator[str]:
    """The node that all fixtures use in this file."""
    return elasticsearch_8


async def test_the_life_of_an_account(
    registry: Registry, cluster: Any, seal: Any, types: Any
) -> None:
    """An account is created, updated under guard, and deleted."""
    assert await registry.get(REF) is None
    first = await registry.put(seal(), None)
    _, answer = cluster.ask("GET", "/{index}?flat_settings=true")
    ((_, found),) = answer.items()
    assert foreign(index_mapping(types), found["mappings"], found["settings"]) == []
    with pytest.raises(VersionConflict):
        await registry.put(seal(), None)
    sealed = seal(port=25)
    second = await registry.put(sealed, first)
    with pytest.raises(VersionConflict):
        await registry.put(seal(port=26), first)
    stored = await registry.get(REF)
    assert stored is not None
    assert (stored.account, stored.version) == (sealed, second)
    assert await registry.delete(REF, second) == Version(3, 2, 1)
    assert await registry.get(REF) is None
    assert registry.product == "Elasticsearch"


async def test_vanished_before_a_write(
    faulty_wire: Wire, connected: Any, cluster: Any, seal: Any
) -> None:
    """The guard keeps a document out of an index that the cluster made by itself here too."""
    registry = connected(faulty_wire.url)
    await registry.put(seal(), None)
    plan = faulty_wire.plan(b"POST /_bulk", Fault.HOLD_REQUEST)
    writing = asyncio.create_task(registry.put(seal(Ref("email", "second")), None))
    await plan.met.wait()
    cluster.ask("DELETE", "/{index}")
    plan.release.set()
    assert await writing == Version(1, 0, 1)
    _, answer = cluster.ask("GET", "/{index}")
    ((_, found),) = answer.items()
    assert found["mappings"]["dynamic"] == "false"


async def test_synthetic_source(registry: Registry, cluster: Any, seal: Any) -> None:
    """A synthetic source stands in the mapping here."""
    mapping = {"dynamic": False, "_source": {"mode": "synthetic"}}
    status, answer = cluster.ask("PUT", "/{index}", {"mappings": mapping})
    assert status == 200, answer
    with pytest.raises(ForeignIndex, match=r"_source in its mapping|source\.mode is synthetic"):
        await registry.put(seal(), None)


async def test_a_rotation(rotation: Rotation) -> None:
    """Accounts are counted by key, and sealed anew, here too."""
    await rotation.fill(30)
    _, new = rotation.rotate()
    assert (await rotation.run("keys", "status"))[0] == 3
    assert (await rotation.run("accounts", "reseal"))[0] == 0
    assert (await rotation.run("keys", "status"))[0] == 0
    assert await rotation.sealed_by() == {new: 30}
