"""Bad input: each a clear 4xx in the one shape, and nothing stored, nothing changed."""

import json
from typing import Any

import pytest
from rawhttp import exchange
from refused import VALID, check, encoded, large

REQUEST = "request [/_signals/account/email/default]"
NESTED = "[" * 33 + "]" * 33


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b"{", "line 1, column 2"),
        (b'{"host": "a",\n]', "line 2"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"host": "a", "host": "b"}', "twice"),
        (b'{"default_to": [{"a": 1, "a": 2}]}', "twice"),
        (b'{"port": NaN}', "NaN"),
        (b'{"port": -Infinity}', "Infinity"),
        (b'{"host": "\\ud800"}', "surrogate"),
        (b'{"host": "\xff"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (f'{{"host": {NESTED}}}'.encode(), "nests"),
        (b'{"host": ' + b"[" * 20_000 + b"}", "nests"),
        (b'{"host": "a"} {}', "JSON"),
    ],
)
async def test_bodies_that_are_no_object(
    client: Any, cluster: Any, body: bytes, words: str
) -> None:
    """A body that is not one JSON object is a 400 that says where it breaks."""
    error = check(await client.put(body), 400)
    assert words in error["error"]
    assert not cluster.exists()


@pytest.mark.parametrize(
    ("body", "attribute", "words"),
    [
        ({"port": 465}, "host", "missing"),
        ({"host": "smtp.example.com"}, "port", "missing"),
        ({**VALID, "port": "465"}, "port", "integer"),
        ({**VALID, "port": 465.0}, "port", "integer"),
        ({**VALID, "port": True}, "port", "integer"),
        ({**VALID, "port": 0}, "port", "integer"),
        ({**VALID, "port": int("9" * 30)}, "port", "integer"),
        ({**VALID, "host": ["a"]}, "host", "Invalid"),
        ({**VALID, "enable_tls": "true"}, "enable_tls", "true or false"),
        ({**VALID, "default_to": ["a@b.example", "@"]}, "default_to.1", "Invalid"),
        ({**VALID, "default_from": "fr@om@sg.test"}, "default_from", "eMail"),
        ({**VALID, "type": "slack"}, "type", "email"),
        ({**VALID, "enable_start_tsl": True}, "enable_start_tsl", "'enable_start_tls'"),
        ({**VALID, "nonsense": {"a": [1]}}, "nonsense", "Unknown attribute"),
    ],
)
async def test_bodies_that_are_no_account(
    client: Any, cluster: Any, body: Any, attribute: str, words: str
) -> None:
    """A body that breaks its schema is a 400 that names the attribute and what is expected."""
    error = check(await client.put(body), 400)
    assert list(error["detail"]) == [attribute]
    assert words in json.dumps(error["detail"], ensure_ascii=False)
    assert attribute in error["error"]
    assert not cluster.exists()


async def test_password_without_user(client: Any, cluster: Any, canary: Any) -> None:
    """A password without a user is an error on the user, in the reference product's words."""
    error = check(await client.put({**VALID, "password": canary("password")}), 400)
    assert error["detail"] == {
        "user": [{"error": "A user must be specified if a password is specified"}]
    }
    assert not cluster.exists()


async def test_all_errors_at_once(client: Any, cluster: Any, canary: Any) -> None:
    """All errors of a body come at once, by attribute; a misspelt secret is not shown."""
    body = {"port": "x", "passwrod": canary("password"), "default_to": ["@", "a@b.example", "@"]}
    error = check(await client.put(body), 400)
    assert error["error"] == "5 errors; see detail."
    assert sorted(error["detail"]) == ["default_to.0", "default_to.2", "host", "passwrod", "port"]
    assert "'password'" in error["detail"]["passwrod"][0]["error"]
    assert not cluster.exists()


async def test_unknown_type(client: Any, cluster: Any, types: Any) -> None:
    """A type that does not exist is an error on ``type`` that lists those that do."""
    error = check(await client.put(VALID, "emial/default"), 400)
    assert error["detail"]["type"][0]["expected"] == sorted(types)
    assert not cluster.exists()


