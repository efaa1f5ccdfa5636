"""Deliveries go to public addresses, and to those that a setting names; whoever gives them."""

import socket
from contextlib import suppress
from ipaddress import ip_network

import pytest
from delivering import Delivering, over_http
from recorder import recording

from signals_proxy.account import Account, Ref
from signals_proxy.delivery.delivery import Attempt, Place
from signals_proxy.delivery.dial import dial
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.email import Email
from signals_proxy.delivery.http import Http
from signals_proxy.delivery.report import Progress
from signals_proxy.delivery.settings import DeliverySettings
from signals_proxy.delivery.tokens import Tokens
from signals_proxy.errors import DeliveryFailed, InvalidAccount
from signals_proxy.secret import Secret

REFUSED = "destination_not_allowed"
NOT_PUBLIC = {
    "loopback": "127.0.0.1",
    "loopback, another": "127.255.0.9",
    "loopback, IPv6": "[::1]",
    "unspecified": "0.0.0.0",
    "unspecified, IPv6": "[::]",
    "metadata services of clouds": "169.254.169.254",
    "metadata services of clouds, IPv6": "[fd00:ec2::254]",
    "private, 10/8": "10.0.0.1",
    "private, 172.16/12": "172.31.255.255",
    "private, 192.168/16": "192.168.0.1",
    "shared": "100.64.0.1",
    "benchmarks": "198.18.0.1",
    "documentation": "203.0.113.1",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "link-local, IPv6": "[fe80::1]",
    "unique local": "[fc00::1]",
    "site-local": "[fec0::1]",
    "documentation, IPv6": "[3fff:fff::1]",
    "multicast, IPv6": "[ff02::1]",
    "IPv4-mapped": "[::ffff:127.0.0.1]",
    "IPv4-mapped, in hexadecimal": "[::ffff:7f00:1]",
    "IPv4-compatible": "[::127.0.0.1]",
    "IPv4-translated": "[::ffff:0:127.0.0.1]",
    "NAT64": "[64:ff9b::127.0.0.1]",
    "NAT64, local": "[64:ff9b:1::10.0.0.1]",
    "6to4": "[2002:7f00:1::]",
    "Teredo": "[2001:0:7f00:1::]",
    "decimal": "2130706433",
    "octal": "0177.0.0.1",
    "hexadecimal": "0x7f.0.0.1",
    "short": "127.1",
    "with a dot behind": "127.0.0.1.",
}


def everywhere(by):
    http = Http(Egress(by))
    return {**over_http(by), "email": Email(Egress(by), Tokens(http))}


def account_to(way, host, port=9):
    """Return an account, as none could be stored, that leads to a host in one way."""
    bare = host.strip("[]")
    url = f"http://{host}:{port}/x"
    mail = {"host": "mail.test", "port": 25, "default_from": "a@b.test"}
    client = {"client_id": "c", "client_secret": "s", "token_url": url}
    ways = {
        "smtp": ("email", {**mail, "host": bare, "port": port}, {}),
        "socks": ("email", {**mail, "proxy_host": bare, "proxy_port": port}, {}),
        "smtp by socks": (
            "email",
            {**mail, "host": bare, "port": port, "proxy_host": "proxy.test", "proxy_port": 9},
            {},
        ),
        "smtp token": ("email", {**mail, "user": "u"}, {"oauth2": client}),
        "webhook": ("webhook", {"method": "POST"}, {"url": url}),
        "webhook token": (
            "webhook",
            {"method": "POST"},
            {"url": "https://a.test/", "auth": {"type": "oauth2", **client}},
        ),
        "slack": ("slack", {}, {"url": url}),
        "slack token": ("slack", {"default_channel": "c"}, {"token": "t"}),
        "teams": ("teams", {}, {"url": url}),
        "pagerduty": ("pagerduty", {"url": url}, {"integration_key": "k"}),
        "jira": ("jira", {"url": url}, {"auth_token": "t"}),
    }
    name, public, secrets = ways[way]
    return Account(Ref(name, "a"), public, {n: Secret(value) for n, value in secrets.items()})


