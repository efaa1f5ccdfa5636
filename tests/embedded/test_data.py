"""The data folder: ours alone, and one run's at a time."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from signals_proxy.embedded import data
from signals_proxy.errors import ConfigError

HOLDER = """
import sys
from pathlib import Path
from signals_proxy.embedded import data
with data.claimed(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

HEIR = """
import subprocess, sys
from pathlib import Path
from signals_proxy.embedded import data
with data.claimed(Path(sys.argv[1])) as lock:
    child = [sys.executable, "-c", "print('held', flush=True); input()"]
    subprocess.run(child, pass_fds=[lock])
"""


def holder(folder: Path, program: str = HOLDER) -> "subprocess.Popen[bytes]":
    """Start a process that holds a folder, and wait until it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_new_folder(tmp_path: Path) -> None:
    """A folder that is not there is made, for its owner alone, and is ours from then on."""
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        with data.claimed(folder):
            (folder / "something").write_text("")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {"signals-proxy.run", "something"} == {path.name for path in folder.iterdir()}


def test_empty_folder(tmp_path: Path) -> None:
    """An empty folder becomes ours, and its owner's alone."""
    tmp_path.chmod(0o755)
    with data.claimed(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_foreign_folder(tmp_path: Path) -> None:
    """A folder that holds anything of somebody else's is refused and left as it is."""
    tmp_path.chmod(0o755)
    (tmp_path / "thesis.txt").write_text("all of it")
    with (
        pytest.raises(
            ConfigError, match=r"is no data folder of signals-proxy: it holds thesis\.txt$"
        ) as caught,
        data.claimed(tmp_path),
    ):
        pass
    assert caught.value.remedy == "name another folder: make run DATA=/path/to/folder"
    assert [tmp_path / "thesis.txt"] == list(tmp_path.iterdir())
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_no_folder(tmp_path: Path) -> None:
    """A file in the place of the folder, or above it, is told."""
    (tmp_path / "file").write_text("")
    for folder, reason in {
        tmp_path / "file": "File exists",
        tmp_path / "file" / "below": "Not a directory",
    }.items():
        with pytest.raises(ConfigError) as caught, data.claimed(folder):
            pass
        assert str(caught.value) == f"{folder} cannot be written: {reason}"


def test_unwritable_folder() -> None:
    """A folder that the system lets nobody write to is told."""
    with pytest.raises(ConfigError) as caught, data.claimed(Path("/proc/signals")):
        pass
    assert str(caught.value).startswith("/proc/signals cannot be written: ")


def test_in_use(tmp_path: Path) -> None:
    """A second run on the same folder is refused, and told of the first; then it is let in."""
    with holder(tmp_path) as first:
        with pytest.raises(ConfigError) as caught, data.claimed(tmp_path):
            pass
        assert f"the data folder {tmp_path} is in use by another run (process {first.pid})" == str(
            caught.value
        )
        first.communicate()
    with data.claimed(tmp_path):
        assert f"{os.getpid()}\n" == (tmp_path / "signals-proxy.run").read_text()


def test_killed(tmp_path: Path) -> None:
    """A run that was killed leaves no lock behind."""
    with holder(tmp_path) as first:
        first.kill()
    with data.claimed(tmp_path):
        pass


def test_heir(tmp_path: Path) -> None:
    """While a child of a killed run is about to end, the next run waits for it."""
    with holder(tmp_path, HEIR) as first:
        first.kill()
        first.wait()
        with (tmp_path / "signals-proxy.run").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert first.stdin is not None
        first.stdin.close()  # which the child takes for its end
        with data.claimed(tmp_path):
            pass


def test_written_whole(tmp_path: Path) -> None:
    """A file is replaced in one go, with the permissions that it is to have."""
    file = tmp_path / "keyring"
    (tmp_path / ".keyring.part").write_text("left by a start that was killed")
    data.write(file, "first", mode=0o600)
    data.write(file, "second", mode=0o600)
    assert file.read_text() == "second"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [file] == list(tmp_path.iterdir())


def test_cannot_be_written(tmp_path: Path) -> None:
    """What the system says against a file is told, with what may be done about it."""
    with pytest.raises(ConfigError) as caught:
        data.write(tmp_path / "missing" / "keyring", "", mode=0o600)
    reason = "No such file or directory"
    assert str(caught.value) == f"{tmp_path}/missing/keyring cannot be written: {reason}"
    assert caught.value.remedy.startswith("make it writable and room on its disk, or name another")