async def test_placeholder_without_a_secret(client: Any, cluster: Any) -> None:
    """The placeholder keeps a stored secret, and is nothing where none is stored."""
    body = {**VALID, "user": "u", "password": "::es_redacted::"}
    error = check(await client.put(body), 400)
    assert list(error["detail"]) == ["password"]
    assert not cluster.exists()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("foo=1", f"{REQUEST} contains unrecognized parameter: [foo]"),
        ("zoo&foo=1", f"{REQUEST} contains unrecognized parameters: [foo], [zoo]"),
        (
            "op_typ=create",
            f"{REQUEST} contains unrecognized parameter: [op_typ] -> did you mean [op_type]?",
        ),
        ("pretty=yes", "Failed to parse value [yes] as only [true] or [false] are allowed."),
        ("op_type=update", "opType must be 'create' or 'index', found: [update]"),
        ("if_seq_no=x", "Failed to parse long parameter [if_seq_no] with value [x]"),
        (
            f"if_seq_no={2**63}&if_primary_term=1",
            f"Failed to parse long parameter [if_seq_no] with value [{2**63}]",
        ),
        ("if_seq_no=-1&if_primary_term=1", "[if_seq_no] must not be less than [0], got [-1]"),
        ("if_seq_no=1&if_primary_term=0", "[if_primary_term] must not be less than [1], got [0]"),
        ("if_seq_no=1", "if_seq_no and if_primary_term go together: set both or neither"),
        (
            "if_seq_no=1&if_primary_term=1&op_type=create",
            "create operations do not support compare and set. use index instead",
        ),
        ("op_type=create&op_type=index", f"{REQUEST} repeats a parameter: [op_type]"),
    ],
)
async def test_parameters(client: Any, cluster: Any, query: str, words: str) -> None:
    """A parameter that is unknown, repeated or malformed is a 400 in Elasticsearch's words."""
    error = check(await client.put(VALID, f"email/default?{query}"), 400)
    assert error["error"] == words
    assert not cluster.exists()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_parameters_of_others(client: Any, method: str) -> None:
    """PUT's parameters are nobody else's."""
    error = check(await client.ask(method, "email/default?op_type=create"), 400)
    assert "[op_type]" in error["error"]


@pytest.mark.parametrize(
    "target",
    [
        "//_signals/account/email/default",
        "/%5Fsignals/account/email/default",
        "/_signals//account/email/default",
        "/./_signals/account/email/default",
        "/x/../_signals/account/email/default",
        "/_signals;a=b/account/email/default",
        "/_Signals/Account/email/default",
        "/_signals\\account/email/default",
        "/_signals/account/email",
        "/_signals/account/",
        "/_signals/account",
        "/_signals/account/a/b/c/d",
        "/_signals/account/email/de%2Ffault",
        "/_signals/account/email/def%2Aault",
        "/_signals/account/email/def%0Aault",
        "/_signals/account/email/..",
        "/_signals/account/email/_default",
        "/_signals/account/slack/email/default",
        "/_signals/account/email/" + "x" * 507,
        "/_signals/account/email/default?a=%ff",
    ],
)
async def test_look_alikes(client: Any, cluster: Any, target: str) -> None:
    """A target that could be taken for one of ours, or names something badly, is refused."""
    body = encoded(VALID)
    request = (
        f"PUT {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    head, error = await exchange(client.address, request.encode() + body)
    assert head.startswith(b"HTTP/1.1 400 ")
    if b"application/json" in head:  # aiohttp's own parser refuses the backslash, in its own words
        assert json.loads(error)["status"] == 400
    assert not cluster.exists()


async def test_nothing_changes(client: Any, cluster: Any, canary: Any) -> None:
    """What is stored stays as it is whatever bad input comes for it."""
    await client.put({**VALID, "user": "u", "password": canary("password")})
    before = cluster.source()
    for body in (b"{", {"port": 1}, {**VALID, "x": 1}, {**VALID, "host": "evil.example"}):
        check(await client.put(body), 400)
    check(await client.put(large(2_000_000)), 413)
    check(await client.put(encoded(VALID), Content_Type="text/plain"), 415)
    check(await client.ask("POST", "email/default", VALID), 405)
    assert cluster.source() == before
