"""The formats that attributes may have, each a question with yes or no for an answer.

Rule of the file: only what is certainly meant passes. What is stored here is later put into SMTP
commands, mail headers, SOCKS requests and TLS contexts, so no control character passes anywhere
but a line break or tab in a text, and no host or URL that two readers could read differently.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

__all__ = ["FORMATS", "Format"]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: what it accepts, how it is called, and whether a wrong value may be repeated.

    Values that are not repeated often hold secrets: a password in a URL, a key in place of a
    certificate.
    """

    accepts: Callable[[str], bool]
    expected: str
    repeatable: bool = True


# Control characters (C0, DEL, C1) and the two separators that some readers take for a line's end.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _is_line(text: str) -> bool:
    return not _CONTROL.search(text)


def _is_text(text: str) -> bool:
    return _is_line(re.sub("[\t\n]|\r\n", "", text))


def _is_token(text: str) -> bool:
    """Visible ASCII: can stand in a header field without being quoted."""
    return bool(re.fullmatch("[!-~]+", text))


def _is_basic_user(text: str) -> bool:
    """RFC 7617 section 2: the first colon ends a user's name, and the rest would be password."""
    return _is_line(text) and ":" not in text


# RFC 9110: `token` 5.6.2, `field-value` 5.5, without tabs and what is obsolete.
_FIELD_NAME: Final = re.compile("[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FIELD_VALUE: Final = re.compile("[!-~](?:[ -~]*[!-~])?")
# They say where a request goes and where it ends, or hold for one connection only.
_FIELDS_OF_THE_CONNECTION: Final = {
    *("host", "content-length", "transfer-encoding", "connection", "keep-alive"),
    *("te", "trailer", "upgrade", "expect"),
}


def _is_header_name(text: str) -> bool:
    name = text.lower()
    return bool(
        _FIELD_NAME.fullmatch(text)
        and name not in _FIELDS_OF_THE_CONNECTION
        and not name.startswith("proxy-")
    )


def _is_header_value(text: str) -> bool:
    return bool(_FIELD_VALUE.fullmatch(text))


def _is_label(text: str) -> bool:
    return bool(re.fullmatch("[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?", text))


def _is_date(text: str) -> bool:
    """RFC 3339 section 5.6, ``full-date``."""
    try:
        return bool(re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text) and date.fromisoformat(text))
    except ValueError:
        return False


# --- hosts and URLs ------------------------------------------------------------------------------

# RFC 1123 section 2.1, and the underscore of container networks.
_HOST_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*\.?")
# Resolvers take such a last label for (part of) an address: `127.1`, `0x7f000001`, `2130706433`.
_NUMBER_AT_THE_END: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
# RFC 3986; authority without user info, no fragment.
_URL: Final = re.compile(
    r"https?://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?](?:[A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)?",
    re.IGNORECASE | re.ASCII,
)


def _is_address(text: str, version: int | None = None) -> bool:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text and version in {None, found.version}  # '%' begins a zone


def _is_host(text: str) -> bool:
    return _is_address(text) or bool(
        len(text) <= 253 and _HOST_NAME.fullmatch(text) and not _NUMBER_AT_THE_END.fullmatch(text)
    )


def _is_http_url(text: str) -> bool:
    match = _URL.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 80) < 65536:
        return False
    host = match["host"]
    return _is_address(host[1:-1], 6) if host.startswith("[") else _is_host(host)


# --- mail ----------------------------------------------------------------------------------------

# RFC 5322: `atom` 3.2.3, `quoted-string` 3.2.4, `addr-spec` 3.4.1, `name-addr` 3.4; without
# comments, folding and the obsolete forms, but for the dot in a display name (4.1, `obs-phrase`).
# Beyond ASCII only display names: they can be encoded, an address cannot.
_ATOM: Final = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
# A mail server that does not know of quotes would take `"a@b.test>"@c.test` for another address.
_QUOTED_LOCAL: Final = r'"(?:[^"\\<>]|\\[^<>])*"'
_ADDRESS: Final = re.compile(rf"(?P<local>{_ATOM}(?:\.{_ATOM})*|{_QUOTED_LOCAL})@(?P<domain>[^@]+)")
_WORD: Final = rf"(?:[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.\x80-\U0010ffff-]+|{_QUOTED})"
_NAME_AND_ADDRESS: Final = re.compile(rf"(?:{_WORD}(?: +{_WORD})* *)?<(?P<address>[^<>]*)>")


