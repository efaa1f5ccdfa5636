"""What is published of the account types describes what a PUT takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from accounts import (
    BASIC,
    CERTIFICATE,
    KEY,
    OAUTH2,
    RING,
    TYPES,
    fullest,
    sample,
    validate,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from signals_proxy.account import Ref, formats, merge
from signals_proxy.account.file import PublicKey, open_text, seal_text
from signals_proxy.account.formats import FORMATS
from signals_proxy.api import published
from signals_proxy.errors import InvalidAccount
from signals_proxy.secret import REDACTED

PAGE = Path(__file__).parents[2] / "docs" / "accounts.md"
FULLEST = [(name, body) for name, its in TYPES.items() for body in fullest(its)]
ANY = {name: Draft202012Validator(its) for name, its in published.schemas(TYPES).items()}
NEW = {
    name: Draft202012Validator(
        {"$ref": f"{its['$id']}#new", "$defs": {"published": its}},
    )
    for name, its in published.schemas(TYPES).items()
}
HOOK = {"url": "https://a.test/"}
MAIL = {"host": "a.test", "port": 25}
SEALED = "signals-proxy-sealed-1." + "0" * 32 + ".YQ"


def accepted(body, before, type_name):
    """Whether a PUT of the body would be: before is what is stored."""
    ref = Ref(type_name, "a")
    try:
        opened = open_text(body["$sealed"], RING, ref) if "$sealed" in body else None
        TYPES[type_name].validate(merge(body, before, TYPES[type_name], ref, opened))
    except InvalidAccount:
        return False
    return True


# --- bodies --------------------------------------------------------------------------------------

STRANGE = st.sampled_from([None, REDACTED, "", "x", 5, 1.0, True, [], ["a.test"], {}, {"a": "b"}])
FRAME = {
    "type": st.sampled_from([None, "EMAIL", "Slack", "jira", "pagerDuty", "teams", "webhook", 5]),
    **dict.fromkeys(("_id", "_name", "_tenant"), STRANGE),
    "unknown": STRANGE.filter(lambda value: value is not None),
}


@st.composite
def bodies(draw):
    """An account of any type, most often a good one, and which type."""
    name, full = draw(st.sampled_from(FULLEST))
    attributes = TYPES[name].schema["properties"]
    body = {key: full[key] for key in full if draw(st.integers(0, 3))}
    if draw(st.integers(0, 2)):  # what most rules ask for
        body |= {key: full[key] for key in TYPES[name].schema.get("required", ())}
    for key in draw(st.lists(st.sampled_from([*attributes]), max_size=3)):
        fine = st.sampled_from([sample(attributes[key], which) for which in (0, 1)])
        value = draw(fine | fine | STRANGE)
        body[key] = value
    for key in [*body]:
        if key in attributes and "x-alias" in attributes[key] and draw(st.booleans()):
            body[attributes[key]["x-alias"]] = body.pop(key)
    if draw(st.integers(0, 4)) == 4:
        account = validate(full, type_name=name)
        body = {key: body[key] for key in body if key not in TYPES[name].secrets}
        body["$sealed"] = seal_text(account, TYPES[name], PublicKey.of(RING))
    for key in draw(st.lists(st.sampled_from([*FRAME]), max_size=1)):
        body[key] = draw(FRAME[key])
    return name, body


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies(), bodies())
def test_nothing_that_is_accepted_is_refused(one, other):
    """A new account fits ``#new`` and the root, any other body the root, whatever is stored."""
    name, body = one
    if accepted(body, None, name):
        assert NEW[name].is_valid(body)
        assert ANY[name].is_valid(body)
    stored_name, stored = other
    if stored_name == name and "$sealed" not in stored and accepted(stored, None, name):
        before = validate(stored, type_name=name)
        assert ANY[name].is_valid(body) or not accepted(body, before, name)


@pytest.mark.parametrize(("name", "body"), FULLEST)
def test_what_is_read_may_be_put_back(name, body):
    """With its secrets redacted it fits, but not as a new account; nor without them, or all null."""
    assert NEW[name].is_valid(body)
    shown = {"type": name, "_name": "a", "_tenant": "ops", "_id": f"ops/{name}/a", **body}
    shown |= dict.fromkeys(TYPES[name].secrets & body.keys(), REDACTED)
    assert ANY[name].is_valid(shown)
    assert not NEW[name].is_valid(shown)
    for secret in TYPES[name].secrets:
        assert ANY[name].is_valid({**body, secret: None})
    public = {key: body[key] for key in body if key in TYPES[name].public}
    assert NEW[name].is_valid({**public, "$sealed": SEALED})
    for secret in TYPES[name].secrets:
        assert not NEW[name].is_valid({**public, secret: None, "$sealed": SEALED})


