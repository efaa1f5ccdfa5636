"""The group of all commands, and how their errors are told."""

import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import click

from signals_proxy import __version__
from signals_proxy.cli.voice import tell_error, tell_hint
from signals_proxy.errors import ConfigError, SignalsError
from signals_proxy.undumpable import forbid_dumps

__all__ = ["main"]

# Where each command lives. Only the one that is run is imported: `serve` has no use for the
# development cluster's packages, nor `keys` for a web server.
_COMMANDS: Final = {
    "serve": ("signals_proxy.cli.serve", "serve"),
    "reload": ("signals_proxy.cli.reload", "reload"),
    "keys": ("signals_proxy.cli.keys", "keys"),
    "hash-password": ("signals_proxy.cli.hash_password", "hash_password"),
    "seal": ("signals_proxy.cli.seal", "seal"),
    "accounts": ("signals_proxy.cli.accounts", "accounts"),
    "send": ("signals_proxy.cli.send", "send"),
    "test": ("signals_proxy.cli.test", "test"),
    "status": ("signals_proxy.cli.status", "status"),
    "run": ("signals_proxy.cli.run", "run"),
    "worker": ("signals_proxy.cli.worker", "worker"),
}

_HANG_ON: Final = {"serve", "worker"}
"""What SIGHUP may not end, before it is there to hear it: others than `reload` send it, too."""

_DEBUG: Final = "SIGNALS_PROXY_DEBUG"


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name in _HANG_ON:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        module, name = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def main(self, args: Sequence[str] | None = None, *_: Any, **__: Any) -> NoReturn:
        """Run the command line and end the process."""
        # Each command may come to hold keys, or a password that was passed to it.
        forbid_dumps()
        if isinstance(sys.stdout, io.TextIOWrapper):  # where an encoding lacks what is to be shown
            sys.stdout.reconfigure(errors="backslashreplace")
        sys.exit(self._status(args))

    def _status(self, args: Sequence[str] | None) -> int:
        try:
            # What `context.exit` was given; commands themselves return nothing.
            status = super().main(args, prog_name="signals-proxy", standalone_mode=False)
        except click.Abort:  # Ctrl-C; click has ended the line
            return 130
        except click.ClickException as error:
            tell_error(error.format_message())
            tell_hint(f"`{_path_of(error)} --help` tells how it is called")
            return 2
        except ConfigError as error:
            for each in _each(error):
                tell_error(str(each))
                tell_hint(each.remedy)
            return 2
        except SignalsError as error:
            tell_error(error.message)
            return 1
        except Exception as error:  # noqa: BLE001  nothing above: somebody has to tell
            # Its message may quote what is not to be seen.
            tell_error(f"an unexpected {type(error).__name__}; please report it")
            if os.environ.get(_DEBUG):
                traceback.print_exception(error)
            else:
                tell_hint(f"{_DEBUG}=1 shows where it came from; read it before you pass it on")
            return 1
        return status or 0


def _path_of(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if isinstance(context, click.Context) else "signals-proxy"


def _each(error: ConfigError) -> Sequence[ConfigError]:
    from signals_proxy.config import InvalidSettings  # noqa: PLC0415  loaded already if it is one

    return error.errors if isinstance(error, InvalidSettings) else (error,)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """An Elasticsearch-compatible reverse proxy with a sealed registry of alerting accounts."""
