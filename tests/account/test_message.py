"""Messages by their schemas: everything that is wrong is told at once, and nothing is repeated."""

import json

import pytest

from signals_proxy.account import message
from signals_proxy.errors import ConfigError, InvalidMessage

SCHEMAS = message.load()
EVENT = {"payload": {"summary": "s", "source": "h", "severity": "info"}}
ISSUE = {"type": "Bug", "summary": "s"}


def details(of, body):
    with pytest.raises(InvalidMessage) as invalid:
        SCHEMAS[of].validate(body)
    return {
        place: [(it.error, it.expected) for it in found]
        for place, found in invalid.value.details.items()
    }


def wrong(expected):
    return [("Invalid value", expected)]


@pytest.mark.parametrize(
    ("of", "body"),
    [
        ("slack", {"text": "x" * 40_000}),
        ("slack", {"blocks": [{"type": "divider"}] * 50}),
        ("slack", {"blocks": [{"type": "section", "text": {"text": "x" * 3000}}]}),
        ("slack", {"attachments": [{"text": "x"}], "channel": "#ops", "username": "u"}),
        ("pagerduty", EVENT),
        ("pagerduty", {"payload": {**EVENT["payload"], "summary": "x" * 1024}}),
        ("pagerduty", {"event_action": "resolve", "dedup_key": "k" * 255}),
        ("jira", {"project": "OPS", "issue": {**ISSUE, "summary": "x" * 255}}),
        ("teams", {"text": "x\n"}),
        ("teams", {"card": {"type": "AdaptiveCard"}}),
        ("webhook", {"body": {"a": 1}}),
        ("webhook", {"body": "\0"}),
        ("webhook", {}),
    ],
)
def test_messages_that_fit(of, body):
    SCHEMAS[of].validate(body)


@pytest.mark.parametrize(
    ("of", "body", "expected"),
    [
        (
            "slack",
            {},
            {
                "text": [
                    ("Required attribute is missing: 'text' or 'blocks' or 'attachments'", None)
                ]
            },
        ),
        ("slack", {"text": "x" * 40_001}, {"text": wrong("At most 40,000 characters")}),
        ("slack", {"text": ""}, {"text": wrong("At least 1 characters")}),
        ("slack", {"text": "\0"}, {"text": wrong("A string without NUL characters")}),
        ("slack", {"text": 1}, {"text": wrong("JSON of type string")}),
        ("slack", {"blocks": []}, {"blocks": wrong("At least 1 of them")}),
        (
            "slack",
            {"blocks": [{"type": "divider"}] * 51},
            {"blocks": wrong("At most 50 of them")},
        ),
        (
            "slack",
            {
                "blocks": [
                    {"type": "section", "text": {"text": "x" * 3001}},
                    {"type": "section", "fields": [{"text": "x" * 2001}] * 11},
                    {"type": "header", "text": {"text": "x" * 151}},
                    {"type": "context", "elements": [1] * 11},
                    {"type": "actions", "elements": [1] * 26},
                    {"type": "markdown", "text": "x" * 12_001},
                    {"a": 1},
                ],
                "attachments": [{"blocks": [{"type": "header", "text": {"text": "x" * 151}}]}],
            },
            {
                "blocks.0.text.text": wrong("At most 3,000 characters"),
                **{
                    f"blocks.1.fields.{n}.text": wrong("At most 2,000 characters")
                    for n in range(11)
                },
                "blocks.1.fields": wrong("At most 10 of them"),
                "blocks.2.text.text": wrong("At most 150 characters"),
                "blocks.3.elements": wrong("At most 10 of them"),
                "blocks.4.elements": wrong("At most 25 of them"),
                "blocks.5.text": wrong("At most 12,000 characters"),
                "blocks.6.type": [("Required attribute is missing", None)],
                "attachments.0.blocks.0.text.text": wrong("At most 150 characters"),
            },
        ),
        ("slack", {"text": "x", "chanel": "c"}, {"chanel": [("Unknown attribute", None)]}),
        ("pagerduty", {}, {"payload": [("Required attribute is missing", None)]}),
        (
            "pagerduty",
            {"payload": {"summary": "s", "severity": "info"}},
            {"payload.source": [("Required attribute is missing", None)]},
        ),
        (
            "pagerduty",
            {"event_action": "resolve"},
            {"dedup_key": [("Required attribute is missing", None)]},
        ),
        (
            "pagerduty",
            {
                "event_action": "shout",
                "dedup_key": "k" * 256,
                "payload": {"summary": "x" * 1025, "source": "", "severity": "high"},
                "images": [{"src": "http://a.test/"}],
                "links": [{}],
                "routing_key": "k",
            },
            {
                "event_action": wrong('One of "trigger", "acknowledge", "resolve"'),
                "dedup_key": wrong("At most 255 characters"),
                "payload.summary": wrong("At most 1,024 characters"),
                "payload.source": wrong("At least 1 characters"),
                "payload.severity": wrong('One of "critical", "error", "warning", "info"'),
                "images.0.src": wrong("A URL that begins with https://"),
                "links.0.href": [("Required attribute is missing", None)],
                "routing_key": [("Unknown attribute", None)],
            },
        ),
        (
            "jira",
            {
                "project": "O\nPS",
                "issue": {
                    **ISSUE,
                    "summary": "x" * 256,
                    "description": "x" * 32_768,
                    "labels": ["a b"],
                    "due_date": "soon",
                },
            },
            {
                "project": wrong("A string without control characters"),
                "issue.summary": wrong("At most 255 characters"),
                "issue.description": wrong("At most 32,767 characters"),
                "issue.labels.0": wrong("A label without spaces"),
                "issue.due_date": wrong("A date such as 2030-12-31"),
            },
        ),
        ("teams", {}, {"text": [("Required attribute is missing: 'text' or 'card'", None)]}),
        (
            "teams",
            {"text": "x", "card": {"type": "AdaptiveCard"}},
            {"text": [("Only one may be specified: 'text' or 'card'", None)]},
        ),
        ("teams", {"card": {"type": "x"}}, {"card.type": wrong('One of "AdaptiveCard"')}),
        ("webhook", {"body": 1}, {"body": wrong("JSON of type string or object or array")}),
    ],
)
def test_messages_that_do_not_fit(of, body, expected):
    assert details(of, body) == expected


