"""Accounts of the core's tests: what one is made of, and what a PUT of a body would make."""

import pytest
from hypothesis import strategies as st

from signals_proxy.account import Account, Ref, keyring, merge, schema, seal
from signals_proxy.errors import InvalidAccount
from signals_proxy.secret import Secret

RING = keyring.parse(keyring.generate())
REF = Ref("email", "default", "ops")
PUBLIC = {
    "host": "smtp.example.com",
    "port": 465,
    "enable_tls": True,
    "trust_all": False,
    "trusted_hosts": ["a.test"],
    "default_to": [],
    "labels": {"team": "ops"},
    "zzz": None,
}
ACCOUNT = Account(REF, PUBLIC, {"password": Secret("hunter2"), "client_key": Secret("k")})
SOURCE = seal(ACCOUNT, RING).source
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text("abc_", min_size=1, max_size=3).map("a".__add__)
REFS = st.builds(Ref, TEXT, TEXT, st.none() | TEXT)
ACCOUNTS = st.builds(
    Account,
    REFS,
    st.dictionaries(NAMES, VALUES, max_size=4),
    st.dictionaries(NAMES, VALUES.map(Secret), max_size=3),
    st.none() | TEXT,
)
TYPES = schema.load()
EMAIL = {"host": "smtp.example.com", "port": 465}
DEFAULTS = {
    "enable_tls": False,
    "enable_start_tls": False,
    "trust_all": False,
    "debug": False,
    "simulate": False,
    "disabled": False,
}
BEGIN = "-----BEGIN {0}-----\nMAMCAQA=\n-----END {0}-----\n"
CERTIFICATE = BEGIN.format("CERTIFICATE")
KEY = BEGIN.format("PRIVATE KEY")


def validate(body, before=None, type_name="email"):
    """What a PUT of the body would store."""
    ref = Ref(type_name, "a")
    return TYPES[type_name].validate(merge(body, before, TYPES[type_name], ref))


def details(body, before=None, type_name="email"):
    """The errors of a body, as they are answered."""
    with pytest.raises(InvalidAccount) as refused:
        validate(body, before, type_name)
    return {name: [d.as_json() for d in found] for name, found in refused.value.details.items()}


def stored(secrets, type_name="email", **public):
    """A verified account from before."""
    return Account(
        Ref(type_name, "a"), public, {name: Secret(value) for name, value in secrets.items()}
    )
