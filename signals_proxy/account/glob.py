"""Patterns in which ``*`` is any run of characters, and nothing else is special."""

__all__ = ["fits"]


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
