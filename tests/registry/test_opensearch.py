"""The registry on an OpenSearch, as a user that its security plugin knows."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from faults import Fault, Wire
from on_opensearch import elasticsearch, operator  # noqa: F401  fixtures
from opensearch import ADMIN, OpenSearch, User, registry_role
from rotations import Rotation

from signals_proxy.account.ref import Ref
from signals_proxy.account.schema import index_mapping
from signals_proxy.errors import ForeignIndex, Refused, VersionConflict
from signals_proxy.registry.client import connect
from signals_proxy.registry.documents import Registry, Version
from signals_proxy.registry.index import foreign
from signals_proxy.registry.settings import RegistrySettings
from signals_proxy.registry.survey import Survey

REF = Ref("email", "default")
WRITE = b"POST /_bulk"


@pytest.fixture(scope="module")
def registry_user(opensearch: OpenSearch) -> User:
    user = User("registry", "Known-to-this-file-1")
    opensearch.add_user(user, registry_role(".signals_"))
    return user


def describe(cluster: Any) -> Any:
    """Return what the node says of the index."""
    _, answer = cluster.ask("GET", "/{index}?flat_settings=true")
    ((_, found),) = answer.items()
    return found


async def test_the_life_of_an_account(registry: Registry, cluster: Any, seal: Any) -> None:
    """An account is created, found, updated under guard, and deleted."""
    assert await registry.get(REF) is None
    assert not cluster.exists()
    first = await registry.put(seal(), None)
    assert first == Version(1, 0, 1)
    with pytest.raises(VersionConflict, match="email/default"):
        await registry.put(seal(), None)
    sealed = seal(port=25)
    second = await registry.put(sealed, first)
    with pytest.raises(VersionConflict):
        await registry.put(seal(port=26), first)
    stored = await registry.get(REF)
    assert stored is not None
    assert (stored.account, stored.version) == (sealed, second)
    _, found = cluster.ask("GET", "/{index}/_search")
    assert [hit["_source"]["port"] for hit in found["hits"]["hits"]] == [25]
    assert await registry.delete(REF, second) == Version(3, 2, 1)
    assert await registry.get(REF) is None
    with pytest.raises(VersionConflict):
        await registry.delete(REF, second)


async def test_product(registry: Registry, seal: Any) -> None:
    """It says of itself no product, so nothing is said in its name."""
    await registry.put(seal(), None)
    assert await registry.get(REF) is not None
    assert registry.product is None


async def test_names_of_all_kinds(registry: Registry, seal: Any) -> None:
    """Any name, however it has to be encoded, is another document."""
    names = ["a b", "a%20b", "ä€𝄞", "a#b&c=d+e", ".", "x" * 506]
    refs = [*(Ref("email", name) for name in names), Ref("email", "a", "other tenant")]
    for number, ref in enumerate(refs):
        await registry.put(seal(ref, port=number), None)
    for number, ref in enumerate(refs):
        stored = await registry.get(ref)
        assert stored is not None
        assert (stored.account.ref, stored.account.source["port"]) == (ref, number)


async def test_the_index(registry: Registry, cluster: Any, seal: Any, types: Any) -> None:
    """It is made hidden, small, without pipelines, with our mapping and the alias that guards it."""
    await registry.put(seal(), None)
    found = describe(cluster)
    assert foreign(index_mapping(types), found["mappings"], found["settings"]) == []
    wanted = {
        "index.hidden": "true",
        "index.number_of_shards": "1",
        "index.auto_expand_replicas": "0-1",
        "index.default_pipeline": "_none",
        "index.final_pipeline": "_none",
    }
    assert {name: found["settings"][name] for name in wanted} == wanted
    assert [*found["aliases"].values()] == [{"is_hidden": True}]
    # Neither the index nor its alias is what somebody finds who searches everything.
    _, answer = cluster.ask("GET", "/*/_search?size=10000")
    assert "email/default" not in {hit["_id"] for hit in answer["hits"]["hits"]}


async def test_a_lost_race(connected: Any, elasticsearch: str, seal: Any) -> None:  # noqa: F811
    """Several proxies that make the index at the same time all get their account in."""
    versions = await asyncio.gather(
        *(
            connected(elasticsearch).put(seal(Ref("email", f"n{number}")), None)
            for number in range(5)
        )
    )
    assert sorted(version.seq_no for version in versions) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("is_update", [False, True])
async def test_vanished_before_a_write(
    faulty_wire: Wire, connected: Any, cluster: Any, seal: Any, is_update: bool
) -> None:
    """No write makes an index in the place of ours, which is made anew as it has to be."""
    registry = connected(faulty_wire.url)
    first = await registry.put(seal(), None)
    plan = faulty_wire.plan(WRITE, Fault.HOLD_REQUEST)
    ref = REF if is_update else Ref("email", "second")
    writing = asyncio.create_task(registry.put(seal(ref), first if is_update else None))
    await plan.met.wait()
    assert cluster.ask("DELETE", "/{index}")[0] == 200
    plan.release.set()
    if is_update:
        with pytest.raises(VersionConflict):
            await writing
    else:
        assert await writing == Version(1, 0, 1)
    found = describe(cluster)
    assert found["mappings"]["dynamic"] == "false"
    assert found["settings"]["index.final_pipeline"] == "_none"


async def test_vanished_before_a_replacement(
    faulty_wire: Wire, connected: Any, cluster: Any, seal: Any
) -> None:
    """Nor does one of many writes at once."""
    registry = connected(faulty_wire.url)
    first = await registry.put(seal(), None)
    plan = faulty_wire.plan(WRITE, Fault.HOLD_REQUEST)
    writing = asyncio.create_task(registry.replace([(seal(), first)]))
    await plan.met.wait()
    assert cluster.ask("DELETE", "/{index}")[0] == 200
    plan.release.set()
    (outcome,) = await writing
    assert isinstance(outcome, VersionConflict)
    assert not cluster.exists()


@pytest.mark.parametrize("mapped", [False, True])
async def test_an_index_without_the_alias(
    registry: Registry, cluster: Any, seal: Any, types: Any, mapped: bool
) -> None:
    """An index that a snapshot brought back, or that was made empty, is guarded from then on."""
    body = {"mappings": index_mapping(types)} if mapped else None
    assert cluster.ask("PUT", "/{index}", body)[0] == 200
    assert await registry.put(seal(), None) == Version(1, 0, 1)
    found = describe(cluster)
    assert found["mappings"]["dynamic"] == "false"
    assert [*found["aliases"].values()] == [{"is_hidden": True}]


async def test_another_name(registry: Registry, cluster: Any, seal: Any, types: Any) -> None:
    """An alias may stand for the index, as an upgrade leaves it; what stands behind is guarded."""
    assert cluster.ask("PUT", "/{index}-1", {"mappings": index_mapping(types)})[0] == 200
    cluster.ask("PUT", "/{index}-1/_alias/{index}")
    await registry.put(seal(), None)
    assert await registry.get(REF) is not None


@pytest.mark.parametrize("ours", [False, True])
async def test_an_alias_of_another_index(
    registry: Registry, cluster: Any, index: str, seal: Any, ours: bool
) -> None:
    """Nothing is written by an alias that leads elsewhere, also if it leads here as well."""
    await registry.put(seal(), None)
    ((alias, _),) = describe(cluster)["aliases"].items()
    elsewhere = {"index": f"{index}-1", "alias": alias, "is_hidden": True, "is_write_index": True}
    assert cluster.ask("PUT", "/{index}-1")[0] == 200
    if not ours:
        assert cluster.ask("DELETE", f"/{{index}}/_alias/{alias}")[0] == 200
    assert cluster.ask("POST", "/_aliases", {"actions": [{"add": elsewhere}]})[0] == 200
    with pytest.raises(ForeignIndex, match=r"-1\. Remove it: it is made anew"):
        await registry.put(seal(Ref("email", "other")), None)
    assert cluster.ask("GET", "/{index}-1/_count")[1]["count"] == 0
    assert cluster.ask("DELETE", "/{index}-1")[0] == 200
    assert await registry.put(seal(Ref("email", "other")), None)


async def test_the_longest_name(opensearch: OpenSearch, connected: Any, seal: Any) -> None:
    """It leaves room for the alias."""
    index = ".signals_".ljust(249, "x")
    registry = connected(opensearch.url, RegistrySettings(index, ADMIN.credentials))
    try:
        assert await registry.put(seal(), None) == Version(1, 0, 1)
    finally:
        assert opensearch.ask("DELETE", f"/{index}")[0] == 200


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"mappings": {"dynamic": "strict"}}, "dynamic is strict, not false"),
        ({"mappings": {"dynamic": False, "derived": {}}}, None),
        (
            {
                "mappings": {
                    "dynamic": False,
                    "derived": {"x": {"type": "keyword", "script": {"source": "emit('x')"}}},
                }
            },
            "derived in its mapping",
        ),
        ({"settings": {"index.final_pipeline": "evil"}, "mappings": {"dynamic": False}}, "evil"),
    ],
)
async def test_foreign_indices(
    registry: Registry, cluster: Any, seal: Any, body: Any, named: str | None
) -> None:
    """An index that is not as a registry makes it is refused by name, and nothing is written."""
    status, answer = cluster.ask("PUT", "/{index}", body)
    assert status == 200, answer
    if named is None:
        assert await registry.put(seal(), None)
        return
    with pytest.raises(ForeignIndex, match=named):
        await registry.put(seal(), None)
    assert cluster.source() is None


async def test_the_answer_is_lost(faulty_wire: Wire, connected: Any, seal: Any) -> None:
    """A write that was done though its answer was lost counts as done, and is sent once."""
    faulty_wire.plan(WRITE, Fault.LOSE_ANSWER)
    sealed = seal()
    registry = connected(faulty_wire.url)
    version = await registry.put(sealed, None)
    assert version == Version(1, 0, 1)
    faulty_wire.plan(WRITE, Fault.LOSE_ANSWER)
    assert await registry.delete(REF, version) == Version(2, -2, 0)
    assert sum(WRITE in request for request in faulty_wire.requests) == 2


async def test_an_unindexable_value(registry: Registry, seal: Any) -> None:
    """A value that the index's mapping refuses is an error that does not quote it."""
    with pytest.raises(Refused, match=r"refused to write .*400 mapper_parsing") as refusal:
        await registry.put(seal(port="hunter2"), None)
    assert "hunter2" not in refusal.value.message


