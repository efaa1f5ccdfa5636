"""The forms of single values, in our own words and in YAML's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signals_proxy.config import Address
from signals_proxy.config.document import parse, resolved
from signals_proxy.config.units import address, duration, fingerprint, node, size


class TestUnits:
    @pytest.mark.parametrize(
        ("read", "text", "value"),
        [
            (duration, "1ms", 0.001),
            (duration, "90s", 90),
            (duration, "2h", 7200),
            (size, "5b", 5),
            (size, "1gb", 1024**3),
            (address, "0.0.0.0:0", Address("0.0.0.0", 0)),
            (address, "[0:0::1]:1", Address("::1", 1)),
            (node, "https://es:443/", "https://es:443"),
            (fingerprint, "AA" * 32, "aa" * 32),
        ],
    )
    def test_forms(self, read: Callable[[str], Any], text: str, value: Any) -> None:
        """Each unit reads its form."""
        assert value == read(text)

    @pytest.mark.parametrize(
        ("read", "text"),
        [
            *(
                (duration, text)
                for text in ("", "0s", "1", "s", "1.5s", "-1s", "1S", "1s\n", "\u0661s")
            ),
            *((size, text) for text in ("", "0b", "1", "1kib", "1 kb")),
            *((address, text) for text in ("", ":1", "a", "a:", "a:b", "::1:1", "[x]:1", "[::]")),
            *((address, text) for text in ("[1:2]:3", "u@h:1", "h:1\n")),
            *((node, text) for text in ("", "es:9200", "ftp://es:1", "http://es", "http://es:0")),
            *((node, text) for text in ("http://es:1/a", "http://u:p@es:1", "http://es:1?a")),
            *((fingerprint, text) for text in ("", "aa", "zz" * 32)),
        ],
    )
    def test_other_forms(self, read: Callable[[str], Any], text: str) -> None:
        """Everything else is refused."""
        with pytest.raises(ValueError):
            read(text)

    @pytest.mark.parametrize(
        ("text", "loopback"),
        [
            ("127.8.0.1:1", True),
            ("[::1]:1", True),
            ("LOCALHOST:1", True),
            ("0.0.0.0:1", False),
            ("[::]:1", False),
            ("localhost.evil.test:1", False),
        ],
    )
    def test_loopback(self, text: str, loopback: bool) -> None:
        """An address is loopback if no name service could make it anything else."""
        assert loopback is address(text).is_loopback

    @pytest.mark.parametrize(
        ("listening", "other", "same"),
        [
            ("a:1", "a:1", True),
            ("a:1", "a:2", False),
            ("a:1", "b:1", False),
            ("127.0.0.1:1", "127.0.0.2:1", False),
            ("127.0.0.1:1", "localhost:1", True),
            ("localhost:1", "[::1]:1", True),
            ("localhost:1", "a:1", False),
            ("0.0.0.0:1", "127.0.0.1:1", True),
            ("[::]:1", "localhost:1", True),
            ("0.0.0.0:1", "a:1", False),
        ],
    )
    def test_takes_in(self, listening: str, other: str, same: bool) -> None:
        """A listener is recognised under each name that surely leads to it."""
        assert address(listening).takes_in(address(other)) is same

    @pytest.mark.parametrize("text", ["127.0.0.1:9201", "[::1]:9201", "localhost:1"])
    def test_addresses_are_shown_as_written(self, text: str) -> None:
        """An address shows in the form in which it is configured."""
        assert text == str(address(text))


class TestYaml:
    @pytest.mark.parametrize(
        ("text", "value"),
        [("a: 2020-01-01", "2020-01-01"), ("a: <<", "<<"), ("a: 0b_", "0b_"), ("a: 1.5", 1.5)],
    )
    def test_scalars(self, text: str, value: Any) -> None:
        """Dates and merges are texts, and so is what only looks like a number."""
        assert {"a": value} == parse(text, Path("f"), {}).data

    def test_resolved(self) -> None:
        """A text from outside is read as it would be in a file."""
        assert [resolved(text) for text in ("1", "true", "", "x")] == [1, True, None, "x"]
