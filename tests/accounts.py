"""Accounts of the core's tests: what one is made of, and what a PUT of a body would make."""

from itertools import product

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


SAMPLES = {
    "line": ("a b", "other"),
    "text": ("a\nb", "other"),
    "token": ("t0ken", "0ther"),
    "basic-user": ("user", "other"),
    "label": ("team", "other"),
    "date": ("2030-12-31", "2031-12-31"),
    "host": ("a.test", "evil.test"),
    "http-url": ("https://a.test/x", "https://evil.test/x"),
    "mailbox": ("a@b.test", "C <c@d.test>"),
    "header-name": ("X-Team", "X-Other"),
    "header-value": ("a b", "other"),
    "pem-certificates": (CERTIFICATE, CERTIFICATE * 2),
    "pem-private-key": (KEY, BEGIN.format("EC PRIVATE KEY")),
}


def sample(attribute, which=0):
    """One of two values that an attribute may have, as they are stored; the first is no default."""
    match attribute:
        case {"anyOf": [one, _]}:
            return [sample(one, which)]
        case {"oneOf": shapes}:
            return sample(shapes[which], which)
        case {"const": value}:
            return value
        case {"enum": values}:
            return values[which + 1]
        case {"format": name}:
            return SAMPLES[name][which]
        case {"type": "boolean"}:
            return which == 0
        case {"type": "integer", "minimum": least}:
            return least + which
        case {"properties": members}:
            return {name: sample(member, which) for name, member in members.items()}
        case {"propertyNames": names, "additionalProperties": values}:
            return {sample(names, which): sample(values, which)}
    raise AssertionError(attribute)


def fullest(account_type):
    """The bodies that hold all which an account of the type can have at once."""
    attributes = account_type.schema["properties"]
    body = {name: sample(attribute) for name, attribute in attributes.items()}
    apart = [(n, a["x-excludes"]) for n, a in attributes.items() if a.get("x-excludes") in body]
    choice = [
        name for branch in account_type.schema.get("oneOf", ()) for name in branch["required"]
    ]
    apart += [choice] if choice else []
    for chosen in product(*apart):
        left_out = {name for names in apart for name in names} - {*chosen}
        yield {name: value for name, value in body.items() if name not in left_out}


OAUTH2 = {"token_url": "https://login.test/token", "client_id": "i", "client_secret": "hunter2"}
BASIC = {"type": "basic", "user": "u", "password": "hunter2"}
MISSING = [{"error": "Required attribute is missing"}]


def invalid(expected):
    """The detail of a value that may not be shown."""
    return [{"error": "Invalid value", "expected": expected}]