MESSAGES = {
    "email": {"to": "a@b.test", "subject": "s", "text_body": "t"},
    "webhook": {"body": "x"},
    "slack": {"text": "x"},
    "teams": {"text": "x"},
    "pagerduty": {"payload": {"summary": "s", "source": "h", "severity": "info"}},
    "jira": {"project": "A", "issue": {"type": "Bug", "summary": "s"}},
}
WAYS = {
    "smtp": "host",
    "socks": "proxy_host",
    "smtp by socks": "host",
    "smtp token": "oauth2",
    "webhook": "url",
    "webhook token": "auth",
    "slack": "url",
    "slack token": "token",
    "teams": "url",
    "pagerduty": "url",
    "jira": "url",
}


async def used(delivering, by, way, through):
    """Return how it ends that an account is used."""
    if way != "smtp token":
        return await delivering.fails(through, MESSAGES[through.ref.type])
    # The mail server comes first, and there is none.
    with pytest.raises(DeliveryFailed) as failed:
        await Tokens(Http(Egress(by))).token(
            through.secrets["oauth2"].reveal(), Attempt(through, "1")
        )
    return failed.value


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", NOT_PUBLIC.values(), ids=NOT_PUBLIC)
async def test_what_is_not_public_is_refused(way, host):
    """When the account is saved, and again when it is used; in every way to get there."""
    by = DeliverySettings(allowed_hosts=("*", "mail.test"), slack_api=f"http://{host}/api/")
    through = account_to(way, host)
    delivering = Delivering(by, everywhere(by))
    with pytest.raises(InvalidAccount) as invalid:
        delivering.deliveries.require_allowed(through)
    assert WAYS[way] in invalid.value.details
    failed = await used(delivering, by, way, through)
    step = "auth" if way in {"smtp token", "webhook token"} else "resolve"
    assert (failed.reason, failed.status, failed.step) == (REFUSED, 424, step)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "smtp by socks"])
async def test_a_name_is_judged_by_its_address(way):
    """A name says nothing when an account is saved; what it means is known when it is used."""
    by = DeliverySettings(allowed_hosts=("*", "mail.test"), slack_api="http://localhost/api/")
    through = account_to(way, "localhost")
    delivering = Delivering(by, everywhere(by))
    delivering.deliveries.require_allowed(through)
    failed = await used(delivering, by, way, through)
    step = "auth" if way in {"smtp token", "webhook token"} else "connect"
    assert (failed.reason, failed.status, failed.step) == (REFUSED, 424, step)


async def dialled(port, egress, *answers):
    """Return the names that were asked for, and the address that a connection was made to."""
    asked, rest = [], [*answers]

    def look_up(host, port):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (it, port)) for it in rest.pop(0)]

    with suppress(DeliveryFailed):
        place = Place("url", "some.test", port)
        with await dial(place, egress, Progress(), look_up=look_up) as connection:
            return asked, connection.getpeername()[0]
    return asked, None


async def test_a_name_that_changes_its_address_is_asked_once():
    """What was checked is what is dialled: the second answer, which leads here, is never asked for."""
    egress = Egress(DeliverySettings())
    assert await dialled(9, egress, ["192.0.2.1"], ["127.0.0.1"]) == (["some.test"], None)


async def test_of_several_addresses_the_allowed_ones_are_dialled():
    async with recording() as service:
        port = int(service.url.rpartition(":")[2])
        egress = Egress(DeliverySettings(allowed_networks=(ip_network("127.0.0.1/32"),)))
        found = await dialled(port, egress, ["10.0.0.1", "127.0.0.1", "169.254.169.254"])
    assert found == (["some.test"], "127.0.0.1")


# --- the settings --------------------------------------------------------------------------------


