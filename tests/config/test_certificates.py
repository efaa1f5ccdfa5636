"""What the configuration says about certificates: those that the proxy shows, and clients'."""

from pathlib import Path

import pytest
from configured import MINIMAL, Load
from configured import told as all_of

from signals_proxy.registry.settings import CertificateCredentials
from signals_proxy.relay import ClientCertificate, ServerTls
from signals_proxy.secret import Secret

TLS = MINIMAL.replace("http:", "https:")
PAIR = "client_certificate: own.pem, client_key: own.key"


def with_upstream(text: str, line: str) -> str:
    """The configuration with another line in ``upstream``."""
    return text.replace("upstream:\n", f"upstream:\n  {line}\n")


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    """A certificate that everybody may read, and a key that only its owner may."""
    (tmp_path / "own.pem").write_text("certificate")
    (tmp_path / "own.pem").chmod(0o644)
    (tmp_path / "own.key").touch(0o600)
    (tmp_path / "own.key").write_text("key")


def test_both_places(load: Load) -> None:
    """What is shown for clients and what for the registry are told apart, and read at once."""
    lines = (f"{it}\n  " for it in PAIR.split(", "))
    text = with_upstream(TLS, "".join([*lines, "shared_identity: true"]))
    settings = load(f"{text}registry: {{credentials: {{{PAIR}}}}}\n")
    shown = ClientCertificate("certificate", Secret("key"), "upstream")
    assert (settings.upstream.shown, settings.upstream.shared_identity) == (shown, True)
    assert settings.registry.credentials == CertificateCredentials("certificate", Secret("key"))
    assert (load(TLS).upstream.shown, load(TLS).upstream.shared_identity) == (None, False)


def test_for_clients(load: Load) -> None:
    """What is shown to clients, and what they have to show, is read at once, too."""
    settings = load(f"{MINIMAL}tls: {{certificate: own.pem, key: own.key}}\n")
    assert settings.tls == ServerTls("certificate", Secret("key"))
    asked = "client_certificates: own.pem"
    for how in ("", ", client_authentication: required", ", client_authentication: optional"):
        text = f"{MINIMAL}tls: {{certificate: own.pem, key: own.key, {asked}{how}}}\n"
        expected = "optional" if "optional" in how else "required"
        assert load(text).tls == ServerTls("certificate", Secret("key"), "certificate", expected)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{MINIMAL}tls: {{certificate: own.pem}}\n", "tls.key: is missing"),
        (f"{MINIMAL}tls: {{key: own.key}}\n", "tls.certificate: is missing"),
        (
            f"{MINIMAL}tls: {{certificate: own.pem, key: own.pem}}\n",
            "tls.key: ",
        ),
        (
            f"{MINIMAL}tls: {{certificate: none.pem, key: own.key}}\n",
            "tls.certificate: ",
        ),
        (
            f"{MINIMAL}tls: {{certificate: own.pem, key: own.key, client_certificates: none.pem}}\n",
            "tls.client_certificates: ",
        ),
        (
            f"{MINIMAL}tls: {{certificate: own.pem, key: own.key, client_authentication: required}}\n",
            "tls.client_authentication: has no effect without client_certificates",
        ),
        (
            f"{MINIMAL}tls: {{certificate: own.pem, key: own.key, client_authentication: none}}\n",
            "tls.client_authentication: must be optional or required",
        ),
        (
            with_upstream(MINIMAL, "client_certificate: own.pem\n  client_key: own.key"),
            "upstream.client_certificate: no host is reached by https",
        ),
        (
            f"{MINIMAL}registry: {{credentials: {{{PAIR}}}}}\n",
            "registry.credentials.client_certificate: no host is reached by https",
        ),
        (
            with_upstream(TLS, "client_certificate: own.pem"),
            "upstream: must be a group with both client_certificate and client_key, or none",
        ),
        (
            with_upstream(TLS, "client_key: own.key"),
            "upstream: must be a group with both client_certificate and client_key, or none",
        ),
        (
            with_upstream(TLS, "shared_identity: true"),
            "upstream.shared_identity: has no effect without client_certificate",
        ),
        (
            f"{TLS}registry: {{credentials: {{client_key: own.key}}}}\n",
            "registry.credentials: must be one of: username with password, api_key,",
        ),
        (
            f"{TLS}registry: {{credentials: {{username: a, {PAIR}}}}}\n",
            "registry.credentials: must be one of: username with password, api_key,",
        ),
        (
            with_upstream(TLS, "client_certificate: none.pem\n  client_key: own.key"),
            "upstream.client_certificate: ",
        ),
        (
            f"{TLS}registry: {{credentials: {{client_certificate: own.pem, client_key: own.pem}}}}\n",
            "registry.credentials.client_key: ",
        ),
    ],
)
def test_one_mistake(load: Load, text: str, told: str) -> None:
    """Each is told with its place: a missing twin, a missing file, a key that others may read."""
    assert any(f": {told}" in each for each in all_of(load, text)), all_of(load, text)
