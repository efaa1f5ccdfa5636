"""The registry's settings, and the client that is made of them."""

import logging
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from signals_proxy.account.ref import Ref
from signals_proxy.errors import ConfigError, NotConnected
from signals_proxy.registry.client import connect
from signals_proxy.registry.documents import Registry
from signals_proxy.registry.settings import (
    ApiKeyCredentials,
    BasicCredentials,
    BearerCredentials,
    RegistrySettings,
)
from signals_proxy.secret import Secret

REF = Ref("email", "default")


@pytest.mark.parametrize("name", [".signals_accounts", "a", "a-b_c.d+e", "ä", "x" * 249])
def test_names_of_indices(name: str) -> None:
    """What Elasticsearch takes for the name of an index is taken."""
    assert RegistrySettings(name).index == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "A", "-a", "_all", "+a", "a,b", "a*", "a/b", "a b", "a#", "a:b", "a\\b"),
        *("<a>", "x" * 250, "ä" * 125, "a\n", 'a"', "a|b", "a?"),
    ],
)
def test_names_that_no_index_has(name: str) -> None:
    """Every other name is an error that says which setting it is."""
    with pytest.raises(ConfigError) as refusal:
        RegistrySettings(name)
    assert refusal.value.path == "registry.index"
    assert refusal.value.remedy


@pytest.mark.parametrize(
    ("make", "scheme"),
    [
        (lambda secret: BasicCredentials("proxy", secret), "Basic "),
        (ApiKeyCredentials, "ApiKey "),
        (BearerCredentials, "Bearer "),
        (lambda _: None, None),
    ],
)
async def test_credentials(
    make: Callable[[Secret], Any],
    scheme: str | None,
    canary: Callable[[str], str],
    types: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each kind of credentials is sent as it has to be, over one connection, and never logged."""
    caplog.set_level(logging.DEBUG)
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.json_response(
            {"found": False}, status=404, headers={"X-elastic-product": "Elasticsearch"}
        )

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    settings = RegistrySettings("idx", make(Secret(canary("credentials"))))
    async with TestServer(app) as server:
        client = connect(settings, [str(server.make_url("/"))], None)
        registry = Registry(client, settings.index, types)
        await registry.get(REF)
        await registry.close()
        repr(client), repr(settings), repr(registry)
    (field,) = seen
    assert field is None if scheme is None else field.startswith(scheme)
    text = f"{settings!r} {client!r} {client._headers!r}"
    assert "credentials-" not in text


async def test_tls(types: Any) -> None:
    """An https node is spoken to with the context given, and with no other trust."""
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(
            {"found": False}, status=404, headers={"X-elastic-product": "Elasticsearch"}
        )

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=serving)
    hosts = [str(server.make_url("/"))]
    trusted = Registry(connect(RegistrySettings("idx"), hosts, trusting), "idx", types)
    untrusted = Registry(
        connect(RegistrySettings("idx"), hosts, ssl.create_default_context()), "idx", types
    )
    assert await trusted.get(REF) is None
    with pytest.raises(NotConnected):
        await untrusted.get(REF)
    await trusted.close()
    await untrusted.close()
    await server.close()


def test_default_ports() -> None:
    """A host without a port has its scheme's."""
    client = connect(RegistrySettings(), ["https://es.example", "http://es2.example:9200"], None)
    nodes = sorted((node.host, node.port) for node in client.transport.node_pool.all())
    assert nodes == [("es.example", 443), ("es2.example", 9200)]
