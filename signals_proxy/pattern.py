"""``pattern`` of JSON Schema as the standard means it, for every validator of ours."""

import re
from collections.abc import Iterator
from typing import Any

from jsonschema import ValidationError

__all__ = ["pattern_keyword"]


def pattern_keyword(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    """The end is the end (ECMA-262): for Python, '$' also stands before a last line break."""
    if isinstance(value, str):
        is_longer = pattern.endswith("$") and value.endswith("\n")
        if is_longer or not re.search(pattern, value):
            yield ValidationError("of the wrong form")