@pytest.mark.parametrize(
    ("name", "body", "wrong"), [(name, body, wrong) for name, body in FULLEST for wrong in body]
)
def test_each_attribute_wrong_in_turn(name, body, wrong):
    """What no attribute takes is refused, and so is a body without what is required."""
    assert not ANY[name].is_valid({**body, wrong: {"hunter2": [None]}})
    without = {key: body[key] for key in body if key != wrong}
    if wrong in TYPES[name].schema.get("required", ()):
        assert not NEW[name].is_valid(without)
        assert not NEW[name].is_valid({**without, wrong: None})


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("email", {**MAIL, "enable_start_tsl": True}),
        ("email", {**MAIL, "port": 0}),
        ("email", {**MAIL, "port": "25"}),
        ("email", {**MAIL, "default_to": "to@"}),
        ("email", {**MAIL, "default_to": ["a@b.test", None]}),
        ("email", {**MAIL, "password": "p"}),
        ("email", {**MAIL, "password": REDACTED, "user": None}),
        ("email", {**MAIL, "user": "u", "password": "p", "oauth2": OAUTH2}),
        ("email", {**MAIL, "user": "u", "oauth2": {**OAUTH2, "a": "b"}}),
        ("email", {**MAIL, "client_key": KEY}),
        ("email", {**MAIL, "type": "e-mail"}),
        ("email", {**MAIL, "expires_at": "tomorrow"}),
        ("email", {**MAIL, "labels": {"": "a"}}),
        ("email", {**MAIL, "ca_certificates": KEY}),
        ("email", {**MAIL, "user": "a\nb"}),
        ("email", {**MAIL, "$sealed": None}),
        ("email", {**MAIL, "$sealed": SEALED, "password": None}),
        ("email", {**MAIL, "proxy_host": "p.test"}),
        ("slack", {**HOOK, "token": "t"}),
        ("slack", {**HOOK, "token": REDACTED}),
        ("slack", {"url": "ftp://a.test"}),
        ("jira", {"url": "https://a.atlassian.net/", "auth_token": "t"}),
        ("pagerduty", {"integration_key": "k", "url": "https://a.test", "uri": "https://a.test"}),
        ("pagerduty", {"integration_key": "k", "uri": "https://u:p@a.test"}),
        ("webhook", {**HOOK, "method": "post"}),
        ("webhook", {**HOOK, "headers": {"aUTHORIZATION": "x"}, "auth": BASIC}),
        ("webhook", {**HOOK, "headers": {"Ho st": "x"}}),
        ("webhook", {**HOOK, "auth": {**BASIC, "type": "bearer"}}),
    ],
)
def test_what_is_refused_whatever_is_stored(name, body):
    """The published schema says as much as it can."""
    assert not ANY[name].is_valid(body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("email", {**MAIL, "client_certificate": CERTIFICATE}),
        ("slack", {}),
        ("jira", {"url": "https://a.test"}),
        ("teams", {"url": REDACTED}),
    ],
)
def test_what_is_refused_of_a_new_account_only(name, body):
    """A secret that it asks for may be stored."""
    assert ANY[name].is_valid(body)
    assert not NEW[name].is_valid(body)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_published_schema_is_whole_in_itself(name):
    """It is standard, refers to nothing else, is JSON, and says what is secret and where it leads."""
    told = published.schemas(TYPES)[name]
    Draft202012Validator.check_schema(told)
    assert f"/_signals/account/_schema/{name}" == told["$id"]
    required = TYPES[name].schema.get("required", [])
    assert told["required"] == [key for key in required if key in TYPES[name].public]
    text = json.dumps(told)
    assert text.count('"$ref"') == text.count('"$ref": "#"') == 1
    for attribute in TYPES[name].schema["properties"]:
        its = told["properties"][attribute]
        assert its.get("writeOnly", False) == (attribute in TYPES[name].secrets)
        assert its.get("x-destination", False) == (attribute in TYPES[name].destinations)
        assert {"title", "description"} <= its.keys()
    assert told["x-weak"] == TYPES[name].schema["x-weak"]
    keywords = ("destination", "alias", "excludes", "names-ignore-case", "weak", "format")
    assert all(f"x-{keyword}: " in told["$comment"] for keyword in keywords)


# --- formats -------------------------------------------------------------------------------------

HOSTS = st.from_regex(formats._HOST_NAME, fullmatch=True) | st.ip_addresses().map(str)
BLOCKS = st.lists(st.sampled_from([CERTIFICATE, KEY, KEY.replace("PRI", "EC PRI"), "\n", " "]))
PHRASES = st.text('aé. \\"@<', max_size=8) | st.text('a @"').map('"{}"'.format)
LIKELY = {
    "line": st.nothing(),
    "text": st.lists(st.sampled_from(["a", "\r\n", "\n", "\t", "\r"])).map("".join),
    "token": st.nothing(),
    "basic-user": st.text("a:é"),
    "header-name": st.from_regex(formats._FIELD_NAME, fullmatch=True),
    "header-value": st.from_regex(formats._FIELD_VALUE, fullmatch=True),
    "label": st.text("aZ0._/-", max_size=64),
    "date": st.dates().map(str),
    "host": HOSTS,
    "http-url": st.from_regex(formats._URL, fullmatch=True) | HOSTS.map("https://{}:1/?a".format),
    "mailbox": st.builds("{}@{}".format, PHRASES, HOSTS)
    | st.builds("{}<a@{}>".format, PHRASES, HOSTS)
    | st.ip_addresses(v=6).map("a@[IPv6:{}]".format),
    "pem-certificates": BLOCKS.map("".join),
    "pem-private-key": BLOCKS.map("".join),
}


def test_every_format_is_tried():
    """A new format gets its pattern, and its line above."""
    assert FORMATS.keys() == published.PATTERNS.keys() == LIKELY.keys()


@pytest.mark.parametrize("name", sorted(LIKELY))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_pattern_refuses_what_a_format_accepts(name, data):
    """They are what others can check; ours may be stricter."""
    text = data.draw(LIKELY[name] | st.text(max_size=8))
    pattern = {"pattern": published.PATTERNS[name]}
    assert not FORMATS[name].accepts(text) or Draft202012Validator(pattern).is_valid(text)


# --- the page ------------------------------------------------------------------------------------


def test_the_reference_page():
    """It is what the schema files make of it: ``python docs/accounts.py > docs/accounts.md``."""
    command = [sys.executable, PAGE.with_suffix(".py")]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    assert made.stdout == PAGE.read_text()
