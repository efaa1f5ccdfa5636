"""What is wrong with an account, found in one go, and shown without its secrets.

Rule of the file: nothing that was sent as a secret is repeated, be it as another attribute's value
or as the name of something.
"""

import math
import re
from collections.abc import Container, Iterator, Mapping
from typing import Final

from signals_proxy.account.body import Json
from signals_proxy.errors import Detail
from signals_proxy.secret import Secret

__all__ = ["Findings", "texts"]

_MOST_COMPARED: Final = 100
"""How many texts of secrets there may be before nothing that was sent is shown: comparing is slow."""

_SHORTEST_HIDDEN: Final = 4
"""Characters of a secret from which on a name that holds it is not shown."""


class Findings:
    """Details by attribute, in the order of their finding, without any secret that was sent.

    ``places`` are the attributes, and those of their members that have names of ours.
    """

    def __init__(self, places: Container[str], sent: Mapping[str, Secret]) -> None:
        self.details: dict[str, list[Detail]] = {}
        self._places = places
        self._secrets = [text for s in sent.values() for text in texts(s.reveal()) if text]
        self._shows = len(self._secrets) <= _MOST_COMPARED

    def add(self, place: str, error: str, *, value: Json = None, expected: Json = None) -> None:
        """Note an error, once for each place and wording."""
        detail = Detail(error, value if self._may_be_shown(value) else None, expected)
        noted = self.details.setdefault(self._shown(place), [])
        if detail not in noted:
            noted.append(detail)

    def _shown(self, place: str) -> str:
        """Return the place with no name in it that the caller chose and that holds a secret."""
        if place in self._places:
            return place
        ours, dot, rest = place.partition(".")
        if ours not in self._places:
            ours, dot, rest = "", "", place
        # A shorter one is in many names by chance, and hiding those would give it away.
        hidden = (secret for secret in self._secrets if len(secret) >= _SHORTEST_HIDDEN)
        if rest and not self._shows:
            rest = "(a name among too many secrets)"
        elif any(secret in rest for secret in hidden):
            rest = "(a name that holds a secret)"
        return ours + dot + rest

    def _may_be_shown(self, value: Json) -> bool:
        if not self._shows or isinstance(value, list | dict):
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        text = str(value)
        return (
            len(text) <= 256
            and "-----BEGIN" not in text
            and not re.search(":.*@", text)  # a password before a host, as in a URL
            and not any(secret in text for secret in self._secrets)
        )


def texts(value: Json) -> Iterator[str]:
    """Every string in a value but the names of members."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for child in value.values() if isinstance(value, dict) else value:
            yield from texts(child)
