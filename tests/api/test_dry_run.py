"""``PUT ?dry_run``: what a PUT would answer, without what it would do."""

from typing import Any

import pytest
from refused import check

from signals_proxy.account.ref import Ref
from signals_proxy.authorization import Action, Identity
from signals_proxy.errors import Forbidden

DRY = "email/default?dry_run"


async def test_created(client: Any, example: Any, cluster: Any, audit_lines: Any) -> None:
    """Nothing is written, and no index made; no version is promised."""
    answer = await client.put(example, DRY)
    assert answer.status == 201
    assert answer.text == '{"_id":"email/default","result":"created","dry_run":true}'
    assert not cluster.exists()
    (line,) = audit_lines()
    assert (line["event.action"], line["signals_proxy.result"]) == ("account/put", "dry_run")
    assert (await client.put(example)).json["result"] == "created"


async def test_updated(client: Any, example: Any, cluster: Any, audit_lines: Any) -> None:
    """The version is the one it would have; what only a write tells is left out."""
    await client.put(example)
    before = cluster.source()
    answer = await client.put(example, DRY + "=true")
    assert answer.status == 200
    assert answer.json == {
        "_id": "email/default",
        "_version": 2,
        "result": "updated",
        "dry_run": True,
    }
    assert cluster.source() == before
    assert (await client.get()).json["_version"] == 1
    assert audit_lines()[1]["signals_proxy.result"] == "dry_run"


async def test_noop(client: Any, example: Any, audit_lines: Any) -> None:
    """The version is the stored one's, whole."""
    await client.put(example)
    del example["password"]
    answer = await client.put(example, DRY)
    assert answer.json == {**(await client.put(example)).json, "dry_run": True}
    assert answer.json["_seq_no"] == 0
    assert [line["signals_proxy.result"] for line in audit_lines()] == [
        "created",
        "dry_run",
        "noop",
    ]


async def test_switched_off(client: Any, example: Any) -> None:
    """``dry_run=false`` is a PUT like any other."""
    answer = await client.put(example, DRY + "=false")
    assert (answer.status, "dry_run" in answer.json) == (201, False)
    assert (await client.get()).status == 200


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("PUT", DRY + "=1", "[1]"),
        ("PUT", DRY + "&dry_run", "repeats"),
        ("PUT", "email/default?dryrun", "did you mean [dry_run]?"),
        ("GET", DRY, "unrecognized"),
        ("DELETE", DRY, "unrecognized"),
    ],
)
async def test_misspelt(
    client: Any, example: Any, cluster: Any, method: str, path: str, words: str
) -> None:
    """What could be meant for a dry run is never done in earnest."""
    await client.put(example)
    before = cluster.source()
    body = {**example, "description": "x"} if method == "PUT" else None
    assert words in check(await client.ask(method, path, body), 400)["error"]
    assert cluster.source() == before


async def test_errors_are_those_of_the_put(client: Any, example: Any, cluster: Any) -> None:
    """Bodies, conflicts, and accounts that are not verified: the same status and the same words."""
    for stored in (None, "genuine", "forged"):
        if stored == "genuine":
            await client.put(example)
        if stored == "forged":
            cluster.put({**cluster.source(), "host": "evil.example"})
        before = cluster.source()
        for query, body, status in (
            ("", {**example, "port": "x"}, 400),
            ("", b"{", 400),
            ("", b"x" * (1024 * 1024 + 1), 413),
            ("&if_seq_no=7&if_primary_term=1", example, 409),
            ("&op_type=create", example, 409 if stored else None),
            ("", {**example, "password": None, "host": 5}, 400),
            ("", {"host": "smtp.example.com", "port": 465}, 409 if stored == "forged" else None),
        ):
            if status is None:
                continue
            dry = check(await client.put(body, DRY + query), status)
            assert dry == check(
                await client.put(body, f"email/default?pretty=false{query}"), status
            )
            assert cluster.source() == before
        assert cluster.exists() == (stored is not None)


async def test_a_foreign_index(client: Any, example: Any, cluster: Any) -> None:
    """Also where no account is stored yet, an index that a PUT is refused by refuses its trial."""
    cluster.put({"host": "smtp.example.com"}, Ref("email", "other"))
    dry = check(await client.put(example, DRY), 503)
    assert dry == check(await client.put(example), 503)


async def test_it_takes_the_right_to_put(serve: Any, example: Any, audit_lines: Any) -> None:
    """Its answers tell what is stored."""
    asked = []

    class Backend:
        async def require(self, action: Action, *_: Any) -> Identity:
            asked.append(action)
            raise Forbidden("No.")

    client = await serve(authorizer=Backend())
    check(await client.put(example, DRY), 403)
    assert asked == [Action.PUT]
    assert audit_lines()[0]["signals_proxy.allowed"] is False


async def test_a_media_type_is_judged_as_well(client: Any, example: Any) -> None:
    """In the order of a PUT: before the body."""
    check(await client.put(example, DRY, Content_Type="text/plain"), 415)
