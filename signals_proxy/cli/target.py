"""Which server a command asks, as whom, and by what it believes it.

Rule of the file: credentials come from the environment or from a file that its owner alone may
read, never from an argument or a URL: other users of the machine can see those.
"""

import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from signals_proxy.cli.voice import tell
from signals_proxy.config import Sources
from signals_proxy.config.units import Address
from signals_proxy.errors import ConfigError
from signals_proxy.relay.tls import client_context
from signals_proxy.secret import Secret

__all__ = ["Target", "of_the_proxy", "our_target", "target"]

_FIELD_VALUE: Final = re.compile("[!-~](?:[ -~]*[!-~])?")
_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is, whom it is asked as, and by what it is believed.

    ``remedy`` says how other credentials are given.
    """

    url: str
    authorization: Secret | None
    tls: ssl.SSLContext | None = field(repr=False)
    remedy: str


def target(
    url: str | None,
    *,
    name: str,
    variable: str,
    auth_file: Path | None,
    auth_option: str,
    ca_certificates: Path | None,
) -> Target:
    """Return the server at ``url``, which the caller knows by ``name``.

    ``variable`` is the environment variable whose value is that of the field ``Authorization``,
    unless ``auth_file`` (given by ``auth_option``) holds it. Warns of credentials that would pass
    over a network in clear.

    :raises ConfigError: for a URL, a file or a value that cannot be used.
    """
    base = _base(url, name, variable)
    value = os.environ.get(variable, "")
    if auth_file is not None:
        value = Sources().secret(auth_file).removesuffix("\n")
    where = variable if auth_file is None else str(auth_file)
    if value and not _FIELD_VALUE.fullmatch(value):
        raise ConfigError(
            f"{where} does not hold the value of an Authorization field",
            remedy="give it in one line, such as: ApiKey dGVzdDp0ZXN0",
        )
    parts = urlsplit(base)
    secure = parts.scheme == "https"
    if value and not secure and not Address(parts.hostname or "", 0).is_loopback:
        tell(f"warning: the credentials travel to {base} in clear; use https")
    try:
        authorities = Sources().text(ca_certificates) if ca_certificates is not None else None
        tls = client_context(authorities) if secure else None
    except ConfigError as error:
        raise ConfigError(error.message, remedy=error.remedy, file=ca_certificates) from None
    return Target(base, Secret(value) if value else None, tls, f"{variable} or {auth_option}")


def of_the_proxy(command: _Command) -> _Command:
    """Give a command the options that say which proxy, and as whom; see :func:`our_target`."""
    for option in (
        click.option(
            "--ca-certificates",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Authorities (PEM) that the proxy's certificate is checked by.",
        ),
        click.option(
            "--auth-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Holds the value of the Authorization field, instead of SIGNALS_PROXY_AUTHORIZATION.",
        ),
        click.option("--url", metavar="URL", help="The proxy, instead of SIGNALS_PROXY_URL."),
    ):
        command = option(command)
    return command


def our_target(url: str | None, auth_file: Path | None, ca_certificates: Path | None) -> Target:
    """Return the proxy that options and environment name. Raises ``ConfigError``."""
    return target(
        url or os.environ.get("SIGNALS_PROXY_URL"),
        name="--url" if url else "SIGNALS_PROXY_URL",
        variable="SIGNALS_PROXY_AUTHORIZATION",
        auth_file=auth_file,
        auth_option="--auth-file",
        ca_certificates=ca_certificates,
    )


def _base(url: str | None, name: str, variable: str) -> str:
    if not url:
        raise ConfigError(f"{name} is not set", remedy=f"set it, as in {name}=https://proxy:9201")
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        (parts.hostname or "").encode("idna")  # as the resolver does, who fails on an odd name
    except ValueError:
        parts, good = urlsplit(""), None
    if "@" in url:
        raise ConfigError(
            f"{name} names a user, or a password, in the URL",
            remedy=f"take that away, and put the value of the Authorization field into {variable}",
        )
    if not good or parts.query or parts.fragment or not url.isprintable() or {*" \\"} & {*url}:
        raise ConfigError(f"{name} is no URL such as https://proxy:9201")
    return url.rstrip("/")
