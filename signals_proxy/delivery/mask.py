"""Words of a service, as they may be shown: without the account's secrets, and short.

Rules of the file:

- A service that echoes what it was sent may do so in any of the forms in which a secret travels: as
  it is, in base64 at any place of a longer text, percent-encoded, in JSON or HTML.
- A text of the service that holds a form too short to be cut out is not shown at all.
- Both the texts and the secrets may be made to be slow: they are searched for in linear time, and
  not by regular expressions, which would be kept, and the secrets with them.
"""

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.account.findings import texts
from signals_proxy.secret import MASK, Secret

__all__ = ["Masks", "cut"]

_SHORTEST: Final = 4
_SHORTEST_PART: Final = 8
_LONGEST: Final = 1000
_MOST_ELEMENTS: Final = 100
_MOST_CHARACTERS: Final = 128 * 1024
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Masks:
    """The secrets of one account, and ``borrowed`` ones, in all forms that are looked for."""

    def __init__(self, account: Account, borrowed: Sequence[Secret] = ()) -> None:
        forms = {
            form
            for secret in (*account.secrets.values(), *borrowed)
            for text in texts(secret.reveal())
            for part in _parts(text)
            for form in _forms(part)
        }
        self._left = _MOST_CHARACTERS
        self._short = [_folded(form) for form in forms if 0 < len(form) < _SHORTEST]
        self._whole = {_folded(form) for form in forms if len(form) >= _SHORTEST}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def text(self, said: str) -> str:
        """Return a text without secrets and control characters, cut at 1,000 characters.

        Nothing is shown of what comes after 128 KiB of texts.
        """
        self._left -= len(said)
        if self._left < 0:
            return MASK
        shown = self._masked(said)
        rest = _folded(shown.replace(MASK, ""))
        return MASK if any(short in rest for short in self._short) else cut(shown)

    def _masked(self, said: str) -> str:
        octets, folded = said.encode("utf-8", "surrogatepass"), _folded(said)
        shown, at = bytearray(), 0
        for start, end in sorted(span for form in self._whole for span in _spans(folded, form)):
            if start >= at:
                shown += octets[at:start] + MASK.encode()
            at = max(at, end)
        return (shown + octets[at:]).decode("utf-8", "surrogatepass")

    def answer(self, members: Mapping[str, Json]) -> dict[str, Json]:
        """Return the known parts of an answer, each text in them as :meth:`text` does.

        The names of the parts are ours; those within them are not, but for the recipients.
        """
        return {
            name: {recipient: self._value(reply) for recipient, reply in value.items()}
            if name == "refused" and isinstance(value, dict)
            else self._value(value)
            for name, value in members.items()
        }

    def _value(self, value: Json) -> Json:
        match value:
            case str():
                return self.text(value)
            case list():
                return [self._value(child) for child in value[:_MOST_ELEMENTS]]
            case dict():
                first = [*value.items()][:_MOST_ELEMENTS]
                return {self.text(name): self._value(child) for name, child in first}
            case _:
                return value


def _folded(text: str) -> bytes:
    """Return a text in which letters of ASCII are small, each at the place where it was."""
    return text.encode("utf-8", "surrogatepass").lower()


def _spans(folded: bytes, form: bytes) -> Iterator[tuple[int, int]]:
    start = folded.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = folded.find(form, start + len(form))


def cut(shown: str) -> str:
    """Return a text without control characters, and at most 1,000 characters of it."""
    # Last of all: half a secret would not be found.
    shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", shown)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"


def _parts(secret: str) -> Iterator[str]:
    """Yield a secret, and what of a URL is secret by itself."""
    yield secret
    if secret.lower().startswith(("http://", "https://")):
        url = urlsplit(secret)
        if url.path.strip("/"):
            yield url.path + (f"?{url.query}" if url.query else "")
        for piece in re.split("[/&=]", f"{url.path}/{url.query}"):
            if len(piece) >= _SHORTEST_PART:
                yield piece
                yield unquote(piece)


def _forms(text: str) -> Iterator[str]:
    yield from (text, text.lower(), text.upper(), " ".join(text.split()))
    yield from (html.escape(text), html.escape(text, quote=False))
    yield quote(text, safe="")
    yield quote(text)
    yield quote_plus(text)
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield json.dumps(text)[1:-1].replace("/", "\\/")
    yield from _in_base64(text.encode("utf-8", "surrogatepass"))
    yield from _in_base64(quote_plus(text).encode())  # as a client's of OAuth 2.0 travels


def _in_base64(octets: bytes) -> Iterator[str]:
    for before in range(3):
        # Which letters of base64 depend on the text alone, if so many octets stand before it.
        encoded = base64.b64encode(b"\0" * before + octets).decode()
        first = (before * 8 + 5) // 6
        last = (before + len(octets)) * 8 // 6
        inner = encoded[first:last]
        if len(inner) >= _SHORTEST:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
