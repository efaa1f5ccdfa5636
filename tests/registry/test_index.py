"""The registry's index: made when it is needed, checked before it is trusted."""

import asyncio
from typing import Any

import pytest
from faults import Fault, Wire

from signals_proxy.account.ref import Ref
from signals_proxy.account.schema import index_mapping
from signals_proxy.errors import ForeignIndex, Refused, VersionConflict
from signals_proxy.registry.documents import Registry, Version
from signals_proxy.registry.index import foreign
from signals_proxy.registry.settings import RegistrySettings

REF = Ref("email", "default")


def describe(cluster: Any) -> tuple[Any, Any]:
    """Return the index's mapping and settings."""
    status, answer = cluster.ask("GET", "/{index}?flat_settings=true")
    assert status == 200
    ((_, found),) = answer.items()
    return found["mappings"], found["settings"]


async def test_made_on_the_first_write(
    registry: Registry, cluster: Any, seal: Any, types: Any
) -> None:
    """The first write makes the index: hidden, small, without pipelines, with an own mapping."""
    await registry.put(seal(), None)
    mapping, settings = describe(cluster)
    assert foreign(index_mapping(types), mapping, settings) == []
    assert {name: settings[f"index.{name}"] for name in ("hidden", "number_of_shards")} == {
        "hidden": "true",
        "number_of_shards": "1",
    }
    assert settings["index.auto_expand_replicas"] == "0-1"
    assert settings["index.default_pipeline"] == "_none"
    assert settings["index.final_pipeline"] == "_none"


async def test_the_sealed_part_is_not_indexed(registry: Registry, cluster: Any, seal: Any) -> None:
    """Of what is sealed only the key's id can be searched for."""
    sealed = seal()
    await registry.put(sealed, None)
    for field, expected in (("key", 1), ("box", 0), ("v", 0), ("secrets", 0)):
        value = sealed.source["_sealed"][field]
        query = {"query": {"terms": {f"_sealed.{field}": value if field == "secrets" else [value]}}}
        _, answer = cluster.ask("GET", "/{index}/_search", query)
        assert answer["hits"]["total"]["value"] == expected, field


async def test_a_lost_race(connected: Any, elasticsearch: str, seal: Any) -> None:
    """Several proxies that make the index at the same time all get their account in."""
    registries = [connected(elasticsearch) for _ in range(5)]
    versions = await asyncio.gather(
        *(
            registry.put(seal(Ref("email", f"n{number}")), None)
            for number, registry in enumerate(registries)
        )
    )
    assert sorted(version.seq_no for version in versions) == [0, 1, 2, 3, 4]


async def test_the_race_for_creation(
    faulty_wire: Wire, connected: Any, seal: Any, elasticsearch: str
) -> None:
    """An index that another proxy made between the look at it and the creation is as good."""
    plan = faulty_wire.plan(b"PUT /.signals", Fault.HOLD_REQUEST)
    slow = asyncio.create_task(connected(faulty_wire.url).put(seal(), None))
    await plan.met.wait()
    await connected(elasticsearch).put(seal(Ref("email", "other")), None)
    plan.release.set()
    assert await slow == Version(1, 1, 1)


@pytest.mark.parametrize("is_update", [False, True])
async def test_vanished_before_a_write(
    faulty_wire: Wire, connected: Any, cluster: Any, seal: Any, is_update: bool
) -> None:
    """An index deleted just before a write is made anew as it has to be, not as a cluster guesses."""
    registry = connected(faulty_wire.url)
    first = await registry.put(seal(), None)
    plan = faulty_wire.plan(b"POST /_bulk", Fault.HOLD_REQUEST)
    ref = REF if is_update else Ref("email", "second")
    writing = asyncio.create_task(registry.put(seal(ref), first if is_update else None))
    await plan.met.wait()
    assert cluster.ask("DELETE", "/{index}")[0] == 200
    plan.release.set()
    if is_update:
        with pytest.raises(VersionConflict):
            await writing
        assert cluster.source() is None
    else:
        assert await writing == Version(1, 0, 1)
    mapping, settings = describe(cluster)
    assert (mapping["dynamic"], settings["index.hidden"]) == ("false", "true")
    assert settings["index.final_pipeline"] == "_none"
    assert await connected(faulty_wire.url).get(ref) is None or not is_update


