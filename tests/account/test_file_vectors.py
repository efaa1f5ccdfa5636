"""The published vectors of account files, against the program and against a second implementation.

As in ``test_vectors``, the second one is written from ``docs/sealing.md`` alone: its sealed boxes
are X25519, HSalsa20, XSalsa20 and Poly1305 put together by hand, not libsodium's.
"""

import base64
import hashlib
import json
import re
import struct
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.poly1305 import Poly1305

from signals_proxy.account import Ref
from signals_proxy.account import keyring as keyrings
from signals_proxy.account.file import PublicKey, open_text
from signals_proxy.account.sealing import padded
from signals_proxy.errors import InvalidAccount

FILE = Path(__file__).parents[1] / "vectors" / "account_files.json"
VECTORS = [pytest.param(vector, id=vector["comment"]) for vector in json.loads(FILE.read_text())]
KINDS = {
    "destination": dict,
    "id": str,
    "registry": str,
    "secrets": dict,
    "tenant": str | None,
    "type": str,
}


def salsa20(key, block, *, hashed=False):
    """A block of Salsa20 for a key and 16 bytes of nonce and counter; or what HSalsa20 makes."""
    constant, k = struct.unpack("<4I", b"expand 32-byte k"), struct.unpack("<8I", key)
    n = struct.unpack("<4I", block)
    first = [constant[0], *k[:4], constant[1], *n, constant[2], *k[4:], constant[3]]
    state = [*first]
    columns = [(n, (n + 4) % 16, (n + 8) % 16, (n + 12) % 16) for n in (0, 5, 10, 15)]
    rows = [
        (5 * n, n * 4 + (n + 1) % 4, n * 4 + (n + 2) % 4, n * 4 + (n + 3) % 4) for n in range(4)
    ]
    for _ in range(10):
        for a, b, c, d in (*columns, *rows):
            for x, y, z, bits in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
                total = (state[y] + state[z]) & 0xFFFFFFFF
                state[x] ^= ((total << bits) | (total >> (32 - bits))) & 0xFFFFFFFF
    if hashed:
        return struct.pack("<8I", *(state[n] for n in (0, 5, 10, 15, 6, 7, 8, 9)))
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(first, state, strict=True)))


def key_pair(lines):
    """Section 4: the private and the public key, the registry's fingerprint, and the line."""
    values = {line[:-43]: base64.urlsafe_b64decode(line[-43:] + "=") for line in lines}
    digest = hashlib.sha512(values["signals-proxy-sealing-1"]).digest()
    private = X25519PrivateKey.from_private_bytes(digest[:32])
    public = private.public_key().public_bytes_raw()
    registry = hashlib.blake2b(
        digest_size=16,
        key=values["signals-proxy-registry-1"],
        salt=b"\1" + bytes(15),
        person=b"sgpx-reg" + bytes(8),
    ).digest()
    line = "signals-proxy-public-1" + base64.urlsafe_b64encode(public + registry).decode()
    return private, public, registry, line


def public_fingerprint(line):
    """Section 8."""
    value = base64.urlsafe_b64decode(line.removeprefix("signals-proxy-public-1"))
    return hashlib.blake2b(value, digest_size=16, person=b"sgpx-pub" + bytes(8)).hexdigest()


def box_content(private, public, box):
    """What is in a sealed box of libsodium; raises if it does not open."""
    secret = private.exchange(X25519PublicKey.from_public_bytes(box[:32]))
    nonce = hashlib.blake2b(box[:32] + public, digest_size=24).digest()
    key = salsa20(salsa20(secret, bytes(16), hashed=True), nonce[:16], hashed=True)
    blocks = range(len(box) // 64 + 1)
    stream = b"".join(salsa20(key, nonce[16:] + struct.pack("<Q", block)) for block in blocks)
    Poly1305.verify_tag(stream[:32], box[48:], box[32:48])
    return bytes(a ^ b for a, b in zip(box[48:], stream[32:], strict=False))


def canonical(value):
    """Section 5, step 3: the one form that the JSON of a value has."""
    if isinstance(value, dict):
        pairs = sorted((name.encode(), canonical(member)) for name, member in value.items())
        return b"{" + b",".join(canonical(n.decode()) + b":" + m for n, m in pairs) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(canonical, value)) + b"]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).encode()
    if isinstance(value, float):
        raise ValueError("no form")  # noqa: TRY004  a value of JSON, not a type of Python
    return json.dumps(value).encode()


