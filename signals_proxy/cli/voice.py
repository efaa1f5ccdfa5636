"""How the command line speaks to people; what programs read goes to standard output instead."""

import click

__all__ = ["tell", "tell_error", "tell_hint"]


def tell(text: str) -> None:
    """Say what was done."""
    click.echo(f"signals-proxy: {text}", err=True)


def tell_error(text: str) -> None:
    """Say what is wrong, in lower case and without a full stop."""
    tell(f"error: {_spoken(text)}")


def tell_hint(text: str) -> None:
    """Say what to do about it, if there is something."""
    if text:
        tell(f"hint: {_spoken(text)}")


def _spoken(text: str) -> str:
    # Only the first word of a sentence: names such as `API` or a path begin as they are written.
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    if first[1:].islower() and first.isalpha():
        text = text[0].lower() + text[1:]
    return text.removesuffix(".")
