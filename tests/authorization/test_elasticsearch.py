"""The backend ``elasticsearch``: privileges in the cluster decide, and nothing else does."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from callers import asking, basic, caller
from has_privileges import CHALLENGES, Security, saying, security
from privileges import Privileges, Role

from signals_proxy.account.ref import Ref
from signals_proxy.authorization import Action, Asking, Caller, HasPrivileges, Identity
from signals_proxy.errors import Forbidden, Unauthenticated, Undecided

EMAIL, SLACK, OPS = Ref("email", "a"), Ref("slack", "b"), Ref("email", "a", "ops")
ACTION = "cluster:admin:searchguard:signals:account/"


def on_accounts(privileges: str, *resources: str, application: str = "signals_proxy") -> Role:
    """Return a role with privileges of the application."""
    return Role(applications=[Privileges(application, privileges.split(), resources)])


@pytest.fixture
async def cluster() -> AsyncIterator[Security]:
    async with security() as cluster:
        yield cluster


@pytest.fixture
def add(cluster: Security, canary: Callable[[str], str]) -> Callable[..., Caller]:
    """Return a function that adds somebody with a role to the cluster, and returns the caller."""

    def add(name: str, role: Role) -> Caller:
        password = canary(name)
        cluster.roles[name], cluster.users[name] = role, (password, [name])
        return caller(basic(name, password))

    return add


@pytest.fixture
async def backend(cluster: Security) -> AsyncIterator[HasPrivileges]:
    async with asking(cluster.url) as connected:
        yield HasPrivileges(connected, 10)


async def may(
    backend: HasPrivileges, who: Caller, action: Action, ref: Ref | None, tenant: str | None = None
) -> bool:
    try:
        await backend.require(action, ref, tenant, who)
    except Forbidden:
        return False
    return True


async def everything(backend: HasPrivileges, who: Caller) -> set[str]:
    """Return what somebody may do: verb and account, or verb and tenant."""
    cells: list[tuple[Action, Ref | None, str | None]] = [
        (action, ref, None)
        for action in Action
        if action is not Action.SEARCH
        for ref in (EMAIL, SLACK, OPS)
    ]
    cells += [(Action.SEARCH, None, tenant) for tenant in (None, "ops", "dev")]
    return {
        f"{action.value} {ref.document_id if ref else tenant}"
        for action, ref, tenant in cells
        if await may(backend, who, action, ref, tenant)
    }


def cells(verbs: str, *accounts: str) -> set[str]:
    return {f"{verb} {account}" for verb in verbs.split() for account in accounts}


VERBS = "get put delete test send"
GLOBAL = cells(VERBS, "email/a", "slack/b") | {"search None"}
ALL = GLOBAL | cells(VERBS, "ops/email/a") | cells("search", "ops", "dev")


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role(), set()),
        (Role(cluster=["all"]), GLOBAL),
        (Role(cluster=["manage"]), GLOBAL),
        (Role(cluster=["monitor", "manage_security"]), set()),
        (Role(cluster=[ACTION + "*"]), GLOBAL),
        (Role(cluster=["cluster:admin:searchguard:*"]), GLOBAL),
        (Role(cluster=[ACTION + "get"]), cells("get", "email/a", "slack/b")),
        (Role(cluster=[ACTION + "s*"]), cells("send", "email/a", "slack/b") | {"search None"}),
        (Role(cluster=["cluster:admin:searchguard:tenant:signals:account/*"]), set()),
        (on_accounts("account/*", "*"), ALL),
        (on_accounts("*", "*"), ALL),
        (on_accounts("*", "*", application="*"), ALL),
        (on_accounts("*", "*", application="signals_*"), ALL),
        (on_accounts("*", "*", application="signals"), set()),
        (on_accounts("account/get", "email/a"), cells("get", "email/a")),
        (on_accounts("account/get account/send", "email/*"), cells("get send", "email/a")),
        (on_accounts("account/*", "*/a"), cells(VERBS, "email/a", "ops/email/a")),
        (on_accounts("account/search", "*"), cells("search", "None", "ops", "dev")),
        (on_accounts("account/search", "ops/*"), cells("search", "ops")),
        (on_accounts("account/search", "email/*", "slack/*", "ops/email/*"), set()),
        (on_accounts("account/search", "o*"), cells("search", "ops")),
        (on_accounts("account/*", "ops/*"), cells(VERBS, "ops/email/a") | {"search ops"}),
        (on_accounts("account/*", "emai?/[ab]", "email/", "a"), set()),
        (on_accounts("account/*", "emai?/a"), cells(VERBS, "email/a")),
        (on_accounts("use", "email/*"), cells("get send", "email/a")),
        (on_accounts("unknown", "*"), set()),
        (on_accounts("account/ge account/gett", "*"), set()),
        (
            Role([ACTION + "get"], [Privileges("signals_proxy", ["account/put"], ["slack/*"])]),
            cells("get", "email/a", "slack/b") | cells("put", "slack/b"),
        ),
    ],
)
async def test_rights(
    cluster: Security, backend: HasPrivileges, add: Any, role: Role, allowed: set[str]
) -> None:
    """A privilege on the cluster is enough, or one on the account; the latter alone in tenants."""
    cluster.stored["signals_proxy", "use"] = ["account/get", "account/send"]
    assert await everything(backend, add("anna", role)) == allowed


async def test_names(
    cluster: Security, backend: HasPrivileges, add: Any, canary: Callable[[str], str]
) -> None:
    """The caller is who the cluster says: a key's owner, and with run-as the other one."""
    anna = add("anna", Role(["all"], run_as=["ber*"]))
    add("berta", on_accounts("account/get", "email/a"))
    keys = [f"id{n}:{canary('key')}" for n in range(2)]
    for key, role in zip(
        keys, (on_accounts("account/get", "slack/b"), Role(["manage"])), strict=True
    ):
        cluster.keys[key] = ("anna", [role])
    with_keys = [caller("ApiKey " + base64.b64encode(it.encode()).decode()) for it in keys]
    as_berta = Caller(
        (*anna.credentials, *caller(es_security_runas_user="berta").credentials), None, None
    )

    assert await backend.require(Action.PUT, EMAIL, None, anna) == Identity("anna")
    assert await backend.require(Action.GET, EMAIL, None, as_berta) == Identity("berta")
    assert not await may(backend, as_berta, Action.PUT, EMAIL)
    assert await everything(backend, as_berta) == {"get email/a"}
    # What a key was given counts for no more than its owner has.
    assert await everything(backend, with_keys[0]) == set()
    assert await backend.require(Action.TEST, EMAIL, None, with_keys[1]) == Identity("anna")


