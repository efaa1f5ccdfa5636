"""What a PUT keeps, what it refuses, and what a GET shows of any document."""

import json

import pytest
from accounts import TYPES
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.account import (
    Account,
    Ref,
    SealedAccount,
    Unopened,
    changes_nothing,
    merge,
    redact,
)
from signals_proxy.errors import Forged, InvalidAccount, NewerAccount
from signals_proxy.secret import REDACTED, Secret

EMAIL = TYPES["email"]
REF = Ref("email", "a")
PUBLIC = {"host": "smtp.example.com", "port": 465, "user": "u"}
STORED = Account(REF, PUBLIC, {"password": Secret("p"), "proxy_password": Secret("q")})


def unopened(**source):
    """A stored document that did not come from us."""
    return Unopened(SealedAccount(REF, source), Forged("remedy"))


def revealed(secrets):
    """Secrets as a test can compare them."""
    return {name: secret.reveal() for name, secret in secrets.items()}


def test_a_new_account():
    """Without a stored one nothing is kept, and secrets leave the attributes at once."""
    draft = merge({**PUBLIC, "password": "p", "proxy_password": None}, None, EMAIL, REF)
    assert draft.attributes == PUBLIC
    assert revealed(draft.sent) == {"password": "p"}
    assert draft.kept == {}


def test_left_out_and_redacted_secrets_are_kept_and_null_removes():
    """The three ways to say what becomes of a stored secret."""
    left_out = merge(PUBLIC, STORED, EMAIL, REF)
    assert revealed(left_out.kept) == {"password": "p", "proxy_password": "q"}
    redacted = merge({**PUBLIC, "password": REDACTED}, STORED, EMAIL, REF)
    assert revealed(redacted.kept) == {"password": "p", "proxy_password": "q"}
    removed = merge({"password": None, "proxy_password": "r"}, STORED, EMAIL, REF)
    assert (revealed(removed.kept), revealed(removed.sent)) == ({}, {"proxy_password": "r"})


def test_a_placeholder_for_a_secret_that_is_not_stored_is_noted():
    """It is an error for the validation to tell, together with all others."""
    assert {"client_key"} == merge({"client_key": REDACTED}, STORED, EMAIL, REF).unstored
    assert {"password"} == merge({"password": REDACTED}, None, EMAIL, REF).unstored


def test_what_get_adds_is_dropped():
    """The names of the document are the path's; only the type is looked at again."""
    body = {"_id": "x", "_name": "x", "_tenant": "x", "type": "email", **PUBLIC}
    assert merge(body, None, EMAIL, REF).attributes == {"type": "email", **PUBLIC}


@pytest.mark.parametrize(
    "source",
    [
        {"_sealed": {"secrets": ["password"], "box": "x"}},
        {"password": "in clear"},
        {"password": None, "_sealed": {"secrets": "password"}},
    ],
)
@pytest.mark.parametrize("body", [{}, {"password": REDACTED}, {"proxy_password": "q"}])
def test_nothing_is_kept_of_an_account_that_is_not_verified(source, body):
    """Unless the body says of each of its secrets what becomes of it, the reason is raised."""
    before = unopened(**source)
    with pytest.raises(Forged) as refused:
        merge({**PUBLIC, **body}, before, EMAIL, REF)
    assert before.reason is refused.value


@pytest.mark.parametrize(
    "source",
    [
        {"_sealed": {"secrets": ["password"]}},
        {"password": "in clear"},
        {"_sealed": {"secrets": ["zzz", 5, None]}},
        {"_sealed": {"secrets": 5}},
        {"_sealed": []},
        {},
    ],
)
@pytest.mark.parametrize("password", ["new", None])
def test_an_account_that_is_not_verified_is_replaced_as_a_whole(source, password):
    """With each of its secrets sent or null, the PUT is one of a new account."""
    draft = merge({**PUBLIC, "password": password}, unopened(**source), EMAIL, REF)
    assert draft.before is None
    assert draft.kept == {}


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"host": "evil.example"},
        {"_sealed": {"box": "x"}},
        {"_sealed": {"secrets": [], "box": "x"}},
        {"_sealed": {"secrets": None, "box": "x"}},
        {"_sealed": {"secrets": "password", "box": "x"}},
        {"_sealed": {"secrets": [["password"]], "box": "x"}},
        {"_sealed": {"box": float("nan")}},
    ],
)
def test_whoever_emptied_the_list_of_secrets_gains_nothing(source):
    """A body that says nothing of any secret means to keep them, whatever the document lists."""
    before = unopened(**source)
    for body in ({}, {"password": REDACTED}):
        with pytest.raises(Forged):
            merge({**PUBLIC, **body}, before, EMAIL, REF)
    for name in ("password", "client_key"):
        assert merge({**PUBLIC, name: None}, before, EMAIL, REF).kept == {}


def test_no_attribute_of_a_newer_version_is_dropped():
    """An account that holds what this version does not know is not overwritten."""
    for before in (
        Account(REF, {**PUBLIC, "zzz": 1}, {}),
        Account(REF, PUBLIC, {"zzz": Secret({})}),
    ):
        with pytest.raises(NewerAccount, match="zzz"):
            merge(PUBLIC, before, EMAIL, REF)


def test_a_draft_shows_no_secret():
    """Not even one that was sent under a wrong name."""
    shown = repr(merge({"password": "hunter2", "passwrod": "hunter2"}, STORED, EMAIL, REF))
    assert "hunter2" not in shown


