"""The backend ``none``: everybody may, under one of the proxy's own names."""

import pytest

from signals_proxy.account.ref import Ref
from signals_proxy.authorization import (
    Action,
    Anybody,
    AuthorizationSettings,
    Authorizer,
    Caller,
    Identity,
)
from signals_proxy.errors import Forbidden

REF = Ref("email", "default")


async def decide(host: str | None, *hostnames: str) -> Identity:
    authorizer: Authorizer = Anybody(hostnames)
    return await authorizer.require(Action.PUT, REF, None, Caller((), "192.0.2.1", host))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:9201",
        "LocalHost:9201",
        "localhost.",
        "localhost.:9201",
        "localhost:",
        "signals.localhost:1",
        "127.0.0.1",
        "127.0.0.1:9201",
        "127.255.3.4",
        "[::1]",
        "[::1]:9201",
        "[0:0:0:0:0:0:0:1]:80",
    ],
)
async def test_loopback(host: str) -> None:
    """The loopback's names and addresses are accepted in every spelling, with any port."""
    assert Identity(None) == await decide(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example",
        "evil.example:9201",
        "localhost.evil.example",
        "notlocalhost",
        "127.0.0.1.evil.example",
        "128.0.0.1",
        "0.0.0.0:9201",
        "10.0.0.1",
        "[::]",
        "[::2]:9201",
        "::1",
        "user@localhost",
        "localhost/evil",
        "localhost,evil.example",
        "localhost:port",
        "localhost:9201:1",
        "localho\u017ft",
        "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
        " localhost",
        "[localhost]",
    ],
)
async def test_foreign_names(host: str | None) -> None:
    """Every other name, and everything that is no name, is refused."""
    with pytest.raises(Forbidden):
        await decide(host)


@pytest.mark.parametrize(
    ("host", "listed"),
    [
        ("proxy.example", "proxy.example"),
        ("PROXY.example.:443", "proxy.example"),
        ("proxy.example", "Proxy.Example."),
        ("10.0.0.1:9201", "10.0.0.1"),
        ("[2001:db8:0:0::1]:9201", "2001:db8::1"),
        ("[2001:db8::1]", "[2001:DB8::1]"),
    ],
)
async def test_listed_names(host: str, listed: str) -> None:
    """A listed name is compared without its case, a last dot, a port or an address's spelling."""
    assert Identity(None) == await decide(host, listed)


async def test_message_is_bounded() -> None:
    """The refusal names the host and the setting, however long the host is."""
    with pytest.raises(Forbidden, match=r"authorization\.hostnames") as refusal:
        await decide("x" * 60_000)
    assert refusal.value.status == 403
    assert len(refusal.value.message) < 400


def test_settings() -> None:
    """Without any setting there are no hostnames but the loopback's."""
    assert AuthorizationSettings("none", ()) == AuthorizationSettings()