def test_nothing_of_the_message_is_repeated(canary, saw):
    value = canary("value")
    saw("the errors", str(details("slack", {"text": 1, "channel": f"{value}\n", value: 1})["text"]))


def test_every_field_of_a_line_refuses_control_characters():
    for character in "\r\n\0\x7f\x85\u2028":
        found = details("slack", {"text": "x", "channel": f"a{character}", "username": character})
        assert found.keys() == {"channel", "username"}


def schema_of(**members):
    return message.MessageSchema({"type": "object", "properties": members})


def test_only_the_first_hundred_errors_are_told():
    schema = schema_of(a={"type": "array", "items": {"type": "string"}})
    with pytest.raises(InvalidMessage) as invalid:
        schema.validate({"a": list(range(10_000))})
    assert len(invalid.value.details) == 100


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9}, 10, "1 to 9"),
        ({"type": "integer", "minimum": 1}, 0, "1 to …"),
        ({"maxProperties": 1}, {"a": 1, "b": 2}, "At most 1 of them"),
        ({"minProperties": 1}, {}, "At least 1 of them"),
        ({"pattern": "a"}, "b", "See the schema"),
        ({"pattern": "a", "$comment": "An a"}, "b", "An a"),
        ({"anyOf": [{"const": 1}, {"const": 2}], "description": "1 or 2"}, 3, "1 or 2"),
    ],
)
def test_what_is_expected(attribute, value, expected):
    with pytest.raises(InvalidMessage) as invalid:
        schema_of(a=attribute).validate({"a": value})
    assert [it.expected for it in invalid.value.details["a"]] == [expected]


def test_the_same_error_is_told_once():
    attribute = {"allOf": [{"maxLength": 1}, {"maxLength": 1}]}
    with pytest.raises(InvalidMessage) as invalid:
        schema_of(a=attribute).validate({"a": "xx"})
    assert len(invalid.value.details["a"]) == 1


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"type": "strings"}'])
def test_a_file_that_is_no_schema_ends_the_start(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ConfigError) as error:
        message.load(tmp_path)
    assert error.value.file == tmp_path / "a.json"


def test_a_folder_of_ones_own(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"type": "object"}))
    assert [*message.load(tmp_path)] == ["a"]


def test_every_account_type_has_a_schema_of_its_messages():
    assert SCHEMAS.keys() == {"email", "jira", "pagerduty", "slack", "teams", "webhook"}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_attribute_has_a_title(name):
    properties = SCHEMAS[name].schema["properties"]
    assert [it for it, schema in properties.items() if "title" not in schema] == []
