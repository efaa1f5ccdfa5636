"""The backend ``opensearch``: roles of the real security plugin, and what they may do."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from callers import asking, caller
from opensearch import ADMIN, OpenSearch, User
from played import Played

from signals_proxy.account.ref import Ref
from signals_proxy.account.visible import Visible
from signals_proxy.authorization import Action, Asking, AuthInfo, Caller, Grant, Identity, Rights
from signals_proxy.errors import Forbidden, Unauthenticated, Undecided

EMAIL, OPS = Ref("email", "a"), Ref("email", "a", "ops")
CHALLENGE = 'Basic realm="OpenSearch Security"'
NOTHING = {"cluster_permissions": ["cluster:monitor/main"]}
"""What a role permits in the cluster is none of our business."""


def rights(**roles: Grant) -> Rights:
    return Rights({name: [grant] for name, grant in roles.items()}, ("email", "slack"))


def grant(verbs: str, *accounts: str) -> Grant:
    return Grant(frozenset(map(Action, verbs.split())), frozenset(accounts))


@pytest.fixture
async def asks(opensearch: OpenSearch) -> AsyncIterator[Asking]:
    async with asking(opensearch.url) as connected:
        yield connected


async def test_roles(asks: Asking, opensearch: OpenSearch, canary: Callable[[str], str]) -> None:
    """Who may do what, by the roles that the cluster maps; a user of other roles may do nothing."""
    users = {name: User(f"roles-{name}", canary(name)) for name in ("all", "ops", "none")}
    for user in users.values():
        opensearch.add_user(user, NOTHING)
    # Roles are named like their users.
    backend = AuthInfo(
        asks,
        10,
        rights(
            **{"roles-all": grant("get put delete search test send", "*")},
            **{"roles-ops": grant("send search", "ops/*", "email/a")},
        ),
    )

    async def told(name: str, action: Action, ref: Ref | None, tenant: str | None = None) -> Any:
        try:
            return await backend.require(action, ref, tenant, caller(users[name].authorization))
        except Forbidden:
            return None

    for action in set(Action) - {Action.SEARCH}:
        for ref in (EMAIL, OPS):
            assert await told("all", action, ref) == Identity("roles-all")
            allowed = Identity("roles-ops") if action is Action.SEND else None
            assert await told("ops", action, ref) == allowed
            assert await told("none", action, ref) is None
    patterns = frozenset({"ops/*", "email/a"})
    assert await told("ops", Action.SEARCH, None, "ops") == Identity("roles-ops", Visible(patterns))
    assert await told("all", Action.SEARCH, None) == Identity("roles-all", Visible(frozenset("*")))
    assert await told("none", Action.SEARCH, None) is None


async def test_roles_that_change(asks: Asking, opensearch: OpenSearch, canary: Any) -> None:
    """What the cluster takes from somebody is gone when the answer is too old."""
    user = User("changing", canary("taken-away"))
    opensearch.add_user(user, NOTHING)
    who = caller(user.authorization)
    # No time at all, so that nobody has to wait: test_cache looks at the clock.
    backend = AuthInfo(asks, 0, rights(changing=grant("get", "*")))
    kept = AuthInfo(asks, 60, rights(changing=grant("get", "*")))
    for each in (backend, kept):
        assert await each.require(Action.GET, EMAIL, None, who) == Identity("changing")
    path = "/_plugins/_security/api"
    assert opensearch.ask("DELETE", f"{path}/rolesmapping/changing")[0] == 200
    with pytest.raises(Forbidden, match="No right to get the account email/a"):
        await backend.require(Action.GET, EMAIL, None, who)
    assert opensearch.ask("DELETE", f"{path}/internalusers/changing")[0] == 200
    with pytest.raises(Unauthenticated):
        await backend.require(Action.GET, EMAIL, None, who)
    # One answer serves all calls of a caller while it stands, and nobody else.
    assert await kept.require(Action.GET, OPS, None, who) == Identity("changing")
    with pytest.raises(Forbidden):
        await kept.require(Action.PUT, EMAIL, None, who)
    with pytest.raises(Forbidden):
        await kept.require(Action.GET, EMAIL, None, caller(ADMIN.authorization))


async def test_nobody(asks: Asking, canary: Any) -> None:
    """A wrong password, a wrong user and what is no log-in are 401, in the cluster's own words."""
    backend = AuthInfo(asks, 10, rights(all_access=grant("get", "*")))
    wrong = canary("wrong")
    for who in (
        caller(User("admin", wrong).authorization),
        caller(User("nobody", wrong).authorization),
        caller("Basic !"),
        caller(f"Bearer {wrong}"),
    ):
        with pytest.raises(Unauthenticated) as refusal:
            await backend.require(Action.GET, EMAIL, None, who)
        assert tuple(refusal.value.challenges) == (CHALLENGE,)
    identity = await backend.require(Action.GET, EMAIL, None, caller(ADMIN.authorization))
    assert identity == Identity("admin")
    for challenge in ('Basic realm="security"', CHALLENGE):
        with pytest.raises(Unauthenticated) as refusal:
            await backend.require(Action.GET, EMAIL, None, caller())
        assert tuple(refusal.value.challenges) == (challenge,)
        await asks.learn()


