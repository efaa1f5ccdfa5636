"""Whom the proxy believes to be the cluster, against real TLS servers, honest and not."""

import ssl
from pathlib import Path

import pytest
import trustme
from tls_servers import (
    FOREIGN_NAME,
    NAME,
    Identity,
    accepted,
    certificate_of,
    fingerprint_of,
    serving,
    silent,
)

from signals_proxy.errors import ConfigError, NotConnected, TimedOut
from signals_proxy.relay.tls import client_context, learn


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The cluster's own authority."""
    return trustme.CA(organization_name="the cluster's authority")


@pytest.fixture(scope="session")
def attackers() -> trustme.CA:
    """An authority that only an attacker uses."""
    return trustme.CA(organization_name="the cluster's authority")


@pytest.fixture
def node(tmp_path: Path, authority: trustme.CA) -> Identity:
    """A node that shows its authority beside its own certificate, as Elasticsearch does."""
    return Identity(tmp_path, authority.issue_cert(FOREIGN_NAME), authority)


class TestFingerprint:
    async def test_nothing_before_learning(self, node: Identity, authority: trustme.CA) -> None:
        """A context that has not found its certificate yet accepts nobody."""
        context = client_context(ca_fingerprint=fingerprint_of(authority))
        async with serving(node) as port:
            assert not await accepted(context, port)

    async def test_the_clusters_nodes(self, node: Identity, authority: trustme.CA) -> None:
        """Once found, the authority's nodes are accepted, whatever names they have."""
        fingerprint = fingerprint_of(authority)
        context = client_context(ca_fingerprint=fingerprint)
        async with serving(node) as port:
            await learn([context], "127.0.0.1", port, fingerprint)
            assert await accepted(context, port)

    async def test_colons_and_capitals(self, node: Identity, authority: trustme.CA) -> None:
        """A fingerprint is found in each form in which it is written."""
        digits = fingerprint_of(authority).upper()
        fingerprint = ":".join(digits[at : at + 2] for at in range(0, 64, 2))
        context = client_context(ca_fingerprint=fingerprint)
        async with serving(node) as port:
            await learn([context], "127.0.0.1", port, fingerprint)
            assert await accepted(context, port)

    async def test_the_right_authority_beside_a_foreigncertificate_of(
        self, tmp_path: Path, authority: trustme.CA, attackers: trustme.CA
    ) -> None:
        """Who shows the genuine authority, which is public, beside his own certificate fails."""
        fingerprint = fingerprint_of(authority)
        context = client_context(ca_fingerprint=fingerprint)
        for shown in ((authority,), (attackers, authority), (authority, attackers)):
            attacker = Identity(tmp_path, attackers.issue_cert(NAME), *shown)
            async with serving(attacker) as port:
                await learn([context], "127.0.0.1", port, fingerprint)
                assert not await accepted(context, port)

    async def test_a_nodes_certificate_is_no_authority(
        self, tmp_path: Path, authority: trustme.CA
    ) -> None:
        """A pinned certificate that may issue none issues none that is accepted."""
        leaf = authority.issue_cert(FOREIGN_NAME)
        fingerprint = fingerprint_of(leaf)
        context = client_context(ca_fingerprint=fingerprint)
        pretended = trustme.CA.from_pem(certificate_of(leaf).bytes(), leaf.private_key_pem.bytes())
        attacker = Identity(tmp_path, pretended.issue_cert(NAME), leaf)
        async with serving(attacker) as port:
            await learn([context], "127.0.0.1", port, fingerprint)
            assert not await accepted(context, port)

    async def test_another_authority(self, node: Identity, attackers: trustme.CA) -> None:
        """A node that does not show the certificate is refused with words, and nothing is learned."""
        fingerprint = fingerprint_of(attackers)
        context = client_context(ca_fingerprint=fingerprint)
        async with serving(node) as port:
            with pytest.raises(NotConnected, match="shows no certificate with the fingerprint"):
                await learn([context], "127.0.0.1", port, fingerprint)
            assert context.cert_store_stats()["x509"] == 0
            assert not await accepted(context, port)

    async def test_a_nodes_owncertificate_of(self, tmp_path: Path, authority: trustme.CA) -> None:
        """A pinned certificate that is no authority is trusted for itself alone."""
        leaf, other = authority.issue_cert(FOREIGN_NAME), authority.issue_cert(NAME)
        fingerprint = fingerprint_of(leaf)
        context = client_context(ca_fingerprint=fingerprint)
        async with serving(Identity(tmp_path, leaf)) as port:
            await learn([context], "127.0.0.1", port, fingerprint)
            assert await accepted(context, port)
        async with serving(Identity(tmp_path, other, authority)) as port:
            assert not await accepted(context, port)

    async def test_no_node(self) -> None:
        """A node that cannot be reached, or does not speak TLS in time, is told as that."""
        context = client_context(ca_fingerprint="00" * 32)
        with pytest.raises(NotConnected, match=r"^no connection to 127\.0\.0\.1:1: "):
            await learn([context], "127.0.0.1", 1, "00" * 32)
        with silent() as port, pytest.raises(TimedOut, match=r"in 0\.01 s$"):
            await learn([context], "127.0.0.1", port, "00" * 32, timeout_s=0.01)


class TestAuthorities:
    async def test_names_are_compared(self, node: Identity, authority: trustme.CA) -> None:
        """With authorities of its own, only their certificates for the very host are accepted."""
        remark = "# Autorität, nicht in ASCII\n"
        context = client_context(remark + authority.cert_pem.bytes().decode())
        async with serving(node) as port:
            assert await accepted(context, port, FOREIGN_NAME)
            assert not await accepted(context, port, NAME)

    async def test_only_the_named_authorities(self, node: Identity, attackers: trustme.CA) -> None:
        """An authority that is not named is none, whatever a node shows."""
        context = client_context(attackers.cert_pem.bytes().decode())
        async with serving(node) as port:
            assert not await accepted(context, port, FOREIGN_NAME)

    async def test_the_systems(self, node: Identity) -> None:
        """Without settings the system's authorities decide, and they do not know a private one."""
        context = client_context()
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        async with serving(node) as port:
            assert not await accepted(context, port, FOREIGN_NAME)

    @pytest.mark.parametrize("fingerprint", [None, "00" * 32])
    def test_old_tls(self, fingerprint: str | None) -> None:
        """TLS before 1.2 is not spoken."""
        context = client_context(ca_fingerprint=fingerprint)
        assert ssl.TLSVersion.TLSv1_2 == context.minimum_version

    @pytest.mark.parametrize("content", ["nothing", "", "-----BEGIN CERTIFICATE-----\n"])
    def test_no_certificate(self, content: str) -> None:
        """What holds no certificate is told with its setting."""
        with pytest.raises(ConfigError, match=r"^upstream.ca_certificates: not a PEM") as raised:
            client_context(content)
        assert raised.value.remedy