async def test_run_as_whom_one_may_not_be(backend: HasPrivileges, add: Any) -> None:
    """The cluster's 403 is ours."""
    anna = add("anna", Role(["all"], run_as=["ber*"]))
    add("carla", Role(["all"]))
    for name in ("carla", "berta", "nobody"):
        extra = caller(es_security_runas_user=name).credentials
        with pytest.raises(Forbidden):
            await backend.require(
                Action.GET, EMAIL, None, Caller((*anna.credentials, *extra), None, None)
            )


async def test_what_is_asked(cluster: Security, backend: HasPrivileges, canary: Any) -> None:
    """One question, with the credential fields alone, each byte as it came."""
    odd = "Bearer " + canary("odd") + b"\xff\xe4 \xc3\xa4\t.".decode("utf-8", "surrogateescape")
    cluster.fault = saying(503, b"")
    who = caller(odd, es_security_runas_user="b", es_secondary_authorization="")
    for ref, tenant in ((OPS, "ops"), (EMAIL, None), (None, "ops"), (None, None)):
        with pytest.raises(Undecided):
            await backend.require(Action.SEARCH, ref, tenant, who)
    assert [body for _, body in cluster.asked] == [
        {
            "cluster": [ACTION + "search"] if is_global else [],
            "application": [
                {
                    "application": "signals_proxy",
                    "privileges": ["account/search"],
                    "resources": [resource],
                }
            ],
        }
        for resource, is_global in (
            ("ops/email/a", False),
            ("email/a", True),
            ("ops/*", False),
            ("*", True),
        )
    ]
    fields = {name.lower(): value for name, value in cluster.asked[0][0].items()}
    assert fields.pop("host") == cluster.url.removeprefix("http://")
    assert int(fields.pop("content-length"))
    assert fields == {
        "authorization": odd,
        "es-security-runas-user": "b",
        "es-secondary-authorization": "",
        "content-type": "application/json",
    }


# Who is nobody.


