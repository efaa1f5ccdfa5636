"""A whole proxy that shows a certificate of its own to the cluster, which may take it for somebody."""

import asyncio
import signal
import sys
from pathlib import Path

import certified
import pytest
import trustme
from certified import Certified
from served import configure, serve


@pytest.fixture
def cluster(tmp_path: Path) -> Certified:
    return Certified(trustme.CA(), tmp_path)


def file_for(cluster: Certified, url: str, more: str = "") -> Path:
    """Write the configuration of a proxy that shows a certificate."""
    trust = cluster.folder / "trust.pem"
    trust.write_text(cluster.trust)
    certificate, key = cluster.files("proxy")
    lines = (
        url,
        f"ca_certificates: {trust}",
        f"client_certificate: {certificate}",
        f"client_key: {key}",
        *([more] if more else []),
    )
    return configure(cluster.folder, "\n  ".join(lines))


async def run(file: Path, *options: str) -> tuple[int, str]:
    """Run ``signals-proxy serve`` to its end, which it has to find by itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "signals_proxy", "serve", "--config", str(file), *options),
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    return process.returncode or 0, told.decode()


@pytest.mark.parametrize("options", [(), ("--check",)])
async def test_the_start_is_refused(cluster: Certified, options: tuple[str, ...]) -> None:
    """It is told with the setting, its line, the user and what to do."""
    async with cluster.serving() as url:
        file = file_for(cluster, url)
        status, told = await run(file, *options)
    assert status == 2
    assert f"{file}:5: upstream.client_certificate: " in told
    assert "makes the cluster take everybody for its user 'proxy' who brings no" in told
    assert "upstream.shared_identity: true" in told


async def test_it_is_allowed(cluster: Certified) -> None:
    """Who allows it has requests without credentials made as that user."""
    allowed = "shared_identity: true"
    async with cluster.serving() as url, serve(file_for(cluster, url, allowed)) as proxy:
        address = await proxy.served()
        assert (await address.get("/x"))[0] == 200
        assert ("/x", "proxy") in cluster.asked
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0


async def test_nothing_is_forwarded_until_it_is_known(cluster: Certified) -> None:
    """Not before the cluster tells who we are, nor once it tells that we are somebody."""
    cluster.answer = lambda *_: (503, "{}")
    async with cluster.serving() as url, serve(file_for(cluster, url)) as proxy:
        address = await proxy.served()
        unknown = await proxy.event("not ready")
        assert "the cluster does not tell whom it takes the proxy for" in unknown["reason"]
        status, told = await address.get("/x")
        assert b"not known yet whom the cluster takes the proxy for" in told
        assert status == 503
        cluster.answer = certified.elasticsearch
        named = await proxy.event("not ready")
        assert "take everybody for its user 'proxy'" in named["reason"]
        for target in ("/x", "/_search/scroll?scroll_id=x"):
            status, told = await address.get(target)
            assert b"take everybody for the user of the proxy's own certificate" in told
            assert status == 503
        status, ready = await address.health("/ready")
        assert "take everybody for its user 'proxy'" in str(ready)
        assert status == 503
        assert {target for target, _ in cluster.asked} == {"/", certified.ELASTICSEARCH}
        cluster.answer = certified.nobody
        await proxy.event("ready")
        assert (await address.get("/x"))[0] == 401
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0
