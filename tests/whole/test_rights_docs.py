"""docs/rights.md as somebody uses it: what it says to paste is pasted, and does what it says."""

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from asked import BODY, Asked, deciding
from callers import asking, basic, caller
from has_privileges import security
from on_opensearch import elasticsearch, operator  # noqa: F401  fixtures
from opensearch import OpenSearch, User, registry_role
from privileges import Privileges, Role
from registries import Cluster
from rotations import configured
from served import configure, serve

from signals_proxy import config
from signals_proxy.account.ref import Ref
from signals_proxy.authorization import Action, HasPrivileges
from signals_proxy.errors import Forbidden

DOCS = (Path(__file__).parents[2] / "docs" / "rights.md").read_text()
PASTED = [
    (request.partition("\n")[0].removeprefix("PUT "), json.loads(request.partition("\n")[2]))
    for block in re.findall(r"```console\n(.*?)```", DOCS, re.DOTALL)
    for request in block.split("\n\n")
]
OF_ELASTICSEARCH = {
    path.removeprefix("/_security/role/"): it for path, it in PASTED if "/_security/role" in path
}
OF_OPENSEARCH = {
    path.rpartition("/")[2]: it for path, it in PASTED if path.startswith("/_plugins/_security/")
}
SETTINGS = [
    yaml.safe_load(block)["authorization"]
    for block in re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
]
NAMES = ("account_admin", "account_user", "on_call", "signals_proxy")
ALL = {it.value for it in Action}
USES = {"get", "search", "test", "send"}


def test_nothing_is_overlooked() -> None:
    assert tuple(OF_ELASTICSEARCH) == tuple(OF_OPENSEARCH) == NAMES
    assert len(PASTED) == DOCS.count("\nPUT ") == 8
    # With these rights a registry does all that it does, in other tests.
    assert OF_OPENSEARCH["signals_proxy"] == registry_role(".signals_accounts")
    assert [it["backend"] for it in SETTINGS] == ["opensearch", "static"]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda it: it["backend"])
def test_settings(settings: Any, tmp_path: Path) -> None:
    """They are right, and say the same as the roles of the cluster do."""
    file = deciding(configure(tmp_path, "http://127.0.0.1:9200"), json.dumps(settings))
    found = config.load(file, {}).authorization
    assert found.backend == settings["backend"]
    rights = {
        name: [({it.value for it in grant.actions}, {*grant.accounts}) for grant in grants]
        for name, grants in found.roles.items()
    }
    expected = {
        name: [
            (
                ALL
                if it["privileges"] == ["account/*"]
                else {name.removeprefix("account/") for name in it["privileges"]},
                {*it["resources"]},
            )
            for it in role["applications"]
        ]
        for name, role in OF_ELASTICSEARCH.items()
        if name in rights
    }
    assert rights == expected


# Elasticsearch, whose rules are played.

CELLS = [
    *((action, Ref("email", "ops")) for action in Action if action is not Action.SEARCH),
    *((action, Ref("email", "other")) for action in Action if action is not Action.SEARCH),
    *((action, Ref("email", "ops", "t")) for action in Action if action is not Action.SEARCH),
    *((Action.SEARCH, it) for it in (None, "t")),
]
EVERYWHERE = {"email/ops", "email/other", "t/email/ops", "global", "in t"}


@pytest.mark.parametrize(
    ("name", "actions", "where"),
    [
        ("account_admin", ALL, EVERYWHERE),
        ("account_user", USES, EVERYWHERE),
        ("on_call", USES - {"search"}, {"email/ops"}),
        ("signals_proxy", set(), set()),
    ],
)
async def test_elasticsearch(
    name: str, actions: set[str], where: set[str], canary: Callable[[str], str]
) -> None:
    """Each role may do what the page says, and nothing else."""
    given = OF_ELASTICSEARCH[name]
    assert given.keys() <= {"applications", "indices"}
    role = Role(
        applications=[Privileges(**it) for it in given.get("applications", [])],
    )
    password, allowed = canary("anna"), set()
    async with security() as cluster, asking(cluster.url) as connected:
        cluster.roles[name], cluster.users["anna"] = role, (password, [name])
        backend, anna = HasPrivileges(connected, 10), caller(basic("anna", password))
        for action, at in CELLS:
            ref, tenant = (at, at.tenant) if isinstance(at, Ref) else (None, at)
            try:
                await backend.require(action, ref, tenant, anna)
            except Forbidden:
                continue
            shown = ref.document_id if ref else f"in {at}" if at else "global"
            allowed.add((action.value, shown))
    assert allowed == {
        (action, shown)
        for action in actions
        for shown in where
        if (action == "search") == (shown in {"global", "in t"})
    }


