"""Where a request comes from, told from the connection and from what trusted proxies say."""

from ipaddress import IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals_proxy.api.client_address import client_address

TRUSTED = [ip_network(it) for it in ("10.0.0.0/8", "192.0.2.1", "2001:db8::/32")]

trusted = st.ip_addresses(network="10.0.0.0/8").map(str)
others = st.ip_addresses().filter(
    lambda it: not any((getattr(it, "ipv4_mapped", None) or it) in each for each in TRUSTED)
)


@pytest.mark.parametrize(
    ("connection", "forwarded", "expected"),
    [
        # Of who is not trusted nothing is believed.
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
        ("192.0.2.2", ["203.0.113.9"], "192.0.2.2"),
        (None, ["203.0.113.9"], None),
        ("/run/a.sock", ["203.0.113.9"], "/run/a.sock"),
        # From the right, through all who are trusted, over all fields.
        ("10.1.1.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.1.1.1", ["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        ("10.1.1.1", ["6.6.6.6, 203.0.113.9, 10.2.2.2 ,\t192.0.2.1"], "203.0.113.9"),
        ("10.1.1.1", ["6.6.6.6", "203.0.113.9", "10.2.2.2"], "203.0.113.9"),
        ("10.1.1.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("10.1.1.1", [], "10.1.1.1"),
        # The forms of an entry.
        ("10.1.1.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("2001:db8::1", ["2001:DB9:0::5"], "2001:db9::5"),
        ("2001:db8::1", ["[2001:db9::5]"], "2001:db9::5"),
        ("2001:db8::1", ["[2001:db9::5]:4711"], "2001:db9::5"),
        ("::ffff:10.1.1.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("::ffff:198.51.100.7", [], "198.51.100.7"),
        ("10.1.1.1", ["203.0.113.9, [::ffff:10.2.2.2]:1"], "203.0.113.9"),
        # What is malformed ends the list.
        *(
            ("10.1.1.1", [f"203.0.113.9, {malformed}, 10.2.2.2"], "10.2.2.2")
            for malformed in (
                *("", "unknown", "_hidden", "localhost", "10.0.0.300", "10.0.0.01", "10.0.0.1:"),
                *("10.0.0.1 10.0.0.2", "fe80::1%eth0", "[10.0.0.1", "\u0661.1.1.1"),
                *('"10.0.0.1"', "2001:db8::1:x", "[2001:db8::1]x", "10.0.0.1:1:1", "10.0.0.1/8"),
            )
        ),
        ("10.1.1.1", [""], "10.1.1.1"),
        ("10.1.1.1", ["203.0.113.9,"], "10.1.1.1"),
        # No list is read for ever.
        ("10.1.1.1", ["203.0.113.9", *["10.2.2.2"] * 99], "203.0.113.9"),
        ("10.1.1.1", ["203.0.113.9", *["10.2.2.2"] * 100], "10.2.2.2"),
    ],
)
def test_addresses(connection: str | None, forwarded: list[str], expected: str | None) -> None:
    assert client_address(connection, forwarded, TRUSTED) == expected


def test_nobody_is_trusted() -> None:
    assert client_address("10.1.1.1", ["203.0.113.9"], []) == "10.1.1.1"


@given(trusted, st.lists(trusted, max_size=20), others, st.text())
def test_what_a_client_writes_is_never_believed(
    connection: str, proxies: list[str], client: object, written: str
) -> None:
    """Whatever stands left of the first address that is not trusted is not looked at."""
    expected = str(getattr(client, "ipv4_mapped", None) or client)
    fields = [written, ",".join([str(client), *proxies])]
    assert client_address(connection, fields, TRUSTED) == expected


@given(trusted, st.lists(st.text()), st.text())
def test_nothing_raises(connection: str, fields: list[str], other: str) -> None:
    """Whatever comes the answer is an address if the connection has one."""
    found = client_address(connection, fields, [IPv4Network("0.0.0.0/0"), *TRUSTED])
    assert ip_address(found or "")
    client_address(other, fields, TRUSTED)
