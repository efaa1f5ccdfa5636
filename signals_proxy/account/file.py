"""Account files: all secrets of an account as one text, sealed offline for one registry.

``$sealed`` is made with the registry's public key, which everybody may have, and opened with the
keyring. It is bound to the registry, the account and its destination, so that whoever finds it in
Git cannot use it for another account or have its secrets sent elsewhere. Specification:
``docs/sealing.md``.

Rules of the file: whoever has the public key can seal anything, so a text proves no author, and
what was in it is checked like a body. Whatever is wrong with a text is one detail on ``$sealed``
that tells nothing of its secrets. There is one spelling of everything; every other is refused.
"""

import base64
import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from signals_proxy.account import ref as targets
from signals_proxy.account.account_type import SEALED_TEXT, Account, AccountType, FromFile
from signals_proxy.account.body import Json, parse
from signals_proxy.account.document import merge
from signals_proxy.account.keyring import Keyring
from signals_proxy.account.ref import Endpoint, Ref
from signals_proxy.account.schema import named
from signals_proxy.account.sealing import BLOCK, padded
from signals_proxy.errors import ConfigError, Detail, InvalidAccount, InvalidBody, InvalidTarget
from signals_proxy.secret import Secret

__all__ = ["PublicKey", "SealedFile", "open_text", "ref_of", "seal_file", "seal_text"]

_PUBLIC: Final = "signals-proxy-public-1"
_LINE: Final = re.compile(_PUBLIC + "([A-Za-z0-9_-]{64})")
_TEXT: Final = re.compile(r"signals-proxy-sealed-1\.([0-9a-f]{32})\.([A-Za-z0-9_-]+)")
_KEY_SIZE: Final = sodium.crypto_box_PUBLICKEYBYTES
_LONGEST_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What seals for one registry: the public key (X25519) and the registry's fingerprint."""

    box_key: bytes
    registry: bytes

    @classmethod
    def of(cls, keyring: Keyring) -> "PublicKey":
        """Return the public key of a registry."""
        return cls(keyring.key_pair()[0], keyring.registry_fingerprint)

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """Return the key that a line is. Raises ``ConfigError``, which does not quote it."""
        found = _LINE.fullmatch(text)
        if found is None:
            raise ConfigError(
                "this is a secret line of a keyring, not the public key"
                if re.match("signals-proxy-(?:key|sealing|registry)-", text)
                else f"not a public key, which is one line '{_PUBLIC}…' of 64 characters after '1'",
                remedy="take what 'signals-proxy keys public' or GET /_signals/account/_key tells",
            )
        value = base64.urlsafe_b64decode(found[1])
        key = cls(value[:_KEY_SIZE], value[_KEY_SIZE:])
        try:
            sodium.crypto_box_seal(b"", key.box_key)
        except CryptoError:  # a point of small order: everybody could open what is sealed with it
            raise ConfigError(
                "a public key that no registry has", remedy="get it from the registry again"
            ) from None
        return key

    @property
    def line(self) -> str:
        """The text that :meth:`parse` reads."""
        return _PUBLIC + _base64url(self.box_key + self.registry)

    @property
    def fingerprint(self) -> str:
        """What the key is known by: 32 lower-case hexadecimal digits."""
        value = self.box_key + self.registry
        return hashlib.blake2b(value, digest_size=16, person=b"sgpx-pub").hexdigest()


def seal_text(account: Account, account_type: AccountType, key: PublicKey) -> str:
    """Return the ``$sealed`` of an account. It is another one each time."""
    ref = account.ref
    members: dict[str, Json] = {
        "destination": account_type.destination(account.public),
        "id": ref.id,
        "registry": key.registry.hex(),
        "secrets": {name: secret.reveal() for name, secret in account.secrets.items()},
        "tenant": ref.tenant,
        "type": ref.type,
    }
    box = sodium.crypto_box_seal(padded(members), key.box_key)
    return f"signals-proxy-sealed-1.{key.fingerprint}.{_base64url(box)}"


