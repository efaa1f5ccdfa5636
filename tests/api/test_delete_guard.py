"""A DELETE that says which version it means deletes that one or none."""

from typing import Any

import pytest


def at(version: dict[str, Any]) -> str:
    return (
        f"email/default?if_seq_no={version['_seq_no']}&if_primary_term={version['_primary_term']}"
    )


async def test_the_version_that_is_stored(client: Any, example: Any) -> None:
    before = (await client.put(example)).json
    after = (await client.put({**example, "port": 25})).json
    answer = await client.delete(at(before))
    assert answer.status == 409
    assert answer.json["error"] == (
        f"[email/default]: version conflict, required seqNo [{before['_seq_no']}], primary term"
        f" [{before['_primary_term']}]. current document has seqNo [{after['_seq_no']}] and primary"
        f" term [{after['_primary_term']}]"
    )
    assert (await client.get()).json["_version"] == 2
    answer = await client.delete(at(after))
    assert (answer.status, answer.json["result"]) == (200, "deleted")


async def test_no_account(client: Any, example: Any) -> None:
    """One that is gone is a conflict, as Elasticsearch has it."""
    version = (await client.put(example)).json
    await client.delete()
    answer = await client.delete(at(version))
    assert answer.status == 409
    assert answer.json["error"].endswith("]. but no document was found")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("if_seq_no=1", "if_seq_no and if_primary_term go together: set both or neither"),
        ("if_seq_no=-1&if_primary_term=1", "[if_seq_no] must not be less than [0], got [-1]"),
    ],
)
async def test_half_a_guard(client: Any, example: Any, query: str, words: str) -> None:
    await client.put(example)
    answer = await client.delete(f"email/default?{query}")
    assert (answer.status, answer.json["error"]) == (400, words)
    assert (await client.get()).status == 200