# OpenSearch, the real one.


@pytest.fixture
async def users(
    opensearch: OpenSearch,
    cluster: Cluster,  # noqa: ARG001  takes the index away
    index: str,
    canary: Callable[[str], str],
) -> Mapping[str, User]:
    """Paste all roles, for an index of the test's, and return a user for each."""
    found = {name: User(f"docs-{name}", canary(name)) for name in NAMES}
    for name, user in found.items():
        role = json.loads(json.dumps(OF_OPENSEARCH[name]).replace(".signals_accounts", index))
        for path, body in (
            (f"roles/{name}", role),
            (f"internalusers/{user.name}", {"password": user.password}),
            (f"rolesmapping/{name}", {"users": [user.name]}),
        ):
            asked = "PUT", f"/_plugins/_security/api/{path}", body
            status, told = await asyncio.to_thread(opensearch.ask, *asked)
            assert status in {200, 201}, told
    return found


async def test_opensearch(
    users: Mapping[str, User], opensearch: OpenSearch, index: str, tmp_path: Path
) -> None:
    """Each role may do what the page says through the proxy; in the cluster only the proxy's may."""
    file = configure(tmp_path, opensearch.url, configured(index, users["signals_proxy"]))
    authorization = json.dumps({**SETTINGS[0], "cache": "1ms"})
    async with serve(deciding(file, authorization)) as proxy:
        fields = {name: user.authorization for name, user in users.items()}
        asked = Asked(await proxy.served(), fields)
        await proxy.event("ready")
        for who, statuses in (
            ("account_admin", [201, 201, 201, 200, 200, 200, 200]),
            ("account_user", [403, 403, 403, 200, 200, 200, 403]),
            ("on_call", [403, 403, 403, 200, 403, 403, 403]),
            ("signals_proxy", [403] * 7),
        ):
            calls: list[tuple[str, str, Any]] = [
                ("PUT", "email/ops", BODY),
                ("PUT", "email/other", BODY),
                ("PUT", "t/email/ops", BODY),
                ("GET", "email/ops", None),
                ("GET", "t/email/ops", None),
                ("GET", "t/_search", None),
                ("DELETE", "t/email/ops", None),
            ]
            if who != "account_admin":
                told = await asked.ask("account_admin", "PUT", "t/email/ops", BODY)
                assert told.status in {200, 201}
            actual = [(await asked.ask(who, *call)).status for call in calls]
            assert (who, actual) == (who, statuses)

    async def at_the_cluster(who: str, method: str, path: str, body: Any = None) -> int:
        asked = method, path, body, users[who]
        return (await asyncio.to_thread(opensearch.ask, *asked))[0]

    for who in NAMES:
        is_the_proxy = who == "signals_proxy"
        own = f"/{index}/_search", f"/{index}/_doc/email%2Fops"
        for method, path in (("GET", own[0]), ("GET", own[1]), ("PUT", own[1])):
            status = await at_the_cluster(who, method, path, BODY if method == "PUT" else None)
            assert status == (200 if is_the_proxy else 403), (who, method, path)
        for method, path in (
            *(("GET", "/_search"), ("PUT", "/docs-other/_doc/1"), ("GET", "/_cluster/settings")),
            ("GET", "/_plugins/_security/api/roles"),
        ):
            status = await at_the_cluster(who, method, path, BODY if method == "PUT" else None)
            assert status == 403, (who, method, path)
