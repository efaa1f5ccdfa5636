"""How the command line speaks to people; what programs read goes to standard output instead."""

from typing import Final

import click

__all__ = ["shown", "tell", "tell_error", "tell_hint"]

_LONGEST: Final = 500
"""Characters of what somebody else says."""


def tell(text: str) -> None:
    """Say what was done, in one line: the names of files may hold line breaks and worse."""
    click.echo(f"signals-proxy: {_printable(text)}", err=True)


def tell_error(text: str) -> None:
    """Say what is wrong, in lower case and without a full stop."""
    tell(f"error: {_spoken(text)}")


def tell_hint(text: str) -> None:
    """Say what to do about it, if there is something."""
    if text:
        tell(f"hint: {_spoken(text)}")


def shown(text: str) -> str:
    """Return a text of unknown origin as it can be printed: short, and without control characters."""
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    return _printable(text)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _spoken(text: str) -> str:
    # Only the first word of a sentence: names such as `API` or a path begin as they are written.
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    if first[1:].islower() and first.isalpha():
        text = text[0].lower() + text[1:]
    return text.removesuffix(".")
