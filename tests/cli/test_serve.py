"""``signals-proxy serve``: what it refuses to start with, and what ``--check`` says.

How a proxy runs and ends: ``tests/test_supervisor.py``.
"""

import asyncio
import base64
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from played import Played
from served import configure

NOWHERE = "http://127.0.0.1:1"


def _serve(file: Path, *options: str) -> tuple[int, str]:
    """Run it to its end; return its exit status and what it said."""
    found = subprocess.run(
        [sys.executable, "-m", "signals_proxy", "serve", "--config", str(file), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert found.stdout == ""
    return found.returncode, found.stderr


def _said(*lines: str) -> str:
    return "".join(f"signals-proxy: {line}\n" for line in lines)


def test_no_configuration(tmp_path: Path) -> None:
    """A configuration that is not there ends the start with status 2."""
    file = tmp_path / "none.yaml"
    status, said = _serve(file)
    assert status == 2
    assert said.startswith(f"signals-proxy: error: {file}: cannot be read: no such file")


def test_unknown_setting(tmp_path: Path) -> None:
    """An unknown setting is told with its line and the one that was meant; all errors come at once."""
    file = configure(tmp_path, NOWHERE, "wrokers: 2\nlimits: {drain: soon}\n")
    assert _serve(file) == (
        2,
        _said(
            f"error: {file}:7: wrokers: unknown setting",
            "hint: did you mean 'workers'?",
            f"error: {file}:8: limits.drain: must be a duration such as 500ms, 30s or 10m",
        ),
    )


def test_everybody_from_everywhere(tmp_path: Path) -> None:
    """Without authorization the proxy does not listen where other machines could reach it."""
    file = configure(tmp_path, NOWHERE)
    file.write_text(file.read_text().replace("listen: 127.0.0.1:0", "listen: 0.0.0.0:0"))
    status, said = _serve(file)
    assert status == 2
    assert said.startswith(
        f"signals-proxy: error: {file}:1: listen.0: with authorization.backend none, everybody who"
        " reaches 0.0.0.0:0 could read, change and delete every account\nsignals-proxy: hint: "
    )
    assert said.endswith("allow it with `insecure: true`\n")


def test_missing_keyring(tmp_path: Path) -> None:
    """A keyring that is not there is told with the command that makes one."""
    file = configure(tmp_path, NOWHERE)
    (tmp_path / "keyring").unlink()
    assert _serve(file) == (
        2,
        _said(
            f"error: {file}:4: keyring.file: {tmp_path}/keyring: cannot be read: no such file or"
            " directory",
            "hint: check the path, or make one with 'signals-proxy keys generate'",
        ),
    )


def test_readable_keyring(tmp_path: Path) -> None:
    """A keyring that others may read is refused."""
    file = configure(tmp_path, NOWHERE)
    (tmp_path / "keyring").chmod(0o640)
    status, said = _serve(file)
    assert status == 2
    assert said.startswith(
        f"signals-proxy: error: {file}:4: keyring.file: {tmp_path}/keyring: may be used by others"
        " (mode 0640)\nsignals-proxy: hint: chmod 600 it"
    )


def test_unreadable_keyring(tmp_path: Path) -> None:
    """A keyring that cannot be read is told as that. (Root may read all but a link to itself.)"""
    file = configure(tmp_path, NOWHERE)
    (tmp_path / "keyring").unlink()
    (tmp_path / "keyring").symlink_to("keyring")
    status, said = _serve(file)
    assert status == 2
    assert f"{tmp_path}/keyring: cannot be read: too many levels of symbolic links" in said


def test_command_that_prints_no_keyring(tmp_path: Path) -> None:
    """What a command prints is told with the setting and the line, and is not quoted."""
    file = configure(tmp_path, NOWHERE)
    command = r'command: [echo, "# a\n# b\nhunter2"]'
    file.write_text(file.read_text().replace("file: keyring", command))
    for options in ((), ("--check",)):
        status, said = _serve(file, *options)
        assert status == 2
        told = f"{file}:4: keyring.command: line 3 of what it prints: not a line of a keyring"
        assert said.startswith(f"signals-proxy: error: {told}\nsignals-proxy: hint: a line begins")
        assert "hunter2" not in said


@pytest.mark.parametrize("setting", ["listen", "health"])
def test_taken_address(tmp_path: Path, setting: str) -> None:
    """An address that is taken ends the start, and names the setting and its line."""
    file = configure(tmp_path, NOWHERE)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        text = file.read_text()
        if setting == "listen":
            line, path, text = (
                1,
                "listen.0",
                text.replace("listen: 127.0.0.1:0", f"listen: {taken}"),
            )
        else:
            line, path, text = 6, "health.listen", text.replace('"127.0.0.1:0"', taken)
        file.write_text(text)
        status, said = _serve(file)
    assert status == 2
    expected = f"error: {file}:{line}: {path}: cannot listen on {taken}: the address is taken\n"
    assert f"signals-proxy: {expected}" in said


def test_unusable_authorities(tmp_path: Path) -> None:
    """A file of authorities that holds none ends the start."""
    (tmp_path / "ca.pem").write_text("nothing")
    file = configure(tmp_path, f"https://127.0.0.1:1\n  ca_certificates: {tmp_path}/ca.pem")
    for options in ((), ("--check",)):
        status, said = _serve(file, *options)
        assert status == 2
        assert said.startswith(
            f"signals-proxy: error: {file}:4: upstream.ca_certificates: not a PEM file with"
            " certificates\n"
        )


def test_check_without_cluster(tmp_path: Path) -> None:
    """`--check` fails if no node answers."""
    file = configure(tmp_path, NOWHERE)
    expected = _said(f"error: no connection to {NOWHERE}: connection refused")
    assert _serve(file, "--check") == (1, expected)


def test_check(tmp_path: Path, elasticsearch: str) -> None:
    """`--check` says that all is well, be there an index yet or not, and ends with status 0."""
    file = configure(tmp_path, elasticsearch, "registry: {index: .signals_checked}\n")
    expected = _said(
        f"the configuration is right, and {elasticsearch} answers (status 200)",
        "hint: switch sniffing off in clients: those that sniff learn the nodes' own addresses,"
        " and walk past the proxy",
    )
    assert _serve(file, "--check") == (0, expected)


async def test_check_of_credentials(tmp_path: Path, played: Played) -> None:
    """`--check` fails if the cluster does not take the registry's credentials, and says so."""
    played.answer(b"GET / ", 200, b"{}")
    played.answer(
        b"GET /.signals_accounts", 401, b'{"error":{"type":"security_exception"},"status":401}'
    )
    credentials = "registry: {credentials: {username: u, password: hunter2}}\n"
    file = configure(tmp_path, played.url, credentials)
    assert await asyncio.to_thread(_serve, file, "--check") == (
        1,
        _said(
            "error: the cluster does not let the proxy describe the registry's index (401"
            " security_exception): registry.credentials need the rights to read, write and manage"
            " the registry's index"
        ),
    )
    assert any(base64.b64encode(b"u:hunter2") in request for request in played.requests)