def open_text(text: Json, keyring: Keyring, ref: Ref) -> tuple[Mapping[str, Secret], FromFile]:
    """Return the secrets in a ``$sealed`` that stands in the account ``ref``, and what binds it.

    What the secrets are is not checked; that the destination is the account's, ``validate`` does.
    Raises ``InvalidAccount``.
    """
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise _refused("Is not a text that 'signals-proxy seal' makes, or not the whole of it")
    public, private = keyring.key_pair()
    key = PublicKey(public, keyring.registry_fingerprint)
    if found[1] != key.fingerprint:
        raise _refused(
            f"Was sealed for another registry (its key has the fingerprint {found[1]}, this"
            f" registry's has {key.fingerprint}); seal the file anew"
        )
    match _members(found[2], public, private):
        case {
            "destination": dict(destination),
            "id": str(account_id),
            "registry": str(registry),
            "secrets": dict(secrets),
            "tenant": str() | None as tenant,
            "type": str(type_name),
            **others,
        } if secrets and not others:
            sealed_for = Ref(type_name, account_id, tenant)
        case _:
            raise _refused("Is damaged, or not made by 'signals-proxy seal'; seal the file anew")
    if registry != key.registry.hex():
        raise _refused("Was sealed for another registry; seal the file anew")
    if sealed_for != ref:
        shown = sealed_for.document_id[:_LONGEST_SHOWN]
        raise _refused(f"Was sealed for the account {shown!r}, and is of use there only")
    digest = hashlib.blake2b(found[0].encode(), digest_size=32).hexdigest()
    return {name: Secret(secrets[name]) for name in secrets}, FromFile(digest, destination)


@dataclass(frozen=True, slots=True)
class SealedFile:
    """What becomes of an account file: ``text`` as its ``$sealed``, in place of ``secrets``."""

    ref: Ref
    text: str
    secrets: tuple[str, ...]


def seal_file(
    source: Mapping[str, Json], types: Mapping[str, AccountType], key: PublicKey
) -> SealedFile | None:
    """Return what becomes of an account file; ``None`` if nothing is to be sealed.

    ``source`` is JSON as ``body.parse`` gives it. Secrets that are ``null`` are among those whose
    place ``text`` takes. Raises ``InvalidAccount`` with every error that a PUT would find.
    """
    ref = ref_of(source, types)
    account_type = named(types, ref.type)
    secrets = tuple(name for name in source if name in account_type.secrets)
    if SEALED_TEXT in source and not secrets:
        return None
    account = account_type.validate(merge(source, None, account_type, ref))
    if not account.secrets:
        return None
    return SealedFile(ref, seal_text(account, account_type, key), secrets)


def ref_of(source: Mapping[str, Json], types: Collection[str]) -> Ref:
    """Return which account a file is for, by its ``type``, ``_name`` and ``_tenant``.

    Whether there is such a type is not looked at. Raises ``InvalidAccount``.
    """
    names = [source.get(name) for name in ("_tenant", "type", "_name")]
    details = {}
    for member, name in zip(("_tenant", "type", "_name"), names, strict=True):
        if name is None and member != "_tenant":
            details[member] = [Detail("Required attribute is missing")]
        elif not isinstance(name, str | None):
            details[member] = [Detail("Invalid value", expected="A string")]
    if details:
        raise InvalidAccount(details)
    path = "/".join(quote(str(n), safe="", errors="surrogatepass") for n in names if n is not None)
    try:
        call = targets.parse(
            f"/_signals/account/{path}", types
        )  # what a path may name, and no more
    except InvalidTarget as exc:
        raise InvalidAccount({"_name": [Detail(exc.message)]}) from None
    if call is None or call.ref is None or call.endpoint is not Endpoint.ACCOUNT:
        raise InvalidAccount({"_name": [Detail("No type, id or tenant begins with '_'")]})
    return call.ref


def _members(encoded: str, public: bytes, private: bytes) -> dict[str, Json] | None:
    """Return what is in a box, ``None`` if it does not open or is not as it has to be."""
    try:
        box = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        content = sodium.crypto_box_seal_open(box, public, private)
        members = parse(sodium.sodium_unpad(content, BLOCK))  # with the limits of a body
        whole = padded(members) == content and _base64url(box) == encoded
    except (ValueError, CryptoError, InvalidBody):
        return None
    return members if whole else None


def _refused(error: str) -> InvalidAccount:
    return InvalidAccount({SEALED_TEXT: [Detail(error)]})


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
