"""Account files: what was sealed offline opens for one account, and for nobody who only reads it."""

import base64
import json
import traceback

import pytest
from accounts import CERTIFICATE, RING, TEXT, TYPES
from hypothesis import assume, given
from hypothesis import strategies as st
from nacl import bindings

from signals_proxy.account import Account, Ref, file, keyring, merge
from signals_proxy.account.file import PublicKey, open_text, seal_file
from signals_proxy.account.sealing import padded
from signals_proxy.errors import InvalidAccount
from signals_proxy.secret import REDACTED, Secret

KEY = PublicKey.of(RING)
OTHER = keyring.parse(keyring.generate())
REF = Ref("email", "default", "ops")
EMAIL = TYPES["email"]
SOURCE = {
    "type": "email",
    "_name": "default",
    "_tenant": "ops",
    "host": "smtp.example.com",
    "port": 465,
    "enable_tls": True,
    "trust_all": False,
    "user": "u",
    "password": "hunter2",
}
SEALED = seal_file(SOURCE, TYPES, KEY)
BOUND = {"id": "default", "registry": KEY.registry.hex(), "tenant": "ops", "type": "email"}
MEMBERS = {**BOUND, "destination": {"host": "smtp.example.com"}, "secrets": {"password": "hunter2"}}


def refused(text, ref=REF, ring=RING):
    """The one thing that is said of a text."""
    with pytest.raises(InvalidAccount) as error:
        open_text(text, ring, ref)
    assert error.value.__context__ is None
    assert "hunter2" not in "".join(traceback.format_exception(error.value))
    (detail,) = error.value.details.pop("$sealed")
    assert error.value.details == {}
    assert detail.value is None
    return detail.error


def boxed(content, fingerprint=KEY.fingerprint):
    """A text with any content, which everybody can make who has the public key."""
    box = bindings.crypto_box_seal(content, KEY.box_key)
    return f"signals-proxy-sealed-1.{fingerprint}.{b64(box)}"


def b64(value):
    """The base64url of bytes, without padding."""
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def put(body, before=None, ring=RING, ref=REF):
    """What a PUT of a body with ``$sealed`` makes."""
    account_type = TYPES[ref.type]
    draft = merge(body, before, account_type, ref, open_text(body["$sealed"], ring, ref))
    return account_type.validate(draft)


def sealed_source(sealed=SEALED, source=SOURCE):
    """The file once its secrets were moved into ``$sealed``."""
    kept = {name: value for name, value in source.items() if name not in sealed.secrets}
    return {**kept, "$sealed": sealed.text}


# --- sealing and opening -------------------------------------------------------------------------


def test_what_was_sealed_is_put():
    """The account has the secrets of the file, and remembers which file."""
    assert (SEALED.ref, SEALED.secrets) == (REF, ("password",))
    account = put(sealed_source())
    assert account.secrets == {"password": Secret("hunter2")}
    assert account.public["host"] == "smtp.example.com"
    assert account.file == open_text(SEALED.text, RING, REF)[1].hash
    assert len(account.file) == 64


@given(
    st.builds(Ref, TEXT, TEXT, st.none() | TEXT),
    st.dictionaries(TEXT, TEXT | st.dictionaries(TEXT, TEXT, max_size=3), min_size=1, max_size=3),
)
def test_opening_reverses_sealing(ref, secrets):
    """Whatever the names and the secrets are; each text is another."""
    account = Account(ref, {"host": "h"}, {n: Secret(v) for n, v in secrets.items()})
    one, other = (file.seal_text(account, EMAIL, KEY) for _ in range(2))
    opened, bound = open_text(one, RING, ref)
    assert {name: secret.reveal() for name, secret in opened.items()} == secrets
    assert bound.destination == {"host": "h"}
    assert one != other
    assert bound.hash != open_text(other, RING, ref)[1].hash


@given(st.data())
def test_no_single_change_opens(data):
    """Exchange, insert or take away a character anywhere, and it is refused in words."""
    text = SEALED.text
    at = data.draw(st.integers(0, len(text)))
    inserted = data.draw(st.sampled_from(["", *"AQ-_.0= \n"]) | st.characters())
    changed = text[:at] + inserted + text[at + data.draw(st.integers(0, 2)) :]
    assume(changed != text)
    assert refused(changed)


@given(st.text(max_size=40) | st.none() | st.integers() | st.lists(st.text()))
def test_any_value_is_refused_in_words(value):
    """Nothing but our own error is ever raised."""
    assert "not the whole of it" in refused(value)


