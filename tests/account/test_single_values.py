"""Each attribute takes what its schema says, and tells what that is."""

import pytest
from accounts import EMAIL, KEY, details, validate


@pytest.mark.parametrize("port", [0, -1, 65536, 2**70, 465.0, True, "465", [465], {}])
def test_what_is_no_port(port):
    """Only integers from 1 to 65535, written as such."""
    assert details({**EMAIL, "port": port}).keys() == {"port"}


@pytest.mark.parametrize("port", [1, 65535])
def test_the_first_and_the_last_port(port):
    """The bounds belong to it."""
    assert port == validate({**EMAIL, "port": port}).public["port"]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({"default_to": "to@"}, {"default_to.0": "An eMail address"}),
        ({"default_to": 5}, {"default_to": "One string or an array of at most 256"}),
        (
            {"default_to": ["a@b.test"] * 257},
            {"default_to": "One string or an array of at most 256"},
        ),
        (
            {"default_to": [None, ["a@b.test"]]},
            dict.fromkeys(["default_to.0", "default_to.1"], "An eMail address"),
        ),
        ({"labels": "x"}, {"labels": "An object of at most 64 strings"}),
        (
            {"labels": {f"a{n}": "" for n in range(65)}},
            {"labels": "An object of at most 64 strings"},
        ),
        ({"labels": {"a": {"b": "c"}}}, {"labels.a": "A string without control characters"}),
        ({"owner": ""}, {"owner": "1 to 256 characters"}),
        ({"description": "x" * 4097}, {"description": "0 to 4096 characters"}),
        (
            {"trusted_hosts": "a\r\nb"},
            {"trusted_hosts.0": "A host name in ASCII, or an IP address without brackets"},
        ),
        (
            {"session_timeout": 0},
            {"session_timeout": "An integer from 1 to 2147483647, without fraction and exponent"},
        ),
        (
            {"user": "", "password": ""},
            {"user": "1 to 512 characters", "password": "1 to 4096 characters"},
        ),
        ({"user": "a\0b"}, {"user": "A string without control characters"}),
        (
            {"ca_certificates": KEY},
            {"ca_certificates": "PEM blocks 'CERTIFICATE', one at least, and nothing else"},
        ),
    ],
)
def test_single_values(extra, expected):
    """What is asked for is told, by attribute and position."""
    found = details({**EMAIL, **extra})
    assert expected == {name: only["expected"] for name, (only,) in found.items()}
