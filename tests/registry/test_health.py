"""What happened to accounts lately is kept in an index of its own, and is never in the way."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from faults import Fault, Wire
from played import Played
from registries import REF, Cluster, Connect

from signals_proxy.account.ref import Ref
from signals_proxy.errors import UpstreamError
from signals_proxy.registry import health as room
from signals_proxy.registry.documents import Registry

OTHER = Ref("slack", "default", "ops")


def stored(cluster: Cluster, ref: Ref = REF) -> Any:
    name = ref.document_id.replace("/", "%2F")
    return cluster.ask("GET", f"/{{index}}_health/_doc/{name}")[1].get("_source")


async def test_it_is_kept(registry: Registry, connected: Connect, elasticsearch: str) -> None:
    """Over restarts, and for every proxy; before it is written, for the one that noted it."""
    other = connected(elasticsearch)
    assert await registry.health.of(REF) == {}
    registry.health.note(REF, "last_use", by="anna", outcome="success", proved=None)
    registry.health.note(OTHER, "last_check", by=None, outcome="failure", step="auth")
    noted = await registry.health.of(REF)
    assert {**noted["last_use"], "at": ""} == {"at": "", "by": "anna", "outcome": "success"}
    assert await other.health.of(REF) == {}
    await registry.health.flush()
    assert await other.health.of(REF) == noted
    found = (await other.health.of(OTHER))["last_check"]
    assert {**found, "at": ""} == {"at": "", "outcome": "failure", "step": "auth"}


async def test_the_newer_of_two_stands(
    registry: Registry, connected: Connect, elasticsearch: str
) -> None:
    """Whoever writes first: proxies do not lose one another's notes."""
    proxies = [registry, connected(elasticsearch), connected(elasticsearch)]
    for number in range(30):
        for each in proxies:
            each.health.note(REF, "last_use", by=f"older {number}")
        kind = room.KINDS[number % 4]
        await asyncio.sleep(0.001)  # another millisecond
        proxies[number % 3].health.note(REF, kind, by=f"newest {number}")
        for _ in range(3):  # who was slower merges again
            await asyncio.gather(*(each.health.flush() for each in proxies))
        assert (await registry.health.of(REF))[kind]["by"] == f"newest {number}"
    assert set(await registry.health.of(REF)) == set(room.KINDS)


async def test_its_index_is_hidden_and_guarded(registry: Registry, cluster: Cluster) -> None:
    registry.health.note(REF, "last_use", by="anna")
    await registry.health.flush()
    _, answer = cluster.ask("GET", "/{index}_health")
    ((_, described),) = answer.items()
    assert described["settings"]["index"]["hidden"] == "true"
    assert described["mappings"]["dynamic"] == "false"
    assert stored(cluster)["type"] == "email"