@given(st.integers(0, 255))
def test_the_size_of_a_text_tells_nothing_within_a_block(length):
    """All secrets that fit into 256 bytes with what binds them make texts of one length."""
    free = 255 - len(padded({**MEMBERS, "secrets": {"password": ""}}).rstrip(b"\x80\0"))
    account = Account(REF, MEMBERS["destination"], {"password": Secret("x" * length)})
    text = file.seal_text(account, EMAIL, KEY)
    shortest = len("signals-proxy-sealed-1..") + 32 + len(b64(bytes(48 + 256)))
    assert len(text) == shortest + (0 if length <= free else len(b64(bytes(560))) - 406)


@pytest.mark.parametrize(
    "ref",
    [
        Ref("email", "other", "ops"),
        Ref("slack", "default", "ops"),
        Ref("email", "default", "dev"),
        Ref("email", "default"),
    ],
)
def test_another_account(ref):
    """A text is of use in one account, and says in which."""
    assert "for the account 'ops/email/default'" in refused(SEALED.text, ref)


def test_another_registry():
    """Told by the fingerprints; who rewrites the one in the text gains nothing."""
    said = refused(SEALED.text, ring=OTHER)
    theirs = PublicKey.of(OTHER).fingerprint
    assert KEY.fingerprint in said
    assert theirs in said
    assert "damaged" in refused(SEALED.text.replace(KEY.fingerprint, theirs), ring=OTHER)


def test_another_registry_with_the_same_key_pair():
    """A keyring that was copied, and given another registry's id, opens no text of the first."""
    clone = keyring.Keyring(RING.keys, OTHER.registry_id, RING.sealing)
    assert "another registry" in refused(SEALED.text, ring=clone)
    claimed = SEALED.text.replace(KEY.fingerprint, PublicKey.of(clone).fingerprint)
    assert "another registry" in refused(claimed, ring=clone)


def text_of(members):
    """The canonical text of members, not padded."""
    return padded(members).rstrip(b"\0")[:-1]


MEMBERS_TEXT = text_of(MEMBERS)


def padding(text):
    """Pad as a box is."""
    return text + b"\x80" + bytes(255 - len(text) % 256)


def test_a_well_made_text_opens():
    """The tests below differ from this in one point each."""
    assert open_text(boxed(padding(MEMBERS_TEXT)), RING, REF)


DAMAGED = {
    "nothing": b"",
    "no padding": MEMBERS_TEXT.ljust(256),
    "zeros for padding": MEMBERS_TEXT.ljust(256, b"\0"),
    "a block more": padding(MEMBERS_TEXT) + bytes(256),
    "half a block": padding(MEMBERS_TEXT)[:-1],
    "white space": padding(MEMBERS_TEXT.replace(b",", b", ", 1)),
    "escapes": padding(MEMBERS_TEXT.replace(b"hunter2", b"\\u0068unter2")),
    "a fraction": padding(MEMBERS_TEXT.replace(b'"hunter2"', b"1.5")),
    "a name twice": padding(MEMBERS_TEXT[:-1] + b',"type":"email"}'),
    "another order": padding(json.dumps(MEMBERS, separators=(",", ":")).encode()),
    "not an object": padding(b"[]"),
    "not JSON": padding(b"hunter2"),
    "not UTF-8": padding(b"\xff"),
    "nested too deep": padding(MEMBERS_TEXT.replace(b'"hunter2"', b"[" * 5000 + b"]" * 5000)),
    "too many values": padding(MEMBERS_TEXT.replace(b'"hunter2"', b"[1" + b",1" * 10_000 + b"]")),
    **{f"without {n}": padded({k: MEMBERS[k] for k in MEMBERS if k != n}) for n in MEMBERS},
    **{f"{n} a number": padded({**MEMBERS, n: 5}) for n in MEMBERS},
    "a member more": padded({**MEMBERS, "v": 1}),
    "no secret": padded({**MEMBERS, "secrets": {}}),
}


@pytest.mark.parametrize("content", sorted(DAMAGED))
def test_what_no_seal_command_makes(content):
    """One form, whoever sealed it; no error tells the content."""
    assert "damaged" in refused(boxed(DAMAGED[content]))


def test_a_global_account():
    """Its tenant is null, which is not the empty name."""
    sealed = seal_file({n: v for n, v in SOURCE.items() if n != "_tenant"}, TYPES, KEY)
    assert open_text(sealed.text, RING, Ref("email", "default"))
    assert refused(sealed.text, Ref("email", "default", ""))


