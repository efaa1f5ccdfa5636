"""The archive: it makes starts quick, and nothing depends on it."""

import sys
from pathlib import Path

import pytest

from signals_proxy import embedded
from signals_proxy.embedded import archive

VERSION = embedded.VERSION


@pytest.mark.usefixtures("prepared")
def test_used(tmp_path: Path) -> None:
    """A node starts from the archive that was made once."""
    assert not archive.is_missing(VERSION)
    with embedded.start(VERSION, tmp_path) as node:
        memory = Path(f"/proc/{node.process.pid}/maps").read_text()
        assert str(archive.path(VERSION)) in memory


def test_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that cannot be made is not tried again, and no node is asked to use it."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where there are no jars
    assert archive.is_missing(VERSION)
    archive.make(VERSION)
    assert not archive.is_missing(VERSION)
    assert archive.options(VERSION) == []
    assert [archive.path(VERSION)] == list(archive.path(VERSION).parent.iterdir())


def test_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the system's own Python, no archive is made: the folder is not ours."""
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert not archive.is_missing(VERSION)
