"""Every call by everybody, through a whole proxy in front of an OpenSearch that knows its users.

A test of this file states a table, cell by cell, of what each caller gets.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asked import BODY, Asked, Told, deciding
from on_opensearch import elasticsearch, operator  # noqa: F401  fixtures
from opensearch import OpenSearch, User, registry_role
from queries import LOOK_UPS, OTHER_QUERIES
from registries import Cluster
from rotations import configured
from served import LIMIT_S, configure, serve

from signals_proxy.account import schema, scroll
from signals_proxy.account.query import searchable
from signals_proxy.account.search import parse

SEARCH = parse({"sort": ["_name"]}, {"scroll": "1m"}, None, searchable(schema.load()))

ROLES = """{
    backend: opensearch, cache: 1ms,
    roles: {
      rights-admin: [{actions: "*", accounts: "*"}],
      rights-one: [{actions: [get, put, search], accounts: email/mine}],
      rights-ops: [{actions: "*", accounts: ops/*}],
      rights-reader: [{actions: [get, test], accounts: "*"}]}}"""
NO_RIGHTS = {"cluster_permissions": ["cluster:monitor/main"]}
WHO = ("admin", "one", "ops", "reader", "stranger", "nobody", "wrong")
"""An administrator; one with one account, which he may not delete; one of the tenant ``ops``; one
who may read and check, if he knows the names; one without any role of ours; who says nothing; and the
administrator's name with a wrong password."""

ACCOUNTS = ("email/a", "email/mine", "email/other", "ops/email/a", "dev/email/a")
"""There before each cell; ``none`` is the name of one that is not."""


class Proxied(Asked):
    """A whole proxy with ``ACCOUNTS``, and everybody who calls it."""

    _port = 1

    async def write(self, who: str, method: str, path: str) -> Told:
        """Change an account as somebody, and bring it back to what it was."""
        self._port += 1
        given = {**BODY, "port": self._port} if method == "PUT" else None
        told = await self.ask(who, method, path, given)
        if told.status < 300:
            made = method == "PUT" and "/none" in path and "dry_run" not in path
            undone = ("DELETE", None) if made else ("PUT", BODY)
            if "/none" not in path or made:
                assert (await self.ask("admin", undone[0], path, undone[1])).status < 300
        return told

    async def scroll_id(self, who: str, path: str) -> str:
        told = await self.ask(who, "POST", f"{path}?scroll=1m", {"size": 1, "sort": ["_name"]})
        assert told.status == 200, told
        return str(told.json["_scroll_id"])


@pytest.fixture(scope="module")
def users(opensearch: OpenSearch) -> dict[str, User]:
    """Everybody whom the cluster knows, with the proxy itself. Making users takes it a while."""
    found = {who: User(f"rights-{who}", f"Known-to-this-file-{who}") for who in ("proxy", *WHO[:5])}
    for who, user in found.items():
        role = registry_role(".signals_") if who == "proxy" else NO_RIGHTS
        opensearch.add_user(user, role)
    return found


@pytest.fixture
async def asked(
    opensearch: OpenSearch,
    cluster: Cluster,  # noqa: ARG001  takes the index away
    users: Mapping[str, User],
    index: str,
    tmp_path: Path,
    canary: Callable[[str], str],
) -> AsyncIterator[Proxied]:
    """A whole proxy, all users, and a registry that has ``ACCOUNTS``."""
    wrong = User(users["admin"].name, canary("wrong"))
    fields = {who: it.authorization for who, it in {**users, "wrong": wrong}.items()}
    file = configure(tmp_path, opensearch.url, configured(index, users["proxy"]))
    async with serve(deciding(file, ROLES)) as proxy:
        made = Proxied(await proxy.served(), fields)
        await proxy.event("ready")
        for account in ACCOUNTS:
            assert (await made.ask("admin", "PUT", account, BODY)).status == 201
        yield made


def found_by(told: Told) -> str:
    """Return which accounts a search found, or the status of an answer that is none."""
    if told.status != 200:
        return str(told.status)
    hits = [hit["_id"] for hit in told.json["hits"]["hits"]]
    assert told.json["hits"]["total"] == {"value": len(hits), "relation": "eq"}
    return " ".join(sorted(hits)) or "none"


async def cells(
    table: str, ask: Callable[[str, str], Awaitable[str]]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what each cell of a table is, and what it should be: columns are two blanks apart."""
    actual, expected = {}, {}
    for line in filter(None, map(str.strip, table.splitlines())):
        call, *wanted = (it.strip() for it in line.split("  ") if it.strip())
        assert len(wanted) == len(WHO), line
        for who, want in zip(WHO, wanted, strict=True):
            expected[f"{who}: {call}"] = want
            actual[f"{who}: {call}"] = await ask(who, call)
    return actual, expected


STATUSES = """
    GET email/mine                   200  200  403  200  403  401  401
    GET email/other                  200  403  403  200  403  401  401
    GET email/none                   404  403  403  404  403  401  401
    GET Email/mine                   200  200  403  200  403  401  401
    GET _main/email/mine             200  200  403  200  403  401  401
    GET nosuchtype/mine              404  403  403  404  403  401  401
    GET ops/email/a                  200  403  200  200  403  401  401
    GET ops/email/none               404  403  404  404  403  401  401
    GET ops/email/mine               404  403  404  404  403  401  401
    GET dev/email/a                  200  403  403  200  403  401  401
    GET dev/email/none               404  403  403  404  403  401  401
    HEAD email/mine                  200  200  403  200  403  401  401
    HEAD email/other                 200  403  403  200  403  401  401
    HEAD email/none                  404  403  403  404  403  401  401
    HEAD ops/email/a                 200  403  200  200  403  401  401
    HEAD dev/email/none              404  403  403  404  403  401  401
    PUT email/mine                   200  200  403  403  403  401  401
    PUT email/other                  200  403  403  403  403  401  401
    PUT email/none                   201  403  403  403  403  401  401
    PUT ops/email/a                  200  403  200  403  403  401  401
    PUT ops/email/none               201  403  201  403  403  401  401
    PUT dev/email/a                  200  403  403  403  403  401  401
    PUT dev/email/none               201  403  403  403  403  401  401
    PUT email/mine?dry_run=true      200  200  403  403  403  401  401
    PUT email/other?dry_run=true     200  403  403  403  403  401  401
    PUT email/none?dry_run=true      201  403  403  403  403  401  401
    PUT ops/email/none?dry_run=true  201  403  201  403  403  401  401
    PUT dev/email/a?dry_run=true     200  403  403  403  403  401  401
    DELETE email/mine                200  403  403  403  403  401  401
    DELETE email/other               200  403  403  403  403  401  401
    DELETE email/none                404  403  403  403  403  401  401
    DELETE ops/email/a               200  403  200  403  403  401  401
    DELETE ops/email/none            404  403  404  403  403  401  401
    DELETE dev/email/a               200  403  403  403  403  401  401
    DELETE dev/email/none            404  403  403  403  403  401  401
    GET email/mine/_status           200  200  403  200  403  401  401
    GET email/none/_status           404  403  403  404  403  401  401
    HEAD email/other/_status         200  403  403  200  403  401  401
    GET ops/email/a/_status          200  403  200  200  403  401  401
    GET dev/email/none/_status       404  403  403  404  403  401  401
    POST email/none/_test            404  403  403  404  403  401  401
    POST ops/email/none/_test        404  403  404  404  403  401  401
    POST email/mine/_test {}         400  403  403  403  403  401  401
    POST email/none/_test {}         400  403  403  403  403  401  401
    POST ops/email/a/_test {}        400  403  400  403  403  401  401
    POST dev/email/a/_test {}        400  403  403  403  403  401  401
    POST email/mine/_send {}         400  403  403  403  403  401  401
    POST email/none/_send {}         400  403  403  403  403  401  401
    POST ops/email/a/_send {}        400  403  400  403  403  401  401
    POST dev/email/a/_send {}        400  403  403  403  403  401  401
    POST nosuchtype/mine/_send {}    409  403  403  403  403  401  401
    GET _search                      200  200  403  403  403  401  401
    POST _search                     200  200  403  403  403  401  401
    GET ops/_search                  200  200  200  403  403  401  401
    POST ops/_search                 200  200  200  403  403  401  401
    POST dev/_search                 200  200  403  403  403  401  401
    POST none/_search                200  200  403  403  403  401  401
    GET _schema                      200  200  200  200  200  200  200
    HEAD _schema                     200  200  200  200  200  200  200
    GET _schema/email                200  200  200  200  200  200  200
    GET _schema/none                 404  404  404  404  404  404  404
    GET _openapi                     200  200  200  200  200  200  200
    GET _key                         200  200  200  200  200  200  200
    OPTIONS email/other              200  200  200  200  200  200  200
    OPTIONS _search                  200  200  200  200  200  200  200
    POST email/other                 405  405  405  405  405  405  405
    DELETE _search                   405  405  405  405  405  405  405
    PUT _key                         405  405  405  405  405  405  405
    GET _nope                        400  400  400  400  400  400  400
    GET email                        400  400  400  400  400  400  400
    GET a/b/email/other              400  400  400  400  400  400  400
    GET /                            200  200  200  200  200  401  401
"""


async def test_statuses(asked: Proxied) -> None:
    """Every call by everybody; a 401 says how to log in, as the cluster does.

    The body of a draft and of a message is one that is refused, by whoever looks at it.
    """
    # Until the cluster has told how, callers without credentials are told something else.
    async with asyncio.timeout(LIMIT_S):
        while "opensearch security" not in (await asked.ask("nobody", "GET", "email/a")).head:
            await asyncio.sleep(0)

    async def status(who: str, call: str) -> str:
        method, path, *body = call.split()
        if method in {"PUT", "DELETE"}:
            told = await asked.write(who, method, path)
        else:
            told = await asked.ask(who, method, path, {} if body else None)
        if told.status == 401:
            assert 'www-authenticate: basic realm="opensearch security"' in told.head, call
        return str(told.status)

    actual, expected = await cells(STATUSES, status)
    assert actual == expected
    # Nothing is left of what anybody tried.
    there = await asked.ask("admin", "POST", "dev/_search", {"sort": ["_name"]})
    assert found_by(there) == "dev/email/a email/a email/mine email/other"


GLOBAL = "email/a email/mine email/other"
FOUND = """
    _search {}          email/a email/mine email/other  email/mine  403          403  403  401  401
    _search PORT        email/a email/mine email/other  email/mine  403          403  403  401  401
    _search ID          email/other                     none        403          403  403  401  401
    _search NOT         email/a email/other             none        403          403  403  401  401
    ops/_search TENANT  ops/email/a                     none        ops/email/a  403  403  401  401
    ops/_search OTHER   none                            none        none         403  403  401  401
    dev/_search TENANT  none                            none        403          403  403  401  401
    dev/_search OTHER   dev/email/a                     none        403          403  403  401  401
    none/_search {}     email/a email/mine email/other  email/mine  403          403  403  401  401
    ops/_search {}      email/a email/mine email/other ops/email/a  email/mine  ops/email/a  403  403  401  401
"""
QUERIES = {
    "{}": {"match_all": {}},
    "PORT": {"term": {"port": 465}},
    "ID": {"ids": {"values": ["email/other"]}},
    "NOT": {"bool": {"must_not": {"term": {"_name": "mine"}}}},
    "TENANT": {"term": {"_tenant": "ops"}},
    "OTHER": {"term": {"_tenant": "dev"}},
}


async def test_what_is_found(asked: Proxied) -> None:
    """A search finds, and counts, what its caller may search, whatever it asks for."""

    async def found(who: str, call: str) -> str:
        path, query = call.split()
        told = await asked.ask(who, "POST", path, {"query": QUERIES[query], "size": 50})
        none = await asked.ask(who, "GET", path, {"query": QUERIES[query], "size": 0})
        if told.status == 200:
            counted = none.json["hits"]
            assert (counted["total"], counted["hits"]) == (told.json["hits"]["total"], [])
        return found_by(told)

    actual, expected = await cells(FOUND, found)
    assert actual == expected


SCROLLED = """
    admin _search       email/mine 3   email/mine 1   403            403  403  401  401
    one _search         email/other 3  none 1         403            403  403  401  401
    admin ops/_search   ops/email/a 4  email/mine 1   ops/email/a 1  403  403  401  401
    ops ops/_search     email/mine 4   email/mine 1   none 1         403  403  401  401
"""


async def test_a_scroll_id_grants_nothing(asked: Proxied) -> None:
    """Whoever has an id, his own or another's, gets the next page of what he may see himself.

    The first page ends with ``a`` (or ``mine``, for the one who sees nothing else), by its name.
    """

    async def scrolled(who: str, call: str) -> str:
        owner, path = call.split()
        given = {"scroll_id": await asked.scroll_id(owner, path), "scroll": "1m"}
        told = [await asked.ask(who, it, "/_search/scroll", given) for it in ("POST", "GET")]
        assert told[0].status == told[1].status
        cleared = await asked.ask(who, "DELETE", "/_search/scroll", given)
        assert (cleared.status, cleared.json["num_freed"]) == (200, 1)
        if told[0].status != 200:
            return str(told[0].status)
        hits = told[0].json["hits"]
        ids = " ".join(hit["_id"] for hit in hits["hits"]) or "none"
        return f"{ids} {hits['total']['value']}"

    actual, expected = await cells(SCROLLED, scrolled)
    assert actual == expected


async def test_a_refusal_tells_nothing(asked: Proxied) -> None:
    """Whether an account is there makes no difference to whoever may not have it."""
    for who in (it for it in WHO[1:] if it != "reader"):
        for method, call, given in (
            *(("GET", "", None), ("HEAD", "", None), ("PUT", "", {}), ("DELETE", "", None)),
            *(("GET", "/_status", None), ("POST", "/_test", None), ("POST", "/_test", {})),
            ("POST", "/_send", {}),
        ):
            for there, none in (("email/other", "email/ghost"), ("dev/email/a", "dev/email/z")):
                both = [await asked.ask(who, method, it + call, given) for it in (there, none)]
                told, of_none = [
                    (
                        it.status,
                        [line for line in it.head.splitlines() if not line.startswith("date:")],
                        it.body.replace(there.encode(), none.encode()),
                    )
                    for it in both
                ]
                assert told[0] in {401, 403}
                assert told == of_none


PARTS = ("suggest", "aggs", "runtime_mappings", "script_fields", "docvalue_fields", "fields", "pit",
         "indices_boost", "retriever", "knn", "rescore", "post_filter", "collapse", "highlight",
         "ext", "slice", "derived", "search_pipeline", "stored_fields", "explain", "profile",
         "sub_searches", "rank", "min_score", "terminate_after", "seq_no_primary_term")  # fmt: skip
"""Members of a search's body that a search for accounts does not take."""


async def test_the_proxys_credentials_are_not_lent(
    asked: Proxied,
    cluster: Cluster,
    users: Mapping[str, User],
    opensearch: OpenSearch,
    index: str,
) -> None:
    """No search reaches an index that the proxy's user could read, and its caller could not."""
    # No canary: here it lies in clear, and only the registry must not tell it.
    other, secret = f"{index}-2", "known-elsewhere-and-told-nowhere"
    document = {"host": "smtp.example.com", "note": secret}
    put = "PUT", f"/{other}/_doc/1?refresh=true", document
    assert (await asyncio.to_thread(cluster.ask, *put))[0] == 201

    async def reached(query: Any, user: User) -> Any:
        path = f"/{index}/_search"
        return await asyncio.to_thread(opensearch.ask, "POST", path, {"query": query}, user)

    elsewhere = [json.loads(json.dumps(it).replace("INDEX", other)) for it in LOOK_UPS]
    # The proxy's user really could look things up there: so it is the registry that does not.
    for it in (elsewhere[0], {"more_like_this": OTHER_QUERIES["more_like_this"]}):
        query = json.loads(json.dumps(it).replace("INDEX", other))
        status, told = await reached(query, users["proxy"])
        assert (status, told["hits"]["total"]["value"]) == (200, len(ACCOUNTS)), told
        assert (await reached(query, users["admin"]))[0] == 403
    for who in ("admin", "one"):
        bodies: list[Any] = [{"query": it} for it in elsewhere]
        bodies += [{it: {"x": {"terms": {"field": "host"}}}} for it in PARTS]
        for given in bodies:
            told = await asked.ask(who, "POST", "_search", given)
            assert told.status == 400, given
            assert secret.encode() not in told.body
        for path in (f"_search?index={other}", f"{other}/_search", f"_search?ccs={other}"):
            told = await asked.ask(who, "GET", path)
            assert secret.encode() not in told.body
            assert found_by(told) in {"400", GLOBAL if who == "admin" else "email/mine"}
    # Nor does a scroll id that somebody wrote himself: it is read as any other search.
    for query in elsewhere:
        written = scroll.write(replace(SEARCH, query=query))
        told = await asked.ask("admin", "POST", "/_search/scroll", {"scroll_id": written})
        assert told.status == 400, query


async def test_roles_that_change(asked: Proxied, opensearch: OpenSearch, canary: Any) -> None:
    """What the cluster gives and takes is given and taken here, once the decision is too old."""
    user = User("rights-comes-and-goes", canary("comes and goes"))
    asked.fields["user"] = user.authorization

    async def until(status: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while (await asked.ask("user", "GET", "email/mine")).status != status:
                await asyncio.sleep(0)

    async def mapped(*names: str) -> None:
        path = "/_plugins/_security/api/rolesmapping/rights-one"
        told = await asyncio.to_thread(opensearch.ask, "PUT", path, {"users": names})
        assert told[0] in {200, 201}, told

    await until(401)
    await asyncio.to_thread(opensearch.add_user, user, NO_RIGHTS)
    await until(403)
    await mapped("rights-one", user.name)
    await until(200)
    await mapped("rights-one")
    await until(403)
    path = f"/_plugins/_security/api/internalusers/{user.name}"
    assert (await asyncio.to_thread(opensearch.ask, "DELETE", path))[0] == 200
    await until(401)
