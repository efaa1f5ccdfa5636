"""Whether the cluster answers, asked of real servers."""

import asyncio
from pathlib import Path

import pytest
import trustme
from tls_servers import (
    FOREIGN_NAME,
    Identity,
    fingerprint_of,
    listening,
    serving,
    silent,
)

from signals_proxy.errors import Lost, NotConnected, TimedOut
from signals_proxy.relay import Upstream
from signals_proxy.relay.probe import Reached, reach
from signals_proxy.relay.tls import client_context


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The cluster's own authority."""
    return trustme.CA(organization_name="the cluster's authority")


@pytest.fixture
def node(tmp_path: Path, authority: trustme.CA) -> Identity:
    """A node that shows its authority beside its own certificate, as Elasticsearch does."""
    return Identity(tmp_path, authority.issue_cert(FOREIGN_NAME), authority)


class TestReach:
    async def test_byfingerprint_of(self, node: Identity, authority: trustme.CA) -> None:
        """The first question to a cluster also finds its authority; any answer counts."""
        fingerprint = fingerprint_of(authority)
        context = client_context(ca_fingerprint=fingerprint)
        async with serving(node) as port:
            upstream = Upstream((f"https://127.0.0.1:{port}",), ca_fingerprint=fingerprint)
            assert Reached(upstream.hosts[0], 401) == await reach(upstream, [context])
            assert Reached(upstream.hosts[0], 401) == await reach(upstream, [context])
            assert context.cert_store_stats()["x509"] == 1

    async def test_notaccepted(self, node: Identity) -> None:
        """A certificate that is not accepted is told as that."""
        async with serving(node) as port:
            upstream = Upstream((f"https://127.0.0.1:{port}",))
            with pytest.raises(NotConnected, match=r"certificate is not accepted \(self-signed"):
                await reach(upstream, [client_context()])

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (b"", "closed the connection instead of answering"),
            (b"SSH-2.0-x\r\n", "does not answer in HTTP"),
            (b"x" * 100_000, "does not answer in HTTP"),
        ],
    )
    async def test_no_http(self, answer: bytes, message: str) -> None:
        """Something that is no node is told as what it is."""

        async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            await writer.drain()

        async with listening(talk) as port:
            url = f"http://127.0.0.1:{port}"
            with pytest.raises(Lost, match=f"^{url} {message}$"):
                await reach(Upstream((url,)), ())

    async def test_tls_where_there_is_none(self) -> None:
        """https to a node that speaks http is told without a number."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with listening(talk) as port:
            url = f"https://127.0.0.1:{port}"
            with pytest.raises(NotConnected, match=f"^no connection to {url}: .*SSL"):
                await reach(Upstream((url,)), [client_context()])

    async def test_the_next_one(self, node: Identity, authority: trustme.CA) -> None:
        """A node that cannot be reached is passed over; the last one's error is told."""
        fingerprint = fingerprint_of(authority)
        context = client_context(ca_fingerprint=fingerprint)
        async with serving(node) as port:
            url = f"https://127.0.0.1:{port}"
            upstream = Upstream(("http://127.0.0.1:1", url), ca_fingerprint=fingerprint)
            assert Reached(url, 401) == await reach(upstream, [context])
        with pytest.raises(NotConnected, match=r"connection refused$"):
            await reach(Upstream(("http://127.0.0.1:1",)), ())
        with pytest.raises(NotConnected, match=r"name|address"):
            await reach(Upstream(("http://no-such-name.invalid:1",)), ())

    async def test_silence(self) -> None:
        """A host that says nothing in time is told with the time, before TLS stands and after."""
        with silent() as port:
            url = f"https://127.0.0.1:{port}"
            with pytest.raises(TimedOut, match=f"^no connection to {url} in 0.01 s$"):
                await reach(Upstream((url,), connect_timeout_s=0.01), [client_context()])
            url = f"http://127.0.0.1:{port}"
            with pytest.raises(TimedOut, match=f"^{url} does not answer within 0.01 s$"):
                await reach(Upstream((url,)), (), answer_s=0.01)
