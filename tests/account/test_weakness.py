"""What makes an account weak is accepted and told, by the words of the schema files alone."""

import json
from datetime import date
from pathlib import Path

import pytest
from accounts import BASIC, EMAIL, OAUTH2, TYPES, validate

from signals_proxy.account import Ref, merge, schema
from signals_proxy.account.weakness import weaknesses
from signals_proxy.errors import ConfigError

TODAY = date(2030, 6, 15)
LOGIN = {**EMAIL, "user": "u", "password": "hunter2"}
CLEAR = {**OAUTH2, "token_url": "HTTP://login.test/token"}
HTTPS = "https://a.test/x"


def weak(type_name, body, before=None):
    """The attributes that a body's account is weak by."""
    found = weaknesses(TYPES[type_name], validate(body, before, type_name), TODAY)
    return [text.partition(":")[0] for text in found]


@pytest.mark.parametrize(
    ("type_name", "body", "expected"),
    [
        ("email", EMAIL, []),
        ("email", LOGIN, ["password"]),
        ("email", {**LOGIN, "enable_tls": True}, []),
        ("email", {**LOGIN, "enable_start_tls": True}, []),
        ("email", {**EMAIL, "user": "u", "oauth2": OAUTH2}, ["oauth2"]),
        ("email", {**EMAIL, "user": "u", "oauth2": OAUTH2, "enable_tls": True}, []),
        ("email", {**EMAIL, "user": "u", "oauth2": CLEAR, "enable_tls": True}, ["oauth2"]),
        ("email", {**EMAIL, "trust_all": True}, ["trust_all"]),
        ("email", {**EMAIL, "trust_all": False}, []),
        ("email", {**EMAIL, "trusted_hosts": "a.test"}, ["trusted_hosts"]),
        ("email", {**EMAIL, "trusted_hosts": []}, []),
        ("email", {**LOGIN, "trust_all": True}, ["password", "trust_all"]),
        ("email", {**EMAIL, "expires_at": "2030-06-14"}, ["expires_at"]),
        ("email", {**EMAIL, "expires_at": "2030-06-15"}, ["expires_at"]),
        ("email", {**EMAIL, "expires_at": "2030-06-16"}, []),
        ("slack", {"url": HTTPS}, []),
        ("slack", {"url": "Http://a.test/x"}, ["url"]),
        ("slack", {"token": "t"}, []),
        ("teams", {"url": "http://a.test/x"}, ["url"]),
        ("teams", {"url": HTTPS, "expires_at": "2030-01-01"}, ["expires_at"]),
        ("pagerduty", {"integration_key": "k"}, []),
        ("pagerduty", {"integration_key": "k", "uri": "http://a.test/x"}, ["url"]),
        ("jira", {"url": "http://jira.test/", "auth_token": "t"}, ["url"]),
        ("jira", {"url": "https://jira.test/", "auth_token": "t"}, []),
        ("webhook", {"url": "http://a.test/x"}, ["url"]),
        ("webhook", {"url": HTTPS, "auth": {"type": "oauth2", **OAUTH2}}, []),
        ("webhook", {"url": HTTPS, "auth": {"type": "oauth2", **CLEAR}}, ["auth"]),
        ("webhook", {"url": HTTPS, "auth": BASIC}, []),
        ("webhook", {"url": HTTPS, "trust_all": True}, ["trust_all"]),
        ("webhook", {"url": HTTPS, "trusted_hosts": ["a.test"]}, ["trusted_hosts"]),
    ],
)
def test_what_is_weak(type_name, body, expected):
    assert weak(type_name, body) == expected


def test_a_kept_secret_counts():
    """It is the account that is weak, not what was sent."""
    before = validate({**LOGIN, "description": "a"})
    assert weak("email", {**EMAIL, "user": "u"}, before) == ["password"]


@pytest.mark.parametrize(
    "weak",
    [
        {"when": {}, "text": "a"},
        {"when": {"code": {}}},
        {"when": {"code": {}}, "text": 'a "word"'},
        {"when": {"code": {}}, "text": "ä"},
        {"when": {"code": {}}, "text": "a\n"},
        {"when": {"cod": {}}, "text": "a"},
        {"when": {"code.member": {}}, "text": "a"},
        {"when": {"code": {"const": "guess"}}, "text": "a"},
        {"when": {"code": {"minimum": 1}}, "text": "a"},
        {"when": {"code": {"pattern": "a", "minItems": 1}}, "text": "a"},
    ],
)
def test_a_schema_that_is_not_understood(tmp_path, weak):
    """What would be ignored, or could not be a header field, or would answer a guess, is refused."""
    with pytest.raises(ConfigError, match="weakness"):
        load(tmp_path, weak)


def test_a_further_type(tmp_path):
    """A file that says what is weak is all there is to it."""
    sms = load(tmp_path, {"when": {"code": {"pattern": "^0+$"}}, "text": "code: nothing but zeros"})
    account = put(sms, {"code": "000", "expires_at": "2030-01-01"})
    assert weaknesses(sms, account, TODAY)[0] == "code: nothing but zeros"
    assert len(weaknesses(sms, account, TODAY)) == 2
    account = put(sms, {"code": "001"})
    assert weaknesses(sms, account, TODAY) == []


def put(account_type, body):
    return account_type.validate(merge(body, None, account_type, Ref("sms", "a")))


def load(folder, weak):
    """A type with one secret, and this weakness."""
    common = Path(schema.__file__).parents[2] / "schemas" / "account" / "_common.json"
    (folder / "_common.json").write_text(common.read_text())
    own = {
        "type": "object",
        "$ref": "_common.json",
        "properties": {
            "code": {"type": "string", "format": "token", "maxLength": 9, "writeOnly": True}
        },
        "x-weak": [weak],
        "unevaluatedProperties": False,
    }
    (folder / "sms.json").write_text(json.dumps(own))
    return schema.load(folder)["sms"]
