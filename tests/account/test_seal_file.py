"""What the seal command makes of an account file, which account one is for, and with which key."""

import base64

import pytest
from accounts import RING, TYPES

from signals_proxy.account import Ref, keyring
from signals_proxy.account.file import PublicKey, open_text, ref_of, seal_file
from signals_proxy.errors import ConfigError, InvalidAccount
from signals_proxy.secret import REDACTED

KEY = PublicKey.of(RING)
OTHER = keyring.parse(keyring.generate())
REF = Ref("email", "default")
SOURCE = {
    "type": "email",
    "_name": "default",
    "host": "smtp.example.com",
    "port": 465,
    "user": "u",
    "password": "hunter2",
}
SEALED = seal_file(SOURCE, TYPES, KEY)
SEALED_SOURCE = {**{n: SOURCE[n] for n in SOURCE if n != "password"}, "$sealed": SEALED.text}


def details(source, key=KEY):
    """The errors of a file, as they are told."""
    with pytest.raises(InvalidAccount) as error:
        seal_file(source, TYPES, key)
    assert "hunter2" not in str(error.value.details)
    return {name: found[0].error for name, found in error.value.details.items()}


def test_all_errors_of_a_file():
    """A file is checked as a PUT of it would be, before anything is sealed."""
    assert details({**SOURCE, "port": "x", "zzz": 1}).keys() == {"port", "zzz"}
    assert details({**SOURCE, "password": REDACTED}) == {
        "password": f"'{REDACTED}' keeps a stored secret, and none is stored"
    }
    assert "Unknown account type" in details({**SOURCE, "type": "emial"})["type"]


def test_what_is_not_sealed():
    """Nothing in clear: sealed already, or no secret, or only some that are not to be."""
    assert seal_file(SEALED_SOURCE, TYPES, KEY) is None
    plain = {name: value for name, value in SOURCE.items() if name != "password"}
    assert seal_file(plain, TYPES, KEY) is None
    assert seal_file({**plain, "client_key": None}, TYPES, KEY) is None


def test_secrets_that_are_null_are_moved_away():
    """No secret may stand beside ``$sealed``; what is not in it is gone all the same."""
    sealed = seal_file({**SOURCE, "client_key": None}, TYPES, KEY)
    assert sealed.secrets == ("password", "client_key")
    assert open_text(sealed.text, RING, REF)[0].keys() == {"password"}


def test_a_file_that_is_sealed_and_not():
    """Which of the two is meant is not guessed."""
    assert [*details({**SEALED_SOURCE, "password": "hunter2"})] == ["password"]


def test_nothing_shows_a_secret():
    """Neither what was sealed nor what was opened."""
    assert "hunter2" not in repr((SEALED, open_text(SEALED.text, RING, REF)))


@pytest.mark.parametrize(
    ("names", "ref"),
    [
        ({"type": "email", "_name": "a"}, Ref("email", "a")),
        ({"type": "EMail", "_name": "ä %2F+", "_tenant": "Ops"}, Ref("email", "ä %2F+", "Ops")),
        ({"type": "email", "_name": "a", "_tenant": None}, Ref("email", "a")),
        ({"type": "email", "_name": "a", "_tenant": "_main"}, Ref("email", "a")),
    ],
)
def test_which_account_a_file_is_for(names, ref):
    """As its names would be read from a path."""
    assert ref_of(names, TYPES) == ref


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        ({}, {"type": "Required attribute is missing", "_name": "Required attribute is missing"}),
        ({"type": "email", "_name": None}, {"_name": "Required attribute is missing"}),
        ({"type": 5, "_name": ["a"], "_tenant": 5}, dict.fromkeys(["_tenant", "type", "_name"])),
        ({"type": "email", "_name": ""}, {"_name": None}),
        ({"type": "email", "_name": ".."}, {"_name": None}),
        ({"type": "email", "_name": "a/b"}, {"_name": None}),
        ({"type": "email", "_name": "a*"}, {"_name": None}),
        ({"type": "email", "_name": "\ud800"}, {"_name": None}),
        ({"type": "email", "_name": "x" * 600}, {"_name": None}),
        ({"type": "email", "_name": "_search"}, {"_name": None}),
        ({"type": "email", "_name": "_test", "_tenant": "a"}, {"_name": None}),
        ({"type": "_schema", "_name": "email"}, {"_name": None}),
        ({"type": "email", "_name": "a", "_tenant": "slack"}, {"_name": None}),
        ({"type": "email", "_name": "a", "_tenant": "_x"}, {"_name": None}),
    ],
)
def test_a_file_that_is_for_no_account(names, wrong):
    """The names of an account follow the rules of the path; the API's other calls are none."""
    with pytest.raises(InvalidAccount) as error:
        ref_of(names, TYPES)
    assert error.value.details.keys() == wrong.keys()
    for name, said in wrong.items():
        assert said in {None, error.value.details[name][0].error}


# --- the public key ------------------------------------------------------------------------------


def test_a_public_key_is_read_as_it_is_told():
    """In one line, which says nothing of the keyring's secrets."""
    assert PublicKey.parse(KEY.line) == KEY
    assert len(KEY.line) == len("signals-proxy-public-1") + 64
    assert KEY.fingerprint != PublicKey.of(OTHER).fingerprint
    assert RING.registry_id not in base64.urlsafe_b64decode(KEY.line[-64:])


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY.line[:-1],
        KEY.line + "A",
        KEY.line + "\n",
        " " + KEY.line,
        KEY.line.replace("-1", "-2", 1),
        KEY.line.upper(),
        KEY.line[:-1] + "+",
        KEY.line[:-1] + "ä",
        "age1" + "q" * 58,
    ],
    ids=map(str, range(10)),  # the keys are others in each process
)
def test_what_is_no_public_key(text):
    """Anything else is refused with a remedy, and not quoted."""
    with pytest.raises(ConfigError, match="not a public key") as error:
        PublicKey.parse(text)
    assert "_key" in error.value.remedy
    assert text == "" or text not in f"{error.value}{error.value.remedy}"


def test_a_secret_line_in_place_of_the_public_key():
    """The likely mistake has a sentence of its own."""
    for line in (x for x in keyring.generate().split("\n") if x and x[0] != "#"):
        with pytest.raises(ConfigError, match="a secret line of a keyring") as error:
            PublicKey.parse(line)
        assert line[-43:] not in f"{error.value}{error.value.remedy}"


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)])
def test_a_public_key_that_seals_for_everybody(point):
    """Points of small order make a secret that everybody knows."""
    with pytest.raises(ConfigError, match="no registry has") as error:
        PublicKey.parse(
            "signals-proxy-public-1" + base64.urlsafe_b64encode(point + KEY.registry).decode()
        )
    assert error.value.__cause__ is None
