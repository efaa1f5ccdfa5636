"""``signals-proxy keys generate --append``: one more key in a keyring that is in use."""

import fcntl
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from signals_proxy.account import keyring
from signals_proxy.cli import main

GENERATE = [sys.executable, "-m", "signals_proxy", "keys", "generate"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A keyring with a comment at its end, and no line end after that."""
    file = tmp_path / "keyring"
    file.touch(0o600)
    file.write_text(keyring.generate() + "# ours")
    return file


def append(file: Path) -> Result:
    return CliRunner().invoke(main, ["keys", "generate", "--append", str(file)])


def test_append(file: Path) -> None:
    """The new key comes last, so it only opens; all else stays byte for byte."""
    before = file.read_text()
    result = append(file)
    assert (result.exit_code, result.stdout) == (0, "")
    after = file.read_text()
    assert after.startswith(f"{before}\nsignals-proxy-key-1")
    old, new = keyring.parse(after).keys
    assert old == keyring.parse(before).primary
    assert result.stderr.startswith(
        f"signals-proxy: added the key {new.id} to {file}; it opens, and does not seal yet\n"
        "signals-proxy: hint: copy the file to every proxy"
    )
    assert [*file.parent.iterdir()] == [file]


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_mode_and_link(file: Path, tmp_path: Path, mode: int) -> None:
    """A link is followed: its file is replaced, with the same mode, and the link stays a link."""
    file.chmod(mode)
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(file)
    before = file.stat().st_ino
    assert append(link).exit_code == 0
    assert link.readlink() == file
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert file.stat().st_ino != before
    assert [*link.parent.iterdir()] == [link]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owner(file: Path) -> None:
    """A keyring of root's that belongs to another group stays in that group."""
    os.chown(file, 0, 1234)
    assert append(file).exit_code == 0
    found = file.stat()
    assert (found.st_uid, found.st_gid) == (0, 1234)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda file: file.unlink(), "cannot be changed: no such file or directory"),
        (lambda file: file.chmod(0o640), "may be used by others (mode 0640)"),
        (lambda file: file.write_text("nonsense"), "not a line of a keyring"),
        (lambda file: file.write_text(""), "empty"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "not a text file"),
    ],
)
def test_refused(file: Path, prepare: Any, said: str) -> None:
    """What is no keyring of its owner's alone is told with its name, and stays as it is."""
    prepare(file)
    before = file.read_bytes() if file.exists() else None
    result = append(file)
    assert result.exit_code == 2
    assert f"signals-proxy: error: {file}" in result.stderr
    assert said in result.stderr
    assert (file.read_bytes() if file.exists() else None) == before


def test_two_at_once(file: Path) -> None:
    """While one run has the folder, another one says so and changes nothing."""
    before = file.read_text()
    descriptor = os.open(file.parent, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    result = append(file)
    os.close(descriptor)
    assert result.exit_code == 2
    assert f"error: {file}: another program is changing it" in result.stderr
    assert file.read_text() == before
    assert append(file).exit_code == 0


def test_left_by_a_run_that_was_killed(file: Path) -> None:
    """Half of a file that a run left behind is in nobody's way."""
    (file.parent / ".keyring.new").write_text("half")
    assert append(file).exit_code == 0
    assert [*file.parent.iterdir()] == [file]


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    result = append(tmp_path / "link")
    assert result.exit_code == 2
    assert "link: cannot be changed: too many levels of symbolic links" in result.stderr


def test_a_full_disk(file: Path) -> None:
    """A new file that cannot be written whole leaves the old one, and nothing else."""
    before = file.read_text()
    found = subprocess.run(
        [*GENERATE, "--append", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
    )
    assert found.returncode == 2
    assert f"error: {file}: cannot be changed: file too large" in found.stderr
    assert file.read_text() == before
    assert [*file.parent.iterdir()] == [file]


def test_one_of_the_two(file: Path, tmp_path: Path) -> None:
    """--output and --append exclude each other."""
    words = ["keys", "generate", "--append", str(file), "--output", str(tmp_path / "new")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "--output makes a new keyring, and --append adds to one" in result.stderr