@given(
    st.dictionaries(
        st.sampled_from(["password", "proxy_password", "client_key", "host", "zzz"]),
        st.none() | st.just(REDACTED) | st.text(max_size=3) | st.integers(),
    ),
    st.sampled_from([None, STORED]),
)
def test_every_secret_is_sent_kept_or_gone(body, before):
    """No secret is in two places, and none comes from nowhere."""
    draft = merge(body, before, EMAIL, REF)
    stored = before.secrets if before else {}
    assert not draft.sent.keys() & draft.kept.keys()
    assert not EMAIL.secrets & draft.attributes.keys()
    assert draft.kept.items() <= stored.items() or before is STORED
    assert {
        n for n, v in body.items() if n in EMAIL.secrets and v not in (None, REDACTED)
    } == draft.sent.keys()
    assert stored.keys() - {n for n in body if body[n] != REDACTED} == draft.kept.keys()


# --- noop ----------------------------------------------------------------------------------------


def noop(body, before):
    """Whether a PUT would change nothing."""
    draft = merge(body, before, EMAIL, REF)
    return changes_nothing(draft, EMAIL.validate(draft))


def test_the_same_again_is_a_noop():
    """As it was sent, as GET shows it, and with what was left out."""
    first = EMAIL.validate(merge({**PUBLIC, "password": "p"}, None, EMAIL, REF))
    for body in (
        PUBLIC,
        {**PUBLIC, "password": REDACTED},
        {**first.public, "client_key": None, "type": "email", "_name": "a"},
    ):
        assert noop(body, first)


def test_what_is_no_noop():
    """Nothing stored, a secret in clear (even the stored one), or anything changed."""
    first = EMAIL.validate(merge({**PUBLIC, "password": "p"}, None, EMAIL, REF))
    assert not noop(PUBLIC, None)
    assert not noop({**PUBLIC, "password": "p"}, first)
    assert not noop({**PUBLIC, "password": None}, first)
    assert not noop({**PUBLIC, "user": "v"}, first)
    assert not noop({**PUBLIC, "owner": "me"}, first)


def test_true_is_not_one():
    """An account that was sealed with another kind of value is stored anew."""
    first = EMAIL.validate(merge(PUBLIC, None, EMAIL, REF))
    assert not noop(PUBLIC, Account(REF, {**first.public, "debug": 0}, {}))


# --- redact --------------------------------------------------------------------------------------


def test_get_shows_public_attributes_and_placeholders():
    """Nothing of the seal, and every secret as the placeholder."""
    source = {
        "type": "email",
        "_name": "a",
        "_tenant": "t",
        **PUBLIC,
        "_sealed": {"v": 1, "key": "k", "secrets": ["password"], "file": "h", "box": "x"},
    }
    assert redact(SealedAccount(Ref("email", "a", "t"), source), EMAIL) == {
        "type": "email",
        "_name": "a",
        "_tenant": "t",
        **PUBLIC,
        "password": REDACTED,
    }


def test_a_forged_document_shows_no_secret_and_no_lie_about_its_name():
    """A secret in the clear, under its own or another name or within something, is masked."""
    source = {
        "type": "slack",
        "_name": "b",
        "_tenant": "t",
        "_id": "x",
        "_other": "hunter2",
        "$sealed": "text",
        "host": {"password": {"a": "hunter2"}},
        "user": ["a", ["hunter2"]],
        "owner": 1.5,
        "password": "hunter2",
        "passwrod": "hunter2",
        "Password": "hunter2",
        "\ud800": 1,
        "description": "\ud800",
        "labels": {"\ud800": "a"},
        "port": 465,
        "mime_layout": None,
        "_sealed": {"secrets": ["client_key", "port", "_x", "type", 5, "\ud800"], "box": "hunter2"},
    }
    assert redact(SealedAccount(REF, source), EMAIL) == {
        "type": "email",
        "_name": "a",
        "port": 465,
        "mime_layout": None,
        **dict.fromkeys(["host", "user", "owner", "password", "passwrod"], REDACTED),
        **dict.fromkeys(["description", "labels", "client_key"], REDACTED),
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
SOURCES = st.dictionaries(
    st.sampled_from(sorted({*EMAIL.public, *EMAIL.secrets, "_sealed", "type", "_name"}))
    | st.text(max_size=5),
    JSON
    | st.fixed_dictionaries(
        {}, optional={"secrets": JSON | st.lists(st.text(max_size=3)), "box": JSON}
    ),
    max_size=6,
)


@given(SOURCES)
def test_whatever_is_stored_can_be_shown(source):
    """Any document is answered with valid JSON that holds no value of a secret attribute."""
    shown = redact(SealedAccount(REF, source), EMAIL)
    assert "_sealed" not in shown
    assert {REDACTED} >= {shown[n] for n in shown.keys() & EMAIL.secrets}
    assert json.loads(json.dumps(shown, allow_nan=False, ensure_ascii=False).encode()) == shown


@given(SOURCES)
def test_whatever_is_stored_can_be_replaced_or_is_refused(source):
    """A PUT over any document is a new account or the reason why not."""
    try:
        draft = merge(PUBLIC, unopened(**source), EMAIL, REF)
        EMAIL.validate(draft)
    except (Forged, InvalidAccount):
        return
    assert draft.kept == {}
