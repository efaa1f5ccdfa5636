"""A draft becomes an account, or every error of it is told at once and without a secret."""

import pytest
from accounts import (
    CERTIFICATE,
    DEFAULTS,
    EMAIL,
    KEY,
    TYPES,
    details,
    fullest,
    stored,
    validate,
)
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.account import Account, Ref
from signals_proxy.errors import InvalidAccount
from signals_proxy.secret import Secret


def test_the_example_of_the_reference_product():
    """One string becomes an array, defaults are set, the password is a secret, all in order."""
    account = validate(
        {
            **EMAIL,
            "user": "signals",
            "password": "secret",
            "enable_tls": True,
            "default_from": "Signals <signals@example.com>",
            "default_bcc": "signals@example.com",
        }
    )
    assert account == Account(
        Ref("email", "a"),
        {
            **EMAIL,
            **DEFAULTS,
            "user": "signals",
            "enable_tls": True,
            "default_from": "Signals <signals@example.com>",
            "default_bcc": ["signals@example.com"],
        },
        {"password": Secret("secret")},
    )
    assert [*account.public][:5] == ["host", "port", "user", "enable_tls", "enable_start_tls"]


def test_every_attribute_of_email():
    """All attributes at once are accepted, and come out as they went in."""
    public = {
        **EMAIL,
        "user": "u",
        "enable_tls": True,
        "enable_start_tls": True,
        "trust_all": True,
        "trusted_hosts": ["a.test", "b.test"],
        "ca_certificates": CERTIFICATE * 2,
        "client_certificate": CERTIFICATE,
        "default_from": "a@b.test",
        "default_to": ["a@b.test"],
        "default_cc": ["C <a@b.test>"],
        "default_bcc": [],
        "allowed_recipients": ["*@b.test"],
        "allowed_from": ["*"],
        "session_timeout": 120000,
        "proxy_host": "::1",
        "proxy_port": 1080,
        "proxy_user": "p",
        "debug": True,
        "simulate": True,
        "mime_layout": "default",
        "description": "a\nb",
        "owner": "me",
        "labels": {"team": "ops", "empty": ""},
        "expires_at": "2030-12-31",
        "disabled": True,
    }
    secrets = {"password": "p", "client_key": KEY, "proxy_password": "q"}
    account = validate({**public, **secrets})
    assert public == account.public
    assert secrets == {name: secret.reveal() for name, secret in account.secrets.items()}
    assert TYPES["email"].public == public.keys()
    assert TYPES["email"].secrets == {*secrets, "oauth2"}


@pytest.mark.parametrize(
    "body",
    [
        {"url": "https://hooks.slack.com/services/T0/B0/X"},
        {"token": "xoxb-1", "default_channel": "#alerts", "allowed_channels": "#*"},
    ],
)
def test_both_kinds_of_slack(body):
    """A webhook URL or a bot token."""
    account = validate(body, type_name="slack")
    assert body.keys() - {"default_channel", "allowed_channels"} == account.secrets.keys()


def test_one_string_or_an_array():
    """Lists take one string, and are stored as arrays."""
    for name in ("default_to", "default_cc", "default_bcc"):
        assert validate({**EMAIL, name: "a@b.test"}).public[name] == ["a@b.test"]
    assert validate({**EMAIL, "trusted_hosts": "a"}).public["trusted_hosts"] == ["a"]


def test_null_is_as_good_as_left_out():
    """Clients that send every field of a form send null for the empty ones."""
    account = validate({**EMAIL, "user": None, "password": None, "enable_tls": None})
    assert account.public == {**EMAIL, **DEFAULTS}
    assert account.secrets == {}


def test_what_is_dropped():
    """What GET shows beside the attributes may come back; the type has to be the path's."""
    body = {"_id": "x/y", "_name": 1, "_tenant": [], "type": "EMail", **EMAIL}
    assert validate(body).public == {**EMAIL, **DEFAULTS}
    assert details({**EMAIL, "type": "slack"}) == {
        "type": [{"error": "Invalid value", "value": "slack", "expected": "email"}]
    }
    assert details({**EMAIL, "type": 5}) == {
        "type": [{"error": "Invalid value", "value": 5, "expected": "email"}]
    }