def objection(host, port=443, *, by_proxy=False, **given):
    given = {name: tuple(value) for name, value in given.items()}
    for name in ("allowed_networks", "denied_networks"):
        given[name] = tuple(map(ip_network, given.get(name, ())))
    if "allowed_ports" in given:
        given["allowed_ports"] = frozenset(given["allowed_ports"])
    return Egress(DeliverySettings(**given)).objection(Place("url", host, port, by_proxy))


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "[2001:4860:4860::8888]", "[64:ff9b::8.8.8.8]", "a.test"]
)
def test_what_is_public_is_allowed(host):
    assert objection(host) is None


def test_networks_that_are_allowed_or_denied():
    assert objection("10.1.2.3", allowed_networks=["10.1.0.0/16"]) is None
    assert objection("10.2.2.3", allowed_networks=["10.1.0.0/16"]) is not None
    assert objection("[::ffff:10.1.2.3]", allowed_networks=["10.1.0.0/16"]) is None
    assert objection("[::1]", allowed_networks=["::1/128"]) is None
    assert objection("[::2]", allowed_networks=["::1/128"]) is not None
    assert objection("8.8.8.8", denied_networks=["8.0.0.0/8"]) is not None
    assert objection("[::ffff:8.8.8.8]", denied_networks=["8.0.0.0/8"]) is not None
    both = {"allowed_networks": ["10.0.0.0/8"], "denied_networks": ["10.1.0.0/16"]}
    assert objection("10.0.0.1", **both) is None
    assert objection("10.1.0.1", **both) is not None


@pytest.mark.parametrize(
    ("network", "public", "private"),
    [
        ("2001::/32", "[2001:0:808:808:0:0:f7f7:f7f7]", "[2001:0:808:808:0:0:80ff:fffe]"),
        ("64:ff9b:1::/48", "[64:ff9b:1::8.8.8.8]", "[64:ff9b:1::127.0.0.1]"),
        ("::/96", "[::8.8.8.8]", "[::127.0.0.1]"),
    ],
)
def test_what_leads_to_another_address_is_allowed_only_if_both_are(network, public, private):
    """That a wrapped address is public makes the one around it no more so."""
    assert objection(public) is not None
    assert objection(public, allowed_networks=[network]) is None
    assert objection(private, allowed_networks=[network]) is not None


def test_names_that_are_allowed():
    only = {"allowed_hosts": ["hooks.slack.com", "*.Example.com"]}
    for host in ("hooks.slack.com", "HOOKS.slack.com.", "a.example.com"):
        assert objection(host, **only) is None
    for host in ("slack.com", "example.com", "a.example.com.evil.test"):
        assert objection(host, **only) is not None


def test_an_address_is_no_way_around_the_names():
    only = {"allowed_hosts": ["*.example.com", "8.8.4.4"]}
    for host in ("8.8.8.8", "[2001:4860:4860::8888]", "[64:ff9b::8.8.8.8]"):
        assert objection(host, **only) is not None
        assert objection(host, by_proxy=True, **only) is not None
    assert objection("8.8.4.4", **only) is None
    assert objection("8.8.8.8", allowed_networks=["8.8.8.8/32"], **only) is None
    assert objection("10.0.0.1", allowed_hosts=["10.0.0.1"]) is not None


def test_a_name_behind_a_proxy_needs_a_pattern_of_its_own():
    assert objection("a.test", by_proxy=True) is not None
    assert objection("a.test", by_proxy=True, allowed_hosts=["*", "*.test"]) is None
    assert objection("8.8.8.8", by_proxy=True) is None
    assert objection("10.0.0.1", by_proxy=True) is not None


def test_ports_that_are_allowed():
    assert objection("a.test", 443, allowed_ports=[443, 587]) is None
    assert "Port 25" in objection("a.test", 25, allowed_ports=[443, 587])


def test_an_address_that_cannot_be_read_is_refused():
    with pytest.raises(DeliveryFailed):
        Egress(DeliverySettings()).require_address("fe80::1%eth0%x y")
