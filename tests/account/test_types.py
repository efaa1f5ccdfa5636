"""Every account type, by its schema file alone: what it takes, what it refuses, what it keeps."""

import pytest
from accounts import (
    BASIC,
    CERTIFICATE,
    KEY,
    MISSING,
    OAUTH2,
    RING,
    TYPES,
    details,
    fullest,
    invalid,
    sample,
    validate,
)

from signals_proxy.account import open_sealed, redact, seal
from signals_proxy.account.values import problems
from signals_proxy.secret import REDACTED

SMALLEST = {
    "email": {"host": "smtp.example.com", "port": 465},
    "jira": {"url": "https://jira.example.com/", "auth_token": "t"},
    "pagerduty": {"integration_key": "k"},
    "slack": {"url": "https://hooks.slack.com/services/T0/B0/X"},
    "teams": {"url": "https://prod-00.westeurope.logic.azure.com:443/workflows/a?sig=b"},
    "webhook": {"url": "https://example.com/hook"},
}
FULLEST = [(name, body) for name, its in TYPES.items() for body in fullest(its)]
WRONG = {"hunter2": [None]}
URL = "An http or https URL, without user name, password and fragment"


def test_every_type_is_tried():
    """A new type gets its line above."""
    assert SMALLEST.keys() == TYPES.keys()


@pytest.mark.parametrize("name", sorted(SMALLEST))
def test_the_smallest_account(name):
    """It is valid, gets the defaults and no more, and lacks what is left out."""
    body = SMALLEST[name]
    account = validate(body, type_name=name)
    attributes = TYPES[name].schema["properties"]
    defaults = {n: a["default"] for n, a in attributes.items() if "default" in a}
    public = {n: value for n, value in body.items() if n in TYPES[name].public}
    assert account.public == {**defaults, **public}
    assert account.secrets.keys() == body.keys() - public.keys()
    for left_out in body:
        found = details({n: v for n, v in body.items() if n != left_out}, type_name=name)
        assert [left_out] == [*found]
        assert found[left_out][0]["error"].startswith("Required attribute is missing")


@pytest.mark.parametrize(("name", "body"), FULLEST)
def test_the_fullest_account(name, body):
    """All attributes at once come out as they went in, sealed and opened too."""
    account = validate(body, type_name=name)
    revealed = {n: secret.reveal() for n, secret in account.secrets.items()}
    assert {**account.public, **revealed} == body
    sealed = seal(account, RING)
    assert open_sealed(sealed, RING) == account
    shown = redact(sealed, TYPES[name])
    assert shown == {
        "type": name,
        "_name": "a",
        **account.public,
        **dict.fromkeys(revealed, REDACTED),
    }


@pytest.mark.parametrize(
    ("name", "body", "wrong"), [(name, body, wrong) for name, body in FULLEST for wrong in body]
)
def test_each_attribute_wrong_in_turn(name, body, wrong):
    """The error is on the attribute, says what is expected, and shows nothing of a secret."""
    found = details({**body, wrong: WRONG}, type_name=name)
    assert {wrong} == {place.partition(".")[0] for place in found}
    told = [detail for its in found.values() for detail in its if "expected" in detail]
    assert told or all(its == MISSING for its in found.values())
    assert wrong in TYPES[name].public or "hunter2" not in str(found)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_default_is_valid(name):
    """A default is stored unseen."""
    for attribute in TYPES[name].schema["properties"].values():
        assert [*problems(attribute, attribute.get("default", sample(attribute)))] == []


# --- rules across attributes ---------------------------------------------------------------------


def test_a_password_or_oauth2():
    """One log-in has one secret, be it sent or stored; null removes the other."""
    email = {**SMALLEST["email"], "user": "u"}
    error = [{"error": "Not together with 'password'; null for 'password' removes what is stored"}]
    assert details({**email, "password": "p", "oauth2": OAUTH2}) == {"oauth2": error}
    before = validate({**email, "password": "p"})
    assert details({**email, "oauth2": OAUTH2}, before) == {"oauth2": error}
    assert validate({**email, "oauth2": OAUTH2, "password": None}, before).secrets.keys() == {
        "oauth2"
    }
    assert details({**SMALLEST["email"], "oauth2": OAUTH2}) == {
        "user": [{"error": "A user must be specified if a oauth2 is specified"}]
    }


