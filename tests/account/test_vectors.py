"""The published vectors, against the program and against a second implementation.

The second one is written from ``docs/sealing.md`` alone and shares no line with the program: not
its encoding, not its derivation, not even its cipher. Vectors are never made anew: accounts that
were sealed once have to open for ever.
"""

import base64
import hashlib
import json
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from signals_proxy.account import Account, Integrity, Ref, SealedAccount, open_sealed, seal, verify
from signals_proxy.account import keyring as keyrings
from signals_proxy.account.sealing import associated_data, encode
from signals_proxy.secret import Secret

VECTORS = Path(__file__).parents[1] / "vectors"


def vectors(name):
    """The vectors of a file, each shown by its comment."""
    found = json.loads((VECTORS / f"{name}.json").read_text())
    return [pytest.param(vector, id=vector["comment"]) for vector in found]


# --- the second implementation -------------------------------------------------------------------


def form(value):
    """Section 3."""
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"T", False: b"F"}[value]
    if isinstance(value, int):
        return b"I" + struct.pack(">q", value)
    if isinstance(value, str):
        return b"S" + struct.pack(">Q", len(value.encode())) + value.encode()
    if isinstance(value, list):
        return b"A" + struct.pack(">Q", len(value)) + b"".join(map(form, value))
    if not isinstance(value, dict):
        raise ValueError("no form")  # noqa: TRY004  a value of JSON, not a type of Python
    pairs = sorted((name.encode(), form(member)) for name, member in value.items())
    members = b"".join(b"S" + struct.pack(">Q", len(n)) + n + m for n, m in pairs)
    return b"O" + struct.pack(">Q", len(pairs)) + members


def parameter_block(context, size, key, message):
    """Section 4: BLAKE2b with key, salt and personalisation."""
    salt = b"\1" + bytes(15)
    person = context + bytes(8)
    return hashlib.blake2b(message, digest_size=size, key=key, salt=salt, person=person).digest()


def key_file(lines):
    """Section 2: keys by id, and the registry's id."""
    keys, registry = {}, b""
    for line in lines:
        kind, value = line[:-43], base64.urlsafe_b64decode(line[-43:] + "=")
        if kind == "signals-proxy-key-1":
            keys[parameter_block(b"sgpx-kid", 16, value, b"").hex()] = value
        if kind == "signals-proxy-registry-1":
            registry = value
    return keys, registry


def hchacha20(key, nonce):
    """The key of XChaCha20 for the first 16 bytes of its nonce (draft-irtf-cfrg-xchacha-03, 2.2)."""
    state = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key)]
    state += struct.unpack("<4I", nonce)

    def quarter(a, b, c, d):
        for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[x] = (state[x] + state[y]) & 0xFFFFFFFF
            turned = state[z] ^ state[x]
            state[z] = ((turned << bits) | (turned >> (32 - bits))) & 0xFFFFFFFF

    for _ in range(10):
        for n in range(4):
            quarter(n, n + 4, n + 8, n + 12)
        for n in range(4):
            quarter(n, (n + 1) % 4 + 4, (n + 2) % 4 + 8, (n + 3) % 4 + 12)
    return struct.pack("<8I", *state[:4], *state[12:])


def second_opening(lines, ref, source):
    """Sections 5 and 6: the secrets, or the state."""
    keys, registry = key_file(lines)
    part = source.get("_sealed")
    if not isinstance(part, dict) or "box" not in part:
        return "unsealed"
    if type(part.get("v")) is not int or part["v"] != 1 or not isinstance(part.get("key"), str):
        return "failed"
    if part["key"] not in keys:
        return "unknown_key"
    names = {"type": ref["type"], "_name": ref["id"]}
    names |= {} if ref["tenant"] is None else {"_tenant": ref["tenant"]}
    if names != {n: source[n] for n in ("type", "_name", "_tenant") if n in source}:
        return "failed"
    try:
        box = base64.b64decode(part["box"], validate=True)
        bound = {**source, "_sealed": {n: v for n, v in part.items() if n != "box"}}
        head = ["signals-proxy account", 1, "xchacha20poly1305-ietf", part["key"], registry.hex()]
        data = form([*head, ref["tenant"], ref["type"], ref["id"], bound])
        subkey = parameter_block(b"sgpx-box", 32, keys[part["key"]], registry)
        cipher = ChaCha20Poly1305(hchacha20(subkey, box[:16]))
        padded = cipher.decrypt(bytes(4) + box[16:24], box[24:], data)
    except (InvalidTag, ValueError, TypeError, struct.error, KeyError):
        return "failed"
    plain = padded.rstrip(b"\0")
    secrets = json.loads(plain[:-1])
    canonical = base64.b64encode(box).decode() == part["box"]
    listed = part.get("secrets") == sorted(secrets)
    return secrets if canonical and listed and plain.endswith(b"\x80") else "failed"


# --- the tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", vectors("encoding"))
def test_encoding(vector):
    """A value has the published bytes, or has no form."""
    if vector["bytes"] is None:
        with pytest.raises(ValueError, match=r"canonical|nested|surrogates"):
            encode(vector["value"])
    else:
        assert encode(vector["value"]).hex() == vector["bytes"]
        assert form(vector["value"]).hex() == vector["bytes"]


@pytest.mark.parametrize("vector", vectors("derivation"))
def test_derivation(vector):
    """A key file's lines have the published ids and subkeys."""
    ring = keyrings.parse("\n".join(vector["keyring"]))
    keys, registry = key_file(vector["keyring"])
    assert ring.registry_id.hex() == registry.hex() == vector["registry_id"]
    assert [key.id for key in ring.keys] == [*keys] == vector["key_ids"]
    boxes = [key.account_box_key(ring.registry_id).hex() for key in ring.keys]
    second = [parameter_block(b"sgpx-box", 32, key, registry).hex() for key in keys.values()]
    assert boxes == second == vector["account_box_keys"]


@pytest.mark.parametrize("vector", vectors("sealed"))
def test_sealed(vector):
    """What was published opens, and is sealed alike."""
    ring = keyrings.parse("\n".join(vector["keyring"]))
    ref = Ref(vector["ref"]["type"], vector["ref"]["id"], vector["ref"]["tenant"])
    secrets = {name: Secret(value) for name, value in vector["secrets"].items()}
    account = Account(ref, vector["public"], secrets, vector["file"])
    source, key_id = vector["source"], vector["source"]["_sealed"]["key"]
    bound = associated_data(key_id, ring.registry_id, ref, source)
    assert vector["expect"] == "opens"
    assert bound.hex() == vector["associated_data"]
    assert ring.get(key_id).account_box_key(ring.registry_id).hex() == vector["account_box_key"]
    assert json.loads(bytes.fromhex(vector["plain_text"])) == vector["secrets"]
    assert open_sealed(SealedAccount(ref, source), ring) == account
    assert second_opening(vector["keyring"], vector["ref"], source) == vector["secrets"]
    if vector["sealed_by_us"]:
        assert seal(account, ring, bytes.fromhex(vector["nonce"])).source == source


@pytest.mark.parametrize("vector", vectors("refused"))
def test_refused(vector):
    """What was published as changed is in the state that was published, whoever looks."""
    ring = keyrings.parse("\n".join(vector["keyring"]))
    ref = Ref(vector["ref"]["type"], vector["ref"]["id"], vector["ref"]["tenant"])
    state = verify(SealedAccount(ref, vector["source"]), ring)
    assert state is Integrity(vector["expect"])
    second = second_opening(vector["keyring"], vector["ref"], vector["source"])
    assert second == vector["expect"]
