"""No error tells a secret, wherever in the body it was put."""

import pytest
from accounts import CERTIFICATE, EMAIL, KEY, details, validate

from signals_proxy.errors import InvalidAccount
from signals_proxy.secret import REDACTED


def test_unknown_attributes():
    """The nearest known name is suggested; the value is not shown, for it may be a secret."""
    assert details({**EMAIL, "passwrod": "hunter2", "enable_start_tsl": True, "zzz": {"a": 1}}) == {
        "passwrod": [{"error": "Unknown attribute; did you mean 'password'?"}],
        "enable_start_tsl": [{"error": "Unknown attribute; did you mean 'enable_start_tls'?"}],
        "zzz": [{"error": "Unknown attribute"}],
    }
    assert details({**EMAIL, "_sealed": {}, "oauth": {}}).keys() == {"_sealed", "oauth"}


def test_guessing_is_bounded():
    """A body of nothing but typing errors does not buy a second of work with each kilobyte."""
    found = details({**EMAIL, **{f"hosts{n}": "" for n in range(100)}})
    guessed = ["; did you mean 'host'?" in only["error"] for (only,) in found.values()]
    assert guessed == [True] * 16 + [False] * 84


def test_a_secret_as_a_name():
    """A name that holds a secret is not shown as a place, at any level."""
    hidden = "(a name that holds a secret)"
    body = {**EMAIL, "user": "u", "password": "hunter2", "labels": {"my-hunter2": 1}}
    assert details({**body, "hunter2": 1, "xhunter2y": 1, "labels.hunter2": 1, "zzz": 1}) == {
        f"labels.{hidden}": [
            {
                "error": "Invalid value",
                "value": 1,
                "expected": "A string without control characters",
            },
            {"error": "Unknown attribute; did you mean 'labels'?"},
        ],
        hidden: [{"error": "Unknown attribute"}],
        "zzz": [{"error": "Unknown attribute"}],
    }


def test_a_secret_that_is_an_attributes_name():
    """What is ours to say is said whatever the secrets are, and short ones hide no name."""
    body = {"port": 465, "user": "u", "password": "host", "proxy_password": "zz", "zzz": 1}
    assert [*details(body)] == ["zzz", "host", "proxy_user"]


def test_many_secrets():
    """Where comparing with all texts of secrets would take long, nothing that was sent is shown."""
    many = {f"h{n}": f"secret{n}" for n in range(5000)}
    found = details({"host": "a b", "port": 1, "password": many, "secret7": 1, "labels": {"x": 1}})
    assert "value" not in found["host"][0]
    assert "secret" not in str([*found]).replace("among too many secrets", "")
    assert "labels.(a name among too many secrets)" in found


def test_a_hundred_details():
    """Of more than a hundred errors the first hundred are listed, and all are counted."""
    for count in (100, 101, 9000):
        body = {**EMAIL, "default_to": ["@", "@"], **{f"zz{n}": 1 for n in range(count - 2)}}
        with pytest.raises(InvalidAccount) as refused:
            validate(body)
        assert refused.value.message == f"{count} errors; see detail."
        found = details(body)
        more = found.pop("…", None)
        assert more == (None if count == 100 else [{"error": f"and {count - 100} more"}])
        assert sum(map(len, found.values())) == 100


def test_too_many_elements_are_one_error():
    """What each of them is does not matter any more."""
    many = {"default_to": ["@"] * 5000, "labels": {f"-{n}": 1 for n in range(5000)}}
    assert [*details({**EMAIL, **many})] == ["default_to", "labels"]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"user": REDACTED}, "user"),
        ({"default_to": [REDACTED]}, "default_to"),
        ({"labels": {"a": REDACTED}}, "labels"),
        ({"user": "u", "password": f"x{REDACTED}"}, "password"),
        ({"user": "u", "password": {"a": [REDACTED]}}, "password"),
        ({"user": "u", "password": REDACTED}, "password"),
    ],
)
def test_a_placeholder_stands_for_a_stored_secret_only(body, name):
    """In public attributes, within a value, and where nothing is stored, it is an error."""
    found = details({**EMAIL, **body})
    assert [name] == [*found]
    assert REDACTED in found[name][0]["error"]
    assert "value" not in found[name][0]


@pytest.mark.parametrize(
    "extra", [{"description": KEY}, {"owner": CERTIFICATE}, {"labels": {"a": KEY}}]
)
def test_pem_stays_where_it_belongs(extra):
    """A key that was pasted into a public attribute is neither stored nor repeated."""
    assert details({**EMAIL, **extra}) == {
        name: [{"error": "A PEM block does not belong here"}] for name in extra
    }


@pytest.mark.parametrize(
    "body",
    [
        {"password": ["hunter2"]},
        {"password": 4711},
        {"client_key": "hunter2"},
        {"client_key": KEY + "hunter2"},
        {"passwrod": "hunter2"},
        {"client_certificate": KEY + "hunter2"},
        {"client_certificate": "hunter2"},
        {"labels": {KEY: "x"}},
        {"description": "-----BEGIN hunter2"},
        {"host": "smtp://user:hunter2@host"},
        {"host": {"password": "hunter2"}},
        {"port": "hunter2", "password": "hunter2"},
        {"port": "x hunter2", "password": ["hunter2"]},
        {"host": "hunter2" + "x" * 250},
        {"session_timeout": 4711, "host": "4711 ", "password": "4711"},
        {"session_timeout": float("inf")},
    ],
)
def test_no_secret_is_in_an_error(body):
    """Neither where it belongs nor where it was put by mistake."""
    shown = str(details({**EMAIL, **body}))
    assert not any(secret in shown for secret in ("hunter2", "4711", "inf'", "BEGIN"))


def test_details_of_a_public_value_are_short():
    """What is long is not sent back."""
    assert "value" not in details({**EMAIL, "host": "a " * 129})["host"][0]
    assert "value" in details({**EMAIL, "host": "a " * 128})["host"][0]