@pytest.mark.parametrize("field", ["Authorization", "AUTHORIZATION", "authorization"])
def test_one_authorization(field):
    """It is in the header fields or comes of ``auth``, be either sent or stored."""
    hook = SMALLEST["webhook"]
    error = "Not together with 'headers.Authorization'; null for 'headers' removes what is stored"
    headers, auth = {"headers": {"A": "b", field: "x"}}, {"auth": BASIC}
    expected = {"auth": [{"error": error}]}
    assert details({**hook, **headers, **auth}, type_name="webhook") == expected
    for stored, sent in ((headers, auth), (auth, headers)):
        before = validate({**hook, **stored}, type_name="webhook")
        assert details(sent, before, "webhook") == expected
    assert validate(
        {**hook, **auth, "headers": {"A": "b"}}, type_name="webhook"
    ).secrets.keys() == {*("url", "auth", "headers")}
    for wrong in ([field], field, 5):
        assert details({**hook, "headers": wrong, **auth}, type_name="webhook").keys() == {
            "headers"
        }


@pytest.mark.parametrize(
    ("url", "cloud"),
    [
        ("https://a.atlassian.net", True),
        ("https://a.atlassian.net/", True),
        ("https://api.atlassian.com/ex/jira/1", True),
        ("https://A.Atlassian.NET./x", True),
        ("http://a.b.atlassian.net:8080?x", True),
        ("https://atlassian.net.example.com/", False),
        ("https://example.com/a.atlassian.net", False),
        ("https://notatlassian.net/", False),
        ("https://a.atlassian.network/", False),
    ],
)
def test_a_jira_site_in_the_cloud_needs_a_user_name(url, cloud):
    """Elsewhere the token may be a personal access token, which stands alone."""
    body = {"url": url, "auth_token": "t"}
    why = "Required attribute is missing: Atlassian Cloud has no personal access tokens"
    if cloud:
        assert details(body, type_name="jira") == {"user_name": [{"error": why}]}
        assert details({**body, "user_name": None}, type_name="jira").keys() == {"user_name"}
    else:
        assert "user_name" not in validate(body, type_name="jira").public
    assert validate({**body, "user_name": "a@b.test"}, type_name="jira").public["user_name"]


def test_another_name_of_an_attribute():
    """It is accepted, told in errors as it was sent, suggested, and never stored."""
    key = {"integration_key": "k"}
    for name in ("url", "uri"):
        account = validate({**key, name: "https://eu.test/"}, type_name="pagerduty")
        assert account.public == {"url": "https://eu.test/", "disabled": False}
    default = TYPES["pagerduty"].schema["properties"]["url"]["default"]
    assert validate({**key, "uri": None}, type_name="pagerduty").public["url"] == default
    assert details({**key, "uri": "x"}, type_name="pagerduty") == {"uri": invalid(URL)}
    for other in (default, "https://eu.test/", 5):
        found = details({**key, "uri": other, "url": default}, type_name="pagerduty")
        assert found == {
            "uri": [{"error": "Another name of 'url'; only one of them may be specified"}]
        }
    assert details({**key, "urii": default}, type_name="pagerduty") == {
        "urii": [{"error": "Unknown attribute; did you mean 'uri'?"}]
    }
    assert details({**SMALLEST["jira"], "uri": "x"}, type_name="jira").keys() == {"uri"}


def test_a_client_certificate_of_a_webhook_comes_with_its_key():
    """And the key with its certificate."""
    for name, value, other in (
        ("client_certificate", CERTIFICATE, "client_key"),
        ("client_key", KEY, "client_certificate"),
    ):
        body = {**SMALLEST["webhook"], name: value}
        assert details(body, type_name="webhook").keys() == {other}


@pytest.mark.parametrize("method", ["DELETE", "post", "", None, 5, ["POST"]])
def test_the_methods_of_a_webhook(method):
    """Four, in upper case; null is as good as left out."""
    body = {**SMALLEST["webhook"], "method": method}
    if method is None:
        assert validate(body, type_name="webhook").public["method"] == "POST"
    else:
        (detail,) = details(body, type_name="webhook")["method"]
        assert detail["expected"] == "One of 'POST', 'PUT', 'PATCH', 'GET'"
