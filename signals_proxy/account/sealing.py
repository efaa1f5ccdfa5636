"""The seal: secrets into one box, and everything public bound to it.

The format is specified in ``docs/sealing.md`` and cannot be changed: accounts sealed years ago
have to open. Another format gets another ``v``.

Rules of the file: whoever can write the index is the attacker, so a stored document may be of any
shape, and whatever is wrong with it is a ``SealingError``, never another exception. There is one
form for every value; whatever is not in that form does not open. Opened text is never in an
exception, not even as its context.
"""

import base64
import json
from collections.abc import Mapping, Sized
from enum import Enum
from typing import Final

import nacl.bindings as sodium
import nacl.utils
from nacl.exceptions import CryptoError

from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.account.document import (
    RESERVED,
    SEALED,
    SealedAccount,
    Unopened,
    identity,
)
from signals_proxy.account.keyring import Key, Keyring
from signals_proxy.account.ref import Ref
from signals_proxy.errors import Forged, SealingError, UnknownKey, Unsealed
from signals_proxy.secret import Secret

__all__ = ["Integrity", "associated_data", "encode", "open_sealed", "seal", "try_open", "verify"]

_DOMAIN: Final = "signals-proxy account"
_VERSION: Final = 1
_ALGORITHM: Final = "xchacha20poly1305-ietf"
_BLOCK: Final = 256
_NONCE: Final = sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_TAG: Final = sodium.crypto_aead_xchacha20poly1305_ietf_ABYTES


class Integrity(Enum):
    """What is known about a stored account."""

    VERIFIED = "verified"
    FAILED = "failed"
    UNKNOWN_KEY = "unknown_key"
    UNSEALED = "unsealed"

    @property
    def remedy(self) -> str:
        """What to do about it; empty for ``verified``."""
        return _REMEDIES[self]

    @classmethod
    def of(cls, error: SealingError) -> "Integrity":
        """Return the state that an error of :func:`open_sealed` stands for."""
        return _STATES[type(error)]


_ANEW: Final = (
    "with every secret in clear, and null for one that it is not to have; it has to name one at"
    " least."
)
_REMEDIES: Final = {
    Integrity.VERIFIED: "",
    Integrity.FAILED: (
        "The account was changed in the index, not by PUT, or copied there from elsewhere. Check "
        f"its attributes, and PUT it again {_ANEW}"
    ),
    Integrity.UNKNOWN_KEY: (
        "The key that sealed the account is not in the keyring. Put its line back, or PUT the "
        f"account again {_ANEW}"
    ),
    Integrity.UNSEALED: (
        "The account was written to the index, not by PUT. Check its attributes, and PUT it again "
        f"{_ANEW}"
    ),
}
_STATES: Final[Mapping[type[SealingError], Integrity]] = {
    Forged: Integrity.FAILED,
    UnknownKey: Integrity.UNKNOWN_KEY,
    Unsealed: Integrity.UNSEALED,
}


def seal(account: Account, keyring: Keyring, nonce: bytes | None = None) -> SealedAccount:
    """Return the account as it is to be stored, sealed with the primary key.

    ``nonce`` (24 bytes) is for published vectors; everybody else lets it be drawn.
    Raises ``ValueError`` for a value without canonical form, which no validated account holds.
    """
    key = keyring.primary
    sealed: dict[str, Json] = {"v": _VERSION, "key": key.id, "secrets": [*sorted(account.secrets)]}
    if account.file is not None:
        sealed["file"] = account.file
    source = {**identity(account.ref), **account.public, SEALED: sealed}
    nonce = nacl.utils.random(_NONCE) if nonce is None else nonce
    box = nonce + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
        sodium.sodium_pad(_plain({n: s.reveal() for n, s in account.secrets.items()}), _BLOCK),
        associated_data(key.id, keyring.registry_id, account.ref, source),
        nonce,
        key.account_box_key(keyring.registry_id),
    )
    return SealedAccount(
        account.ref, {**source, SEALED: {**sealed, "box": base64.b64encode(box).decode()}}
    )


def open_sealed(sealed: SealedAccount, keyring: Keyring) -> Account:
    """Return the account, with its secrets, if it is what was sealed for this place.

    Raises ``Unsealed`` if there is no box, ``UnknownKey`` if the keyring lacks its key, and
    ``Forged`` for everything else that is wrong.
    """
    part = sealed.source.get(SEALED)
    if not isinstance(part, dict) or "box" not in part:
        raise Unsealed(_message(sealed.ref, Integrity.UNSEALED))
    version, key_id = part.get("v"), part.get("key")
    if type(version) is not int or version != _VERSION or not isinstance(key_id, str):
        raise Forged(_message(sealed.ref, Integrity.FAILED))
    key = keyring.get(key_id)
    if key is None:
        raise UnknownKey(_message(sealed.ref, Integrity.UNKNOWN_KEY))
    account = _opened(sealed, part, key, keyring.registry_id)
    if account is None:  # raised here, so that no context holds what was opened
        raise Forged(_message(sealed.ref, Integrity.FAILED))
    return account


