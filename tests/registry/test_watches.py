"""Which accounts are in use, by watches as the reference product writes them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opensearch import ADMIN, OpenSearch, User, registry_role

from signals_proxy.account.ref import Ref
from signals_proxy.errors import Unavailable
from signals_proxy.registry.documents import Registry
from signals_proxy.registry.settings import RegistrySettings

WATCHES = ".signals_watches"

# As the reference product creates its index: what is not named gets Elasticsearch's own mapping.
DYNAMIC = {
    "dynamic": True,
    "properties": {
        "_tenant": {"type": "text", "analyzer": "keyword"},
        "actions": {"dynamic": True, "properties": {"checks": {"type": "object"}}},
    },
}
KEYWORDS = {
    "properties": {
        "_tenant": {"type": "keyword"},
        "actions": {
            "properties": {"type": {"type": "keyword"}, "account": {"type": "keyword"}},
        },
    },
}

Write = Callable[..., None]


@pytest.fixture(params=[DYNAMIC, KEYWORDS], ids=["text", "keyword"])
def watches(request: pytest.FixtureRequest, cluster: Any) -> Iterator[Write]:
    """Return a function that writes one watch with these actions, into an index that is empty."""
    cluster.ask("PUT", f"/{WATCHES}", {"mappings": request.param})
    written = 0

    def write(*actions: Any, tenant: str | None = "_main", **more: Any) -> None:
        nonlocal written
        written += 1
        watch = {
            "active": True,
            "trigger": {"schedule": {"interval": ["1m"]}},
            "checks": [{"type": "search", "name": "s", "target": "s", "request": {}}],
            "actions": [{"name": "a", "throttle_period": "1h", **each} for each in actions],
            "_meta": {"auth_token": "t"},
            **({} if tenant is None else {"_tenant": tenant}),
            **more,
        }
        path = f"/{WATCHES}/_doc/{tenant}%2Fw{written}?refresh=true"
        assert cluster.ask("PUT", path, watch)[0] == 201

    yield write
    cluster.ask("DELETE", f"/{WATCHES}")


def action(account: str | None = "ops", kind: str = "email") -> dict[str, Any]:
    return {"type": kind, "text_body": "hello"} | ({"account": account} if account else {})


async def used(registry: Registry, ref: Ref) -> bool:
    return await registry.watches.use(ref)


@pytest.mark.usefixtures("watches")
async def test_no_watch(registry: Registry) -> None:
    assert await used(registry, Ref("email", "ops")) is False


async def test_no_index(registry: Registry) -> None:
    assert await used(registry, Ref("email", "ops")) is False


@pytest.mark.parametrize("name", ["ops", "Ops Team", "a-b.c", "---", "2030-01-01", "x" * 300, "ö"])
async def test_a_watch_names_the_account(registry: Registry, watches: Write, name: str) -> None:
    watches(action("other"), action(name))
    assert await used(registry, Ref("email", name)) is True
    assert await used(registry, Ref("slack", name)) is False


@pytest.mark.parametrize("name", ["team", "ops", "OPS TEAM", "Ops Team 2"])
async def test_a_name_counts_as_a_whole(registry: Registry, watches: Write, name: str) -> None:
    watches(action("Ops Team"))
    assert await used(registry, Ref("email", name)) is False


async def test_type_and_account_of_one_action(registry: Registry, watches: Write) -> None:
    """One action's type and another one's account are no use."""
    watches(action("a", "email"), action("b", "slack"))
    assert await used(registry, Ref("email", "b")) is False
    assert await used(registry, Ref("slack", "b")) is True


async def test_actions_that_run_when_all_is_well_again(registry: Registry, watches: Write) -> None:
    watches(resolve_actions=[action("ops")])
    assert await used(registry, Ref("email", "ops")) is True


async def test_who_names_no_account_means_the_default(registry: Registry, watches: Write) -> None:
    """Also beside an action that names one; but not if the action has a request of its own."""
    watches(action("ops"), action(None))
    watches({"type": "webhook", "request": {"method": "POST", "url": "https://a.test/"}})
    assert await used(registry, Ref("email", "default")) is True
    assert await used(registry, Ref("slack", "default")) is False
    assert await used(registry, Ref("webhook", "default")) is False


@pytest.mark.parametrize(
    ("of_watch", "of_account", "expected"),
    [
        ("_main", None, True),
        ("hr", None, True),
        ("hr", "hr", True),
        ("_main", "hr", False),
        ("it", "hr", False),
        (None, "hr", True),
        (None, None, True),
    ],
)
async def test_tenants(
    registry: Registry,
    watches: Write,
    of_watch: str | None,
    of_account: str | None,
    expected: bool,
) -> None:
    """A watch may mean its tenant's own account or a global one; of which tenant may be unknown."""
    watches(action("ops"), tenant=of_watch)
    assert await used(registry, Ref("email", "ops", of_account)) is expected


async def test_an_index_that_cannot_be_searched(
    registry: Registry, watches: Write, cluster: Any
) -> None:
    """It never reads as if there were no watch."""
    watches(action("other"))
    cluster.ask("POST", f"/{WATCHES}/_close")
    with pytest.raises(Unavailable, match=r"cannot be told whether a watch uses the account"):
        await used(registry, Ref("email", "ops"))


async def test_more_watches_than_are_looked_through(registry: Registry, cluster: Any) -> None:
    try:
        line = json.dumps({"actions": [{"type": "email", "account": "other"}]})
        lines = f'{{"index":{{}}}}\n{line}\n' * 10_001
        cluster.ask("POST", f"/{WATCHES}/_bulk?refresh=true", lines.encode())
        assert await used(registry, Ref("email", "ops")) is False
        with pytest.raises(Unavailable, match=r"10001 watches that may use it; 10000 could be"):
            await used(registry, Ref("email", "default"))
    finally:
        cluster.ask("DELETE", f"/{WATCHES}")


class TestOpenSearch:
    """On a cluster that asks who may read."""

    @pytest.fixture
    def elasticsearch(self, opensearch: OpenSearch) -> str:
        return opensearch.url

    @pytest.fixture
    def operator(self) -> User:
        return ADMIN

    @pytest.fixture
    def registry_user(self, opensearch: OpenSearch) -> User:
        user = User("watches", "Known-to-this-file-2")
        opensearch.add_user(user, registry_role(".signals_"))
        return user

    async def test_a_watch_names_the_account(self, registry: Registry, watches: Write) -> None:
        assert await used(registry, Ref("email", "Ops Team")) is False
        watches(action("Ops Team"))
        assert await used(registry, Ref("email", "Ops Team")) is True
        assert await used(registry, Ref("email", "ops")) is False

    async def test_no_index(self, registry: Registry) -> None:
        assert await used(registry, Ref("email", "ops")) is False

    async def test_who_may_not_read_the_watches(
        self, connected: Any, opensearch: OpenSearch, index: str
    ) -> None:
        """Cannot know that there are none, and is told what to permit."""
        user = User("blind", "Known-to-this-file-3")
        role = registry_role(index)
        opensearch.add_user(user, {**role, "index_permissions": role["index_permissions"][:1]})
        registry = connected(opensearch.url, RegistrySettings(index, user.credentials))
        with pytest.raises(Unavailable, match=r"read \.signals_watches \(403 .*give the user"):
            await used(registry, Ref("email", "ops"))
