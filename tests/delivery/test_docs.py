"""docs/delivery.md says all that clients decide by."""

import json
import re
from pathlib import Path

import pytest

from signals_proxy.delivery.report import Reason, Step

PROJECT = Path(__file__).parents[2]
DOCS = (PROJECT / "docs" / "delivery.md").read_text()


def test_reasons() -> None:
    """Each reason has its row, and nothing else looks like one."""
    rows = re.findall(r"^\| `(\w+)` \| (502|424) \| .+ \|$", DOCS, re.MULTILINE)
    assert [name for name, _ in rows] == [str(it) for it in Reason]


def test_steps() -> None:
    (listed,) = re.findall(r"^Steps, in their order: (.*?)\.", DOCS, re.MULTILINE)
    assert listed.split(", ") == [f"`{it}`" for it in Step]


@pytest.mark.parametrize(
    "file", sorted((PROJECT / "schemas/message").iterdir()), ids=lambda it: it.stem
)
def test_messages(file: Path) -> None:
    """Each member of a message is named, and no other."""
    row, *_ = re.findall(rf"^\| {file.stem} \| (.*) \|$", DOCS, re.MULTILINE)
    members = json.loads(file.read_text())["properties"]
    inner = {name for it in members.values() for name in it.get("properties", {})}
    inner |= {"content", "content_type"}
    named = set(re.findall(r"`(\w+)`", row))
    assert members.keys() <= named <= members.keys() | inner
