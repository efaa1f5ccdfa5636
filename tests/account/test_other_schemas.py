"""A schema file that says something which would be ignored is refused, whatever it is."""

import json

import pytest

from signals_proxy.account import schema
from signals_proxy.errors import ConfigError

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


def condition(asked=None, then=None, name="a"):
    """A rule that holds under a condition."""
    asked = asked or {"type": "string", "pattern": "x"}
    return {
        "if": {"required": [name], "properties": {name: asked}},
        "then": then or {"description": "because", "required": ["owner"]},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "X.json"}, "'X' as a type's name"),
        ({"unevaluatedProperties": True}, "another frame"),
        ({"patternProperties": {}}, "keyword ['patternProperties']"),
        ({"else": {}}, "keyword ['else']"),
        ({"if": {}}, "'then'"),
        ({"then": {}}, "'if'"),
        (condition({"type": "string", "pattern": "x", "minLength": 1}), "another condition"),
        (condition({"pattern": "x"}), "another condition"),
        (condition({"type": "string", "pattern": "("}), "is not a 'regex'"),
        (condition(then={"required": ["owner"]}), "another condition"),
        (condition(then={"required": ["b"], "description": "x"}), "rules on ['b']"),
        (condition(name="b"), "rules on ['b']"),
        (condition() | {"properties": {"a": {**STRING, "writeOnly": True}}}, "another condition"),
        ({"properties": {"owner": STRING}}, "attribute ['owner'] again"),
        ({"properties": {"type": STRING}}, "attribute 'type'"),
        ({"properties": {"_a": STRING}}, "attribute '_a'"),
        ({"properties": {"a.b": STRING}}, "attribute 'a.b'"),
        ({"properties": {"a": {**STRING, "pattern": "x"}}}, "'a' with ['pattern']"),
        ({"properties": {"a": {"maxLength": 9}}}, "'a' without a type"),
        ({"properties": {"a": {"type": ["string", "null"]}}}, "'a' without a type"),
        ({"properties": {"a": {**STRING, "format": "uri"}}}, "'a' of an unknown format"),
        ({"properties": {"a": {"type": "string", "minLength": 1}}}, "'a' without bounds"),
        ({"properties": {"a": {"type": "string"}}}, "'a' without a format"),
        ({"properties": {"a": {"type": "number"}}}, "'a' without a type"),
        ({"properties": {"a": {"type": "integer", "minimum": 1}}}, "'a' without bounds"),
        ({"properties": {"a": {"type": "array", "items": STRING}}}, "'a' without bounds"),
        ({"properties": {"a": {**STRING, "maxLength": "9"}}}, "not supported between"),
        ({"properties": {"a": {**STRING, "maxLength": -1}}}, "'a' without bounds"),
        ({"properties": {"a": {**STRING, "title": 1}}}, "1 is not of type 'string'"),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, "'nowhere'"),
        (
            {
                "properties": {
                    "a": {"type": "array", "items": {**STRING, "writeOnly": True}, "maxItems": 9}
                }
            },
            "'a' with ['writeOnly']",
        ),
        (
            {"properties": {"a": {"type": "object", "additionalProperties": {"x": 1}}}},
            "'a' with ['x']",
        ),
        (
            {
                "properties": {
                    "a": {
                        "anyOf": [
                            STRING,
                            {"type": "array", "items": {**STRING, "maxLength": 8}, "maxItems": 9},
                        ]
                    }
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


NAMED = {
    "type": "object",
    "properties": {"type": {"type": "string", "const": "n"}, "b": STRING},
    "required": ["type"],
    "additionalProperties": False,
}
FREE = {
    "type": "object",
    "propertyNames": STRING,
    "additionalProperties": STRING,
    "maxProperties": 9,
}
CHOICE = {"type": "object", "oneOf": [NAMED]}
ENUM = {"type": "string", "enum": ["x", "y"]}


@pytest.mark.parametrize("attribute", [NAMED, FREE, CHOICE, ENUM, {**FREE, "title": "x"}])
def test_what_a_secret_can_be(tmp_path, attribute):
    """What the next test changes is understood as it is."""
    attribute = {**attribute, "writeOnly": True}
    assert schema.load(folder(tmp_path, properties={"a": attribute}))["x"].secrets == {"a"}


@pytest.mark.parametrize(
    "attribute",
    [
        {**NAMED, "additionalProperties": True},
        {**NAMED, "additionalProperties": STRING},
        {**NAMED, "maxProperties": 9},
        {**FREE, "additionalProperties": True},
        {**NAMED, "required": ["type", "c"]},
        {**NAMED, "properties": {**NAMED["properties"], "c": {"type": "boolean"}}},
        {**NAMED, "properties": {"type": FREE}},
        {**NAMED, "properties": {"type": CHOICE}},
        {**NAMED, "properties": {"type": {"type": "array", "items": NAMED, "maxItems": 9}}},
        {**NAMED, "x-names-ignore-case": True},
        {key: NAMED[key] for key in NAMED if key != "required"},
        {"type": "object"},
        {**FREE, "additionalProperties": NAMED},
        {**FREE, "additionalProperties": False},
        {**FREE, "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 2}},
        {key: FREE[key] for key in FREE if key != "maxProperties"},
        {**CHOICE, "oneOf": [NAMED, NAMED]},
        {**CHOICE, "oneOf": [{**NAMED, "required": ["b"]}]},
        {**CHOICE, "oneOf": [{**NAMED, "properties": {"type": STRING}}]},
        {**CHOICE, "oneOf": [FREE]},
        {**CHOICE, "oneOf": [CHOICE]},
        {**CHOICE, "maxProperties": 9},
        {**STRING, "oneOf": [NAMED]},
        {"type": "array", "items": FREE, "maxItems": 9},
        {"type": "array", "items": NAMED, "maxItems": 9},
        {"type": "array", "items": CHOICE, "maxItems": 9},
    ],
)
def test_other_objects_are_refused(tmp_path, attribute):
    """Each is one of free names, or of named strings, or a choice of such; all have a limit."""
    with pytest.raises(ConfigError):
        schema.load(folder(tmp_path, properties={"a": {**attribute, "writeOnly": True}}))


@pytest.mark.parametrize("attribute", [NAMED, CHOICE])
def test_objects_of_named_members_are_secret(tmp_path, attribute):
    """What is public is of one level and can be searched, shown and compared as it is."""
    with pytest.raises(ConfigError, match="'a' with another kind of object"):
        schema.load(folder(tmp_path, properties={"a": attribute}))


HEADERS = {**FREE, "x-names-ignore-case": True, "writeOnly": True}


@pytest.mark.parametrize(
    ("marks", "fine"),
    [
        ({"x-alias": "b"}, True),
        ({"x-alias": "b", "writeOnly": True}, False),
        ({"x-alias": "c"}, False),
        ({"x-alias": "owner"}, False),
        ({"x-alias": "a"}, False),
        ({"x-alias": "d"}, False),
        ({"x-alias": "type"}, False),
        ({"x-alias": "_b"}, False),
        ({"x-alias": 5}, False),
        ({"x-excludes": "c"}, True),
        ({"x-excludes": "h.B"}, True),
        ({"x-excludes": "a"}, False),
        ({"x-excludes": "b"}, False),
        ({"x-excludes": "b.B"}, False),
        ({"x-excludes": "c.B"}, False),
        ({"x-excludes": "f.B"}, False),
        ({"x-excludes": "p.B"}, False),
        ({"x-excludes": 5}, False),
    ],
)
def test_marks_that_name_something(tmp_path, marks, fine):
    """An alias is a name of its own, and never a secret's; what is excluded is there."""
    others = {"c": {**STRING, "x-alias": "d"}, "h": HEADERS, "f": {**FREE, "writeOnly": True}}
    others["p"] = {**FREE, "x-names-ignore-case": True}
    path = folder(tmp_path, properties={**others, "a": {**STRING, **marks}})
    if fine:
        assert schema.load(path).keys() == {"x"}
    else:
        with pytest.raises(ConfigError):
            schema.load(path)


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
