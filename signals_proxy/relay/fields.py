"""Those fields of a head that decide something, in requests and in answers.

Rules of the file

- Pure: bytes in, values out. The head is known to be of valid grammar.
- What a caller would raise for a bad value is given as ``error``.
"""

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from signals_proxy.secret import CREDENTIAL_FIELDS

__all__ = ["Fields", "connection_options", "content_length", "cuts", "deciding", "spans"]

Fields = dict[bytes, list[bytes]]
"""Values, without the blanks around them, by the names of their fields in small letters."""

# RFC 9110 7.6.1: what concerns one connection only. `Trailer` and `Transfer-Encoding` describe the
# message as it is passed on, so they stay.
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"upgrade",
    }
)
_NAME_NO_OTHER: Final = _HOP_BY_HOP | {b"close"}
_NEVER_NAMED: Final = {
    *(name.encode() for name in CREDENTIAL_FIELDS),
    *(b"host", b"content-length", b"expect", b"transfer-encoding"),
}
_DECISIVE: Final = (b"host", b"content-length", b"transfer-encoding", b"expect")


def _fields_named(*names: bytes) -> re.Pattern[bytes]:
    # A first letter as a set is what lets a search pass over others without trying each name.
    either = b"|".join(b"[%c%c](?i:%b)" % (name[0], name[0] - 32, name[1:]) for name in names)
    return re.compile(rb"\r\n(" + either + rb"):[\t ]*+([^\r]*+)")


# One search finds the few fields that decide anything; all others are passed over unread.
_DECIDING: Final = _fields_named(*_DECISIVE, *_HOP_BY_HOP)
_OF_ONE_HOP: Final = _fields_named(*_HOP_BY_HOP)
_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()
_FIELD: Final = re.compile(rb"\r\n([^\r:]++):[^\r]*+")
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")


def content_length(values: list[bytes], error: Callable[[str], Exception]) -> int:
    """Return what the Content-Length fields say."""
    # RFC 9112 6.3, rule 5. A list of equal lengths may be accepted; nobody honest sends one.
    if len(values) != 1 or _LENGTH.fullmatch(values[0]) is None:
        raise error("Content-Length is not one number")
    return int(values[0])


def deciding(head: bytes, start: int) -> Fields:
    """Return the few fields that decide anything, which begin at ``start``."""
    fields: Fields = {}
    for name, value in _DECIDING.findall(head, start):
        fields.setdefault(name.lower(), []).append(value.rstrip(b"\t "))
    return fields


def connection_options(fields: Fields, error: Callable[[str], Exception]) -> AbstractSet[bytes]:
    """Return what the Connection fields name, in small letters."""
    values = fields.get(b"connection")
    if values is None:
        return _NO_OPTIONS
    options = {option.strip(b"\t ").lower() for value in values for option in value.split(b",")}
    for option in options & _NEVER_NAMED:
        # RFC 9110 7.6.1 has a recipient remove what is named: an attacker could thus take away
        # the fields by which the next server tells where the message ends, or whose it is.
        raise error(f"the Connection field must not name {option.decode()}")
    return options


def cuts(head: bytes, fields: Fields, options: AbstractSet[bytes]) -> tuple[tuple[int, int], ...]:
    """Return the spans of what is not passed on, beside it what ``options`` name."""
    if _HOP_BY_HOP.isdisjoint(fields):
        return ()
    if options <= _NAME_NO_OTHER:  # as is the rule
        return tuple(found.span() for found in _OF_ONE_HOP.finditer(head))
    return spans(head, _HOP_BY_HOP | options)


def spans(head: bytes, names: AbstractSet[bytes]) -> tuple[tuple[int, int], ...]:
    """Return the spans of some fields' lines, each with the line break *before* its line."""
    return tuple(found.span() for found in _FIELD.finditer(head) if found[1].lower() in names)
