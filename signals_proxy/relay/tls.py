"""Whom the proxy believes to be the cluster: the one TLS context for every connection to a node.

Rules of the file:

- A context accepts nothing that its settings do not vouch for, from the moment it is made.
- What a handshake shows that verifies nothing is only searched for a certificate whose hash is
  known beforehand; no request is ever written on such a connection.
"""

import asyncio
import hashlib
import ssl
import sys
from typing import Any

from signals_proxy.errors import ConfigError, NotConnected, TimedOut

__all__ = ["client_context", "learn"]


def client_context(
    ca_certificates: str | None = None, ca_fingerprint: str | None = None
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

    :raises ConfigError: if ``ca_certificates`` is not PEM.
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
        _load(context, ca_certificates)
    return context


def _load(context: ssl.SSLContext, certificates: str) -> None:
    try:
        # What stands between the certificates are names and remarks, in any language.
        context.load_verify_locations(cadata=certificates.encode("ascii", "replace").decode())
    except (ssl.SSLError, ValueError) as error:  # the latter for an empty text
        raise ConfigError(
            "not a PEM file with certificates",
            remedy="name one with the certificate of the authority that issued the nodes' own",
            path="upstream.ca_certificates",
        ) from error


async def learn(
    context: ssl.SSLContext, host: str, port: int, fingerprint: str, *, timeout_s: float = 5
) -> None:
    """Find the certificate with ``fingerprint`` in what a node shows, and trust it in ``context``.

    ``fingerprint`` is the SHA-256 of a certificate in hex, with or without colons. An attacker
    gains nothing by showing the right authority's certificate, which is public: it is trusted,
    and his own certificate fails against it in every handshake that follows.

    :raises NotConnected: if the node cannot be reached, or shows no such certificate.
    :raises TimedOut: if it takes longer than ``timeout_s``.
    """
    wanted = bytes.fromhex(fingerprint.replace(":", ""))
    for certificate in await _shown(host, port, timeout_s):
        if hashlib.sha256(certificate).digest() == wanted:
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
