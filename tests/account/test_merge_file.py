"""What a PUT with ``$sealed`` makes of what is stored: all secrets are the file's, and none is kept."""

from dataclasses import replace

import pytest
from accounts import TYPES

from signals_proxy.account import (
    Account,
    Ref,
    SealedAccount,
    Unopened,
    changes_nothing,
    merge,
)
from signals_proxy.account.account_type import FromFile
from signals_proxy.errors import Forged, InvalidAccount, NewerAccount
from signals_proxy.secret import REDACTED, Secret

EMAIL = TYPES["email"]
REF = Ref("email", "a")
PUBLIC = {"host": "smtp.example.com", "port": 465, "user": "u"}
STORED = Account(REF, PUBLIC, {"password": Secret("p"), "client_key": Secret("q")})
HASH = "0" * 64


def from_file(hash_=HASH):
    """What opening a ``$sealed`` for these public attributes gives."""
    return {"password": Secret("f")}, FromFile(hash_, EMAIL.destination(PUBLIC))


def filed(before=None, opened=None, **body):
    """The draft of a PUT with ``$sealed``."""
    body = {**PUBLIC, "$sealed": "text", **body}
    return merge(body, before, EMAIL, REF, opened or from_file())


def test_a_file_holds_all_secrets_there_will_be():
    """What was stored and is not in it is gone; the text itself is no attribute."""
    account = EMAIL.validate(filed(STORED))
    assert account.secrets == {"password": Secret("f")}
    assert account.file == HASH
    assert "$sealed" not in account.public


def test_a_text_that_nobody_opened_is_no_attribute():
    """Were it forgotten to open it, its secrets would be silently left out."""
    with pytest.raises(InvalidAccount) as refused:
        EMAIL.validate(merge({**PUBLIC, "$sealed": "text"}, None, EMAIL, REF))
    assert [*refused.value.details] == ["$sealed"]


def test_the_very_same_file_is_a_noop():
    """Its hash is bound in the document; another text is a change, whatever is in it."""
    stored = EMAIL.validate(filed())
    for before, opened, body, expected in (
        (stored, from_file(), {}, True),
        (stored, from_file(), {"description": "x"}, False),
        (stored, from_file("1" * 64), {}, False),
        (None, from_file(), {}, False),
        (replace(stored, file=None), from_file(), {}, False),
    ):
        draft = filed(before, opened, **body)
        assert changes_nothing(draft, EMAIL.validate(draft)) is expected


def test_a_file_is_remembered_as_long_as_all_secrets_are_its():
    """Kept secrets are the file's still; one that is sent or removed makes them somebody's own."""
    stored = EMAIL.validate(filed())
    draft = merge(PUBLIC, stored, EMAIL, REF)
    assert changes_nothing(draft, EMAIL.validate(draft))
    for body, file in (
        ({"description": "x"}, HASH),
        ({"password": REDACTED, "client_key": None}, HASH),
        ({"password": "f"}, None),
        ({"password": None}, None),
    ):
        assert EMAIL.validate(merge({**PUBLIC, **body}, stored, EMAIL, REF)).file == file


@pytest.mark.parametrize(
    "source", [{}, {"password": "in clear"}, {"_sealed": {"secrets": ["password", "client_key"]}}]
)
def test_a_file_heals_what_is_not_verified(source):
    """It says what becomes of every secret; nothing of the document is kept."""
    draft = filed(Unopened(SealedAccount(REF, {"host": "evil.test", **source}), Forged("remedy")))
    account = EMAIL.validate(draft)
    assert draft.before is None
    assert account.secrets == {"password": Secret("f")}
    assert account.public["host"] == PUBLIC["host"]


def test_a_file_drops_nothing_of_a_newer_version():
    """As little as any other body."""
    with pytest.raises(NewerAccount, match="zzz"):
        filed(Account(REF, {**PUBLIC, "zzz": 1}, {}))


@pytest.mark.parametrize("value", ["x", None, REDACTED])
def test_no_secret_stands_beside_a_file(value):
    """Before the text was opened as well: then it is an account file that is sealed in part."""
    for opened in (None, from_file()):
        with pytest.raises(InvalidAccount) as refused:
            merge({**PUBLIC, "$sealed": "text", "password": value}, STORED, EMAIL, REF, opened)
        assert [*refused.value.details] == ["password"]
