"""The key file: its lines, its keys, and what is derived from a key.

::

    signals-proxy-key-1…        a key; the first is the primary, which seals, the others open only
    signals-proxy-sealing-1…    the seed of the key pair for account files
    signals-proxy-registry-1…   the id of the registry
    # …                         a comment

``…`` is the base64url of 32 bytes, without padding, directly after the prefix. Specification:
``docs/sealing.md``.

Rules of the file: there is one way to write a line and every other is refused, with its number and
the likely mistake; no message quotes a line, for it may be a key.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

import nacl.bindings as sodium

from signals_proxy.errors import ConfigError
from signals_proxy.secret import Secret

__all__ = ["Key", "Keyring", "Purpose", "appended", "generate", "parse"]

_KEY: Final = "signals-proxy-key-1"
_SEALING: Final = "signals-proxy-sealing-1"
_REGISTRY: Final = "signals-proxy-registry-1"
_SIZE: Final = 32
_GENERATE: Final = "make a new one with 'signals-proxy keys generate'"


class Purpose(Enum):
    """What a subkey is for: context (eight bytes) and size, as in libsodium's ``crypto_kdf``."""

    KEY_ID = (b"sgpx-kid", 16)
    ACCOUNT_BOX = (b"sgpx-box", 32)
    REGISTRY = (b"sgpx-reg", 16)


def derive(key: bytes, purpose: Purpose, message: bytes = b"") -> bytes:
    """Return a subkey: keyed BLAKE2b with the purpose as personalisation.

    With an empty message it is ``crypto_kdf_derive_from_key`` of libsodium with subkey id 1.
    """
    context, size = purpose.value
    salt = (1).to_bytes(8, "little")
    return hashlib.blake2b(message, digest_size=size, key=key, salt=salt, person=context).digest()


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the keyring. Its ``id`` is its fingerprint: 32 lower-case hexadecimal digits."""

    id: str
    material: Secret = field(compare=False)

    def account_box_key(self, registry_id: bytes) -> bytes:
        """Return the key of the boxes of one registry."""
        return derive(self.material.reveal(), Purpose.ACCOUNT_BOX, registry_id)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one registry. ``sealing`` is the seed of the key pair for account files."""

    keys: tuple[Key, ...]
    registry_id: bytes
    sealing: Secret = field(compare=False)

    @property
    def primary(self) -> Key:
        """The key that seals."""
        return self.keys[0]

    def get(self, key_id: str) -> Key | None:
        """Return the key with this id, if the keyring has it."""
        return next((key for key in self.keys if key.id == key_id), None)

    @property
    def registry_fingerprint(self) -> bytes:
        """What may be told of the registry's id, which is in derivations of keys."""
        return derive(self.registry_id, Purpose.REGISTRY)

    def key_pair(self) -> tuple[bytes, bytes]:
        """Return the public and the private key (X25519) with which account files are sealed."""
        public, private = sodium.crypto_box_seed_keypair(self.sealing.reveal())
        return public, private


def generate(random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Return the text of a new key file: one key, the key pair for account files, the registry."""
    key, sealing, registry = (_base64url(random(_SIZE)) for _ in range(3))
    return (
        "# Keyring of signals-proxy. Whoever has it can open every account: keep it mode 0600.\n"
        "# Back it up where the cluster's snapshots are not: without it, all accounts have to be\n"
        "# PUT again. The first key seals, further ones are for opening only.\n"
        f"{_KEY}{key}\n"
        "# The key pair with which account files are sealed for this registry.\n"
        f"{_SEALING}{sealing}\n"
        "# The id of this registry. With another one no account opens: it is not to be changed.\n"
        f"{_REGISTRY}{registry}\n"
    )


def appended(text: str, random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Return the text of a keyring with one more key at its end, for opening only.

    Raises ``ConfigError`` if the text is no keyring.
    """
    parse(text)
    end = "" if text.endswith("\n") else "\n"
    longer = f"{text}{end}{_KEY}{_base64url(random(_SIZE))}\n"
    parse(longer)
    return longer


def parse(text: str, file: Path | None = None) -> Keyring:
    """Return the keyring that a text is. ``file`` is for the errors.

    Raises ``ConfigError``, with the line where there is one.
    """
    values: dict[str, list[bytes]] = {_KEY: [], _SEALING: [], _REGISTRY: []}
    lines_of: dict[bytes, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        mistake = _mistake_in(line)
        if mistake:
            raise ConfigError(mistake[0], remedy=mistake[1], file=file, line=number)
        prefix = next(prefix for prefix in values if line.startswith(prefix))
        value = _bytes(line.removeprefix(prefix))
        if value in lines_of:
            raise ConfigError(
                f"the same value as in line {lines_of[value]}",
                remedy="every line has a value of its own; take one of the two away",
                file=file,
                line=number,
            )
        if values[prefix] and prefix != _KEY:
            raise ConfigError(
                f"a second line '{prefix}…'",
                remedy="one registry has one keyring; were two files put together?",
                file=file,
                line=number,
            )
        values[prefix].append(value)
        lines_of[value] = number
    for prefix, found in values.items():
        if not found:
            raise ConfigError(
                f"the keyring has no line '{prefix}…'",
                remedy=f"restore it from the backup, or {_GENERATE}",
                file=file,
            )
    return Keyring(
        keys=tuple(Key(derive(v, Purpose.KEY_ID).hex(), Secret(v)) for v in values[_KEY]),
        registry_id=values[_REGISTRY][0],
        sealing=Secret(values[_SEALING][0]),
    )


# The first that is found in a line says what is wrong with it.
_MISTAKES: Final = (
    ("^\ufeff", "the file begins with a byte order mark", "save it as UTF-8 without one"),
    ("\r", "line ends of Windows", "save the file with line ends of Unix (LF alone)"),
    (r"^\s|\s$", "white space before or after the value", "take it away"),
    ("^-----", "this is PEM", f"a keyring has keys of its own kind; {_GENERATE}"),
    ("^(?:age1|AGE-)", "this is a key of age", f"a keyring has keys of its own kind; {_GENERATE}"),
    (
        "^signals-proxy-(?:key|sealing|registry)-(?!1)",
        "a kind of line that this version does not know",
        "use the version that wrote it, or a newer one",
    ),
    (
        "^(?!signals-proxy-(?:key|sealing|registry)-1)",
        "not a line of a keyring",
        f"a line begins with '#', '{_KEY}', '{_SEALING}' or '{_REGISTRY}'",
    ),
    (r"\s", "white space within the value", "was the line broken in two? Copy it again"),
    ("=", "padding after the value", "base64url is written without '=' here"),
    ("[+/]", "base64 in place of base64url", "write '-' for '+' and '_' for '/'"),
    ("[^A-Za-z0-9_-]", "a character that base64url does not have", "copy the line again"),
)
_CHARACTERS: Final = 43  # of base64url for 32 bytes


def _mistake_in(line: str) -> tuple[str, str] | None:
    for pattern, message, remedy in _MISTAKES:
        if re.search(pattern, line):
            return message, remedy
    value = line[line.index("-1") + 2 :]
    if len(value) != _CHARACTERS:
        return (
            f"{len(value)} characters after the prefix, where there have to be {_CHARACTERS}",
            "is the line cut off, or are two in one? Copy it again",
        )
    if _base64url(_bytes(value)) != value:
        return "the last character is not one that base64url can end with", "copy the line again"
    return None


def _bytes(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=")


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
