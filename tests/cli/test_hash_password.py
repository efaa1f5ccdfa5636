"""``signals-proxy hash-password``."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from configured import MINIMAL

from signals_proxy import config
from signals_proxy.authorization import passwords
from signals_proxy.cli import main
from signals_proxy.secret import Secret

LIMIT_S = 30


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_standard_input(end: str, canary: Callable[[str], str]) -> None:
    """One line is read, without its end, and the hash alone is printed: a new one each time."""
    password = f"{canary('password')} ü:"
    found = [CliRunner().invoke(main, ["hash-password"], input=password + end) for _ in range(2)]
    for result in found:
        assert (result.exit_code, result.stderr) == (0, "")
        line = result.stdout.removesuffix("\n")
        assert line.startswith("$argon2id$v=19$m=65536,t=2,p=1$")
        assert passwords.verify(Secret(line), Secret(password))
        assert not passwords.verify(Secret(line), Secret(password + "x"))
    assert found[0].stdout != found[1].stdout


def test_normal_forms() -> None:
    """Characters that look the same are the same, as for clients that follow RFC 7617."""
    result = CliRunner().invoke(main, ["hash-password"], input="u\u0308ber")
    assert passwords.verify(Secret(result.stdout.rstrip()), Secret("\u00fcber"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", "the password is empty"),
        (b"\n", "the password is empty"),
        (b"SECRET\nSECRET\n", "the password holds a control character"),
        (b"SECRET\x00", "the password holds a control character"),
        (b"SECRET\xff\n", "the password is not text in UTF-8"),
        (b"SECRET" + b"x" * 1000, "the password is longer than 1024 bytes"),
        (b"SECRET" + b"x" * 100_000, "the password is longer than 1024 bytes"),
    ],
)
def test_refused(given: bytes, said: str, canary: Callable[[str], str]) -> None:
    """What nobody could log in with is refused, and not shown."""
    given = given.replace(b"SECRET", canary("password").encode())
    result = CliRunner().invoke(main, ["hash-password"], input=given)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"signals-proxy: error: {said}")
    assert "signals-proxy: hint: " in result.stderr


def test_the_longest() -> None:
    """A thousand and twenty-four bytes are not too many, one more is."""
    result = CliRunner().invoke(main, ["hash-password"], input=b"x" * 1024 + b"\r\n")
    assert passwords.verify(Secret(result.stdout.rstrip()), Secret("x" * 1024))
    assert CliRunner().invoke(main, ["hash-password"], input=b"x" * 1025).exit_code == 2


def test_never_an_argument() -> None:
    """An argument, which other users of the machine could read, is an error."""
    for arguments in (["--password", "x"], ["x"]):
        result = CliRunner().invoke(main, ["hash-password", *arguments], input="x")
        assert (result.exit_code, result.stdout) == (2, "")


def test_a_terminal(canary: Callable[[str], str]) -> None:
    """At a terminal the password is asked for until it is the same twice, and not echoed."""
    first, second = canary("first"), canary("second")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "signals_proxy", "hash-password"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # without a terminal of its own but this one
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = b""
        for answer in (first, second, second, second):
            said = _said(process.stderr.fileno(), b": ")
            os.write(ours, answer.encode() + b"\n")
        assert said.endswith(b"Repeat for confirmation: ")
        line = process.stdout.read().decode()
        assert b"not match" not in process.stderr.read()
    assert process.returncode == 0
    assert passwords.verify(Secret(line.rstrip("\n")), Secret(second))
    echoed = os.read(ours, 4096) if select.select([ours], [], [], 0)[0] else b""
    os.close(ours)
    os.close(theirs)
    assert first.encode() not in echoed
    assert second.encode() not in echoed


def _said(descriptor: int, end: bytes) -> bytes:
    """Return what is said until it ends so."""
    said = b""
    while not said.endswith(end):
        assert select.select([descriptor], [], [], LIMIT_S)[0]
        piece = os.read(descriptor, 4096)
        assert piece, said
        said += piece
    return said


def test_the_configuration_takes_it(tmp_path: Path) -> None:
    """What is printed is what the configuration expects."""
    hashed = CliRunner().invoke(main, ["hash-password"], input="x").stdout
    (tmp_path / "hash").write_text(hashed)
    (tmp_path / "keyring").write_text("any")
    file = tmp_path / "proxy.yaml"
    more = "backend: static, users: {kim: {password_hash_file: hash, roles: all}}"
    roles = "roles: {all: [{actions: '*', accounts: '*'}]}"
    file.write_text(MINIMAL.replace("\n  backend: none", f" {{{more}, {roles}}}"))
    for each in tmp_path.iterdir():
        each.chmod(0o600)
    user = config.load(file, {}).authorization.users["kim"]
    assert passwords.verify(user.password_hash, Secret("x"))
