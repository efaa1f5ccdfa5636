"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

__all__ = ["OF_THE_PROXIES", "config_option", "health_option"]

OF_THE_PROXIES: Final = "The configuration of the proxies; it names the keyring and the cluster."

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Url(click.ParamType[str, Any]):
    name = "URL"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        from signals_proxy.config.units import node  # noqa: PLC0415  paid by who gives one

        try:
            return node(value)
        except ValueError:
            self.fail(f"{value!r} is no URL such as http://10.0.0.1:9203", param, ctx)


def config_option(tells: str) -> Callable[[_Command], _Command]:
    """Add ``--config``, as ``file``; the help ``tells`` what for."""
    return click.option(
        "--config",
        "file",
        type=click.Path(path_type=Path),
        required=True,
        metavar="FILE",
        help=tells,
    )


def health_option(command: _Command) -> _Command:
    """Add ``--health``, as ``urls``."""
    return click.option(
        "--health",
        "urls",
        type=_Url(),
        multiple=True,
        help="The health listener of a proxy that is asked which keys it has; once for each proxy."
        " Without it the one of FILE is asked, if something answers there.",
    )(command)
