"""A configuration file of a test's own, and how its errors are told."""

from collections.abc import Callable, Mapping

import pytest

from signals_proxy.config import InvalidSettings, Settings

MINIMAL = """\
upstream:
  hosts: http://127.0.0.1:9200
keyring:
  file: keyring
authorization:
  backend: none
"""

Load = Callable[..., Settings]
"""The fixture ``load``: writes a text to a file that is its owner's alone, and loads it."""


def told(load: Load, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the errors of a text as ``line: path: message | remedy``."""
    with pytest.raises(InvalidSettings) as raised:
        load(text, environ)
    return [
        f"{error.line}: {error.path}: {error.message} | {error.remedy}"
        for error in raised.value.errors
    ]


def only(load: Load, text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the one error of a text."""
    (error,) = told(load, text, environ)
    return error
