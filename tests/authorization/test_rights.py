"""Rights that roles give: denied is what nothing grants."""

import itertools

import pytest

from signals_proxy.account.ref import Ref
from signals_proxy.account.visible import Visible
from signals_proxy.authorization import Action, Grant, Rights
from signals_proxy.errors import Forbidden

EMAIL, SLACK, OPS = Ref("email", "a"), Ref("slack", "b"), Ref("email", "a", "ops")
RIGHTS = Rights(
    {
        "all": [Grant(frozenset(Action), frozenset({"*"}))],
        "mail": [Grant(frozenset({Action.GET, Action.SEARCH}), frozenset({"email/*"}))],
        "ops": [
            Grant(frozenset({Action.SEND}), frozenset({"ops/*"})),
            Grant(frozenset({Action.SEARCH}), frozenset({"ops/email/*", "slack/b"})),
        ],
        "nothing": [],
    },
    ("email", "slack"),
)


def may(names, action, ref, tenant=None):
    """Tell whether the roles may do it, or what they may see."""
    try:
        return RIGHTS.require("kim", names, action, ref, tenant).visible or True
    except Forbidden:
        return False


@pytest.mark.parametrize("action", Action)
def test_nobody(action):
    """Without a role, or with one that has no rights here, nothing may be done."""
    for names in ([], ["nothing"], ["unknown"], ["nothing", "unknown"]):
        assert not may(names, action, EMAIL)
        assert not may(names, Action.SEARCH, None)


def test_what_is_granted():
    """Of every action on every account, by each role, what its grants say and no more."""
    granted = {
        (role, action, ref)
        for role, action, ref in itertools.product(
            ("all", "mail", "ops"), Action, (EMAIL, SLACK, OPS)
        )
        if may([role], action, ref)
    }
    assert granted == {
        *itertools.product(("all",), Action, (EMAIL, SLACK, OPS)),
        *itertools.product(("mail",), (Action.GET, Action.SEARCH), (EMAIL,)),
        ("ops", Action.SEND, OPS),
        ("ops", Action.SEARCH, OPS),
        ("ops", Action.SEARCH, SLACK),
    }


def test_grants_do_not_mix():
    """The actions of one grant are not allowed on the accounts of another."""
    assert not may(["ops"], Action.SEND, SLACK)
    assert not may(["ops", "mail"], Action.SEND, EMAIL)
    assert may(["ops", "mail"], Action.GET, EMAIL)


def test_searches():
    """A search may find what is granted, within its tenant; where that is nothing, it is refused."""
    assert may(["mail"], Action.SEARCH, None) == Visible(frozenset({"email/*"}))
    assert may(["mail", "ops"], Action.SEARCH, None, "ops") == Visible(
        frozenset({"email/*", "ops/email/*", "slack/b"})
    )
    assert may(["ops"], Action.SEARCH, None, "dev")  # the global slack/b is within its reach
    only = Rights({"ops": [Grant(frozenset(Action), frozenset({"ops/*"}))]}, ("email", "slack"))
    for tenant in (None, "dev"):
        with pytest.raises(Forbidden):
            only.require("kim", ["ops"], Action.SEARCH, None, tenant)
    only.require("kim", ["ops"], Action.SEARCH, None, "ops")


@pytest.mark.parametrize(
    ("action", "ref", "tenant", "message"),
    [
        (Action.PUT, OPS, "ops", "No right to put the account ops/email/a."),
        (Action.SEARCH, None, None, "No right to search the global accounts."),
        (Action.SEARCH, None, "ops", "No right to search the accounts of tenant ops."),
    ],
)
def test_refusals(action, ref, tenant, message):
    with pytest.raises(Forbidden) as refusal:
        RIGHTS.require("kim", [], action, ref, tenant)
    found = refusal.value
    assert (found.status, found.message, found.user) == (403, message, "kim")
