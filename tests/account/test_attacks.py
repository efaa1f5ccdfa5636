"""Whatever somebody who can write the index does to an account, it is not used.

The rows "writes the index" and "holds an old, leaked key" of the threat model, at the level of the seal.
"""

import base64
import copy
import json

import pytest
from accounts import ACCOUNT, ACCOUNTS, REF, REFS, RING, SOURCE, VALUES
from hypothesis import assume, given
from hypothesis import strategies as st

from signals_proxy.account import (
    Account,
    Integrity,
    Ref,
    SealedAccount,
    Unopened,
    keyring,
    open_sealed,
    seal,
    try_open,
    verify,
)
from signals_proxy.errors import Forged, SealingError, UnknownKey, Unsealed

OTHER = keyring.parse(keyring.generate())


def changed(**members):
    """The stored document with other members."""
    return {**SOURCE, **members}


def sealed_part(**members):
    """The stored document with other members beside the box."""
    return changed(_sealed={**SOURCE["_sealed"], **members})


def without(*names):
    """The stored document's part beside the box without some of its members."""
    return changed(_sealed={n: v for n, v in SOURCE["_sealed"].items() if n not in names})


FOREIGN = seal(Account(REF, {}, {}), OTHER).source["_sealed"]
BOX = SOURCE["_sealed"]["box"]

ATTACKS = {
    "host": changed(host="evil.test"),
    "host in upper case": changed(host="SMTP.example.com"),
    "port": changed(port=25),
    "TLS off": changed(enable_tls=False),
    "TLS left out": {n: v for n, v in SOURCE.items() if n != "enable_tls"},
    "trust all": changed(trust_all=True),
    "trusted hosts": changed(trusted_hosts=["a.test", "evil.test"]),
    "trusted hosts as a string": changed(trusted_hosts="a.test"),
    "a proxy": changed(proxy_host="evil.test"),
    "an attribute nobody knows": changed(yyy="x"),
    "retyped to a float": changed(port=465.0),
    "retyped to a string": changed(port="465"),
    "retyped to an integer": changed(enable_tls=1),
    "retyped to null": changed(default_to=None),
    "retyped to an object": changed(default_to={}),
    "null taken away": {n: v for n, v in SOURCE.items() if n != "zzz"},
    "a label": changed(labels={"team": "evil"}),
    "a label added": changed(labels={"team": "ops", "a": "b"}),
    "a secret in the clear": changed(password="x"),
    "an integer too large": changed(port=2**53 + 1),
    "an integer far too large": changed(port=10**4000),
    "not a number": changed(port=float("nan")),
    "half a surrogate pair": changed(host="\ud800"),
    "half a surrogate pair as a name": {**SOURCE, "\ud800": 1},
    "nested": changed(a=json.loads("[" * 500 + "]" * 500)),
    "another name": changed(_name="b"),
    "another type": changed(type="slack"),
    "another tenant": changed(_tenant="b"),
    "no tenant": {n: v for n, v in SOURCE.items() if n != "_tenant"},
    "tenant null": changed(_tenant=None),
    "version 2": sealed_part(v=2),
    "version 1.0": sealed_part(v=1.0),
    "version true": sealed_part(v=True),
    "version as a string": sealed_part(v="1"),
    "no version": without("v"),
    "key of another kind": sealed_part(key=5),
    "key in upper case": sealed_part(key=SOURCE["_sealed"]["key"].upper()),
    "unknown key": sealed_part(key="0" * 32),
    "empty key": sealed_part(key=""),
    "no key": without("key"),
    "fewer names of secrets": sealed_part(secrets=["password"]),
    "more names of secrets": sealed_part(secrets=["client_key", "password", "token"]),
    "names in another order": sealed_part(secrets=["password", "client_key"]),
    "names as an object": sealed_part(secrets={"client_key": 1, "password": 1}),
    "no names": without("secrets"),
    "a file": sealed_part(file="x"),
    "a file of another kind": sealed_part(file=5),
    "an unknown member": sealed_part(x=1),
    "a box of another registry": changed(_sealed=FOREIGN),
    "a foreign box under our key's id": changed(_sealed={**FOREIGN, "key": RING.primary.id}),
    "box null": sealed_part(box=None),
    "box an object": sealed_part(box={}),
    "box empty": sealed_part(box=""),
    "box a nonce": sealed_part(box=base64.b64encode(bytes(24)).decode()),
    "box without content": sealed_part(box=base64.b64encode(bytes(40)).decode()),
    "box of zeros": sealed_part(box=base64.b64encode(bytes(296)).decode()),
    "box cut by a block": sealed_part(box=base64.b64encode(base64.b64decode(BOX)[:-256]).decode()),
    "box cut by a byte": sealed_part(box=base64.b64encode(base64.b64decode(BOX)[:-1]).decode()),
    "box longer by a byte": sealed_part(
        box=base64.b64encode(base64.b64decode(BOX) + b"x").decode()
    ),
    "nonce changed": sealed_part(
        box=base64.b64encode(
            bytes([base64.b64decode(BOX)[0] ^ 1]) + base64.b64decode(BOX)[1:]
        ).decode()
    ),
    "box with a blank": sealed_part(box=BOX + " "),
    "box with a line break": sealed_part(box=BOX[:76] + "\n" + BOX[76:]),
    "box without padding": sealed_part(box=BOX.rstrip("=")),
    "box with more padding": sealed_part(box=BOX + "===="),
    "box in base64url": sealed_part(box=BOX.replace("+", "-").replace("/", "_")),
    "box beyond ASCII": sealed_part(box=BOX + "ä"),
}
UNKNOWN = {"key in upper case", "unknown key", "empty key", "a box of another registry"}
NOTHING = {"box in base64url"} if "+" not in BOX and "/" not in BOX else set()