def second_file(vector):
    """Section 9: the secrets, or what is wrong."""
    parts = re.fullmatch(r"signals-proxy-sealed-1\.([0-9a-f]{32})\.([\w-]+)", vector["sealed"])
    if parts is None:
        return "malformed"
    private, public, registry, line = key_pair(vector["keyring"])
    if parts[1] != public_fingerprint(line):
        return "another registry"
    try:
        box = base64.urlsafe_b64decode(parts[2] + "=" * (-len(parts[2]) % 4))
        content = box_content(private, public, box)
        plain = content.rstrip(b"\0")[:-1]
        members = json.loads(plain)
        again = canonical(members) + b"\x80" + bytes(255 - len(canonical(members)) % 256)
    except (InvalidSignature, ValueError, struct.error):
        return "damaged"
    if (
        again != content
        or base64.urlsafe_b64encode(box).decode().rstrip("=") != parts[2]
        or not isinstance(members, dict)
        or members.keys() != KINDS.keys()
        or not all(isinstance(members[name], kind) for name, kind in KINDS.items())
        or not members["secrets"]
    ):
        return "damaged"
    if members["registry"] != registry.hex():
        return "another registry"
    if {name: members[name] for name in ("tenant", "type", "id")} != vector["ref"]:
        return "another account"
    if members["destination"] != vector["destination"]:
        return "another destination"
    return members["secrets"]


# --- the tests ---------------------------------------------------------------------------------

TOLD = {
    "Is not a text": "malformed",
    "Was sealed for another registry": "another registry",
    "Is damaged": "damaged",
    "Was sealed for the account": "another account",
}


def our_file(vector, ring, ref):
    """What the program makes of the text: the secrets, or what is wrong."""
    try:
        secrets, file = open_text(vector["sealed"], ring, ref)
    except InvalidAccount as refused:
        said = refused.details["$sealed"][0].error
        return next(word for beginning, word in TOLD.items() if said.startswith(beginning))
    if file.destination != vector["destination"]:
        return "another destination"
    assert (
        file.hash
        == vector["file"]
        == hashlib.blake2b(vector["sealed"].encode(), digest_size=32).hexdigest()
    )
    return {name: secret.reveal() for name, secret in secrets.items()}


@pytest.mark.parametrize("vector", VECTORS)
def test_account_files(vector):
    """The keys are the published ones, and a text opens, or is refused at the published step."""
    ring = keyrings.parse("\n".join(vector["keyring"]))
    key, ref = (
        PublicKey.of(ring),
        Ref(vector["ref"]["type"], vector["ref"]["id"], vector["ref"]["tenant"]),
    )
    private, public, registry, line = key_pair(vector["keyring"])
    assert ring.key_pair()[0].hex() == public.hex() == vector["box_public_key"]
    assert (
        ring.key_pair()[1].hex() == private.private_bytes_raw().hex() == vector["box_private_key"]
    )
    assert key.registry.hex() == registry.hex() == vector["registry_fingerprint"]
    assert key.line == line == vector["public_key"]
    assert key.fingerprint == public_fingerprint(line) == vector["fingerprint"]
    expected = vector["secrets"] if vector["expect"] == "opens" else vector["expect"]
    assert our_file(vector, ring, ref) == second_file(vector) == expected


@pytest.mark.parametrize("vector", [v for v in VECTORS if v.values[0]["expect"] == "opens"])
def test_the_plain_text_of_account_files(vector):
    """What is sealed is the published text, whoever writes it; only the box is random."""
    bound = {**vector["ref"], "registry": vector["registry_fingerprint"]}
    members = {**bound, "destination": vector["destination"], "secrets": vector["secrets"]}
    plain = bytes.fromhex(vector["plain_text"])
    assert canonical(members) == plain
    assert padded(members) == plain + b"\x80" + bytes(255 - len(plain) % 256)
