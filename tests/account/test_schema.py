"""Schema files say all there is to say about a type, and nothing that is not understood."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from signals_proxy.account import schema
from signals_proxy.errors import InvalidAccount

FOLDER = Path(schema.__file__).parents[2] / "schemas" / "account"
FILES = {path.name: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
EMAIL = {"host": "smtp.example.com", "port": 465}


def test_the_types_of_the_package(types):
    """One file, one type, but for what all have in common."""
    assert [*types] == ["email", "jira", "pagerduty", "slack", "teams", "webhook"]
    assert FILES.keys() == {"_common.json", *(f"{name}.json" for name in types)}


TLS = {"trusted_hosts", "trust_all", "ca_certificates"}


@pytest.mark.parametrize(
    ("name", "secrets", "destinations"),
    [
        (
            "email",
            {"password", "oauth2", "client_key", "proxy_password"},
            {"host", "port", "enable_tls", "enable_start_tls", "proxy_host", "proxy_port", *TLS},
        ),
        ("jira", {"auth_token"}, {"url", "ca_certificates"}),
        ("pagerduty", {"integration_key"}, {"url"}),
        ("slack", {"url", "token"}, {"url"}),
        ("teams", {"url"}, {"url"}),
        ("webhook", {"url", "headers", "auth", "client_key"}, {"url", "method", *TLS}),
    ],
)
def test_what_is_secret_and_what_leads_where(types, name, secrets, destinations):
    """The marks of the files are the types' sets."""
    assert types[name].secrets == secrets
    assert types[name].destinations == destinations


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_file_is_a_standard_schema(name):
    """Any JSON Schema tool can use the files as they are."""
    Draft202012Validator.check_schema(FILES[name])


@pytest.mark.parametrize(
    ("name", "body", "valid"),
    [
        ("email", EMAIL, True),
        ("email", {**EMAIL, "default_to": "a@b.test", "trusted_hosts": ["a"], "owner": "x"}, True),
        ("email", {**EMAIL, "hosts": "x"}, False),
        ("email", {"port": 465}, False),
        ("email", {**EMAIL, "password": "p"}, False),
        ("email", {**EMAIL, "labels": {"a": 1}}, False),
        ("email", {**EMAIL, "default_to": [1]}, False),
        ("slack", {"url": "https://h"}, True),
        ("slack", {}, False),
        ("slack", {"url": "https://h", "token": "t"}, False),
        ("jira", {"url": "https://jira.test/", "auth_token": "t"}, True),
        ("jira", {"url": "https://a.atlassian.net/", "auth_token": "t"}, False),
        ("jira", {"url": "https://a.atlassian.net/", "auth_token": "t", "user_name": "u"}, True),
        ("webhook", {"url": "https://h", "method": "PATCH", "headers": {"A": "b"}}, True),
        ("webhook", {"url": "https://h", "method": "DELETE"}, False),
        ("webhook", {"url": "https://h", "auth": {"type": "bearer", "token": "t"}}, True),
        ("webhook", {"url": "https://h", "auth": {"type": "bearer", "user": "u"}}, False),
        ("webhook", {"url": "https://h", "auth": {"type": "digest", "token": "t"}}, False),
        ("webhook", {"url": "https://h", "auth": {"token": "t"}}, False),
    ],
)
def test_a_standard_validator_agrees(types, name, body, valid):
    """The files, and the whole schema that is published, mean to others what they mean to us."""
    registry = Registry().with_resources(
        [(name, Resource.from_contents(content)) for name, content in FILES.items()]
    )
    assert valid == Draft202012Validator(FILES[f"{name}.json"], registry=registry).is_valid(body)
    assert valid == Draft202012Validator(types[name].schema).is_valid(body)


def marks(node, depth=0):
    """Every mark of an attribute, with how deep in the attribute it stands."""
    if isinstance(node, dict):
        for key, child in node.items():
            if key in {"writeOnly", "x-destination", "x-alias", "x-excludes"}:
                yield depth
            yield from marks(child, depth + 1)
    elif isinstance(node, list):
        for child in node:
            yield from marks(child, depth + 1)


def test_marks_are_at_the_top_level_only():
    """A secret is sealed whole; a mark within one would silently mean nothing."""
    for content in FILES.values():
        assert {0} >= {depth for a in content["properties"].values() for depth in marks(a)}
        assert [*marks({k: v for k, v in content.items() if k != "properties"})] == []


def test_the_type_of_a_name(types):
    """An unknown type is an error on ``type`` that lists those there are."""
    assert schema.named(types, "slack") is types["slack"]
    with pytest.raises(InvalidAccount) as refused:
        schema.named(types, "telegram")
    ((detail,),) = refused.value.details.values()
    assert detail.as_json() == {
        "error": "Unknown account type",
        "value": "telegram",
        "expected": [*types],
    }


# --- the index -----------------------------------------------------------------------------------


def test_only_public_attributes_are_indexed(types):
    """No search can match or sort by a secret, nor by what nobody declared."""
    mapping = schema.index_mapping(types)
    assert mapping["dynamic"] is False
    fixed = {"type", "_name", "_tenant", "_sealed"}
    public = set().union(*(t.public for t in types.values()))
    unindexed = {"labels", "ca_certificates", "client_certificate"}
    assert fixed | public - unindexed == mapping["properties"].keys()


def test_the_kinds_of_the_index(types):
    """Types are matched in any case and sorted by, only the key's id is indexed of the seal."""
    properties = schema.index_mapping(types)["properties"]
    flat = {"similarity": "boolean"}
    keyword = {"type": "keyword", **flat}
    text = {"type": "text", "fields": {"keyword": {**keyword, "ignore_above": 1024}}, **flat}
    assert properties["type"] == {"type": "text", "fields": {"keyword": keyword}, **flat}
    assert keyword == properties["_name"] == properties["_tenant"]
    key = {"key": {"type": "keyword"}}
    assert {"type": "object", "dynamic": False, "properties": key} == properties["_sealed"]
    assert text == properties["host"] == properties["default_to"] == properties["description"]
    assert properties["port"] == {"type": "long"}
    assert properties["disabled"] == {"type": "boolean", "index": False}
    assert properties["expires_at"] == {"type": "date", "format": "strict_date"}
