"""Accounts as documents of a real node: read, write and delete, guarded."""

from typing import Any

import pytest

from signals_proxy.account.ref import Ref
from signals_proxy.errors import Refused, VersionConflict
from signals_proxy.registry.documents import Registry, Version

REF = Ref("email", "default")


async def test_nothing_yet(registry: Registry, cluster: Any) -> None:
    """Without an index there is no account, and reading creates none."""
    assert await registry.get(REF) is None
    assert not cluster.exists()


async def test_put_and_get(registry: Registry, seal: Any) -> None:
    """What was put is what is got, with the version that guards the next write."""
    sealed = seal()
    version = await registry.put(sealed, None)
    assert version == Version(1, 0, 1)
    stored = await registry.get(REF)
    assert stored is not None
    assert (stored.account, stored.version) == (sealed, version)


async def test_names_of_all_kinds(registry: Registry, seal: Any) -> None:
    """Any name, however it has to be encoded, is another document."""
    refs = [
        Ref("email", "a b"),
        Ref("email", "a%20b"),
        Ref("email", "ä€𝄞"),
        Ref("email", "a#b&c=d+e"),
        Ref("email", "a", "tenant"),
        Ref("email", "a", "other tenant"),
        Ref("email", "."),
        Ref("email", "x" * 506),
    ]
    for number, ref in enumerate(refs):
        await registry.put(seal(ref, port=number), None)
    for number, ref in enumerate(refs):
        stored = await registry.get(ref)
        assert stored is not None
        assert (stored.account.ref, stored.account.source["port"]) == (ref, number)


async def test_update(registry: Registry, seal: Any) -> None:
    """A write that names the version it replaces goes through, and a search shows it at once."""
    first = await registry.put(seal(), None)
    second = await registry.put(seal(port=25), first)
    assert second == Version(2, 1, 1)
    stored = await registry.get(REF)
    assert stored is not None
    assert stored.account.source["port"] == 25


async def test_search_shows_each_write_at_once(registry: Registry, seal: Any, cluster: Any) -> None:
    """Once a write or a deletion has returned, a search knows it, whoever asks."""

    def ports() -> list[int]:
        _, answer = cluster.ask("GET", "/{index}/_search")
        return [hit["_source"]["port"] for hit in answer["hits"]["hits"]]

    first = await registry.put(seal(port=1), None)
    assert ports() == [1]
    second = await registry.put(seal(port=2), first)
    assert ports() == [2]
    await registry.delete(REF, second)
    assert ports() == []


async def test_create_conflicts(registry: Registry, seal: Any) -> None:
    """What exists is not created anew; what is stored stays."""
    sealed = seal()
    await registry.put(sealed, None)
    with pytest.raises(VersionConflict, match="email/default"):
        await registry.put(seal(port=25), None)
    stored = await registry.get(REF)
    assert stored is not None
    assert stored.account == sealed


async def test_update_conflicts(registry: Registry, seal: Any) -> None:
    """A version that is not the stored one is not replaced: no update is lost."""
    first = await registry.put(seal(), None)
    second = await registry.put(seal(port=25), first)
    with pytest.raises(VersionConflict):
        await registry.put(seal(port=26), first)
    await registry.delete(REF, second)
    with pytest.raises(VersionConflict):
        await registry.put(seal(port=27), second)
    assert await registry.get(REF) is None


async def test_delete(registry: Registry, seal: Any) -> None:
    """A deletion names the version it is about, and returns the next."""
    first = await registry.put(seal(), None)
    with pytest.raises(VersionConflict):
        await registry.delete(REF, Version(1, 7, 1))
    assert await registry.delete(REF, first) == Version(2, 1, 1)
    assert await registry.get(REF) is None
    with pytest.raises(VersionConflict):
        await registry.delete(REF, first)


async def test_delete_without_an_index(registry: Registry, cluster: Any) -> None:
    """Deleting in an index that has vanished is a conflict, and creates none."""
    with pytest.raises(VersionConflict):
        await registry.delete(REF, Version(1, 0, 1))
    assert not cluster.exists()


async def test_product(registry: Registry) -> None:
    """The cluster's name for itself is known after the first answer."""
    assert registry.product is None
    await registry.get(REF)
    assert registry.product == "Elasticsearch"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("465", 465),
        ("465.0", 465.0),
        ("4.65e2", 465.0),
        ('"465"', "465"),
        ("true", True),
        ("null", None),
        ("[465]", [465]),
        (str(2**53 + 1), 2**53 + 1),
        ("1" * 20, int("1" * 20)),
        ("1" * 21, float("1" * 21)),
        ("-" + "9" * 400, float("-inf")),
        ("1e400", float("inf")),
    ],
)
async def test_retyping_is_seen(
    registry: Registry, cluster: Any, seal: Any, written: str, read: Any
) -> None:
    """Every other type or spelling of a stored number is another value to those who read it."""
    await registry.put(seal(), None)
    document = f'{{"type":"email","unindexed":{written}}}'
    cluster.put(document.encode())
    stored = await registry.get(REF)
    assert stored is not None
    found = stored.account.source["unindexed"]
    assert (type(found), found) == (type(read), read)


async def test_deep_documents(registry: Registry, cluster: Any, seal: Any) -> None:
    """A document nested deeper than any account can be deleted, though not be read."""
    await registry.put(seal(), None)
    for depth in (99, 100, 500, 990):
        cluster.put(b'{"deep":' + b"[" * depth + b"]" * depth + b"}")
        stored = await registry.get(REF)
        assert stored is not None
        assert ("deep" in stored.account.source) == (depth < 98)
    await registry.delete(REF, stored.version)
    assert await registry.get(REF) is None


async def test_an_unindexable_value(registry: Registry, seal: Any) -> None:
    """A value that the index's mapping refuses is an error that does not quote it."""
    with pytest.raises(Refused, match=r"refused to write .*400 document_parsing") as refusal:
        await registry.put(seal(port="hunter2"), None)
    assert "hunter2" not in refusal.value.message
    assert await registry.get(REF) is None


async def test_surrogates(registry: Registry, cluster: Any, seal: Any) -> None:
    """Half a surrogate pair, which the cluster stores, is read as it is."""
    await registry.put(seal(), None)
    cluster.put(rb'{"type":"email","user":"\ud800"}')
    stored = await registry.get(REF)
    assert stored is not None
    assert stored.account.source["user"] == "\ud800"