@pytest.mark.parametrize("attack", sorted(ATTACKS.keys() - NOTHING))
def test_a_document_that_was_changed_does_not_open(attack):
    """Any change in the index is noticed, and none makes anything but a sealing error."""
    sealed = SealedAccount(REF, ATTACKS[attack])
    expected = Integrity.UNKNOWN_KEY if attack in UNKNOWN else Integrity.FAILED
    assert expected is verify(sealed, RING)
    with pytest.raises(UnknownKey if attack in UNKNOWN else Forged):
        open_sealed(sealed, RING)


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"host": "h"},
        changed(_sealed=None),
        changed(_sealed=[BOX]),
        changed(_sealed=BOX),
        without("box"),
    ],
)
def test_a_document_without_a_box_is_unsealed(source):
    """A plain-text account that replaces one of ours is never mistaken for it."""
    with pytest.raises(Unsealed):
        open_sealed(SealedAccount(REF, source), RING)
    assert Integrity.UNSEALED is verify(SealedAccount(REF, source), RING)


@pytest.mark.parametrize(
    "ref",
    [
        Ref("email", "other", "ops"),
        Ref("slack", "default", "ops"),
        Ref("email", "default", "dev"),
        Ref("email", "default"),
        Ref("email", "default", ""),
    ],
)
def test_a_box_that_was_moved_does_not_open(ref):
    """Not in another account, type or tenant, whether the names move along or not."""
    names = {"type": ref.type, "_name": ref.id, "_tenant": ref.tenant}
    moved = (
        {**SOURCE, **names}
        if ref.tenant is not None
        else {n: v for n, v in {**SOURCE, **names}.items() if n != "_tenant"}
    )
    for source in (SOURCE, moved):
        assert Integrity.FAILED is verify(SealedAccount(ref, source), RING)


def test_another_registry_with_the_same_keys_does_not_open_it():
    """The registry's id is a line of the keyring, and in every derivation and box."""
    lines = keyring.generate().split("\n")
    other = [
        x if "-registry-1" not in x else y
        for x, y in zip(lines, keyring.generate().split("\n"), strict=True)
    ]
    ours, theirs = keyring.parse("\n".join(lines)), keyring.parse("\n".join(other))
    assert Integrity.FAILED is verify(seal(ACCOUNT, ours), theirs)


def test_a_leaked_key_writes_nothing_once_its_line_is_taken_away():
    """What it seals has an unknown key, whatever id it claims."""
    forged = seal(ACCOUNT, OTHER)
    assert Integrity.UNKNOWN_KEY is verify(forged, RING)
    claimed = {**forged.source, "_sealed": {**forged.source["_sealed"], "key": RING.primary.id}}
    assert Integrity.FAILED is verify(SealedAccount(REF, claimed), RING)


def mutations(draw, value, path=()):
    """A copy of a JSON value in which exactly one thing is another."""
    children = (
        [*value]
        if isinstance(value, dict)
        else [*range(len(value))]
        if isinstance(value, list)
        else []
    )
    how = draw(st.sampled_from(["inside", "remove", "replace"] if children else ["replace"]))
    if how == "inside":
        key = draw(st.sampled_from(children))
        mutated = copy.copy(value)
        mutated[key] = mutations(draw, value[key], (*path, key))
        return mutated
    if how == "remove":
        mutated = copy.copy(value)
        del mutated[draw(st.sampled_from(children))]
        return mutated
    if isinstance(value, str) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return value[:at] + draw(st.characters(exclude_categories=["Cs"])) + value[at + 1 :]
    return draw(VALUES | st.floats(allow_nan=False))


@given(ACCOUNTS, st.data())
def test_no_single_change_opens(account, data):
    """Wherever one thing is exchanged or taken away, the account is not verified."""
    source = seal(account, RING).source
    mutated = mutations(data.draw, source)
    assume(
        isinstance(mutated, dict)
        and json.dumps(mutated, sort_keys=True) != json.dumps(source, sort_keys=True)
    )
    assert Integrity.VERIFIED is not verify(SealedAccount(account.ref, mutated), RING)


@given(ACCOUNTS, REFS)
def test_no_other_place_opens(account, ref):
    """A document opens under the name that it was sealed for, and no other."""
    assume(ref != account.ref)
    assert Integrity.FAILED is verify(SealedAccount(ref, seal(account, RING).source), RING)


@given(
    st.dictionaries(
        st.sampled_from(["type", "_name", "_tenant", "_sealed", "host"]),
        VALUES
        | st.floats()
        | st.fixed_dictionaries(
            {"v": st.just(1) | VALUES, "key": st.just(RING.primary.id) | VALUES},
            optional={
                "box": st.binary(max_size=400).map(lambda b: base64.b64encode(b).decode()) | VALUES
            },
        ),
    )
)
def test_any_document_is_a_sealing_error(source):
    """The index's writer can make nothing else happen."""
    opened = try_open(SealedAccount(REF, source), RING)
    assert isinstance(opened, Unopened)
    assert isinstance(opened.reason, SealingError)
