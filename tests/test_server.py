"""One worker: its rooms joined, behind a supervisor as in production."""

import hashlib
import json
import signal
import socket
import ssl
from pathlib import Path

import trustme
from aiohttp import web
from served import configure, serve, upstream

from signals_proxy.relay import Upstream
from signals_proxy.server.material import tls_for
from signals_proxy.server.peers import Peers
from signals_proxy.server.worker import _waiting


async def test_https_by_fingerprint(tmp_path: Path) -> None:
    """A cluster behind https is reached once its authority was found by its fingerprint."""
    authority = trustme.CA()
    leaf = authority.issue_cert("somewhere-else.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown = tmp_path / "node.pem"
    pems = (leaf.private_key_pem, leaf.cert_chain_pems[0], authority.cert_pem)
    shown.write_bytes(b"".join(pem.bytes() for pem in pems))
    context.load_cert_chain(shown)
    der = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    async with upstream(ssl=context) as stands:
        hosts = f"{stands.url}\n  ca_fingerprint: '{hashlib.sha256(der).hexdigest()}'"
        async with serve(configure(tmp_path, hosts)) as proxy:
            at = await proxy.served()
            await proxy.event("ready")
            assert await at.get("/_search") == (200, b"ok")


async def test_https_that_is_not_believed(tmp_path: Path) -> None:
    """A cluster whose certificate nobody vouches for gets no request, and /ready says why."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with (
        upstream(ssl=context) as stands,
        serve(configure(tmp_path, stands.url)) as proxy,
    ):
        at = await proxy.served()
        told = await proxy.event("not ready")
        assert f"no connection to {stands.url}: its certificate is not accepted" in told["reason"]
        assert (await at.get("/_search"))[0] == 503
        assert not stands.asked.is_set()


async def test_refused_targets_are_audited(tmp_path: Path) -> None:
    """A target that only looks like one of the registry leaves one line, without what it was."""
    async with (
        upstream() as stands,
        serve(configure(tmp_path, stands.url)) as proxy,
    ):
        at = await proxy.served()
        for target in ("//_signals/account/email/hunter2", "/_signals/account/email/hunter2%2f"):
            assert (await at.get(target))[0] == 400
        assert (await at.get("/_signals/account/slack/a?hunter2"))[0] == 400
        assert await at.get("/_search") == (200, b"ok")
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0
        lines = [json.loads(line) for line in proxy.lines if line.startswith('{"@timestamp"')]
        assert len(lines) == 3
        for refused in lines[:2]:
            assert refused["error.type"] == "InvalidTarget"
            assert refused["http.response.status_code"] == 400
            assert refused["event.outcome"] == "failure"
        # Only of the first is it told apart from the data plane's before anybody knows who asks.
        assert [line.get("http.request.method") for line in lines] == [None, "GET", "GET"]
        assert [line.get("client.address") for line in lines] == [None, "127.0.0.1", "127.0.0.1"]
        assert len({line["http.request.id"] for line in lines}) == 3
        assert not any("hunter2" in line for line in proxy.lines)


def test_tls_only_where_it_is_used() -> None:
    """A cluster without https needs no system's authorities."""
    assert tls_for(Upstream(("http://127.0.0.1:9200",)), None) is None
    assert tls_for(Upstream(("http://a:1", "https://b:1")), None) is not None


def test_a_backlog_is_emptied() -> None:
    """All that wait in a listener's backlog are accepted, and nobody is waited for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        accepted = list(_waiting(listener))
        expected = [client.getsockname() for client in clients]
        assert expected == [each.getpeername() for each in accepted]
        for each in clients + accepted:
            each.close()


async def test_peers_that_left_are_forgotten() -> None:
    """What is known of clients does not grow with the connections that have ended."""

    async def unused(_: web.BaseRequest) -> web.Response:
        return web.Response()

    server, peers = web.Server(unused), Peers()
    for port in range(3):
        peers.introduce(server(), ("127.0.0.1", port))
    last = server()
    peers.introduce(last, "a socket without addresses")
    assert {last: None} == peers._addresses
