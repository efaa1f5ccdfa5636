"""A secret that is an object is one secret, and its errors name only what is ours to name."""

import pytest
from accounts import BASIC, MISSING, OAUTH2, TYPES, details, invalid, validate

from signals_proxy.secret import REDACTED, Secret

ROOTS = {
    "email": {"host": "smtp.example.com", "port": 465, "user": "u"},
    "webhook": {"url": "https://example.com/hook"},
}
OBJECTS = [
    ("email", "oauth2", OAUTH2, {**OAUTH2, "scope": "a b"}),
    ("webhook", "headers", {"A": "hunter2", "b": "c"}, {"C": "d"}),
    ("webhook", "headers", {"A": "hunter2"}, {}),
    ("webhook", "auth", BASIC, {"type": "bearer", "token": "t"}),
    ("webhook", "auth", {"type": "bearer", "token": "hunter2"}, {"type": "oauth2", **OAUTH2}),
    ("webhook", "auth", {"type": "oauth2", **OAUTH2, "scope": "a b"}, BASIC),
]


@pytest.mark.parametrize(("name", "attribute", "first", "second"), OBJECTS)
def test_an_object_that_is_secret_is_one_secret(name, attribute, first, second):
    """It is replaced as a whole, kept as a whole and removed as a whole."""
    root = ROOTS[name]
    public = {n: value for n, value in root.items() if n in TYPES[name].public}
    before = validate({**root, attribute: first}, type_name=name)
    for keeping in (public, {**public, attribute: REDACTED}):
        assert validate(keeping, before, name).secrets == before.secrets
    others = {n: secret for n, secret in before.secrets.items() if n != attribute}
    assert validate({**public, attribute: None}, before, name).secrets == others
    replaced = validate({**public, attribute: second}, before, name).secrets
    assert replaced == {**others, attribute: Secret(second)}


@pytest.mark.parametrize(("name", "attribute", "first", "_"), OBJECTS)
def test_no_member_of_a_secret_is_kept(name, attribute, first, _):
    """A placeholder within an object is an error, or a changed token URL would get the rest."""
    before = validate({**ROOTS[name], attribute: first}, type_name=name)
    for member in first:
        found = details({**ROOTS[name], attribute: {**first, member: REDACTED}}, before, name)
        assert [{"error": f"'{REDACTED}' cannot stand for a part of a secret"}] == found[attribute]


KINDS = invalid("One of 'basic', 'bearer', 'oauth2'")
URL = invalid("An http or https URL, without user name, password and fragment")
CLIENT = "'token_url', 'client_id', 'client_secret', 'scope'"
NAMES = invalid(
    "Names of RFC 9110, other than Host, Content-Length, Transfer-Encoding, Connection, "
    "Keep-Alive, TE, Trailer, Upgrade, Expect and Proxy-…"
)
VALUES = invalid("Visible ASCII characters, blanks only between them")


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        (
            "email",
            {"oauth2": "hunter2"},
            {"oauth2": invalid(f"An object with nothing but {CLIENT}")},
        ),
        (
            "email",
            {"oauth2": {}},
            dict.fromkeys(
                ["oauth2.token_url", "oauth2.client_id", "oauth2.client_secret"], MISSING
            ),
        ),
        (
            "email",
            {"oauth2": {**OAUTH2, "hunter2": "hunter2"}},
            {"oauth2": invalid(f"An object with nothing but {CLIENT}")},
        ),
        ("email", {"oauth2": {**OAUTH2, "token_url": "hunter2"}}, {"oauth2.token_url": URL}),
        (
            "email",
            {"oauth2": {**OAUTH2, "client_id": "scope", "scope": 4711}},
            {"oauth2.scope": invalid("A string without control characters")},
        ),
        ("webhook", {"auth": "Bearer hunter2"}, {"auth": invalid("An object with 'type'")}),
        ("webhook", {"auth": {}}, {"auth.type": MISSING}),
        ("webhook", {"auth": {"hunter2": "x"}}, {"auth.type": MISSING}),
        ("webhook", {"auth": {"type": "bearer"}}, {"auth.token": MISSING}),
        ("webhook", {"auth": {"type": "hunter2"}}, {"auth.type": KINDS}),
        ("webhook", {"auth": {"type": ["hunter2"]}}, {"auth.type": KINDS}),
        (
            "webhook",
            {"auth": {"type": "basic", "user": "a:hunter2", "token": "hunter2"}},
            {
                "auth": invalid("An object with nothing but 'type', 'user', 'password'"),
                "auth.user": invalid("A string without colons and control characters"),
                "auth.password": MISSING,
            },
        ),
        (
            "webhook",
            {"auth": {"type": "bearer", "token": "hunter 2"}},
            {"auth.token": invalid("Visible ASCII characters, no blanks")},
        ),
        (
            "webhook",
            {"auth": {"type": "oauth2", "token_url": "http://u:hunter2@h", "client_id": ""}},
            {
                "auth.token_url": URL,
                "auth.client_id": invalid("1 to 4096 characters"),
                "auth.client_secret": MISSING,
            },
        ),
        (
            "webhook",
            {"headers": ["hunter2"]},
            {"headers": invalid("An object of at most 64 strings")},
        ),
        (
            "webhook",
            {"headers": {f"A{n}": "hunter2" for n in range(65)}},
            {"headers": invalid("An object of at most 64 strings")},
        ),
        ("webhook", {"headers": {"hunter2": 1}}, {"headers": VALUES}),
        ("webhook", {"headers": {"A": "hunter2\r\nHost: x"}}, {"headers": VALUES}),
        ("webhook", {"headers": {"hunter2:": "x"}}, {"headers": NAMES}),
        ("webhook", {"headers": {"hOST": "hunter2"}}, {"headers": NAMES}),
        (
            "webhook",
            {"headers": {"Hunter2": "x", "hunter2": "x"}},
            {"headers": invalid("Names that differ in more than upper and lower case")},
        ),
        (
            "webhook",
            {"headers": {"A" * 257: "hunter2"}},
            {"headers": invalid("0 to 256 characters")},
        ),
    ],
)
def test_what_is_wrong_within_an_object(name, body, expected):
    """Members with names of ours are named; names and values of the caller's are not shown."""
    assert details({**ROOTS[name], **body}, type_name=name) == expected


def test_sixty_four_headers():
    """That many are taken, with the longest names and values, and every harmless name."""
    headers = {f"A{n:0255}": "v" * 4096 for n in range(62)} | {"Authorization": "a", "Cookie": "b"}
    body = {**ROOTS["webhook"], "headers": headers}
    assert validate(body, type_name="webhook").secrets["headers"] == Secret(headers)
