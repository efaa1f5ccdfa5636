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
from typing import Final, cast

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

__all__ = [
    "BLOCK",
    "Integrity",
    "associated_data",
    "encode",
    "open_sealed",
    "padded",
    "reseal",
    "seal",
    "try_open",
    "verify",
]

BLOCK: Final = 256
"""What lies in a box is padded to a multiple of so many bytes."""

_DOMAIN: Final = "signals-proxy account"
_VERSION: Final = 1
_ALGORITHM: Final = "xchacha20poly1305-ietf"
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
    " least. Its sealed account file does as well."
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
    part: dict[str, Json] = {"v": _VERSION, "key": keyring.primary.id}
    part["secrets"] = [*sorted(account.secrets)]
    if account.file is not None:
        part["file"] = account.file
    source = {**identity(account.ref), **account.public}
    nonce = nacl.utils.random(_NONCE) if nonce is None else nonce
    return _boxed(account, source, part, keyring, nonce)


def reseal(sealed: SealedAccount, keyring: Keyring) -> SealedAccount:
    """Return the same document, sealed with the primary key.

    All but ``_sealed.key`` and ``_sealed.box`` stays, also what this version does not know.
    Raises the ``SealingError`` of :func:`open_sealed`: what is not verified is never sealed anew.
    """
    account = open_sealed(sealed, keyring)
    before = cast("Mapping[str, Json]", sealed.source[SEALED])
    part = {**before, "key": keyring.primary.id}
    return _boxed(account, sealed.source, part, keyring, nacl.utils.random(_NONCE))


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


def padded(members: Mapping[str, Json]) -> bytes:
    """Return what lies in a box: canonical JSON, padded.

    Raises ``ValueError`` for a value without canonical form.
    """
    encode(dict(members))
    text = json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sodium.sodium_pad(text.encode(), BLOCK)


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


def _boxed(
    account: Account,
    source: Mapping[str, Json],
    part: Mapping[str, Json],
    keyring: Keyring,
    nonce: bytes,
) -> SealedAccount:
    """Return ``source`` with ``part`` and the box that binds both."""
    key, bound = keyring.primary, {**source, SEALED: dict(part)}
    box = nonce + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
        padded({name: secret.reveal() for name, secret in account.secrets.items()}),
        associated_data(key.id, keyring.registry_id, account.ref, bound),
        nonce,
        key.account_box_key(keyring.registry_id),
    )
    encoded = base64.b64encode(box).decode()
    return SealedAccount(account.ref, {**source, SEALED: {**part, "box": encoded}})


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
        content = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
            box[_NONCE:], bound, box[:_NONCE], key.account_box_key(registry_id)
        )
        secrets = json.loads(sodium.sodium_unpad(content, BLOCK).decode())
        whole = isinstance(secrets, dict) and padded(secrets) == content
    except (ValueError, RecursionError, CryptoError):
        return None
    if not whole or part.get("secrets") != sorted(secrets):
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
    size = len(box) - _NONCE - _TAG
    whole = size > 0 and size % BLOCK == 0
    return box if whole and base64.b64encode(box).decode() == encoded else None


def _message(ref: Ref, state: Integrity) -> str:
    return f"The account '{ref.document_id}' cannot be used: {state.value}. {state.remedy}"