async def test_a_cluster_that_does_not_take_it(
    connected: Connect, faulty_wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays noted, and costs one line in the log; once the cluster takes it, it is written."""
    registry = connected(faulty_wire.url)
    await registry.health.flush()
    registry.health.note(REF, "last_use", by="anna")
    faulty_wire.plan(b"POST /_bulk", Fault.LOSE_REQUEST, times=2)
    await registry.health.flush()
    await registry.health.flush()
    lines = [it.getMessage() for it in caplog.records if "health" in it.name]
    assert lines == ["health not written"]
    assert (await registry.health.of(REF))["last_use"]["by"] == "anna"
    await registry.health.flush()
    assert (await connected(faulty_wire.url).health.of(REF))["last_use"]["by"] == "anna"


async def test_a_cluster_that_is_not_there(connected: Connect) -> None:
    with pytest.raises(UpstreamError):
        await connected("http://127.0.0.1:9").health.of(REF)


async def test_memory_is_bounded(connected: Connect) -> None:
    """While nothing can be written, no more accounts are remembered than there are places."""
    away = connected("http://127.0.0.1:9")
    for number in range(room._MOST + 10):
        away.health.note(Ref("email", str(number)), "last_use")
    assert len(away.health._noted) == room._MOST


async def test_an_account_that_is_no_more(registry: Registry, cluster: Cluster) -> None:
    registry.health.note(REF, "last_use", by="anna")
    await registry.health.flush()
    registry.health.note(REF, "last_check", by="anna")
    await registry.health.forget(REF)
    await registry.health.flush()
    assert await registry.health.of(REF) == {}
    assert stored(cluster) is None
    await registry.health.forget(Ref("email", "never there"))


@pytest.mark.parametrize(
    "planted",
    [
        {"last_use": "x"},
        {"last_use": {"at": "yesterday", "by": "eve"}},
        {"last_use": {"at": 1}},
        {"last_use": [{"at": "2026-01-01T00:00:00.000Z"}]},
        {"last_use": {"by": "eve"}},
        {"last_use": {"at": "2026-01-01T99:00:00.000Z"}},
        {"last_use": {"at": "9999-01-01T00:00:00.000Z"}},
        {"evil": {"at": "2026-01-01T00:00:00.000Z"}},
    ],
)
async def test_nonsense_in_the_index(registry: Registry, cluster: Cluster, planted: Any) -> None:
    """What is not as this registry writes it is not told, and hinders nothing."""
    name = REF.document_id.replace("/", "%2F")
    registry.health.note(OTHER, "last_use")
    await registry.health.flush()
    status, _ = cluster.ask("PUT", f"/{{index}}_health/_doc/{name}", planted)
    if status == 400:  # the mapping of a date refuses it
        return
    assert await registry.health.of(REF) == {}
    registry.health.note(REF, "last_use", by="anna")
    await registry.health.flush()
    assert (await registry.health.of(REF))["last_use"]["by"] == "anna"


async def test_only_its_members_are_told(registry: Registry, cluster: Cluster) -> None:
    name = REF.document_id.replace("/", "%2F")
    registry.health.note(OTHER, "last_use")
    await registry.health.flush()
    at = "2026-01-01T00:00:00.000Z"
    note = {"at": at, "by": "eve", "evil": "x", "step": 1, "reason": "r" * 513}
    cluster.ask("PUT", f"/{{index}}_health/_doc/{name}", {"last_use": note})
    assert await registry.health.of(REF) == {"last_use": {"at": at, "by": "eve"}}


@pytest.mark.parametrize(
    ("status", "is_kept", "is_told"),
    [
        (201, False, False),
        (409, True, False),
        (429, True, True),
        (503, True, True),
        (400, False, True),
    ],
)
async def test_what_an_item_is_refused_with(
    connected: Connect,
    played: Played,
    caplog: pytest.LogCaptureFixture,
    status: int,
    is_kept: bool,
    is_told: bool,
) -> None:
    """What may be taken later stays noted, the rest does not; a line in the log tells of either."""
    played.answer(
        b"POST /_bulk", 200, json.dumps({"items": [{"index": {"status": status}}]}).encode()
    )
    played.answer(b"_mget", 200, b'{"docs":[]}')
    described = {"it": {"mappings": room._MAPPING, "settings": {}}}
    played.answer(b"flat_settings", 200, json.dumps(described).encode())
    registry = connected(played.url)
    for _ in range(2):
        registry.health.note(REF, "last_use", by="anna")
        await registry.health.flush()
    assert ("last_use" in await registry.health.of(REF)) == is_kept
    lines = [it.getMessage() for it in caplog.records if "health" in it.name]
    assert lines == ["health not written"] * is_told


async def test_what_is_being_written(connected: Connect, faulty_wire: Wire) -> None:
    """It is known meanwhile, and not lost if the writing is cut off; what comes stays noted."""
    registry = connected(faulty_wire.url)
    registry.health.note(OTHER, "last_use")
    await registry.health.flush()
    registry.health.note(REF, "last_use", by="anna")
    held = faulty_wire.plan(b"POST /_bulk", Fault.HOLD_REQUEST)
    flushing = asyncio.ensure_future(registry.health.flush())
    await held.met.wait()
    registry.health.note(REF, "last_check", by="bert")
    assert {*await registry.health.of(REF)} == {"last_use", "last_check"}
    flushing.cancel()
    with suppress(asyncio.CancelledError):
        await flushing
    held.release.set()
    assert {*await registry.health.of(REF)} == {"last_use", "last_check"}
    held = faulty_wire.plan(b"POST /_bulk", Fault.HOLD_REQUEST)
    flushing = asyncio.ensure_future(registry.health.flush())
    await held.met.wait()
    registry.health.note(REF, "last_error", by="carl")
    held.release.set()
    await flushing
    assert {*await registry.health.of(REF)} == {"last_use", "last_check", "last_error"}
    await registry.health.flush()
    await registry.health.flush()
    other = connected(faulty_wire.url)
    assert {*await other.health.of(REF)} == {"last_use", "last_check", "last_error"}


async def test_an_account_that_goes_while_its_health_is_written(
    connected: Connect, faulty_wire: Wire, cluster: Cluster
) -> None:
    """The batch under way does not bring it back."""
    registry = connected(faulty_wire.url)
    registry.health.note(REF, "last_use", by="anna")
    held = faulty_wire.plan(b"POST /_bulk", Fault.HOLD_REQUEST)
    flushing = asyncio.ensure_future(registry.health.flush())
    await held.met.wait()
    forgetting = asyncio.ensure_future(registry.health.forget(REF))
    # Forgetting would not wait for more than a few turns of the loop, and the node.
    await registry.health.of(REF)
    held.release.set()
    await asyncio.gather(flushing, forgetting)
    assert stored(cluster) is None
    assert await registry.health.of(REF) == {}
