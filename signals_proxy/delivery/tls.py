"""Whom a delivery believes: a TLS context for each account.

Rules of the file:

- A context accepts nothing that the account does not vouch for, from the moment it is made: what is
  checked beyond OpenSSL's own is checked inside of the handshake, so that nobody can forget it.
- TLS 1.2 or later.
"""

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, cast

from cryptography import x509

from signals_proxy import key_pair
from signals_proxy.account.account_type import Account
from signals_proxy.delivery.report import Reason, Step
from signals_proxy.errors import DeliveryFailed
from signals_proxy.secret import Secret

__all__ = ["NO_LIMIT_S", "context_for", "context_for_tokens", "failure"]

NO_LIMIT_S: Final = 3600.0
"""For handshakes: the deadline of the whole delivery is the one that counts."""


def context_for(account: Account) -> ssl.SSLContext:
    """Return a context for what the account leads to.

    - By the system's authorities and the host's name, unless the account says something else.
    - ``ca_certificates``: by the authorities in it alone, and the host's name.
    - ``trusted_hosts``: by its time of validity, and one of these names, whoever issued it.
    - ``trust_all``: by nothing.

    ``client_certificate`` is shown to servers that ask for one.

    Raises :class:`DeliveryFailed` for a certificate or a key that OpenSSL does not take.
    """
    public, secrets = account.public, account.secrets
    trusted = cast("Sequence[str]", public.get("trusted_hosts") or ())
    if public.get("trust_all"):
        context = _unverified(ssl.SSLObject)
    elif trusted:
        context = _unverified(type("_Named", (_NamedObject,), {"trusted": tuple(trusted)}))
    elif "ca_certificates" in public:
        context = _verified()
        _load(context, str(public["ca_certificates"]))
    elif "client_key" not in secrets:
        return _by_system("")
    else:
        context = _verified()
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if "client_key" in secrets:
        _show(context, str(public["client_certificate"]), secrets["client_key"])
    return context


def context_for_tokens(account: Account) -> ssl.SSLContext:
    """Return a context for where tokens are asked for: by the host's name, in any case, and the
    system's authorities or those in ``ca_certificates``.

    Raises as :func:`context_for` does.
    """
    return _by_system(str(account.public.get("ca_certificates", "")))


def failure(error: ssl.SSLError | OSError | ValueError) -> DeliveryFailed:
    """Return what a handshake that failed means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return DeliveryFailed(
            f"The server's certificate is not accepted: {error.verify_message}.",
            step=Step.TLS,
            reason=Reason.CERTIFICATE_REFUSED,
        )
    return DeliveryFailed(
        "The server does not speak TLS 1.2 or later here, or ended the handshake.",
        step=Step.TLS,
        reason=Reason.TLS_FAILED,
        mendable=True,
    )


def _verified() -> ssl.SSLContext:
    # Not ssl.create_default_context: from 3.13 it asks private authorities for extensions
    # (RFC 5280) that many lack.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@lru_cache(maxsize=64)
def _by_system(and_by: str) -> ssl.SSLContext:
    """Return a context that shows nothing of an account, and so can be everybody's."""
    context = _verified()
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if and_by:
        _load(context, and_by)
    return context


def _unverified(handshaking: type[ssl.SSLObject]) -> ssl.SSLContext:
    context = _verified()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = handshaking
    return context


def _load(context: ssl.SSLContext, certificates: str) -> None:
    try:
        context.load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError):
        raise _unusable("ca_certificates") from None


def _show(context: ssl.SSLContext, certificate: str, key: Secret) -> None:
    try:
        key_pair.show(context, certificate, key)
    except ValueError:
        raise _unusable("client_certificate and client_key") from None


def _unusable(attributes: str) -> DeliveryFailed:
    return DeliveryFailed(
        f"The account's {attributes} cannot be used; PUT it again with others.",
        step=Step.TLS,
        reason=Reason.CERTIFICATE_REFUSED,
    )


class _NamedObject(ssl.SSLObject):
    """A connection whose handshake fails unless the certificate has one of ``trusted``."""

    trusted: tuple[str, ...] = ()

    def do_handshake(self) -> None:
        super().do_handshake()
        why = _objection(self.getpeercert(binary_form=True), self.trusted)
        if why is not None:
            error = ssl.SSLCertVerificationError(1, why)
            cast("Any", error).verify_message = why
            raise error


_ANY_LABEL: Final = "*."


def _objection(encoded: bytes | None, trusted: Sequence[str]) -> str | None:
    """Return why a certificate is not good enough for ``trusted_hosts``, None if it is."""
    try:
        certificate = x509.load_der_x509_certificate(encoded or b"")
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        named = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
        addresses = [str(it) for it in names.get_values_for_type(x509.IPAddress)]
    except (
        ValueError,
        x509.DuplicateExtension,
        x509.ExtensionNotFound,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ):
        return "it names no host"
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return "it has expired, or is not valid yet"
    if any(_is_named(host, named, addresses) for host in trusted):
        return None
    return "it has none of the names in 'trusted_hosts'"


def _is_named(host: str, named: Sequence[str], addresses: Sequence[str]) -> bool:
    """Tell whether a host is one of a certificate's names (RFC 9525 section 6.3)."""
    try:
        return str(ipaddress.ip_address(host.strip("[]"))) in addresses
    except ValueError:
        name = host.lower().rstrip(".")
        return name in named or _ANY_LABEL + name.partition(".")[2] in named
