"""Whether the proxy's own certificate makes somebody of callers who are nobody."""

import ssl
from pathlib import Path

import certified
import pytest
import trustme
from certified import ELASTICSEARCH, OPENSEARCH, Certified
from cryptography.hazmat.primitives import serialization

from signals_proxy.errors import ConfigError, NotConnected, Refused, SharedIdentity
from signals_proxy.relay import ClientCertificate, Upstream
from signals_proxy.relay.identity import check_identity
from signals_proxy.relay.tls import client_context
from signals_proxy.secret import Secret


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def cluster(authority: trustme.CA, tmp_path: Path) -> Certified:
    return Certified(authority, tmp_path)


def encrypted(key: Secret) -> Secret:
    """Return the same key in PEM that takes a password to be read."""
    read = serialization.load_pem_private_key(key.reveal().encode(), None)
    pem = read.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"test"),
    )
    return Secret(pem.decode())


def contexts(cluster: Certified) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts with a certificate to show, and without."""
    shown = cluster.certificate("proxy")
    return client_context(cluster.trust, None, shown), client_context(cluster.trust)


@pytest.mark.parametrize("answer", [certified.elasticsearch, certified.opensearch])
@pytest.mark.parametrize("needs", [False, True])
async def test_a_shared_identity(cluster: Certified, answer, needs: bool) -> None:
    """A user that only the certificate makes is found, also where nobody is let in without one."""
    cluster.answer = answer
    async with cluster.serving(needs=needs) as url:
        with pytest.raises(SharedIdentity, match=r"for its user 'proxy' who brings no credentials"):
            await check_identity(Upstream((url,)), *contexts(cluster))


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (certified.nobody, [(ELASTICSEARCH, "proxy")]),
        (certified.anonymous, [(ELASTICSEARCH, "proxy"), (ELASTICSEARCH, None)]),
        (certified.without_security, [(ELASTICSEARCH, "proxy"), (OPENSEARCH, "proxy")]),
        (
            lambda target, _: (200, '{"user_name":null}') if target == OPENSEARCH else (405, "{}"),
            [(ELASTICSEARCH, "proxy"), (OPENSEARCH, "proxy")],
        ),
    ],
)
async def test_none(cluster: Certified, answer, asked) -> None:
    """Nobody, an anonymous user and a cluster without users are none."""
    cluster.answer = answer
    async with cluster.serving() as url:
        await check_identity(Upstream((url,)), *contexts(cluster))
        assert cluster.asked == asked


@pytest.mark.parametrize(
    "answer",
    [
        (503, "{}"),
        (429, "{}"),
        (403, "{}"),
        (200, ""),
        (200, "[]"),
        (200, "{}"),
        (200, '{"username":7}'),
        (200, '{"user_name":"other"}'),
        (200, "[" * 100_000),
    ],
)
async def test_nonsense(cluster: Certified, answer: tuple[int, str]) -> None:
    """What does not tell who the caller is does not tell that he is nobody."""
    cluster.answer = lambda *_: answer
    async with cluster.serving() as url:
        with pytest.raises(Refused, match=r"^the cluster (?:does not tell|tells in no known form)"):
            await check_identity(Upstream((url,)), *contexts(cluster))


async def test_nobody_answers(cluster: Certified) -> None:
    with pytest.raises(NotConnected):
        await check_identity(Upstream(("https://127.0.0.1:1",)), *contexts(cluster))


class TestWhatIsShown:
    """A context with a certificate that is shown to nodes."""

    def test_the_key_leaves_no_trace(self, cluster: Certified) -> None:
        """The key lies in no file, and in none that is open, once the context has it."""
        before = sorted(Path("/proc/self/fd").iterdir())
        client_context(cluster.trust, None, cluster.certificate("proxy"))
        assert sorted(Path("/proc/self/fd").iterdir()) == before

    @pytest.mark.parametrize(
        "part", ["nothing", "no key", "no certificate", "encrypted", "other's"]
    )
    def test_what_is_none(self, cluster: Certified, part: str) -> None:
        """What cannot be shown is told with its setting, and no terminal is asked anything."""
        made, other = cluster.certificate("proxy"), cluster.certificate("other")
        certificate, key = {
            "nothing": ("", Secret("")),
            "no key": (made.certificate, Secret("")),
            "no certificate": ("", made.key),
            "encrypted": (made.certificate, encrypted(made.key)),
            "other's": (made.certificate, other.key),
        }[part]
        with pytest.raises(ConfigError, match="not a certificate in PEM with the key") as raised:
            client_context(cluster.trust, None, ClientCertificate(certificate, key, "upstream"))
        assert raised.value.path == "upstream.client_certificate"
        assert raised.value.__suppress_context__
