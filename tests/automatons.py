"""Patterns as Elasticsearch's security compares them: whether one contains all that another does.

Follows ``support/Automatons``, see ``privileges.py``; it also knows
regular expressions (``/…/``), which are not played.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

Granted = tuple[Iterable[str], Iterable[str]]


def covers(granted: Iterable[Granted], asked: Iterable[str]) -> bool:
    """Tell whether each text that fits a pattern of ``asked`` is granted.

    It is where it fits the first of a pair's patterns, and none of its second ones.
    """
    less = [([*map(_tokens, allowed)], [*map(_tokens, denied)]) for allowed, denied in granted]
    ours = [*map(_tokens, asked)]
    every = [*ours, *(it for pair in less for side in pair for it in side)]
    letters = {token for tokens in every for token in tokens if len(token) == 1} | {"other"}
    start = (_start(ours), tuple((_start(allowed), _start(denied)) for allowed, denied in less))
    seen, ahead = {start}, [start]
    while ahead:
        mine, theirs = ahead.pop()
        if _accepts(ours, mine) and not any(
            _accepts(allowed, at) and not _accepts(denied, not_at)
            for (allowed, denied), (at, not_at) in zip(less, theirs, strict=True)
        ):
            return False
        for letter in letters:
            after = _step(ours, mine, letter)
            state = (
                after,
                tuple(
                    (_step(allowed, at, letter), _step(denied, not_at, letter))
                    for (allowed, denied), (at, not_at) in zip(less, theirs, strict=True)
                ),
            )
            if after and state not in seen:
                seen.add(state)
                ahead.append(state)
    return True


States = frozenset[tuple[int, int]]


def _tokens(pattern: str) -> list[str]:
    """Take a pattern apart: letters, ``any``, ``run``. A backslash takes the meaning of the next."""
    assert not pattern.startswith("/"), "regular expressions are not played"
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return [{"*": "run", "?": "any"}.get(part, part[-1]) for part in parts]


def _start(patterns: Sequence[Sequence[str]]) -> States:
    return _spread(patterns, ((n, 0) for n in range(len(patterns))))


def _spread(patterns: Sequence[Sequence[str]], states: Iterable[tuple[int, int]]) -> States:
    def skipping(n: int, at: int) -> Iterator[tuple[int, int]]:
        yield n, at
        while at < len(patterns[n]) and patterns[n][at] == "run":
            at += 1
            yield n, at

    return frozenset(found for state in states for found in skipping(*state))


def _step(patterns: Sequence[Sequence[str]], states: States, letter: str) -> States:
    after = []
    for n, at in states:
        token = patterns[n][at] if at < len(patterns[n]) else ""
        if token == "run":
            after.append((n, at))
        elif token in {"any", letter}:
            after.append((n, at + 1))
    return _spread(patterns, after)


def _accepts(patterns: Sequence[Sequence[str]], states: States) -> bool:
    return any(at == len(patterns[n]) for n, at in states)