def try_open(sealed: SealedAccount, keyring: Keyring) -> Account | Unopened:
    """Return the account, or why it does not open."""
    try:
        return open_sealed(sealed, keyring)
    except SealingError as reason:
        return Unopened(sealed, reason)


def verify(sealed: SealedAccount, keyring: Keyring) -> Integrity:
    """Return the state of a stored account."""
    opened = try_open(sealed, keyring)
    return Integrity.of(opened.reason) if isinstance(opened, Unopened) else Integrity.VERIFIED


def associated_data(key_id: str, registry_id: bytes, ref: Ref, source: Mapping[str, Json]) -> bytes:
    """Return what a box is bound to: its place, and the whole of ``source`` but the box itself.

    Raises ``ValueError`` if something in ``source`` has no canonical form.
    """
    bound = dict(source)
    part = bound.get(SEALED)
    if isinstance(part, dict):
        bound[SEALED] = {name: value for name, value in part.items() if name != "box"}
    place: list[Json] = [key_id, registry_id.hex(), ref.tenant, ref.type, ref.id]
    return encode([_DOMAIN, _VERSION, _ALGORITHM, *place, bound])


_MAX_DEPTH: Final = 64
_MAX_INTEGER: Final = 2**53


def encode(value: Json, depth: int = 1) -> bytes:
    """Return the canonical form of a value: a letter for its kind, its length, its content.

    No two values have the same form, and no form is the beginning of another one.
    Raises ``ValueError`` for what has none: numbers with a fraction or exponent, integers beyond
    2^53, lone surrogates, nesting over 64.
    """
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    match value:
        case None:
            return b"N"
        case bool():
            return b"T" if value else b"F"
        case int() if abs(value) <= _MAX_INTEGER:
            return b"I" + value.to_bytes(8, "big", signed=True)
        case str():
            octets = value.encode()
            return b"S" + _length(octets) + octets
        case list():
            return b"A" + _length(value) + b"".join(encode(v, depth + 1) for v in value)
        case dict():
            names = sorted(value, key=str.encode)
            members = (encode(name) + encode(value[name], depth + 1) for name in names)
            return b"O" + _length(names) + b"".join(members)
        case _:
            raise ValueError("not a value that has a canonical form")


def _length(of: Sized) -> bytes:
    return len(of).to_bytes(8, "big")


def _opened(
    sealed: SealedAccount, part: Mapping[str, Json], key: Key, registry_id: bytes
) -> Account | None:
    """Return the account, or ``None`` if anything is not as :func:`seal` makes it."""
    ref, source, file = sealed.ref, sealed.source, part.get("file")
    box = _box(part["box"])
    if box is None or ("file" in part and not isinstance(file, str)):
        return None
    if {n: source[n] for n in source if n in RESERVED and n != SEALED} != identity(ref):
        return None
    try:
        bound = associated_data(key.id, registry_id, ref, source)
        padded = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
            box[_NONCE:], bound, box[:_NONCE], key.account_box_key(registry_id)
        )
        secrets = _secrets(sodium.sodium_unpad(padded, _BLOCK))
    except (ValueError, RecursionError, CryptoError):
        return None
    if secrets is None or part.get("secrets") != sorted(secrets):
        return None
    return Account(
        ref=ref,
        public={name: value for name, value in source.items() if name not in RESERVED},
        secrets={name: Secret(value) for name, value in secrets.items()},
        file=file if isinstance(file, str) else None,
    )


def _box(encoded: Json) -> bytes | None:
    """Return the bytes of a box, if it is canonical base64 of a size that a box can have."""
    try:
        box = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else b""
    except ValueError:
        return None
    padded = len(box) - _NONCE - _TAG
    whole = padded > 0 and padded % _BLOCK == 0
    return box if whole and base64.b64encode(box).decode() == encoded else None


def _plain(secrets: Mapping[str, Json]) -> bytes:
    """Return the canonical JSON of secrets, which is what lies in a box."""
    encode(dict(secrets))  # refuses what has no canonical form
    return json.dumps(secrets, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _secrets(plain: bytes) -> dict[str, Json] | None:
    """Return the secrets in a box. Raises ``ValueError`` or ``RecursionError`` if it has none."""
    secrets = json.loads(plain.decode())
    return secrets if isinstance(secrets, dict) and _plain(secrets) == plain else None


def _message(ref: Ref, state: Integrity) -> str:
    return f"The account '{ref.document_id}' cannot be used: {state.value}. {state.remedy}"
