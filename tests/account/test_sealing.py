"""What was sealed opens, and a box tells nothing but that it is there."""

import base64
import json

import pytest
from accounts import ACCOUNT, ACCOUNTS, PUBLIC, REF, RING, SOURCE
from hypothesis import assume, given
from hypothesis import strategies as st

from signals_proxy.account import (
    Account,
    Integrity,
    Ref,
    SealedAccount,
    keyring,
    open_sealed,
    reseal,
    seal,
    sealing,
    verify,
)
from signals_proxy.errors import SealingError, Unsealed
from signals_proxy.secret import Secret


@given(ACCOUNTS)
def test_what_was_sealed_opens(account):
    """Sealing and opening give the same account, whatever is in it."""
    sealed = seal(account, RING)
    assert Integrity.VERIFIED is verify(sealed, RING)
    assert account == open_sealed(sealed, RING)


@given(ACCOUNTS)
def test_a_stored_document_survives_the_index(account):
    """JSON there and back, in another order of members, changes nothing."""
    sealed = seal(account, RING)
    text = json.dumps(dict(reversed(sealed.source.items())), sort_keys=True)
    assert account == open_sealed(SealedAccount(account.ref, json.loads(text)), RING)


def test_the_stored_form():
    """Public attributes as they are, who it is, and the box with what belongs to it."""
    sealed = seal(Account(REF, PUBLIC, ACCOUNT.secrets, "hash"), RING).source
    part = sealed["_sealed"]
    assert {
        **PUBLIC,
        "type": "email",
        "_name": "default",
        "_tenant": "ops",
        "_sealed": part,
    } == sealed
    assert [*part] == ["v", "key", "secrets", "file", "box"]
    assert (1, RING.primary.id, ["client_key", "password"], "hash") == (*part.values(),)[:4]


def test_an_account_without_secrets_is_sealed_too():
    """It carries a tag just the same; a global account has no ``_tenant``."""
    account = Account(Ref("email", "a"), {"host": "h"}, {})
    source = seal(account, RING).source
    assert [*source] == ["type", "_name", "host", "_sealed"]
    assert account == open_sealed(SealedAccount(account.ref, source), RING)
    assert Integrity.FAILED is verify(SealedAccount(account.ref, {**source, "host": "i"}), RING)


def test_each_box_is_another():
    """The nonce is fresh each time."""
    assert seal(ACCOUNT, RING).source["_sealed"]["box"] != SOURCE["_sealed"]["box"]


def test_a_further_key_opens_and_does_not_seal():
    """The primary is the first; taken away, what it sealed has an unknown key."""
    lines = [line for line in keyring.generate().split("\n") if line and line[0] != "#"]
    newer = [line for line in keyring.generate().split("\n") if "-key-1" in line]
    by_older = seal(ACCOUNT, keyring.parse("\n".join(lines)))
    both = keyring.parse("\n".join([*newer, *lines]))
    assert Integrity.VERIFIED is verify(by_older, both)
    assert both.primary.id == seal(ACCOUNT, both).source["_sealed"]["key"]
    only_newer = keyring.parse("\n".join([*newer, *lines[1:]]))
    assert Integrity.UNKNOWN_KEY is verify(by_older, only_newer)


@given(
    st.dictionaries(
        st.sampled_from(["password", "token"]), st.text("ä€x\0", max_size=60), min_size=1
    )
)
def test_the_size_of_a_box_tells_nothing_within_a_block(secrets):
    """All that fits into 256 bytes makes boxes of one size."""
    plain = json.dumps(secrets, ensure_ascii=False, separators=(",", ":")).encode()
    assume(len(plain) < 256)
    account = Account(REF, {}, {n: Secret(v) for n, v in secrets.items()})
    box = base64.b64decode(seal(account, RING).source["_sealed"]["box"])
    assert len(box) == 24 + 256 + 16


