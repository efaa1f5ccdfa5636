"""Schema files say all there is to say about a type, and nothing that is not understood."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from signals_proxy.account import schema
from signals_proxy.errors import ConfigError, InvalidAccount

FOLDER = Path(schema.__file__).parents[2] / "schemas" / "account"
FILES = {path.name: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
EMAIL = {"host": "smtp.example.com", "port": 465}


def test_the_types_of_the_package(types):
    """One file, one type, but for what all have in common."""
    assert [*types] == ["email", "slack"]
    assert FILES.keys() == {"_common.json", *(f"{name}.json" for name in types)}


def test_what_is_secret_and_what_leads_where(types):
    """The marks of the files are the types' sets."""
    assert {"password", "client_key", "proxy_password"} == types["email"].secrets
    assert {"url", "token"} == types["slack"].secrets
    assert {"url"} == types["slack"].destinations


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
    """Every writeOnly and x-destination, with how deep in the attribute it stands."""
    if isinstance(node, dict):
        for key, child in node.items():
            if key in {"writeOnly", "x-destination"}:
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
        "expected": ["email", "slack"],
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
    text = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 1024}}}
    assert properties["type"] == {"type": "text", "fields": {"keyword": {"type": "keyword"}}}
    assert {"type": "keyword"} == properties["_name"] == properties["_tenant"]
    key = {"key": {"type": "keyword"}}
    assert {"type": "object", "dynamic": False, "properties": key} == properties["_sealed"]
    assert text == properties["host"] == properties["default_to"] == properties["description"]
    assert properties["port"] == {"type": "long"}
    assert properties["disabled"] == {"type": "boolean"}
    assert properties["expires_at"] == {"type": "date", "format": "strict_date"}


# --- other folders -------------------------------------------------------------------------------

STRING = {"type": "string", "format": "line", "maxLength": 9}


def folder(tmp_path, name="x.json", common=None, **changes):
    """A folder with one type, changed."""
    own = {"type": "object", "$ref": "_common.json", "properties": {"a": STRING}}
    own |= {"unevaluatedProperties": False, **changes}
    shared = common or {"type": "object", "properties": {"owner": STRING}, "$defs": {"s": STRING}}
    (tmp_path / "_common.json").write_text(json.dumps(shared))
    (tmp_path / name).write_text(json.dumps(own))
    return tmp_path


def test_a_further_type_is_a_further_file(tmp_path):
    """The file alone makes the type."""
    reference = {"$ref": "_common.json#/$defs/s", "writeOnly": True}
    loaded = schema.load(folder(tmp_path, properties={"a": STRING, "b": reference}))
    assert {"a", "owner"} == loaded["x"].public
    assert {"b"} == loaded["x"].secrets
    assert "$ref" not in json.dumps(loaded["x"].schema)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "X.json"}, "'X' as a type's name"),
        ({"unevaluatedProperties": True}, "another frame"),
        ({"patternProperties": {}}, "keyword ['patternProperties']"),
        ({"if": {}}, "keyword ['if']"),
        ({"properties": {"owner": STRING}}, "attribute ['owner'] again"),
        ({"properties": {"type": STRING}}, "attribute 'type'"),
        ({"properties": {"_a": STRING}}, "attribute '_a'"),
        ({"properties": {"a.b": STRING}}, "attribute 'a.b'"),
        ({"properties": {"a": {**STRING, "pattern": "x"}}}, "'a' with ['pattern']"),
        ({"properties": {"a": {"maxLength": 9}}}, "'type'"),
        ({"properties": {"a": {"type": ["string", "null"]}}}, "'a' without a type"),
        ({"properties": {"a": {**STRING, "format": "uri"}}}, "'a' of an unknown format"),
        ({"properties": {"a": {"type": "string", "minLength": 1}}}, "'a' without bounds"),
        ({"properties": {"a": {**STRING, "maxLength": "9"}}}, "not supported between"),
        ({"properties": {"a": {**STRING, "maxLength": -1}}}, "'a' without bounds"),
        ({"properties": {"a": {**STRING, "title": 1}}}, "1 is not of type 'string'"),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, "'nowhere'"),
        (
            {"properties": {"a": {"type": "array", "items": {**STRING, "writeOnly": True}}}},
            "'a' with ['writeOnly']",
        ),
        (
            {"properties": {"a": {"type": "object", "additionalProperties": {"x": 1}}}},
            "'type'",
        ),
        (
            {
                "properties": {
                    "a": {"anyOf": [STRING, {"type": "array", "items": {**STRING, "maxLength": 8}}]}
                }
            },
            "another choice than one or many",
        ),
        ({"required": ["b"]}, "rules on ['b']"),
        ({"dependentRequired": {"a": ["b"]}}, "rules on ['b']"),
        ({"oneOf": [{"required": ["b"]}]}, "rules on ['b']"),
        ({"oneOf": [{"required": ["a", "owner"]}]}, "a choice of more than names"),
        ({"oneOf": [{"required": ["a"], "properties": {}}]}, "a choice of more than names"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path, changes, message):
    """A keyword that would be ignored is a hole that nobody sees."""
    with pytest.raises(ConfigError) as refused:
        schema.load(folder(tmp_path, **changes))
    assert message in refused.value.message
    assert tmp_path / changes.get("name", "x.json") == refused.value.file


def test_a_file_that_is_not_json(tmp_path):
    """The file is named."""
    path = folder(tmp_path) / "y.json"
    path.write_text("{")
    with pytest.raises(ConfigError) as refused:
        schema.load(tmp_path)
    assert f"{path}: not JSON" == str(refused.value)


def test_one_name_is_one_kind_in_all_types(tmp_path):
    """The index has one field for a name, whatever the type."""
    folder(tmp_path, "x.json")
    folder(tmp_path, "y.json", properties={"a": {"type": "boolean"}})
    with pytest.raises(ConfigError, match="'a' of 'y' is not that of other types"):
        schema.load(tmp_path)
