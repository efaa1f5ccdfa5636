"""Whom the proxy believes, and what it shows of itself: TLS contexts for nodes and for clients.

Rules of the file:

- A context accepts nothing that its settings do not vouch for, from the moment it is made.
- What a handshake shows that verifies nothing is only searched for a certificate whose hash is
  known beforehand; no request is ever written on such a connection.
"""

import asyncio
import hashlib
import ssl
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from signals_proxy import key_pair
from signals_proxy.errors import ConfigError, NotConnected, TimedOut
from signals_proxy.secret import Secret

__all__ = ["ClientCertificate", "ServerTls", "client_context", "learn", "server_context"]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What a client shows of itself, in PEM: its certificate with its chain, and the key for it.

    ``setting`` is the group of settings that ``client_certificate`` and ``client_key`` stand in.
    """

    certificate: str
    key: Secret
    setting: str


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The settings of TLS on the listeners for clients: see ``tls`` in ``config.example.yaml``.

    All but ``client_authentication`` are the texts of files, in PEM.
    """

    certificate: str
    key: Secret
    client_certificates: str | None = None
    client_authentication: Literal["optional", "required"] = "required"


def server_context(settings: ServerTls) -> ssl.SSLContext:
    """Return a context for clients: TLS 1.2 or later, HTTP/1.1 and nothing else.

    :raises ConfigError: if the settings hold no certificate with its key, or no authorities.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    _show(context, settings.certificate, settings.key, ("tls.certificate", "key"))
    if settings.client_certificates is not None:
        required = settings.client_authentication == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        _load(context, settings.client_certificates, "tls.client_certificates", "clients'")
    return context


def client_context(
    ca_certificates: str | None = None,
    ca_fingerprint: str | None = None,
    shown: ClientCertificate | None = None,
) -> ssl.SSLContext:
    """Return a context that verifies nodes: TLS 1.2 or later, certificate required.

    - With neither argument: by the system's authorities, and the host's name.
    - With ``ca_certificates``, in PEM: by the authorities in it alone, and the host's name.
    - With ``ca_fingerprint``: by nothing until :func:`learn` has found the certificate with that
      fingerprint, then by that one alone. Host names are not compared, as in Elasticsearch's own
      clients: the fingerprint is that of an authority which Elasticsearch made for one cluster at
      its first start, so whoever holds a certificate of it is a node of this cluster, and the
      certificates that it issues name few of the addresses by which nodes are reached.

    Python's own ``ssl.create_default_context`` is not used: from 3.13 it asks private authorities
    for extensions (RFC 5280) that those of many clusters lack.

    ``shown`` is shown to nodes that ask for a certificate.

    :raises ConfigError: if ``ca_certificates`` is not PEM, or ``shown`` no certificate with its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        # The certificate found may be no root, or a node's own: it is trusted for what it is.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    elif ca_certificates is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load(context, ca_certificates, "upstream.ca_certificates", "nodes'")
    if shown is not None:
        place = f"{shown.setting}.client_certificate"
        _show(context, shown.certificate, shown.key, (place, "client_key"))
    return context


def _show(
    context: ssl.SSLContext, certificate: str, key: Secret, settings: tuple[str, str]
) -> None:
    try:
        key_pair.show(context, certificate, key)
    except ValueError:
        raise ConfigError(
            "not a certificate in PEM with the key that belongs to it, not encrypted",
            remedy="the file begins with the certificate, then come those of its issuers; the key"
            f" is in {settings[1]}, decrypted (openssl pkey -in FILE -out NEW)",
            path=settings[0],
        ) from None


def _load(context: ssl.SSLContext, certificates: str, setting: str, whose: str) -> None:
    try:
        # What stands between the certificates are names and remarks, in any language.
        context.load_verify_locations(cadata=certificates.encode("ascii", "replace").decode())
    except (ssl.SSLError, ValueError) as error:  # the latter for an empty text
        raise ConfigError(
            "not a PEM file with certificates",
            remedy=f"name one with the certificate of the authority that issued the {whose} own",
            path=setting,
        ) from error


async def learn(
    contexts: Iterable[ssl.SSLContext],
    host: str,
    port: int,
    fingerprint: str,
    *,
    timeout_s: float = 5,
) -> None:
    """Find the certificate with ``fingerprint`` in what a node shows, and trust it in ``contexts``.

    ``fingerprint`` is the SHA-256 of a certificate in hex, with or without colons. An attacker
    gains nothing by showing the right authority's certificate, which is public: it is trusted,
    and his own certificate fails against it in every handshake that follows.

    :raises NotConnected: if the node cannot be reached, or shows no such certificate.
    :raises TimedOut: if it takes longer than ``timeout_s``.
    """
    wanted = bytes.fromhex(fingerprint.replace(":", ""))
    for certificate in await _shown(host, port, timeout_s):
        if hashlib.sha256(certificate).digest() == wanted:
            for context in contexts:
                context.load_verify_locations(cadata=certificate)
            return
    raise NotConnected(
        f"{host}:{port} shows no certificate with the fingerprint in upstream.ca_fingerprint: it is"
        " another cluster, or the cluster has a new authority"
    )


async def _shown(host: str, port: int, timeout_s: float) -> list[bytes]:
    """Return the certificates (DER) that a server shows, none of them verified."""
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.minimum_version = ssl.TLSVersion.TLSv1_2
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port, ssl=blind)
    except TimeoutError as error:
        raise TimedOut(f"no connection to {host}:{port} in {timeout_s:g} s") from error
    except OSError as error:
        raise NotConnected(f"no connection to {host}:{port}: {error}") from error
    try:
        return _chain(writer.get_extra_info("ssl_object"))
    finally:
        writer.transport.abort()


def _chain(connection: Any) -> list[bytes]:
    if sys.version_info >= (3, 13):
        found: list[bytes] = connection.get_unverified_chain()
        return found
    # There since 3.10, but public only since 3.13.
    import _ssl  # noqa: PLC0415

    chain = connection._sslobj.get_unverified_chain()  # noqa: SLF001
    return [certificate.public_bytes(_ssl.ENCODING_DER) for certificate in chain or ()]
