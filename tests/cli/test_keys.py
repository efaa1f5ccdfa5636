"""``signals-proxy keys generate``."""

import os
import pty
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from signals_proxy.account import keyring
from signals_proxy.cli import main

GENERATE = [sys.executable, "-m", "signals_proxy", "keys", "generate"]


def test_to_a_file(tmp_path: Path) -> None:
    """The file is a keyring, and its owner's alone whatever the umask."""
    file = tmp_path / "keyring"
    before = os.umask(0)
    try:
        result = CliRunner().invoke(main, ["keys", "generate", "--output", str(file)])
    finally:
        os.umask(before)
    assert (result.exit_code, result.stdout) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(keyring.parse(file.read_text()).keys) == 1
    assert result.stderr.startswith(
        f"signals-proxy: wrote {file}\nsignals-proxy: hint: keep a copy"
    )


def test_never_overwrites(tmp_path: Path) -> None:
    """An existing file, or a link, stays as it is."""
    file, link = tmp_path / "keyring", tmp_path / "link"
    file.write_text("mine")
    link.symlink_to(tmp_path / "nothing")
    for each in (file, link):
        result = CliRunner().invoke(main, ["keys", "generate", "-o", str(each)])
        assert result.exit_code == 2
        assert f"signals-proxy: error: {each} exists, and is never overwritten" in result.stderr
    assert file.read_text() == "mine"
    assert not (tmp_path / "nothing").exists()


def test_no_folder(tmp_path: Path) -> None:
    """A folder that does not exist is told, and not made."""
    file = tmp_path / "none" / "keyring"
    result = CliRunner().invoke(main, ["keys", "generate", "-o", str(file)])
    assert result.exit_code == 2
    assert f"error: cannot write {file}: no such file or directory" in result.stderr
    assert not file.parent.exists()


def test_half_written(tmp_path: Path) -> None:
    """A file that cannot be written whole is taken away again."""
    file = tmp_path / "keyring"
    found = subprocess.run(
        [*GENERATE, "-o", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert found.returncode == 2
    assert f"signals-proxy: error: cannot write {file}: file too large" in found.stderr
    assert not file.exists()


def test_to_standard_output() -> None:
    """Without a file the keyring is what is printed, and nothing else."""
    result = CliRunner().invoke(main, ["keys", "generate"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(keyring.parse(result.stdout).keys) == 1


@pytest.mark.parametrize(("mode", "hint"), [(0o644, "chmod 600 it"), (0o600, "")])
def test_to_a_redirected_file(tmp_path: Path, mode: int, hint: str) -> None:
    """A file that the shell made, and that others may read, gets a hint."""
    file = tmp_path / "keyring"
    file.touch()
    file.chmod(mode)
    with file.open("w") as output:
        found = subprocess.run(
            GENERATE, stdout=output, stderr=subprocess.PIPE, text=True, check=True
        )
    assert len(keyring.parse(file.read_text()).keys) == 1
    assert hint in found.stderr
    assert bool(hint) is bool(found.stderr)


def test_to_a_terminal() -> None:
    """At a terminal the keyring is printed with a word of warning."""
    ours, theirs = pty.openpty()
    found = subprocess.run(GENERATE, stdout=theirs, stderr=subprocess.PIPE, text=True, check=True)
    os.close(theirs)
    assert b"signals-proxy-key-1" in os.read(ours, 4096)
    os.close(ours)
    assert "hint: this is secret: clear the screen" in found.stderr
