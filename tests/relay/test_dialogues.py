"""The dialogues of ``dialogues/``, whole and in every way of splitting them in two."""

from pathlib import Path

import pytest
from wire import Dialogue, Play, read_dialogues

DIALOGUES = read_dialogues(Path(__file__).parent / "dialogues")


@pytest.fixture(params=DIALOGUES, ids=lambda dialogue: dialogue.title)
def dialogue(request: pytest.FixtureRequest) -> Dialogue:
    """Each dialogue in turn."""
    return request.param


async def test_whole(dialogue: Dialogue) -> None:
    """A dialogue runs as it is written."""
    await Play().run(dialogue)


async def test_byte_by_byte(dialogue: Dialogue) -> None:
    """A dialogue whose every byte comes alone ends as it does whole."""
    await Play().run(dialogue, every=1)


async def test_split_at_every_byte(dialogue: Dialogue) -> None:
    """A dialogue that is split in two, wherever that is, ends as it does whole."""
    sent = sum(len(step.data) for step in dialogue.steps if step.action in {"client", "node"})
    for cut in range(1, sent):
        await Play().run(dialogue, cut=cut)
