"""The Makefile on machines that lack something: one sentence, and what to do about it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mirror
import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in which nothing was set up yet, as far as setting up reads it."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(PROJECT / name, checkout)
    shutil.copytree(PROJECT / "requirements", checkout / "requirements")
    return checkout


def make(checkout: Path, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Call make, as a person would who is in no other make."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *words],
        cwd=checkout,
        env={**outer, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def failure(checkout: Path, *words: str, **environ: str) -> tuple[str, str]:
    """Call make, which has to fail, and return the error and the hint: a sentence each."""
    done = make(checkout, *words, **environ)
    error, hint, own = done.stderr.splitlines()
    assert (done.returncode, own[:5]) == (2, "make:")
    assert error.startswith("signals-proxy: error: ")
    assert hint.startswith("signals-proxy: hint: ")
    return error.removeprefix("signals-proxy: error: "), hint.removeprefix("signals-proxy: hint: ")


def program(path: Path, text: str) -> str:
    """Write a program that stands in for a Python, and return its path."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_python_too_old(checkout: Path) -> None:
    """A Python that is too old is told by its version."""
    old = program(
        checkout / "python3.9",
        'case "$2" in *print*) echo 3.9 ;; *exit*) exit 1 ;; esac',
    )
    error, hint = failure(checkout, "run", f"PYTHON={old}")
    assert error == f"Python 3.11 or newer is needed, and {old} is Python 3.9"
    assert hint == "install a newer one and name it: make PYTHON=python3.12"
    assert not (checkout / ".venv").exists()


def test_no_python(checkout: Path) -> None:
    """A Python that is not there is told by the name that was tried."""
    error, hint = failure(checkout, "run", "PYTHON=no-such-python")
    assert error == "there is no no-such-python here"
    assert hint == "install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"


def test_broken_python(checkout: Path) -> None:
    """A Python that does not run is told."""
    broken = program(checkout / "python3", "exit 127")
    error, _ = failure(checkout, "run", f"PYTHON={broken}")
    assert error == f"{broken} does not run"


def test_no_venv(checkout: Path) -> None:
    """A Python without venv, as Debian ships it, is told with the package that mends it."""
    bare = program(
        checkout / "python3",
        f'case "$2" in *ensurepip*) exit 1 ;; esac; exec {sys.executable} "$@"',
    )
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    error, hint = failure(checkout, "run", f"PYTHON={bare}")
    assert error == f"{bare} lacks its modules venv and ensurepip"
    assert f"apt-get install {package}" in hint


def test_no_network(checkout: Path) -> None:
    """Without a network, that is told; the next start begins anew where this one ended."""
    environ = mirror.offline(checkout / "home") | {"PIP_FIND_LINKS": "", "PIP_NO_CACHE_DIR": "1"}
    for _ in range(2):
        error, hint = failure(checkout, "run", f"PYTHON={sys.executable}", **environ)
        assert error.startswith("the packages cannot be installed: the package registry does not")
        assert "check the network" in hint
        assert not (checkout / ".venv" / "run.stamp").exists()


def test_second_start(checkout: Path) -> None:
    """Where everything is set up, make does nothing of its own; moved or copied, it sets up anew."""
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "made-in").write_text(str(checkout))
    (checkout / ".venv" / "run.stamp").touch()
    assert "install.sh" not in make(checkout, "--dry-run", "run").stdout
    moved = checkout.rename(checkout.with_name("moved"))
    assert "install.sh" in make(moved, "--dry-run", "run").stdout


def test_help(checkout: Path) -> None:
    """Without a target, make lists what there is."""
    said = make(checkout).stdout
    for target in ("run", "test", "test-fast", "check", "fix", "lock", "clean"):
        assert f"  make {target} " in said