# --- what a body may hold beside it --------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        (
            {
                **SOURCE,
                "proxy_host": "p",
                "proxy_port": 1,
                "trusted_hosts": "a",
                "ca_certificates": CERTIFICATE,
            },
            {
                "host": "evil.test",
                "port": 25,
                "enable_tls": False,
                "enable_start_tls": True,
                "trusted_hosts": ["evil.test"],
                "trust_all": True,
                "ca_certificates": CERTIFICATE * 2,
                "proxy_host": "evil.test",
                "proxy_port": 2,
            },
        ),
        (
            {"type": "jira", "_name": "a", "url": "https://j.test", "auth_token": "hunter2"},
            {"url": "https://evil.test", "ca_certificates": CERTIFICATE},
        ),
        (
            {"type": "pagerduty", "_name": "a", "integration_key": "0123456789abcdef" * 2},
            {"url": "https://evil.test"},
        ),
        (
            {"type": "webhook", "_name": "a", "url": "https://w.test"},
            {
                "method": "PUT",
                "trust_all": True,
                "trusted_hosts": ["evil.test"],
                "ca_certificates": CERTIFICATE,
            },
        ),
        ({"type": "slack", "_name": "a", "url": "https://hooks.slack.test/x"}, {}),
        ({"type": "teams", "_name": "a", "url": "https://teams.test/x"}, {}),
    ],
    ids=lambda value: value.get("type", ""),
)
def test_another_destination(source, changes):
    """Whatever public attribute decides where secrets go: with another value it is refused."""
    account_type = TYPES[source["type"]]
    assert changes.keys() == account_type.destinations & account_type.public
    sealed = seal_file(source, TYPES, KEY)
    body = sealed_source(sealed, source)
    assert put(body, ref=sealed.ref).file
    removed = [{n: v for n, v in body.items() if n != name} for name in changes if name in body]
    for other in (*({**body, name: value} for name, value in changes.items()), *removed):
        default = account_type.schema["properties"]
        if all(
            other.get(n, default[n].get("default")) == body.get(n, default[n].get("default"))
            for n in changes
        ):
            continue
        with pytest.raises(InvalidAccount) as error:
            put(other, ref=sealed.ref)
        assert "another destination" in error.value.details["$sealed"][0].error


def test_the_same_destination_written_otherwise():
    """One string for an array of one, and a default left out or spelt out, are the same."""
    sealed = seal_file({**SOURCE, "trusted_hosts": "a.test"}, TYPES, KEY)
    body = {**sealed_source(sealed), "trusted_hosts": ["a.test"], "enable_start_tls": False}
    assert put(body) == put({n: v for n, v in body.items() if n != "trust_all"})


def test_a_destination_of_another_kind():
    """``1`` is not ``true``: there is one spelling of a destination."""
    destination = {**EMAIL.destination(SOURCE), "enable_tls": True}
    for enable_tls, fits in ((True, True), (1, False)):
        members = {**MEMBERS, "destination": {**destination, "enable_tls": enable_tls}}
        body = {**sealed_source(), "enable_tls": True, "$sealed": boxed(padded(members))}
        if fits:
            assert put(body).file
            continue
        with pytest.raises(InvalidAccount) as error:
            put(body)
        assert [*error.value.details] == ["$sealed"]


@pytest.mark.parametrize("value", ["x", None, REDACTED, "hunter2"])
def test_secrets_beside_it(value):
    """It stands for all of them: none may be named, whatever its value."""
    for name in ("password", "client_key"):
        with pytest.raises(InvalidAccount) as error:
            put({**sealed_source(), name: value})
        assert [*error.value.details] == [name]
        assert "none may stand beside it" in error.value.details[name][0].error


@pytest.mark.parametrize("name", ["host", "type", "passwrod", "hunter2", "$sealed"])
def test_what_is_no_secret_in_it(name):
    """Everybody can seal: what is no secret of the type does not get in by the back door."""
    text = boxed(padded({**MEMBERS, "secrets": {"password": "hunter2", name: "x"}}))
    with pytest.raises(InvalidAccount) as error:
        put({**sealed_source(), "$sealed": text})
    assert [*error.value.details] == ["$sealed"]
    assert "hunter2" not in error.value.details["$sealed"][0].error


@pytest.mark.parametrize("value", [None, 5, "", REDACTED, f"x{REDACTED}", {"a": REDACTED}])
def test_what_is_sealed_is_checked_like_a_body(value):
    """A secret in it is no more trusted than one in clear."""
    members = {**MEMBERS, "destination": EMAIL.destination(SOURCE), "secrets": {"password": value}}
    with pytest.raises(InvalidAccount) as error:
        put({**sealed_source(), "$sealed": boxed(padded(members))})
    assert [*error.value.details] == ["password"]


def test_no_error_tells_whether_a_guess_is_right():
    """Who has a file but not its secret could else try words as names and values of attributes."""
    for guess in ({"{}": 1}, {"labels": {"{}": 1}}, {"port": "{}"}, {"type": "{}"}):
        told = []
        for word in ("hunter2", "hunter3"):
            body = json.loads(json.dumps(guess).replace("{}", word))
            with pytest.raises(InvalidAccount) as error:
                put({**sealed_source(), **body})
            told.append(str(error.value.details).replace(word, "…"))
        assert told[0] == told[1]
