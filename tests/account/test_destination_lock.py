"""Whoever may edit accounts cannot send a secret they do not know to a place of their own."""

from dataclasses import replace

import pytest
from accounts import (
    CERTIFICATE,
    DEFAULTS,
    EMAIL,
    TYPES,
    details,
    fullest,
    sample,
    stored,
    validate,
)
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.account import Ref, merge, schema
from signals_proxy.errors import InvalidAccount
from signals_proxy.secret import REDACTED, Secret

CHANGED = {
    "host": "evil.test",
    "port": 25,
    "enable_tls": False,
    "enable_start_tls": True,
    "trusted_hosts": ["evil.test"],
    "trust_all": True,
    "ca_certificates": CERTIFICATE * 2,
    "proxy_host": "evil.test",
    "proxy_port": 1081,
}
BEFORE = {
    **EMAIL,
    **DEFAULTS,
    "user": "u",
    "enable_tls": True,
    "trusted_hosts": ["a.test"],
    "ca_certificates": CERTIFICATE,
    "proxy_host": "p",
    "proxy_port": 1080,
}
SECRETS = {"password": "p", "proxy_password": "q"}
FULL = {**BEFORE, "proxy_user": "p"}


def locked(*names):
    """The wording of the lock."""
    listed = ", ".join(f"'{name}'" for name in names)
    return {
        "error": "Must be sent again, or removed by null, because the account's destination "
        f"changed ({listed})"
    }


EVERYWHERE = [
    (name, body, destination)
    for name, its in TYPES.items()
    for body in fullest(its)
    for destination in sorted(its.destinations & body.keys())
]


@pytest.mark.parametrize(("name", "body", "destination"), EVERYWHERE)
def test_a_changed_destination_asks_for_every_kept_secret(name, body, destination):
    """Whoever may edit accounts cannot send a secret to a place of their own.

    Tried with every attribute that decides where secrets travel to, of every type, by each of its
    names, with secrets left out and redacted.
    """
    its = TYPES[name]
    before = validate(body, type_name=name)
    public = {n: value for n, value in body.items() if n in its.public}
    attribute = its.schema["properties"][destination]
    kept = before.secrets.keys() - {destination}
    for called in {destination, attribute.get("x-alias", destination)}:
        changed = {n: value for n, value in public.items() if n != destination}
        changed[called] = sample(attribute, 1)
        for redacted in ({}, dict.fromkeys(kept, REDACTED)):
            if kept:
                found = details({**changed, **redacted}, before, name)
                assert found == {secret: [locked(destination)] for secret in kept}
            else:
                assert validate(changed, before, name).secrets == {called: Secret(changed[called])}


@pytest.mark.parametrize(("name", "body", "destination"), EVERYWHERE)
def test_a_removed_destination_is_a_changed_one(name, body, destination):
    """Left out or null, it is gone, or what its default says."""
    before = validate(body, type_name=name)
    public = {n: value for n, value in body.items() if n in TYPES[name].public}
    without = {n: value for n, value in public.items() if n != destination}
    left_out = [without] if destination in TYPES[name].public else []  # a secret would be kept
    for removed in (*left_out, {**public, destination: None}):
        with_lock = before.secrets.keys() - {destination}
        found = details(removed, before, name)
        assert {n for n in found if locked(destination) in found[n]} == with_lock


@pytest.mark.parametrize(("name", "body", "destination"), EVERYWHERE)
def test_an_added_destination_is_a_changed_one(name, body, destination):
    """What was not there decides now."""
    its = TYPES[name]
    whole = validate(body, type_name=name)
    before = replace(
        whole,
        public={n: value for n, value in whole.public.items() if n != destination},
        secrets={n: secret for n, secret in whole.secrets.items() if n != destination},
    )
    added = {n: v for n, v in body.items() if n in its.public or n == destination}
    if before.secrets:
        expected = {secret: [locked(destination)] for secret in before.secrets}
        assert details(added, before, name) == expected
    else:
        assert validate(added, before, name).secrets.keys() == {destination}


def test_every_type_has_a_destination():
    """A type without one would send its secrets to places that nobody guards."""
    assert TYPES.keys() == {name for name, _, _ in EVERYWHERE}


def test_a_wrong_destination_is_a_changed_one():
    """Its own error does not hide that the secret has to be sent again."""
    before = stored({"password": "p"}, **EMAIL, user="u")
    assert details({**EMAIL, "user": "u", "port": "x"}, before).keys() == {"port", "password"}


def test_a_secret_that_is_sent_or_removed_is_not_asked_for():
    """Only what is kept is locked, each secret by itself."""
    before = stored(SECRETS, **FULL)
    changed = {**FULL, "host": "evil.test"}
    found = details({**changed, "password": "p", "proxy_password": REDACTED}, before)
    assert {"proxy_password": [locked("host")]} == found
    account = validate({**changed, "password": "new", "proxy_password": None}, before)
    assert {"password": Secret("new")} == account.secrets


def test_the_same_destination_written_otherwise_is_no_change():
    """One string for an array of one, and a default that is spelt out, change nothing."""
    before = stored(SECRETS, **FULL)
    body = {**FULL, "trusted_hosts": "a.test", "enable_start_tls": None}
    assert SECRETS.keys() == validate(body, before).secrets.keys()


def test_a_default_of_a_newer_version_was_in_force_before():
    """An account that was stored without it is not locked for it."""
    before = stored({"password": "p"}, **EMAIL, user="u")
    assert {"password"} == validate({**EMAIL, "user": "u"}, before).secrets.keys()


def test_other_attributes_change_freely():
    """Whatever does not decide where secrets travel to keeps them."""
    before = stored(SECRETS, **FULL)
    body = {**FULL, "default_from": "a@b.test", "user": "v", "disabled": True, "labels": {}}
    assert SECRETS.keys() == validate(body, before).secrets.keys()


def test_a_secret_that_is_a_destination_is_changed_by_sending_it(types):
    """Sent means changed, even if it is what is stored: no answer tells whether it was."""
    whole = dict(types["slack"].schema) | {"oneOf": []}
    both = schema.AccountType("slack", whole)
    before = stored({"url": "https://h", "token": "t"}, "slack")
    for url, ok in (("https://h", False), ("https://evil", False), (None, False), (REDACTED, True)):
        draft = merge({"url": url}, before, both, Ref("slack", "a"))
        if ok:
            assert {"url", "token"} == both.validate(draft).secrets.keys()
        else:
            with pytest.raises(InvalidAccount) as refused:
                both.validate(draft)
            assert {"token"} == refused.value.details.keys()
    draft = merge({"url": "https://h"}, stored({"token": "t"}, "slack"), both, Ref("slack", "a"))
    with pytest.raises(InvalidAccount):
        both.validate(draft)


@given(
    st.fixed_dictionaries(
        {}, optional={n: st.sampled_from([FULL[n], CHANGED[n], None]) for n in CHANGED}
    )
)
def test_no_combination_of_changes_keeps_a_secret(changes):
    """However destinations are changed, a kept secret goes where it went before."""
    before = stored(SECRETS, **FULL)
    body = {**FULL, **changes}
    try:
        account = validate(body, before)
    except InvalidAccount:
        return
    destinations = TYPES["email"].destinations
    assert {n: FULL[n] for n in destinations} == {n: account.public.get(n) for n in destinations}