def _is_mailbox(text: str) -> bool:
    named = _NAME_AND_ADDRESS.fullmatch(text)
    match = _ADDRESS.fullmatch(named["address"] if named else text)
    if match is None or not text.isprintable():
        return False
    local, domain = match["local"], match["domain"]
    # RFC 5321 section 4.5.3.1: how long the parts may be.
    if not local.isascii() or len(local) > 64 or len(local) + 1 + len(domain) > 254:
        return False
    if domain.startswith("["):  # RFC 5321 section 4.1.3
        literal = domain[1:-1].removeprefix("IPv6:")
        return domain.endswith("]") and _is_address(literal, 6 if "IPv6:" in domain else 4)
    return _is_host(domain) and not domain.endswith(".")


# --- PEM -----------------------------------------------------------------------------------------

# RFC 7468 section 3, `stricttextualmsg`, with lines of any length and nothing outside the blocks.
_PEM: Final = re.compile(
    r"\s*-----BEGIN (?P<label>[A-Z ]+)-----\r?\n(?P<body>(?:[A-Za-z0-9+/=]+\r?\n)+)"
    r"-----END (?P=label)-----\s*",
    re.ASCII,
)
_PRIVATE_KEYS: Final = ({"PRIVATE KEY"}, {"RSA PRIVATE KEY"}, {"EC PRIVATE KEY"})


def _pem_labels(text: str) -> list[str]:
    """Return the labels of the blocks that the text is made of, none if it is anything else."""
    labels = []
    position = 0
    while position < len(text):
        match = _PEM.match(text, position)
        if match is None or not _is_der_sequence("".join(match["body"].split())):
            return []
        labels.append(match["label"])
        position = match.end()
    return labels


def _is_der_sequence(encoded: str) -> bool:
    """Tell whether it is the base64 of exactly one ASN.1 SEQUENCE (X.690), as all we take are."""
    try:
        der = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return False
    if len(der) < 2 or der[0] != 0x30:
        return False
    if der[1] < 0x80:
        return len(der) == 2 + der[1]
    head = 2 + der[1] - 0x80
    return len(der) == head + int.from_bytes(der[2:head], "big")


def _is_certificates(text: str) -> bool:
    return set(_pem_labels(text)) == {"CERTIFICATE"}


def _is_private_key(text: str) -> bool:
    labels = _pem_labels(text)
    return len(labels) == 1 and set(labels) in _PRIVATE_KEYS


FORMATS: Final[Mapping[str, Format]] = {
    "line": Format(_is_line, "A string without control characters"),
    "text": Format(_is_text, "A string without control characters but line breaks and tabs"),
    "token": Format(_is_token, "Visible ASCII characters, no blanks", repeatable=False),
    "basic-user": Format(_is_basic_user, "A string without colons and control characters"),
    "header-name": Format(
        _is_header_name,
        "Names of RFC 9110, other than Host, Content-Length, Transfer-Encoding, Connection, "
        "Keep-Alive, TE, Trailer, Upgrade, Expect and Proxy-…",
        repeatable=False,
    ),
    "header-value": Format(
        _is_header_value, "Visible ASCII characters, blanks only between them", repeatable=False
    ),
    "label": Format(
        _is_label,
        "A name of at most 63 of A-Z, a-z, 0-9, '-', '_', '.', '/'; first and last a letter or digit",
    ),
    "date": Format(_is_date, "A date such as 2030-12-31"),
    "host": Format(_is_host, "A host name in ASCII, or an IP address without brackets"),
    "http-url": Format(
        _is_http_url,
        "An http or https URL, without user name, password and fragment",
        repeatable=False,
    ),
    "mailbox": Format(_is_mailbox, "An eMail address"),
    "pem-certificates": Format(
        _is_certificates,
        "PEM blocks 'CERTIFICATE', one at least, and nothing else",
        repeatable=False,
    ),
    "pem-private-key": Format(
        _is_private_key, "One PEM block with a private key, not encrypted", repeatable=False
    ),
}
"""By the name that stands for it after ``format`` in a schema."""