@pytest.mark.parametrize(
    "who",
    [
        caller(),
        caller(""),
        caller(" \t"),
        caller(es_security_runas_user="anna"),
        caller(es_secondary_authorization="Basic YTpi"),
    ],
)
async def test_without_credentials(cluster: Security, who: Caller) -> None:
    """A 401 without a question, with the challenges of the start, and until then with our own."""
    async with asking(cluster.url) as connected:
        backend = HasPrivileges(connected, 10)
        for challenges in (('Basic realm="security"',), CHALLENGES):
            with pytest.raises(Unauthenticated) as refusal:
                await backend.require(Action.GET, EMAIL, None, who)
            assert tuple(refusal.value.challenges) == challenges
            await connected.learn()
    assert cluster.asked == []


async def test_bad_credentials(
    cluster: Security, backend: HasPrivileges, add: Any, canary: Any
) -> None:
    """A 401 with the cluster's challenges; a secondary user that is wrong comes without any."""
    anna = add("anna", Role(["all"]))
    wrong = basic("anna", canary("wrong"))
    secondary = Caller(
        (*anna.credentials, *caller(es_secondary_authorization=wrong).credentials), None, None
    )
    cluster.challenges = ("Negotiate", 'Basic realm="mine"')
    for who, challenges in (
        (caller(wrong), cluster.challenges),
        (caller(basic("nobody", canary("nobody"))), cluster.challenges),
        (caller("Basic !"), cluster.challenges),
        (caller("Digest x"), cluster.challenges),
        (secondary, ('Basic realm="security"',)),
    ):
        with pytest.raises(Unauthenticated) as refusal:
            await backend.require(Action.GET, EMAIL, None, who)
        assert tuple(refusal.value.challenges) == challenges


async def test_challenges_are_learnt_once_there_is_somebody() -> None:
    """A cluster that is not there yet, or that is busy, is asked again; one that knows is not."""
    asked = []

    async def ask(head: bytes, body: bytes) -> Any:
        asked.append((head, body))
        if len(asked) < 3:
            return (503, 429)[len(asked) - 1], [(b"WWW-Authenticate", b"Busy")], b""
        return 401, [(b"www-authenticate", b"Basic"), (b"WWW-Authenticate", b"\xff")], b"no"

    connected = Asking(ask, retry_s=0)
    await connected.learn()
    assert connected.challenges == ("Basic",)
    assert asked == [(b"GET / HTTP/1.0\r\n\r\n", b"")] * 3


# How long, and for whom.


async def test_a_decision_is_its_callers_own(
    cluster: Security, backend: HasPrivileges, add: Any
) -> None:
    """Another caller, verb, account or tenant is another question, the same one is none."""
    anna, berta = add("anna", Role(["all"])), add("berta", Role())
    as_other = Caller(
        (*anna.credentials, *caller(es_security_runas_user="berta").credentials), None, None
    )
    for times in range(2):
        assert await may(backend, anna, Action.GET, EMAIL) is True
        assert await may(backend, berta, Action.GET, EMAIL) is False
        assert await may(backend, anna, Action.GET, OPS, "ops") is False
        assert await may(backend, anna, Action.GET, SLACK) is True
        assert await may(backend, anna, Action.SEARCH, None) is True
        assert await may(backend, anna, Action.SEARCH, None, "ops") is False
        if not times:
            asked = len(cluster.asked)
    assert len(cluster.asked) == asked == 6
    assert await may(backend, as_other, Action.GET, EMAIL) is False


async def test_what_is_revoked(cluster: Security, add: Any) -> None:
    """A right that is taken away is gone once the decision is too old."""
    anna = add("anna", Role(["all"]))
    async with asking(cluster.url) as connected:
        # No time at all, so that nobody has to wait: test_cache looks at the clock.
        backend = HasPrivileges(connected, 0)
        assert await may(backend, anna, Action.GET, EMAIL) is True
        cluster.roles["anna"] = Role()
        assert await may(backend, anna, Action.GET, EMAIL) is False
        del cluster.users["anna"]
        with pytest.raises(Unauthenticated):
            await backend.require(Action.GET, EMAIL, None, anna)


async def test_many_at_once(cluster: Security, backend: HasPrivileges, add: Any) -> None:
    """A hundred calls at once are one question; each caller gets the answer of his own."""
    anna, berta = add("anna", Role(["all"])), add("berta", Role())
    told = await asyncio.gather(
        *(may(backend, who, Action.GET, EMAIL) for _ in range(50) for who in (anna, berta))
    )
    assert told == [True, False] * 50
    assert len(cluster.asked) == 2
