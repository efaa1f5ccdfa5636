"""Counting accounts by their keys: all of them, or an error."""

import json
from typing import Any

import pytest
from played import Played
from rotations import Rotation

from signals_proxy.errors import Refused, Unavailable
from signals_proxy.registry.client import connect
from signals_proxy.registry.settings import RegistrySettings
from signals_proxy.registry.survey import Sample, Survey, Tally


@pytest.fixture
async def survey(index: str) -> Any:
    """Return a function that makes a survey of the test's index at a URL."""
    clients = []

    def survey(url: str) -> Survey:
        clients.append(connect(RegistrySettings(index), [url], None))
        return Survey(clients[-1], index)

    yield survey
    for client in clients:
        await client.close()


async def test_no_index(survey: Any, cluster: Any, elasticsearch: str) -> None:
    """No index is no tally, not an empty one, and none is made."""
    assert await survey(elasticsearch).tally(["a"]) is None
    assert [page async for page in survey(elasticsearch).not_sealed_by("a")] == []
    assert not cluster.exists()


async def test_tally(survey: Any, rotation: Rotation, elasticsearch: str) -> None:
    """Each key has its count; what has another key or none is counted, and a few are named."""
    await rotation.fill(5)
    old, new = rotation.rotate()
    await rotation.plant(
        {f"email/b{n}": dict(rotation.account(f"email/b{n}").source) for n in range(3)}
    )
    await rotation.plant({f"x/{n}": {"_sealed": {"key": "lost"}} for n in range(4)})
    await rotation.plant({"y/0": {}})
    tally = await survey(elasticsearch).tally([new, old])
    assert tally == Tally(
        total=13,
        by_key={new: 3, old: 5},
        unknown=Sample(4, ["x/0", "x/1", "x/2"]),
        unknown_keys={"lost": 4},
        unsealed=Sample(1, ["y/0"]),
    )


async def test_thousands_of_keys(survey: Any, rotation: Rotation, elasticsearch: str) -> None:
    """Who plants documents of thousands of keys makes the answer no longer, and no count wrong."""
    await rotation.fill(5)
    planted = {f"x/{n}": {"_sealed": {"key": f"{n:x}" * 4000}} for n in range(2000)}
    await rotation.plant(planted)
    mine = rotation.keyring.primary.id
    tally = await survey(elasticsearch).tally([mine])
    assert (tally.total, tally.by_key, tally.unknown.count) == (2005, {mine: 5}, 2000)
    assert (len(tally.unknown_keys), len(tally.unknown.examples)) == (10, 3)


ANSWER = {
    "timed_out": False,
    "_shards": {"total": 1, "failed": 0},
    "hits": {"total": {"value": 0}, "hits": []},
    "aggregations": {
        "known": {"buckets": {"a": {"doc_count": 0}}},
        "unknown": {
            "doc_count": 0,
            "keys": {"buckets": []},
            "some": {"hits": {"hits": []}},
        },
        "unsealed": {"doc_count": 0, "some": {"hits": {"hits": []}}},
    },
    "_scroll_id": "s",
}


async def test_a_part_did_not_answer(survey: Any, played: Played) -> None:
    """An answer of a part of the index is an error, be it a count or a list."""
    for said in ({"timed_out": True}, {"_shards": {"total": 2, "failed": 1}}):
        played.answer(b"_search", 200, json.dumps({**ANSWER, **said}).encode())
        played.answer(b"_refresh", 200, b"{}")
        with pytest.raises(Unavailable, match="did not count the accounts"):
            await survey(played.url).tally(["a"])
        with pytest.raises(Unavailable, match="did not list the accounts"):
            await anext(survey(played.url).not_sealed_by("a"))
    assert all(
        b"allow_partial_search_results=false" in r for r in played.requests if b"_search" in r
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"hits": {}},
        {"aggregations": {}},
        {"aggregations": {**ANSWER["aggregations"], "known": {"buckets": {}}}},
        {"aggregations": {**ANSWER["aggregations"], "unsealed": {"doc_count": "1"}}},
        {
            "aggregations": {
                **ANSWER["aggregations"],
                "unsealed": {"some": {"hits": {"hits": [{}]}}},
            }
        },
        {"_shards": {}},
        {"timed_out": None},
    ],
)
async def test_odd_answers(survey: Any, played: Played, odd: Any) -> None:
    """No odd answer is taken for a count."""
    played.answer(b"_search", 200, json.dumps({**ANSWER, **odd}).encode())
    with pytest.raises(Refused, match="made no sense"):
        await survey(played.url).tally(["a"])


@pytest.mark.parametrize(
    "odd",
    [{"hits": {}}, {"_scroll_id": 7}, {"hits": {"total": {"value": 1}, "hits": [{"_id": 7}]}}],
)
async def test_odd_pages(survey: Any, played: Played, odd: Any) -> None:
    """Nor is one taken for a page, or for the end of all pages."""
    played.answer(b"_refresh", 200, b"{}")
    played.answer(b"_search", 200, json.dumps({**ANSWER, **odd}).encode())
    with pytest.raises(Refused, match="made no sense"):
        await anext(survey(played.url).not_sealed_by("a"))


async def test_not_found(survey: Any, played: Played) -> None:
    """What is not found for another reason than a missing index is no empty index."""
    played.answer(b"_search", 404, b"{}")
    with pytest.raises(Refused, match="made no sense"):
        await survey(played.url).tally(["a"])
    played.answer(b"_search", 404, b'{"error":{"type":"security_exception"}}')
    with pytest.raises(Refused, match="security_exception"):
        await survey(played.url).tally(["a"])
