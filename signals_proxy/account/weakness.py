"""What makes an account weak, but not wrong: it is accepted, and told.

A type's schema says it (``x-weak``): a list of a ``text``, and of ``when`` it holds: a test for
each place, an attribute or a member of one (``oauth2.token_url``), all of which have to be there and
to pass. A test is one word of JSON Schema (``const``, ``pattern``, ``minItems``), ``x-past`` for a
day that has come, or ``{}``.

Rule of the file: a text names attributes and no values, and fits into a header field as it is.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from signals_proxy.account.account_type import Account, AccountType
from signals_proxy.account.body import Json
from signals_proxy.account.values import fits, members

__all__ = ["check", "weaknesses"]

_TESTS: Final = {"const", "pattern", "minItems", "x-past"}
_TEXT: Final = re.compile(r"[ !#-\[\]-~]{1,200}")
"""Printable ASCII without a quotation mark and a backslash."""


def weaknesses(account_type: AccountType, account: Account, today: date) -> list[str]:
    """Return what is weak about an account, each in one sentence."""
    return [
        weak["text"]
        for weak in account_type.schema.get("x-weak", ())
        if all(_passes(account, place, test, today) for place, test in weak["when"].items())
    ]


def check(weak: Any, attributes: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return what is wrong with an ``x-weak`` of a type with these attributes."""
    for each in weak:
        if each.keys() != {"when", "text"} or not each["when"]:
            return "a weakness without 'when' and 'text'"
        if not _TEXT.fullmatch(each["text"]):
            return f"a weakness with the text '{each['text']}'"
        for place, test in each["when"].items():
            name, _, member = place.partition(".")
            attribute = attributes.get(name, {})
            known = bool(attribute) and (not member or member in members(attribute))
            # The answer to a comparison would be one to a guess.
            guesses = "const" in test and attribute.get("writeOnly")
            if not known or guesses or not test.keys() <= _TESTS or len(test) > 1:
                return f"a weakness that depends on '{place}'"
    return None


def _passes(account: Account, place: str, test: Mapping[str, Any], today: date) -> bool:
    name, _, member = place.partition(".")
    secret = account.secrets.get(name)
    value: Json = account.public.get(name) if secret is None else secret.reveal()
    if member:
        value = value.get(member) if isinstance(value, dict) else None
    if value is None:
        return False
    if "x-past" in test:
        return str(value) <= today.isoformat()
    return fits({"properties": {"value": test}}, {"value": value})
