"""Hashes of passwords: argon2id, in the form of libsodium's ``crypto_pwhash_str``.

Rule of the file: a password is a Secret, and so is its hash, which can be guessed at.
"""

import re
import unicodedata
from typing import Final

from nacl.exceptions import InvalidkeyError
from nacl.pwhash import argon2id

from signals_proxy.errors import ConfigError
from signals_proxy.secret import Secret

__all__ = ["LONGEST", "cost", "hash_password", "normalised", "verify"]

LONGEST: Final = 1024
"""Bytes of UTF-8 that a password may have."""

# RFC 7617, 2: neither the user's name nor the password may hold any.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_COST: Final = re.compile(r"\$argon2id\$v=19\$m=([0-9]+),t=([0-9]+),p=1\$")


def hash_password(password: Secret) -> str:
    """Return the hash of a password, with a random salt.

    It takes 64 MiB and some 0.1 s to compute, and so does each guess: libsodium's limits for
    interactive log-ins.

    :raises ConfigError: if nobody could log in with it, or it has over :data:`LONGEST` bytes.
    """
    text = normalised(password.reveal())
    if not text:
        raise ConfigError("the password is empty", remedy="choose a long one")
    if _CONTROL.search(text):
        message = "the password holds a control character, which no client may send"
        raise ConfigError(message, remedy="choose letters, digits, punctuation and blanks")
    if len(text.encode()) > LONGEST:
        message = f"the password is longer than {LONGEST} bytes"
        raise ConfigError(message, remedy="choose a shorter one")
    return argon2id.str(
        text.encode(), argon2id.OPSLIMIT_INTERACTIVE, argon2id.MEMLIMIT_INTERACTIVE
    ).decode("ascii")


def verify(hashed: Secret, password: Secret) -> bool:
    """Tell whether it is the password's hash. Takes as long and as much memory as the hash says."""
    try:
        return argon2id.verify(hashed.reveal().encode(), password.reveal().encode())
    except InvalidkeyError:
        return False


def cost(hashed: Secret) -> int:
    """Return what it costs to compute a hash, as memory times passes: good for comparisons only."""
    found = _COST.match(hashed.reveal())
    return int(found[1]) * int(found[2]) if found else 0


def normalised(text: str) -> str:
    """Return a name or a password in the one form of its characters (RFC 7617, 2.1: NFC)."""
    return unicodedata.normalize("NFC", text)
