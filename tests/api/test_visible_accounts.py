"""A search finds what its caller may see: nothing else is listed, counted, or scrolled through."""

from dataclasses import dataclass
from typing import Any

import pytest
from applications import Client
from registries import Cluster

from signals_proxy.account.ref import Ref
from signals_proxy.account.visible import Visible
from signals_proxy.authorization import Identity

ACCOUNTS = {
    "email/a": {"host": "smtp.example.com", "port": 25},
    "email/bb": {"host": "smtp.example.com", "port": 25},
    "email/bc": {"host": "smtp.example.com", "port": 25},
    "slack/a": {"url": "https://hooks.slack.example/a"},
    "ops/email/a": {"host": "smtp.example.com", "port": 25},
    "ops/slack/a": {"url": "https://hooks.slack.example/b"},
    "dev/email/a": {"host": "smtp.example.com", "port": 25},
}


@dataclass
class SeesOnly:
    """Lets a search find what fits patterns."""

    patterns: frozenset[str]

    async def require(self, *_: object) -> Identity:
        return Identity("somebody", Visible(self.patterns))


@pytest.fixture
async def filled(serve: Any) -> Client:
    """An application whose caller may do everything, with the accounts in it."""
    client: Client = await serve()
    for path, body in ACCOUNTS.items():
        answer = await client.put(body, path)
        assert answer.status == 201, answer.text
    return client


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("patterns", "tenant", "seen"),
    [
        (["*"], None, ["email/a", "email/bb", "email/bc", "slack/a"]),
        (["email/*"], None, ["email/a", "email/bb", "email/bc"]),
        (["email/bb"], None, ["email/bb"]),
        (["email/b?*"], None, []),
        (["email/b*"], None, ["email/bb", "email/bc"]),
        (["*/a"], None, ["email/a", "slack/a"]),
        (["*/a"], "ops", ["email/a", "ops/email/a", "ops/slack/a", "slack/a"]),
        (["ops/*"], "ops", ["ops/email/a", "ops/slack/a"]),
        (["ops/*", "slack/a"], "ops", ["ops/email/a", "ops/slack/a", "slack/a"]),
        (["*l/a"], "ops", ["email/a", "ops/email/a"]),
        (["email/none"], None, []),
    ],
)
async def test_what_is_found(
    serve: Any, patterns: list[str], tenant: str | None, seen: list[str]
) -> None:
    """Hits and totals are those of the accounts that may be seen, with and without a scroll."""
    client = await serve(authorizer=SeesOnly(frozenset(patterns)))
    path = "_search" if tenant is None else f"{tenant}/_search"
    for asked in ("?size=100", "?size=100&scroll=1m", "?q=a* OR b* OR _name:a&size=100"):
        answer = await client.ask("GET", path + asked.replace(" ", "%20"))
        assert answer.status == 200, answer.text
        hits = answer.json["hits"]
        if not asked.startswith("?q"):
            assert sorted(hit["_id"] for hit in hits["hits"]) == seen
            assert hits["total"]["value"] == len(seen)
        assert {hit["_id"] for hit in hits["hits"]} <= set(seen)
        assert hits["total"]["value"] <= len(seen)


async def test_each_page_of_a_scroll_asks_anew(filled: Client, serve: Any) -> None:
    """An id that somebody else was given finds for its user what that one may see."""
    first = await filled.ask("GET", "_search?scroll=1m&size=1&sort=type.keyword:desc")
    assert [hit["_id"] for hit in first.json["hits"]["hits"]] == ["slack/a"]
    other = await serve(authorizer=SeesOnly(frozenset({"email/a"})))
    body = {"scroll_id": first.json["_scroll_id"]}
    session_url = other.url + "/_search/scroll"
    async with other.session.post(session_url, json=body) as answer:
        page = await answer.json()
    assert answer.status == 200, page
    assert [hit["_id"] for hit in page["hits"]["hits"]] == ["email/a"]
    assert page["hits"]["total"]["value"] == 1


@pytest.mark.usefixtures("filled")
async def test_a_planted_document_is_not_shown(serve: Any, cluster: Cluster) -> None:
    """What a document says of itself shows it to nobody who may not see the account of its id."""
    planted = {"type": "email", "_name": "a", "host": "planted.example.com", "port": 25}
    cluster.put(planted, Ref("slack", "hidden"))
    client = await serve(authorizer=SeesOnly(frozenset({"email/a"})))
    answer = await client.ask("GET", "_search")
    assert [hit["_id"] for hit in answer.json["hits"]["hits"]] == ["email/a"]
