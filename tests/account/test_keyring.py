"""One way to write a keyring; every other is refused with its line, and never quoted."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.account import keyring
from signals_proxy.errors import ConfigError


def b64(value):
    """The base64url of 32 equal bytes."""
    return base64.urlsafe_b64encode(bytes([value]) * 32).decode().rstrip("=")


KEY = "signals-proxy-key-1" + b64(1)
OLD = "signals-proxy-key-1" + b64(4)
SEALING = "signals-proxy-sealing-1" + b64(2)
REGISTRY = "signals-proxy-registry-1" + b64(3)
GOOD = f"{KEY}\n{SEALING}\n{REGISTRY}\n"


def test_what_is_generated_is_read():
    """A new file has one key and ids of its own."""
    one, other = (keyring.parse(keyring.generate()) for _ in range(2))
    assert len(one.keys) == 1
    assert one.primary.id != other.primary.id
    assert one.registry_id != other.registry_id
    assert len(one.registry_id) == 32


def test_what_is_generated_depends_on_the_source_of_randomness_only():
    """The three values are drawn one after the other."""
    values = iter([bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 32])
    text = keyring.generate(lambda size: next(values)[:size])
    assert [x for x in text.split("\n") if x and x[0] != "#"] == [KEY, SEALING, REGISTRY]


def test_a_keyring_with_several_keys():
    """The first is the primary, each is found by its id, and comments do not matter."""
    ring = keyring.parse(f"# a\n\n{KEY}\n#{OLD}\n{OLD}\n{REGISTRY}\n{SEALING}")
    assert bytes([3]) * 32 == ring.registry_id
    assert bytes([2]) * 32 == ring.sealing.reveal()
    first, second = ring.keys
    assert first is ring.primary
    assert second is ring.get(second.id)
    assert ring.get("0" * 32) is None


def test_an_id_is_a_fingerprint():
    """It follows from the key alone, in 32 hexadecimal digits."""
    ring = keyring.parse(GOOD)
    again = keyring.parse(f"{OLD}\n{KEY}\n{REGISTRY.replace(b64(3), b64(9))}\n{SEALING}\n")
    assert ring.primary.id == again.keys[1].id
    assert len(ring.primary.id) == 32
    assert int(ring.primary.id, 16)


def test_a_subkey_is_of_one_key_one_purpose_and_one_registry():
    """Change any of them, and another comes out; none is the key itself."""
    key, old = keyring.parse(f"{KEY}\n{OLD}\n{SEALING}\n{REGISTRY}").keys
    registries = (bytes(32), bytes(31) + b"\1")
    subkeys = {k.account_box_key(r) for k in (key, old) for r in registries}
    others = {k.material.reveal() for k in (key, old)} | {bytes.fromhex(key.id)}
    assert len(subkeys | others) == 7


def test_no_key_shows():
    """Neither a key nor a keyring prints what it holds."""
    ring = keyring.parse(GOOD)
    shown = f"{ring} {ring!r} {ring.primary!r} {ring.keys}"
    for value in (bytes([1]) * 32, bytes([2]) * 32):
        for form in (value.hex(), base64.b64encode(value).decode()[:40], repr(value)[2:40]):
            assert form not in shown


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", None, "the keyring has no line 'signals-proxy-key-1…'"),
        (f"{KEY}\n{REGISTRY}\n", None, "the keyring has no line 'signals-proxy-sealing-1…'"),
        (f"{KEY}\n{SEALING}\n", None, "the keyring has no line 'signals-proxy-registry-1…'"),
        (f"{SEALING}\n{REGISTRY}\n", None, "the keyring has no line 'signals-proxy-key-1…'"),
        (f"{GOOD}{KEY}\n", 4, "the same value as in line 1"),
        (f"{KEY}\n{REGISTRY[:-43]}{b64(1)}\n", 2, "the same value as in line 1"),
        (f"{GOOD}{REGISTRY[:-43]}{b64(9)}", 4, "a second line 'signals-proxy-registry-1…'"),
        (f"{GOOD}{SEALING[:-43]}{b64(9)}", 4, "a second line 'signals-proxy-sealing-1…'"),
        ("\ufeff" + GOOD, 1, "the file begins with a byte order mark"),
        (GOOD.replace("\n", "\r\n"), 1, "line ends of Windows"),
        ("# a\r\n" + GOOD, None, None),
        (f"{GOOD} \n", 4, "white space before or after the value"),
        (f" {KEY}", 1, "white space before or after the value"),
        (f"{KEY}\t", 1, "white space before or after the value"),
        ("-----BEGIN PRIVATE KEY-----\n", 1, "this is PEM"),
        ("AGE-SECRET-KEY-1QQQ", 1, "this is a key of age"),
        ("age1qqq", 1, "this is a key of age"),
        (f"signals-proxy-key-2{b64(1)}", 1, "a kind of line that this version does not know"),
        (f"signals-proxy-other-1{b64(1)}", 1, "not a line of a keyring"),
        (f"SIGNALS-PROXY-KEY-1{b64(1)}", 1, "not a line of a keyring"),
        (f"{b64(1)}", 1, "not a line of a keyring"),
        ("key: value", 1, "not a line of a keyring"),
        (f"{KEY[:30]} {KEY[30:]}", 1, "white space within the value"),
        (f"{KEY} # mine", 1, "white space within the value"),
        (f"{KEY}=", 1, "padding after the value"),
        (f"{KEY[:-2]}+A", 1, "base64 in place of base64url"),
        (f"{KEY[:-2]}/A", 1, "base64 in place of base64url"),
        (f"{KEY[:-2]}.A", 1, "a character that base64url does not have"),
        (f"{KEY[:-2]}äA", 1, "a character that base64url does not have"),
        (KEY[:-1], 1, "42 characters after the prefix, where there have to be 43"),
        (KEY + KEY, 1, "105 characters after the prefix, where there have to be 43"),
        ("signals-proxy-key-1", 1, "0 characters after the prefix, where there have to be 43"),
        (f"{KEY[:-1]}F", 1, "the last character is not one that base64url can end with"),
    ],
)
def test_mistakes_are_named(tmp_path, text, line, message):
    """Each has its sentence, its line and a remedy, and no value is quoted."""
    if message is None:
        assert keyring.parse(text)
        return
    with pytest.raises(ConfigError) as refused:
        keyring.parse(text, tmp_path / "keyring")
    error = refused.value
    assert (message, line, tmp_path / "keyring") == (error.message, error.line, error.file)
    assert error.remedy
    assert b64(1)[:20] not in f"{error}{error.remedy}"


@pytest.mark.parametrize("text", [GOOD, GOOD.rstrip(), f"# a\n\n{GOOD}\n#\n", f"{GOOD}# the end"])
def test_a_key_is_appended(text):
    """The text stays as it was, to the byte; the new key is the last and so seals nothing yet."""
    longer = keyring.appended(text, lambda size: bytes([4]) * size)
    assert longer == text + "\n" * (text[-1] != "\n") + OLD + "\n"
    before, after = keyring.parse(text), keyring.parse(longer)
    assert after.keys[:-1] == before.keys
    assert after.keys[-1].material.reveal() == bytes([4]) * 32
    drawn = {keyring.appended(text) for _ in range(2)}
    assert len(drawn) == 2


def test_no_key_is_appended_to_what_is_no_keyring():
    """Nor one that is there already."""
    with pytest.raises(ConfigError, match="not a line of a keyring"):
        keyring.appended("passwords")
    with pytest.raises(ConfigError, match="the same value as in line 1"):
        keyring.appended(GOOD, lambda size: bytes([1]) * size)


def test_the_key_pair_for_account_files():
    """It follows from its own line alone; the registry's fingerprint from the registry's id."""
    ring = keyring.parse(GOOD)
    public, private = ring.key_pair()
    assert private == hashlib.sha512(bytes([2]) * 32).digest()[:32]
    other = keyring.parse(f"{OLD}\n{REGISTRY.replace(b64(3), b64(9))}\n{SEALING}\n")
    assert other.key_pair() == (public, private)
    assert len({ring.registry_fingerprint, other.registry_fingerprint}) == 2
    assert len(ring.registry_fingerprint) == 16
    assert ring.registry_fingerprint not in ring.registry_id


@given(st.text("signal-proxyke123 \r\nA_=#é", max_size=80))
def test_any_text_is_a_keyring_or_a_config_error(text):
    """Nothing else is ever raised."""
    with pytest.raises(ConfigError):
        keyring.parse(f"{text}\n{KEY}\n{KEY}")


@given(st.integers(0, len(GOOD) - 1), st.characters(max_codepoint=300))
def test_no_other_text_is_the_same_keyring(at, character):
    """Exchange one character, and it is another keyring or none (comments aside)."""
    changed = GOOD[:at] + character + GOOD[at + 1 :]
    try:
        ring = keyring.parse(changed)
    except ConfigError:
        return
    good = keyring.parse(GOOD)
    same = (ring.registry_id, ring.keys, ring.sealing.reveal()) == (
        *(good.registry_id, good.keys),
        good.sealing.reveal(),
    )
    assert same == (changed.strip("\n") == GOOD.strip("\n"))
