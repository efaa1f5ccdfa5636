"""Options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import click

__all__ = ["OF_THE_PROXIES", "Account", "config_option", "health_option"]

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


class Account(click.ParamType[str, Any]):
    """An account as commands name it, ``[tenant/]type/id``; becomes a ``Ref``."""

    name = "ACCOUNT"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        from signals_proxy.account import ref as targets  # noqa: PLC0415  paid by who names one
        from signals_proxy.errors import InvalidTarget  # noqa: PLC0415

        names = (quote(name, safe="", errors="surrogatepass") for name in value.split("/"))
        try:
            call = targets.parse("/_signals/account/" + "/".join(names))
        except InvalidTarget:
            call = None
        if call is None or call.endpoint is not targets.Endpoint.ACCOUNT:
            self.fail(f"{value!r} is no account such as email/ops or ops/email/night", param, ctx)
        return call.ref


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
