"""There is one form for every value and every box, and everything is bound."""

import base64
import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from signals_proxy.account import (
    Integrity,
    Ref,
    SealedAccount,
    keyring,
    open_sealed,
    verify,
)
from signals_proxy.account.sealing import associated_data, encode
from signals_proxy.errors import Forged

RING = keyring.parse(keyring.generate())
REF = Ref("email", "default", "ops")

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
REFS = st.builds(Ref, TEXT, TEXT, st.none() | TEXT)


def boxed(plain, secrets, *, beside=(), **members):
    """A document sealed with the right key by somebody who puts anything into the box."""
    part = {"v": 1, "key": RING.primary.id, "secrets": secrets, **dict(beside)}
    source = {"type": "email", "_name": "default", "_tenant": "ops", "_sealed": part, **members}
    nonce = bytes(24)
    box = nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        plain,
        associated_data(RING.primary.id, RING.registry_id, REF, source),
        nonce,
        RING.primary.account_box_key(RING.registry_id),
    )
    part["box"] = base64.b64encode(box).decode()
    return SealedAccount(REF, source)


def padded(plain):
    """Plain text as it lies in a box."""
    return plain + b"\x80" + bytes(255 - len(plain) % 256)


def test_a_well_made_box_opens():
    """The tests below differ from this in one point each."""
    assert Integrity.VERIFIED is verify(boxed(padded(b'{"a":1}'), ["a"]), RING)


@pytest.mark.parametrize(
    ("plain", "secrets"),
    [
        (padded(b'{"a":1}'), ["b"]),
        (padded(b'{"a":1}'), []),
        (padded(b'{"a":1}'), ["a", "a"]),
        (padded(b'{"a":1,"b":1}'), ["b", "a"]),
        (padded(b'{"b":1,"a":1}'), ["a", "b"]),
        (padded(b'{"a": 1}'), ["a"]),
        (padded(b'{"a":1}\n'), ["a"]),
        (padded(b'{"a":1,"a":1}'), ["a"]),
        (padded(b'{"a":1.5}'), ["a"]),
        (padded(b'{"a":1e2}'), ["a"]),
        (padded(b'{"a":9007199254740993}'), ["a"]),
        (padded(b'{"a":' + b"9" * 5000 + b"}"), ["a"]),
        (padded(b'{"a":NaN}'), ["a"]),
        (padded(b'{"a":"\\u0061"}'), ["a"]),
        (padded(b'{"a":"\\/"}'), ["a"]),
        (padded(b'{"a":"\\ud800"}'), ["a"]),
        (padded(b'{"a":"\xff"}'), ["a"]),
        (padded(b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"), ["a"]),
        (padded(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), ["a"]),
        (padded(b"[]"), []),
        (padded(b"null"), []),
        (padded(b""), []),
        (b'{"a":1}'.ljust(256, b"\0"), ["a"]),
        (b'{"a":1}' + b"\x80" + bytes(247) + b"\x01", ["a"]),
        (padded(b'{"a":1}') + bytes(256), ["a"]),
        (b'{"a":1}\x80', ["a"]),
        (b'{"a":"' + b"x" * 255 + b'"}\x80', ["a"]),
    ],
)
def test_only_the_canonical_content_opens(plain, secrets):
    """Whoever holds the key can write a box in one way only."""
    assert Integrity.FAILED is verify(boxed(plain, secrets), RING)


@pytest.mark.parametrize(
    ("beside", "members"),
    [
        ({"v": True}, {}),
        ({"file": 5}, {}),
        ({"file": None}, {}),
        ({}, {"_name": "other"}),
        ({}, {"type": "slack"}),
        ({}, {"_tenant": "other"}),
        ({}, {"_tenant": None}),
    ],
)
def test_only_the_canonical_document_opens(beside, members):
    """Nor does the key help to seal a document that says of itself what it is not."""
    assert verify(boxed(padded(b"{}"), [], beside=beside, **members), RING) is Integrity.FAILED


def test_no_traceback_holds_what_was_opened():
    """The exception has no context that quotes the content."""
    sealed = boxed(padded(b'{"a":"hunter2",'), ["a"])
    with pytest.raises(Forged) as refused:
        open_sealed(sealed, RING)
    assert refused.value.__context__ is None
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


# --- associated data -----------------------------------------------------------------------------


def decode(data):
    """The reverse of ``encode``, which it does not have, because nobody needs it but this proof."""
    kind, rest = data[:1], data[1:]
    if kind in {b"N", b"T", b"F"}:
        return {b"N": None, b"T": True, b"F": False}[kind], rest
    number, rest = rest[:8], rest[8:]
    if kind == b"I":
        return int.from_bytes(number, "big", signed=True), rest
    count = int.from_bytes(number, "big")
    if kind == b"S":
        return rest[:count].decode(), rest[count:]
    items = []
    for _ in range(count * (2 if kind == b"O" else 1)):
        item, rest = decode(rest)
        items.append(item)
    return (dict(zip(items[::2], items[1::2], strict=True)) if kind == b"O" else items), rest


@given(VALUES)
def test_the_encoding_is_injective(value):
    """It can be read back, kinds included: so no two values have the same form."""
    again, rest = decode(encode(value))
    assert json.dumps(value, sort_keys=True) == json.dumps(again, sort_keys=True)
    assert rest == b""


@given(
    st.tuples(VALUES, VALUES),
    st.tuples(REFS, REFS),
    st.tuples(TEXT, TEXT),
    st.tuples(st.binary(max_size=2), st.binary(max_size=2)),
)
def test_associated_data_is_injective(values, refs, keys, registries):
    """Two different inputs never give the same bytes."""
    one, other = (
        (k, registry, r, {"a": v})
        for v, r, k, registry in zip(values, refs, keys, registries, strict=True)
    )
    assert (repr(one) == repr(other)) == (associated_data(*one) == associated_data(*other))


def test_what_is_told_apart():
    """Absent, null, empty; tenant absent and empty; numbers, booleans and strings."""
    registry = RING.registry_id
    bound = [
        *(associated_data("k", registry, Ref("t", "i", n), {}) for n in (None, "", "t")),
        associated_data("k", registry, Ref("", "ti"), {}),
        associated_data("k", bytes(32), Ref("t", "i"), {}),
        *(
            associated_data("k", registry, Ref("t", "i"), {"a": v})
            for v in (None, [], {}, "", 0, 1, "0", "1", True, False, [None], [[]], {"": None})
        ),
        associated_data("k", registry, Ref("t", "i"), {"_sealed": {}}),
        associated_data("k", registry, Ref("t", "i"), {"_sealed": None}),
        associated_data("k", registry, Ref("t", "i"), {"a": "é"}),
        associated_data("k", registry, Ref("t", "i"), {"a": "e\u0301"}),
    ]
    assert len(bound) == len(set(bound))


def test_the_box_is_the_only_thing_that_is_not_bound():
    """With another box the associated data are the same, with anything else they are not."""
    part = {"v": 1, "box": "x", "y": {"box": 1}}
    data = {
        n: associated_data("k", b"", REF, {"box": 1, "_sealed": {**part, **n_v}})
        for n, n_v in (("a", {}), ("b", {"box": "z"}), ("c", {"y": {"box": 2}}))
    }
    assert data["a"] == data["b"] != data["c"]