def test_all_errors_at_once():
    """Nothing hides behind something else."""
    assert details(
        {
            "hosts": "x",
            "port": 0,
            "password": "p",
            "enable_tls": "yes",
            "default_from": "fr@om@sg.test",
            "default_to": ["a@b.test", "to@", 5],
            "labels": {"-": "a", "b": 1},
            "expires_at": "tomorrow",
            "client_key": "k",
        }
    ) == {
        "hosts": [{"error": "Unknown attribute; did you mean 'host'?"}],
        "port": [
            {
                "error": "Invalid value",
                "value": 0,
                "expected": "An integer from 1 to 65535, without fraction and exponent",
            }
        ],
        "enable_tls": [{"error": "Invalid value", "value": "yes", "expected": "true or false"}],
        "default_from": [
            {"error": "Invalid value", "value": "fr@om@sg.test", "expected": "An eMail address"}
        ],
        "default_to.1": [
            {"error": "Invalid value", "value": "to@", "expected": "An eMail address"}
        ],
        "default_to.2": [{"error": "Invalid value", "value": 5, "expected": "An eMail address"}],
        "labels": [
            {
                "error": "Invalid value",
                "value": "-",
                "expected": "A name of at most 63 of A-Z, a-z, 0-9, '-', '_', '.', '/'; first and "
                "last a letter or digit",
            }
        ],
        "labels.b": [
            {
                "error": "Invalid value",
                "value": 1,
                "expected": "A string without control characters",
            }
        ],
        "expires_at": [
            {
                "error": "Invalid value",
                "value": "tomorrow",
                "expected": "A date such as 2030-12-31",
            }
        ],
        "client_key": [
            {
                "error": "Invalid value",
                "expected": "One PEM block with a private key, not encrypted",
            }
        ],
        "host": [{"error": "Required attribute is missing"}],
        "user": [{"error": "A user must be specified if a password is specified"}],
        "client_certificate": [
            {"error": "A client_certificate must be specified if a client_key is specified"}
        ],
    }


@pytest.mark.parametrize(
    ("extra", "missing"),
    [
        ({"proxy_host": "p"}, ["proxy_port"]),
        ({"proxy_port": 1}, ["proxy_host"]),
        ({"proxy_user": "p"}, ["proxy_host"]),
        ({"proxy_password": "p"}, ["proxy_user"]),
        ({"client_certificate": CERTIFICATE}, ["client_key"]),
    ],
)
def test_attributes_that_need_others(extra, missing):
    """What only works together is asked for together."""
    assert missing == [*details({**EMAIL, **extra})]


def test_slack_is_by_url_or_by_token():
    """One of the two is needed, and only one is possible."""
    either = "'url' or 'token'"
    assert details({}, type_name="slack") == {
        "url": [{"error": f"Required attribute is missing: {either}"}]
    }
    both = {"url": "https://h", "token": "t"}
    assert details(both, type_name="slack") == {
        "token": [{"error": f"Only one may be specified: {either}; null removes a stored one"}]
    }
    kept = stored({"url": "https://h"}, "slack")
    assert details({"token": "t"}, kept, "slack").keys() == {"token"}
    assert validate({"token": "t", "url": None}, kept, "slack").secrets.keys() == {"token"}


NAMES = st.text(max_size=4) | st.sampled_from(["type", "user", "token_url", "A", "a", "Host"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 99999)
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.sampled_from(["basic", "oauth2", "https://a.test"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", sorted(TYPES))
@given(st.data())
def test_any_body_is_an_account_or_invalid(name, data):
    """Nothing else is ever raised, and what passes passes again."""
    attributes = st.sampled_from(sorted(TYPES[name].schema["properties"])) | NAMES
    body = data.draw(st.dictionaries(attributes, JSON, max_size=6))
    try:
        account = validate({**next(fullest(TYPES[name])), **body}, type_name=name)
    except InvalidAccount:
        return
    again = {**account.public, **{n: s.reveal() for n, s in account.secrets.items()}}
    assert account == validate(again, type_name=name)


def test_an_unknown_attribute_that_is_null():
    """A misspelt name removes nothing, so it is told as any other."""
    error = "Unknown attribute; did you mean 'password'?"
    assert details({**EMAIL, "passwrod": None}) == {"passwrod": [{"error": error}]}


def test_a_type_that_only_looks_alike():
    """Only ASCII is lowered."""
    body = {"url": "https://a.example", "type": "slac\u212a"}
    assert details(body, type_name="slack").keys() == {"type"}
