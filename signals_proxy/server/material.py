"""What the settings hold as text, made into what it is used as: the keyring, the TLS contexts."""

import ssl
from collections.abc import Mapping
from typing import NamedTuple

from signals_proxy.account import keyring, schema
from signals_proxy.account.account_type import AccountType
from signals_proxy.account.keyring import Keyring
from signals_proxy.config import Settings
from signals_proxy.errors import ConfigError
from signals_proxy.registry.settings import CertificateCredentials, Credentials
from signals_proxy.relay import ClientCertificate, Upstream
from signals_proxy.relay.tls import client_context, server_context

__all__ = ["Tls", "keyring_of", "listener_tls", "tls_for", "types_of"]


def keyring_of(settings: Settings) -> Keyring:
    """Return the keyring that was read.

    :raises ConfigError: if it is none; of a command's output, with the setting.
    """
    found = settings.keyring
    try:
        return keyring.parse(found.text.reveal(), found.file)
    except ConfigError as error:
        if found.file is not None:
            raise
        line = f"line {error.line} of what it prints: " if error.line else ""
        raise ConfigError(
            line + error.message, remedy=error.remedy, path="keyring.command"
        ) from error


def types_of(settings: Settings) -> Mapping[str, AccountType]:
    """Return the account types that there are.

    :raises ConfigError: if ``registry.types`` names another.
    """
    types = schema.load()
    unknown = (settings.delivery.types or types.keys()) - types.keys()
    if unknown:
        raise ConfigError(
            f"there is no account type '{min(unknown)}'",
            path="registry.types",
            remedy=f"the types are {', '.join(types)}",
        )
    return types


def listener_tls(settings: Settings) -> ssl.SSLContext | None:
    """Return the context for clients' connections; None if they are spoken to in clear.

    :raises ConfigError: if the files named in ``tls`` do not serve their purpose.
    """
    return None if settings.tls is None else server_context(settings.tls)


class Tls(NamedTuple):
    """The TLS contexts for connections to nodes, by what the connections are for.

    Only clients' requests go where ``upstream.client_certificate`` is shown; decisions are made on
    connections that show nothing, or whoever asks would be the proxy.
    """

    clients: ssl.SSLContext
    decisions: ssl.SSLContext
    registry: ssl.SSLContext


def tls_for(upstream: Upstream, credentials: Credentials | None) -> Tls | None:
    """Return the contexts for all connections to the cluster; None if no node is https.

    ``credentials`` are the registry's.

    :raises ConfigError: if ``ca_certificates`` holds none, or a certificate that is to be shown is
        none.
    """
    if not any(host.startswith("https://") for host in upstream.hosts):
        return None
    of_registry = (
        ClientCertificate(credentials.certificate, credentials.key, "registry.credentials")
        if isinstance(credentials, CertificateCredentials)
        else None
    )
    return Tls(
        *(
            client_context(upstream.ca_certificates, upstream.ca_fingerprint, shown)
            for shown in (upstream.shown, None, of_registry)
        )
    )