def test_a_longer_plain_text_takes_another_block():
    """256 bytes are one too many for the first, for the padding has one at least."""
    for length, blocks in ((255, 1), (256, 2), (511, 2), (512, 3)):
        account = Account(REF, {}, {"password": Secret("x" * (length - len('{"password":""}')))})
        box = base64.b64decode(seal(account, RING).source["_sealed"]["box"])
        assert 24 + 256 * blocks + 16 == len(box)


@pytest.mark.parametrize("value", [1.0, 2**53 + 1, -(2**53) - 1, "\ud800", {"\ud800": 1}, {1}])
def test_what_has_no_canonical_form_is_not_sealed(value):
    """A mistake of ours is noticed before it is stored."""
    for account in (Account(REF, {"a": value}, {}), Account(REF, {}, {"a": Secret(value)})):
        with pytest.raises(ValueError, match=r"canonical|surrogates"):
            seal(account, RING)


def test_every_state_but_verified_has_a_remedy():
    """Who reads the state reads what to do about it, there and in the error."""
    assert [s for s in Integrity if not s.remedy] == [Integrity.VERIFIED]
    with pytest.raises(Unsealed) as error:
        open_sealed(SealedAccount(REF, {}), RING)
    assert Integrity.UNSEALED is Integrity.of(error.value)
    assert (
        f"The account 'ops/email/default' cannot be used: unsealed. {Integrity.UNSEALED.remedy}"
        == error.value.message
    )


# --- resealing -----------------------------------------------------------------------------------

OLDER = keyring.generate()
NEW_LINE = keyring.appended(OLDER).splitlines()[-1]
OLD = keyring.parse(OLDER)
BOTH = keyring.parse(f"{NEW_LINE}\n{OLDER}")
NEW = keyring.parse("\n".join([NEW_LINE, *(x for x in OLDER.split("\n") if "-key-1" not in x)]))


@given(ACCOUNTS)
def test_resealing_changes_the_key_and_nothing_else(account):
    """Afterwards the old key may go; what was public, secret and ``file`` is as it was."""
    before = seal(account, OLD)
    after = reseal(before, BOTH)
    assert open_sealed(after, NEW) == account
    changed = {"key": NEW.primary.id, "box": after.source["_sealed"]["box"]}
    assert after.source == {**before.source, "_sealed": {**before.source["_sealed"], **changed}}
    assert [*after.source] == [*before.source]
    assert after.source["_sealed"]["box"] != before.source["_sealed"]["box"]


def test_resealing_keeps_what_this_version_does_not_know():
    """Members of the document and of ``_sealed`` that a later version wrote stay, bound."""
    source = dict(seal(ACCOUNT, OLD).source)
    part = {**source.pop("_sealed"), "later": {"a": [1, None]}, "key": OLD.primary.id}
    later = sealing._boxed(ACCOUNT, {**source, "zz": "x"}, part, OLD, bytes(24))
    after = reseal(later, BOTH)
    assert after.source["_sealed"]["later"] == {"a": [1, None]}
    assert after.source["zz"] == "x"
    assert verify(after, NEW) is Integrity.VERIFIED
    for changed in (
        {**after.source, "zz": "y"},
        {**after.source, "_sealed": {**after.source["_sealed"], "later": 1}},
    ):
        assert verify(SealedAccount(REF, changed), NEW) is Integrity.FAILED


@pytest.mark.parametrize(
    ("source", "integrity"),
    [
        ({**seal(ACCOUNT, OLD).source, "host": "evil.test"}, Integrity.FAILED),
        (SOURCE, Integrity.UNKNOWN_KEY),
        (PUBLIC, Integrity.UNSEALED),
    ],
)
def test_what_is_not_verified_is_never_resealed(source, integrity):
    """Or rotation would make genuine what somebody wrote to the index."""
    with pytest.raises(SealingError) as refused:
        reseal(SealedAccount(REF, source), BOTH)
    assert Integrity.of(refused.value) is integrity
