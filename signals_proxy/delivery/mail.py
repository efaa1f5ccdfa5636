"""A message as mail: who gets it, and its bytes, which need a server that takes seven bits.

Rules of the file:

- What a message says gets into the header quoted or encoded, and every line of the header is made
  here: nothing that a field is made of can end it.
- Blind copies are in the envelope, and nowhere else.
- It is pure: the time, and the message's id, are arguments.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import AnyStr, Final, cast
from urllib.parse import quote

from signals_proxy.account.body import Json

__all__ = ["Mail", "address_of", "compose", "mailboxes"]

_LINE: Final = 76
_LONGEST_PLAIN: Final = 65
# RFC 2047 section 2: an encoded word has at most 75 characters; so many octets take 60 in base64.
_LONGEST_PIECE: Final = 45
_CHARSET: Final = "utf-8''"
_PLAIN: Final = re.compile("[!-~](?:[ -~]*[!-~])?")
_WORD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|([^ "]+)')


@dataclass(frozen=True, slots=True)
class Mail:
    """Mail that is ready to be sent: bare addresses, and lines that end in CRLF, dots not doubled."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


def mailboxes(value: Json) -> list[str]:
    """Return the mailboxes of a member of a message, or of an account: none, one, or an array."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else cast("list[str]", value)


def address_of(mailbox: str) -> str:
    """Return the bare address of a mailbox."""
    return _parted(mailbox)[1]


def compose(message: Mapping[str, Json], message_id: str, now: datetime) -> Mail:
    """Return a message, in which nothing is missing, as mail."""
    to, cc, bcc = (mailboxes(message.get(name)) for name in ("to", "cc", "bcc"))
    sender = str(message["from"])
    fields = {
        "Date": format_datetime(now),
        "Message-ID": message_id,
        "From": _listed([sender]),
        "To": _listed(to),
        "Cc": _listed(cc),
        "Subject": _subject(str(message["subject"])),
        # RFC 3834 section 5: nobody's notice of absence answers an alert.
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return Mail(
        sender=address_of(sender),
        recipients=tuple(dict.fromkeys(map(address_of, [*to, *cc, *bcc]))),
        content=head.encode("ascii") + _body(message),
    )


# --- the body (RFC 2045, RFC 2046) ---------------------------------------------------------------
# By hand, as the standard library goes through every line of an attachment several times.


def _body(message: Mapping[str, Json]) -> bytes:
    texts = [
        _text(str(message[name]), subtype)
        for name, subtype in (("text_body", "plain"), ("html_body", "html"))
        if name in message
    ]
    attachments = cast("Mapping[str, Mapping[str, str]]", message.get("attachments") or {})
    files = [_file(name, attachment) for name, attachment in attachments.items()]
    return _multipart("mixed", [_multipart("alternative", texts), *files])


def _multipart(subtype: str, parts: Sequence[bytes]) -> bytes:
    """Return parts, each with its head, as one; a single one stays as it is."""
    if len(parts) == 1:
        return parts[0]
    # It begins with what neither of the encodings used here can hold (RFC 2045 section 6.7).
    boundary = f"=_{subtype}".encode()
    return b"".join(
        [
            b'Content-Type: multipart/%b; boundary="%b"\r\n' % (subtype.encode(), boundary),
            *(b"\r\n--%b\r\n%b" % (boundary, part) for part in parts),
            b"\r\n--%b--\r\n" % boundary,
        ]
    )


def _text(text: str, subtype: str) -> bytes:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n") + "\n"
    lines = lines.replace("\n", "\r\n")
    octets = lines.encode()
    kind = f'text/{subtype}; charset="utf-8"'
    if (len(octets) - len(lines)) * 6 > len(octets):  # then that is the shorter one
        return _part(kind, "base64", _base64(octets))
    return _part(kind, "quoted-printable", binascii.b2a_qp(octets, istext=True))


def _file(name: str, attachment: Mapping[str, str]) -> bytes:
    content = base64.b64decode(attachment["content"])
    kind = attachment.get("content_type", "application/octet-stream")
    head = f"{kind}\r\nContent-Disposition: attachment;\r\n {_file_name(name)}"
    return _part(head, "base64", _base64(content))


def _part(kind: str, encoding: str, body: bytes) -> bytes:
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode("ascii") + body


def _base64(octets: bytes) -> bytes:
    encoded = binascii.b2a_base64(octets, newline=False)
    return (
        b"\r\n".join([encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]) + b"\r\n"
    )


def _file_name(name: str) -> str:
    if len(name) <= _LONGEST_PLAIN and _is_plain(name) and not set(name) & set('"\\'):
        return f'filename="{name}"'
    pieces = _pieces(name, lambda character: quote(character, safe=""))
    # RFC 2231 sections 3 and 4: in pieces, the first of which says in which characters.
    return ";\r\n ".join(
        f"filename*{at}*={'' if at else _CHARSET}{piece}" for at, piece in enumerate(pieces)
    )


# --- the header (RFC 5322) -----------------------------------------------------------------------


def _listed(found: Iterable[str]) -> str:
    return ",\r\n ".join(map(_mailbox, found))


def _mailbox(mailbox: str) -> str:
    name, address = _parted(mailbox)
    if not name:
        return address
    if _is_plain(name):
        return '"' + re.sub(r'(["\\])', r"\\\1", name) + f'" <{address}>'
    return f"{_encoded(name)} <{address}>"


def _parted(mailbox: str) -> tuple[str, str]:
    """Return display name and address of what the format ``mailbox`` accepts."""
    if not mailbox.isprintable():  # for an address is the one thing that is not encoded
        raise ValueError("a mailbox with control characters")
    if not mailbox.endswith(">"):
        return "", mailbox
    phrase, _, address = mailbox[:-1].rpartition("<")
    words = (
        re.sub(r"\\(.)", r"\1", quoted) if plain == "" else plain
        for quoted, plain in _WORD.findall(phrase)
    )
    return " ".join(words), address


def _subject(text: str) -> str:
    return text if len(text) <= _LONGEST_PLAIN and _is_plain(text) else _encoded(text)


def _is_plain(text: str) -> bool:
    # What looks like an encoded word would be read as one.
    return bool(_PLAIN.fullmatch(text)) and "=?" not in text


def _encoded(text: str) -> str:
    """Return encoded words (RFC 2047), a line each; readers ignore the blanks between them."""
    words = (base64.b64encode(piece).decode() for piece in _pieces(text, str.encode))
    return "\r\n ".join(f"=?utf-8?b?{word}?=" for word in words)


def _pieces(text: str, encode: Callable[[str], AnyStr]) -> list[AnyStr]:
    """Return a text encoded, in pieces that fit a line and do not part a character."""
    pieces = [encode("")]
    for character in map(encode, text):
        if len(pieces[-1]) + len(character) > _LONGEST_PIECE:
            pieces.append(character)
        else:
            pieces[-1] += character
    return pieces
