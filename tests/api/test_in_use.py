"""Accounts that a watch names are not deleted."""

from typing import Any

WATCHES = ".signals_watches"


async def test_an_account_that_is_in_use(
    client: Any, example: Any, cluster: Any, audit_lines: Any
) -> None:
    """It stays until the watch that names it is gone."""
    await client.put(example)
    try:
        watch = {"_tenant": "_main", "actions": [{"type": "email", "account": "default"}]}
        cluster.ask("PUT", f"/{WATCHES}/_doc/_main%2Fw?refresh=true", watch)
        answer = await client.delete()
        assert answer.status == 409
        assert answer.json == {"status": 409, "error": "The account is still in use"}
        assert audit_lines()[-1]["error.type"] == "InUse"
        assert (await client.get()).status == 200
        assert (await client.delete("email/none")).status == 404
        cluster.ask("DELETE", f"/{WATCHES}/_doc/_main%2Fw?refresh=true")
        assert (await client.delete()).status == 200
    finally:
        cluster.ask("DELETE", f"/{WATCHES}")


async def test_watches_that_cannot_be_read(client: Any, example: Any, cluster: Any) -> None:
    """Nothing is deleted by somebody who cannot know whether it is used."""
    await client.put(example)
    try:
        cluster.ask("PUT", f"/{WATCHES}")
        cluster.ask("POST", f"/{WATCHES}/_close")
        answer = await client.delete()
        assert answer.status == 503
        assert answer.json["error"].startswith("Nothing was done, as it cannot be told whether")
        assert (await client.get()).status == 200
    finally:
        cluster.ask("DELETE", f"/{WATCHES}")
