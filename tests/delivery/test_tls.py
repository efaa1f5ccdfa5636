"""Whom a delivery believes, and what it says if it does not."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from accounts import CERTIFICATE, KEY
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from delivering import account
from tls_servers import listening

from signals_proxy import key_pair
from signals_proxy.delivery import tls
from signals_proxy.errors import DeliveryFailed
from signals_proxy.secret import Secret


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def pem(authority):
    return authority.cert_pem.bytes().decode()


async def handshake(authority, name, server=(), names=("mail.test",), **trust):
    """Return None if a handshake is good, and else what is said of it."""
    context = tls.context_for(account("webhook", url="https://a.test/", **trust))
    if isinstance(authority, ssl.SSLContext):
        showing = authority
    else:
        showing = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names, **dict(server)).configure_cert(showing)

    async def talk(reader, _):
        await reader.read()

    async with listening(talk, showing) as port:
        try:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=name
            )
        except (ssl.SSLError, OSError) as error:
            return tls.failure(error)
        writer.transport.abort()
    return None


PAST = {
    "not_before": datetime.now(UTC) - timedelta(9),
    "not_after": datetime.now(UTC) - timedelta(1),
}
FUTURE = {
    "not_before": datetime.now(UTC) + timedelta(1),
    "not_after": datetime.now(UTC) + timedelta(9),
}


@pytest.mark.parametrize(
    ("names", "trusted", "good"),
    [
        (["mail.test"], ["mail.test"], True),
        (["Mail.test"], ["mail.TEST."], True),
        (["mail.test"], ["other.test", "mail.test"], True),
        (["*.mail.test"], ["a.mail.test"], True),
        (["*.mail.test"], ["a.b.mail.test"], False),
        (["*.mail.test"], ["mail.test"], False),
        (["mail.test"], ["a.mail.test"], False),
        (["192.0.2.1"], ["192.0.2.1"], True),
        (["2001:db8::1"], ["2001:0db8::0:1"], True),
        (["192.0.2.1"], ["192.0.2.2"], False),
        (["a@mail.test"], ["mail.test"], False),
    ],
)
async def test_trusted_hosts(names, trusted, good):
    """One of the names, whoever issued it, and whatever the server is called."""
    found = await handshake(trustme.CA(), "127.0.0.1", names=names, trusted_hosts=trusted)
    if good:
        assert found is None
    else:
        assert found.reason == "certificate_refused"
        assert "none of the names in 'trusted_hosts'" in found.message or "no host" in found.message


def naming(*extensions):
    """Return a context that shows a certificate of such extensions, and with a common name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1)
    for each in extensions:
        made = made.add_extension(each, critical=False)
    made = made.not_valid_before(FUTURE["not_before"] - timedelta(9))
    made = made.not_valid_after(FUTURE["not_after"]).sign(key, hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key_pair.show(context, made.public_bytes(Encoding.PEM).decode(), Secret(pem.decode()))
    return context


async def test_trusted_hosts_in_a_certificate_that_cannot_be_read():
    """Here it has a name of a kind (RFC 5280 section 4.2.1.6) that nobody understands."""
    odd = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x02\xa3\x00")
    found = await handshake(naming(odd), "mail.test", trusted_hosts=["mail.test"])
    assert (found.reason, "names no host" in found.message) == ("certificate_refused", True)


async def test_trusted_hosts_are_not_looked_for_in_the_common_name():
    """RFC 9525 section 2."""
    found = await handshake(naming(), "mail.test", trusted_hosts=["mail.test"])
    assert "names no host" in found.message


@pytest.mark.parametrize("validity", [PAST, FUTURE])
async def test_trusted_hosts_have_to_be_valid_now(authority, validity):
    found = await handshake(authority, "mail.test", validity, trusted_hosts=["mail.test"])
    assert "expired, or is not valid yet" in found.message


async def test_trust_all(authority):
    assert await handshake(authority, "x.test", PAST, trust_all=True) is None


@pytest.mark.parametrize("validity", [PAST, FUTURE])
async def test_ca_certificates(authority, validity):
    trust = {"ca_certificates": pem(authority)}
    assert await handshake(authority, "mail.test", **trust) is None
    for wrong in (
        await handshake(authority, "other.test", **trust),
        await handshake(authority, "mail.test", validity, **trust),
        await handshake(trustme.CA(), "mail.test", **trust),
        await handshake(authority, "mail.test"),
    ):
        assert (wrong.step, wrong.reason, wrong.status) == ("tls", "certificate_refused", 424)


def test_not_below_tls_1_2():
    context = tls.context_for(account("webhook", url="https://a.test/", trust_all=True))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_accounts_without_settings_of_their_own_share_a_context():
    """Reading the system's authorities takes its time."""
    plain = account("webhook", url="https://a.test/")
    assert tls.context_for(plain) is tls.context_for(plain)
    assert tls.context_for(plain) is tls.context_for_tokens(plain)


def test_contexts_with_settings_are_not_shared(authority):
    one = account("webhook", url="https://a.test/", ca_certificates=pem(authority))
    assert tls.context_for(one) is not tls.context_for(one)
    weak = account("webhook", url="https://a.test/", trust_all=True)
    assert tls.context_for_tokens(weak).verify_mode == ssl.CERT_REQUIRED
    assert tls.context_for_tokens(weak).check_hostname


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"ca_certificates": CERTIFICATE}, "ca_certificates"),
        (
            {"client_certificate": CERTIFICATE, "client_key": KEY},
            "client_certificate and client_key",
        ),
    ],
)
def test_what_openssl_does_not_take(attributes, named):
    made = account("webhook", url="https://a.test/", **attributes)
    with pytest.raises(DeliveryFailed) as failed:
        tls.context_for(made)
    assert (failed.value.reason, failed.value.status) == ("certificate_refused", 424)
    assert f"The account's {named} cannot be used" in failed.value.message


def test_a_key_that_belongs_to_another_certificate(authority):
    one, other = authority.issue_cert("a.test"), authority.issue_cert("b.test")
    made = account(
        "webhook",
        url="https://a.test/",
        client_certificate=one.cert_chain_pems[0].bytes().decode(),
        client_key=other.private_key_pem.bytes().decode(),
    )
    with pytest.raises(DeliveryFailed):
        tls.context_for(made)