async def test_a_closed_index(registry: Registry, cluster: Any, seal: Any) -> None:
    """A closed index is an error, not an empty registry."""
    await registry.put(seal(), None)
    cluster.ask("POST", "/{index}/_close")
    with pytest.raises(Refused, match="index_closed_exception"):
        await registry.get(REF)


async def test_without_rights(
    opensearch: OpenSearch, connected: Any, index: str, seal: Any, canary: Callable[[str], str]
) -> None:
    """Who is not known, or not allowed, is told what has to be: which rights, of whom."""
    low = User(f"low-{index}", canary("low"))
    opensearch.add_user(low, {"cluster_permissions": ["cluster_composite_ops"]})
    for user, status in (
        (low, "403 security_exception"),
        (User("nobody", canary("nobody")), "401"),
        (None, "401"),
    ):
        settings = RegistrySettings(index, user and user.credentials)
        registry = connected(opensearch.url, settings)
        for act in (registry.get(REF), registry.put(seal(), None), registry.check()):
            with pytest.raises(Refused, match=rf"\({status}\): registry.credentials need"):
                await act


async def test_who_may_read_alone(
    opensearch: OpenSearch, connected: Any, index: str, registry: Registry, seal: Any, canary: Any
) -> None:
    """Who may only read does, and is told so where it writes."""
    await registry.put(seal(), None)
    user = User(f"reader-{index}", canary("reader"))
    rights = {"index_patterns": [index], "allowed_actions": ["read", "indices:admin/get"]}
    permissions = {"cluster_permissions": ["cluster_composite_ops"]}
    opensearch.add_user(user, {**permissions, "index_permissions": [rights]})
    reader = connected(opensearch.url, RegistrySettings(index, user.credentials))
    stored = await reader.get(REF)
    for act in (reader.put(seal(), stored.version), reader.delete(REF, stored.version)):
        with pytest.raises(Refused, match=r"403 security_exception\): registry.credentials need"):
            await act