async def test_to_run_as_somebody(asks: Asking) -> None:
    """The plugin knows no such field: the caller stays who he is."""
    backend = AuthInfo(asks, 10, rights(all_access=grant("get", "*")))
    who = Caller(
        (
            *caller(ADMIN.authorization).credentials,
            *caller(es_security_runas_user="readall").credentials,
        ),
        None,
        None,
    )
    assert await backend.require(Action.GET, EMAIL, None, who) == Identity("admin")


# What no node can be made to say while others use it.

ANONYMOUS = {
    "user": "User [name=opendistro_security_anonymous, backend_roles=[opendistro_security_"
    "anonymous_backendrole], requestedTenant=null]",
    "user_name": "opendistro_security_anonymous",
    "user_requested_tenant": None,
    "roles": ["own_index"],
}


@pytest.mark.parametrize(
    "answer", [ANONYMOUS, {"user": None, "user_name": None, "roles": ["own_index"]}]
)
async def test_whom_the_cluster_does_not_know(played: Played, answer: Any) -> None:
    """No user, and the anonymous one of a cluster that has it, are nobody here."""
    played.answer(b"GET /_plugins/_security/authinfo", 200, json.dumps(answer).encode())
    async with asking(played.url) as connected:
        backend = AuthInfo(connected, 10, rights(own_index=grant("get", "*")))
        for who in (caller("x"), caller(es_security_runas_user="a"), caller()):
            with pytest.raises(Unauthenticated) as refusal:
                await backend.require(Action.GET, EMAIL, None, who)
            assert tuple(refusal.value.challenges) == ('Basic realm="security"',)
    assert len(played.requests) == 1


YES = {"user_name": "anna", "roles": ["own_index"]}


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, []),
        (200, {}),
        (200, {"roles": ["own_index"]}),
        (200, {**YES, "user_name": ""}),
        (200, {**YES, "user_name": ["anna"]}),
        (200, {**YES, "user_name": {}}),
        (200, {"user_name": "anna"}),
        (200, {**YES, "roles": None}),
        (200, {**YES, "roles": "own_index"}),
        (200, {**YES, "roles": {"own_index": True}}),
        (400, YES),
        (404, YES),
        (405, YES),
        (429, YES),
        (500, YES),
        (503, YES),
    ],
)
async def test_no_clear_answer(played: Played, status: int, answer: Any) -> None:
    """Whatever is not a clear answer is none: a 503, never a yes, and not remembered."""
    path = b"GET /_plugins/_security/authinfo HTTP/1.1"
    async with asking(played.url) as connected:
        backend = AuthInfo(connected, 10, rights(own_index=grant("get", "*")))
        played.answer(path, status, json.dumps(answer).encode())
        with pytest.raises(Undecided):
            await backend.require(Action.GET, EMAIL, None, caller("x"))
        played.answer(path, 200, json.dumps(YES).encode())
        assert await backend.require(Action.GET, EMAIL, None, caller("x")) == Identity("anna")


async def test_roles_that_are_none(played: Played) -> None:
    """What is no text among the roles is no role."""
    answer = {**YES, "roles": [None, ["own_index"], {"own_index": 1}, "other"]}
    played.answer(b"authinfo", 200, json.dumps(answer).encode())
    async with asking(played.url) as connected:
        backend = AuthInfo(connected, 10, rights(own_index=grant("get", "*")))
        with pytest.raises(Forbidden):
            await backend.require(Action.GET, EMAIL, None, caller("x"))
