"""The example and the schema say the same."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from configured import Load
from jsonschema import Draft202012Validator

from signals_proxy import config
from signals_proxy.config.checked import settings_of
from signals_proxy.relay import Limits

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"


class TestExample:
    def test_is_valid(self, load: Load) -> None:
        """The example is a valid configuration, by our own reading and by the published schema."""
        assert Limits() == load(EXAMPLE.read_text()).limits
        Draft202012Validator(config.schema()).validate(yaml.safe_load(EXAMPLE.read_text()))

    def test_schema_is_valid(self) -> None:
        """The list of settings is itself a valid schema."""
        Draft202012Validator.check_schema(config.schema())

    @pytest.mark.parametrize(
        ("place", "part"),
        list(settings_of(config.schema())),
        ids=[".".join(place) for place, _ in settings_of(config.schema())],
    )
    def test_names_every_setting(self, place: tuple[str, ...], part: Mapping[str, Any]) -> None:
        """Every setting stands in the example: with its default, or as a comment without one."""
        text = EXAMPLE.read_text()
        indent = "  " * (len(place) - 1)
        if "default" in part:
            found: Any = yaml.safe_load(text)
            for name in place:
                found = found[name]
            assert part["default"] == found
        elif place[-1] in _required(config.schema()):
            assert re.search(rf"^{indent}{place[-1]}:", text, re.MULTILINE)
        else:
            assert re.search(rf"^ *(?:# +)?{place[-1]}:", text, re.MULTILINE)
        if part.get("writeOnly"):
            assert f"{place[-1]}_file:" in text

    def test_every_setting_is_described(self) -> None:
        """Every setting has a description, which ends as a sentence does."""
        undescribed = [
            place
            for place, part in settings_of(config.schema())
            if not part.get("description", "").endswith(".")
        ]
        assert undescribed == []


def _required(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from part.get("required", ()) if "properties" in part else ()
        for name, value in part.items():
            if name == "properties":
                for (
                    member,
                    each,
                ) in value.items():  # of a group that need not be there, nothing does
                    if member in part.get("required", ()) or "default" in each:
                        yield from _required(each)
