"""The fixture ``load``."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from configured import Load

from signals_proxy import config
from signals_proxy.account import keyring
from signals_proxy.config import Settings


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that writes a text to a file, its owner's alone, and loads it.

    Beside it lies a keyring.
    """
    ring = tmp_path / "keyring"
    ring.touch(0o600)
    ring.write_text(keyring.generate())

    def load(text: str, environ: Mapping[str, str] | None = None, mode: int = 0o600) -> Settings:
        file = tmp_path / "proxy.yaml"
        file.write_text(text)
        file.chmod(mode)
        return config.load(file, environ or {})

    return load
