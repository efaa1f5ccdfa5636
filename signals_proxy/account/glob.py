"""Patterns in which ``*`` is any run of characters, and nothing else is special."""

from collections.abc import Iterator

__all__ = ["fits", "rests"]


def fits(pattern: str, text: str) -> bool:
    """Tell whether the whole text fits the pattern; never slow, whatever the pattern is."""
    first, *others = pattern.split("*")
    if not others:
        return text == first
    *middle, last = others
    place, end = len(first), len(text) - len(last)
    if place > end or not (text.startswith(first) and text.endswith(last)):
        return False
    for part in middle:
        place = text.find(part, place, end)
        if place < 0:
            return False
        place += len(part)
    return True


def rests(pattern: str, beginning: str) -> frozenset[str]:
    """Return the patterns of what may follow ``beginning`` in the texts that fit ``pattern``.

    A text ``beginning + rest`` fits the pattern if, and only if, ``rest`` fits one of these.
    """
    found = {pattern}
    for character in beginning:
        found = {rest for it in found for rest in _after(it, character)}
    return frozenset(found)


def _after(pattern: str, character: str) -> Iterator[str]:
    rest = pattern.lstrip("*")
    if rest != pattern:
        yield "*" + rest
    if rest.startswith(character):
        yield rest[1:]