async def test_a_rotation(rotation: Rotation) -> None:
    """Accounts are counted by key, and sealed anew, by several requests."""
    await rotation.fill(60)
    _, new = rotation.rotate()
    status, output, said = await rotation.run("keys", "status")
    assert (status, "60 accounts sealed by a key that is not the primary" in said) == (3, True)
    assert (await rotation.run("accounts", "reseal"))[0] == 0
    status, output, said = await rotation.run("keys", "status")
    assert (status, f"{new}  primary" in output) == (0, True)
    assert await rotation.sealed_by() == {new: 60}
    assert await rotation.states() == {"verified": 60}


async def test_scrolls_are_given_back(
    rotation: Rotation, opensearch: OpenSearch, index: str, registry_user: User
) -> None:
    """A look at all accounts leaves nothing behind that the node keeps for it."""
    await rotation.fill(3)
    settings = RegistrySettings(index, registry_user.credentials)
    client = connect(settings, [opensearch.url], None)
    async with aclosing(Survey(client, index).not_sealed_by("other")) as pages:
        found = [len(page.document_ids) async for page in pages]
    await client.close()
    assert found == [3]
    _, stats = rotation.cluster.ask("GET", "/{index}/_stats/search")
    assert stats["_all"]["total"]["search"]["open_contexts"] == 0


async def test_no_index(rotation: Rotation) -> None:
    """Where nothing was ever stored nothing is wrong, and nothing is made."""
    assert (await rotation.run("keys", "status"))[0] == 0
    assert (await rotation.run("accounts", "reseal"))[0] == 0
    assert not rotation.cluster.exists()
