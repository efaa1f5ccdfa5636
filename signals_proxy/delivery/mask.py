"""Words of a service, as they may be shown: without the account's secrets, and short.

Rules of the file: a service that echoes what it was sent may do so in any of the forms in which a
secret travels: as it is, in base64 at any place of a longer text, percent-encoded, in JSON. A text
that holds a form too short to be cut out is not shown at all.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.account.findings import texts
from signals_proxy.secret import MASK, Secret

__all__ = ["Masks"]

_SHORTEST: Final = 4
_SHORTEST_PART: Final = 8
_LONGEST: Final = 1000
_MOST_ELEMENTS: Final = 100
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Masks:
    """The secrets of one account, and ``borrowed`` ones, in all forms that are looked for."""

    def __init__(self, account: Account, borrowed: Sequence[Secret] = ()) -> None:
        found = {
            form
            for secret in (*account.secrets.values(), *borrowed)
            for text in texts(secret.reveal())
            for part in _parts(text)
            for form in _forms(part)
        }
        whole = {form for form in found if len(form) >= _SHORTEST}
        self._short = found - whole
        longest_first = sorted(whole, key=len, reverse=True)
        self._forms = re.compile("|".join(map(re.escape, longest_first)) or "(?!)", re.IGNORECASE)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def text(self, said: str) -> str:
        """Return a text without secrets and control characters, cut at 1,000 characters."""
        # Cut last: half a secret would not be found.
        shown = self._forms.sub(MASK, said)
        if any(short in shown.replace(MASK, "") for short in self._short):
            return MASK
        shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", shown)
        return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"

    def answer(self, members: Mapping[str, Json]) -> dict[str, Json]:
        """Return the known parts of an answer, each text in them as :meth:`text` does.

        The names of the parts are ours; those within them are not.
        """
        return {name: self._value(value) for name, value in members.items()}

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
    yield text
    yield quote(text, safe="")
    yield quote(text)
    yield quote_plus(text)
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield json.dumps(text)[1:-1].replace("/", "\\/")
    octets = text.encode("utf-8", "surrogatepass")
    for before in range(3):
        # Which letters of base64 depend on the text alone, if so many octets stand before it.
        encoded = base64.b64encode(b"\0" * before + octets).decode()
        first = (before * 8 + 5) // 6
        last = (before + len(octets)) * 8 // 6
        inner = encoded[first:last]
        if len(inner) >= _SHORTEST:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