async def test_vanished_and_back(registry: Registry, cluster: Any, seal: Any) -> None:
    """An index seen to be missing is checked again when it is back."""
    await registry.put(seal(), None)
    cluster.ask("DELETE", "/{index}")
    assert await registry.get(REF) is None
    cluster.put({"type": "email", "host": "evil.example"})
    with pytest.raises(ForeignIndex):
        await registry.get(REF)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"mappings": {"properties": {"host": {"type": "keyword"}}}}, "dynamic is not set"),
        ({"mappings": {"dynamic": "strict", "properties": {}}}, "dynamic is strict, not false"),
        ({"mappings": {"dynamic": True, "properties": {}}}, "dynamic is true, not false"),
        (
            {"mappings": {"dynamic": False, "properties": {"port": {"type": "keyword"}}}},
            "the field port is mapped otherwise",
        ),
        (
            {
                "mappings": {
                    "dynamic": False,
                    "properties": {
                        "_sealed": {
                            "dynamic": False,
                            "properties": {
                                "key": {"type": "keyword"},
                                "box": {"type": "keyword"},
                            },
                        }
                    },
                }
            },
            "the field _sealed is mapped otherwise",
        ),
        (
            {"mappings": {"dynamic": False, "_source": {"excludes": ["host"]}, "properties": {}}},
            "_source in its mapping",
        ),
        ({"mappings": {"dynamic": False, "_source": {"enabled": False}}}, "_source in its mapping"),
        (
            {"mappings": {"dynamic": False, "_routing": {"required": True}}},
            "_routing in its mapping",
        ),
        (
            {
                "mappings": {"dynamic": False, "properties": {}},
                "settings": {"index.mapping.source.mode": "synthetic"},
            },
            "index.mapping.source.mode is synthetic",
        ),
        (
            {"settings": {"index.mapping.source.mode": "synthetic"}},
            "index.mapping.source.mode is synthetic",
        ),
        (
            {
                "mappings": {"dynamic": False, "properties": {}},
                "settings": {"index.final_pipeline": "exfiltrate"},
            },
            "index.final_pipeline is exfiltrate",
        ),
    ],
)
async def test_foreign_indices(
    registry: Registry, cluster: Any, seal: Any, body: Any, named: str
) -> None:
    """An index that is not as a registry makes it is refused by name, and nothing is written."""
    status, answer = cluster.ask("PUT", "/{index}", body)
    assert status == 200, answer
    with pytest.raises(ForeignIndex) as refusal:
        await registry.put(seal(), None)
    assert named in refusal.value.message
    assert "registry.index" in refusal.value.message
    assert registry._index.name in refusal.value.message
    assert cluster.source() is None
    assert refusal.value.status == 503


async def test_a_foreign_index_is_not_read(registry: Registry, cluster: Any) -> None:
    """What lies in another product's index of that name is neither shown nor deleted."""
    cluster.put({"type": "email", "host": "smtp.example.com", "password": "hunter2"})
    for _ in range(2):
        with pytest.raises(ForeignIndex, match="dynamic is not set"):
            await registry.get(REF)


async def test_an_empty_index_is_adopted(registry: Registry, cluster: Any, seal: Any) -> None:
    """An index without any mapping, as a cluster makes it by itself, becomes ours."""
    assert cluster.ask("PUT", "/{index}")[0] == 200
    assert await registry.get(REF) is None
    assert await registry.put(seal(), None) == Version(1, 0, 1)
    mapping, settings = describe(cluster)
    assert (mapping["dynamic"], settings["index.hidden"]) == ("false", "true")


async def test_a_new_type_extends_the_mapping(
    registry: Registry, cluster: Any, seal: Any, types: Any
) -> None:
    """An index of a version with fewer types gets the fields that are missing, and no others."""
    older = index_mapping({"slack": types["slack"]})
    cluster.ask("PUT", "/{index}", {"mappings": older})
    await registry.put(seal(), None)
    mapping, _ = describe(cluster)
    assert foreign(index_mapping(types), mapping, {}) == []
    assert mapping["properties"].keys() == index_mapping(types)["properties"].keys()


async def test_a_later_version_may_know_more(
    registry: Registry, cluster: Any, seal: Any, types: Any
) -> None:
    """Fields and marks of a later version are left alone."""
    later = index_mapping(types)
    later["_meta"] = {"made_by": "a later version"}
    later["properties"]["priority"] = {"type": "integer"}
    cluster.ask("PUT", "/{index}", {"mappings": later})
    await registry.put(seal(), None)
    mapping, _ = describe(cluster)
    assert mapping["properties"]["priority"] == {"type": "integer"}


async def test_a_template_that_interferes(
    registry: Registry, cluster: Any, seal: Any, index: str
) -> None:
    """An index template that adds to what was asked for makes the index a foreign one, by name."""
    template = {
        "index_patterns": [f"{index}*"],
        "priority": 900,
        "template": {"mappings": {"runtime": {"leak": {"type": "keyword"}}}},
    }
    assert cluster.ask("PUT", f"/_index_template/{index}", template)[0] == 200
    try:
        with pytest.raises(ForeignIndex, match="runtime in its mapping"):
            await registry.put(seal(), None)
    finally:
        cluster.ask("DELETE", f"/_index_template/{index}")


async def test_aliases(
    elasticsearch: str, connected: Any, cluster: Any, seal: Any, types: Any
) -> None:
    """An alias may stand for the index, as an upgrade leaves it, but not for two."""
    assert cluster.ask("PUT", "/{index}-1", {"mappings": index_mapping(types)})[0] == 200
    cluster.ask("PUT", "/{index}-1/_alias/{index}")
    registry = connected(elasticsearch)
    await registry.put(seal(), None)
    assert await registry.get(REF) is not None
    cluster.ask("PUT", "/{index}-2", {"mappings": index_mapping(types)})
    cluster.ask("PUT", "/{index}-2/_alias/{index}")
    with pytest.raises(ForeignIndex, match="more than one index"):
        await registry.put(seal(port=2), None)


async def test_a_name_that_cannot_be(elasticsearch: str, connected: Any, seal: Any) -> None:
    """A cluster that refuses to create the index is said to have refused it."""
    settings = RegistrySettings()
    object.__setattr__(settings, "index", "Capital")
    registry = connected(elasticsearch, settings)
    with pytest.raises(Refused, match=r"create the registry's index \(400 invalid_index_name"):
        await registry.put(seal(), None)


async def test_a_closed_index(registry: Registry, cluster: Any, seal: Any) -> None:
    """A closed index is an error, not an empty registry."""
    await registry.put(seal(), None)
    cluster.ask("POST", "/{index}/_close")
    with pytest.raises(Refused, match="index_closed_exception"):
        await registry.get(REF)
