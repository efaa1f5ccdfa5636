"""Accounts by API: put, get, head, delete."""

import asyncio
from typing import Any

import pytest
from faults import Fault

REDACTED = "::es_redacted::"


async def test_put(client: Any, example: Any, cluster: Any) -> None:
    """A new account is created, and lies in the cluster sealed, in one document of its own."""
    answer = await client.put(example)
    assert answer.status == 201
    assert answer.text == (
        '{"_id":"email/default","_version":1,"_seq_no":0,"_primary_term":1,"result":"created"}'
    )
    stored = cluster.source()
    assert stored["host"] == "smtp.example.com"
    assert "password" not in stored
    assert stored["_sealed"]["secrets"] == ["password"]


async def test_get(client: Any, example: Any) -> None:
    """An account is shown with its defaults, its integrity, and every secret redacted."""
    await client.put(example)
    answer = await client.get()
    assert answer.status == 200
    shown = answer.json
    source = shown.pop("_source")
    assert shown == {
        "_id": "email/default",
        "found": True,
        "_version": 1,
        "_seq_no": 0,
        "_primary_term": 1,
        "integrity": "verified",
    }
    assert list(source)[:2] == ["type", "_name"]
    assert {name: source[name] for name in ("type", "_name", *example)} == {
        **example,
        "type": "email",
        "_name": "default",
        "password": REDACTED,
        "default_bcc": ["signals@example.com"],
    }
    assert "_sealed" not in source


async def test_head(client: Any, example: Any) -> None:
    """HEAD answers with GET's head and without its body, whether the account is there or not."""
    for expected in (404, 200):
        head = await client.ask("HEAD", "email/default", Accept_Encoding="identity")
        get = await client.get(Accept_Encoding="identity")
        assert (head.status, head.text) == (expected, "")
        del head.fields["Date"], get.fields["Date"]
        assert head.fields == get.fields
        assert int(head.fields["Content-Length"]) == len(get.text)
        await client.put(example)


async def test_not_found(client: Any, cluster: Any) -> None:
    """What is not there is a 404 in the one shape, and asking for it creates nothing."""
    for method in ("GET", "DELETE"):
        answer = await client.ask(method, "email/default")
        assert (answer.status, answer.text) == (404, '{"status":404,"error":"Not found"}')
    assert not cluster.exists()


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_unknown_types_are_not_found(client: Any, example: Any, method: str) -> None:
    """Of a type that does not exist there is no account."""
    await client.put(example)
    assert (await client.ask(method, "emial/default")).status == 404


async def test_delete(client: Any, example: Any, cluster: Any) -> None:
    """A deleted account is gone, for everybody."""
    await client.put(example)
    answer = await client.delete()
    assert answer.status == 200
    assert answer.text == '{"_id":"email/default","_version":2,"result":"deleted"}'
    assert cluster.source() is None
    assert (await client.get()).status == 404
    assert (await client.delete()).status == 404


async def test_update(client: Any, example: Any) -> None:
    """A PUT replaces all that is public; what it leaves out is gone."""
    await client.put(example | {"default_from": "a@example.com"})
    del example["default_from"]
    answer = await client.put(example)
    assert answer.status == 200
    assert answer.json == {
        "_id": "email/default",
        "_version": 2,
        "_seq_no": 1,
        "_primary_term": 1,
        "result": "updated",
    }
    assert "default_from" not in (await client.get()).json["_source"]


async def test_slack(client: Any, canary: Any, cluster: Any) -> None:
    """A webhook URL is a secret and a destination at once."""
    url = f"https://hooks.slack.com/services/T0/B0/{canary('webhook')}"
    answer = await client.put({"url": url}, "slack/alerts")
    assert (answer.status, answer.json["_id"]) == (201, "slack/alerts")
    source = (await client.get("slack/alerts")).json["_source"]
    assert (source["type"], source["_name"], source["url"]) == ("slack", "alerts", REDACTED)
    assert (await client.put({"url": REDACTED}, "slack/alerts")).json["result"] == "noop"
    _, found = cluster.ask("GET", "/{index}/_search?q=slack")
    assert found["hits"]["total"]["value"] == 1


async def test_names(client: Any, example: Any) -> None:
    """Type names have no case, ids do, and each may be encoded."""
    assert (await client.put(example, "EMail/Default")).json["_id"] == "email/Default"
    assert (await client.get("email/default")).status == 404
    assert (await client.get("%65mail/D%65fault")).json["_id"] == "email/Default"
    answer = await client.put(example, "email/%C3%A4%20%2B")
    assert answer.json["_id"] == "email/ä +"
    assert (await client.get("email/ä%20+".replace("ä", "%C3%A4"))).json["_source"][
        "_name"
    ] == "ä +"


async def test_tenants(client: Any, example: Any) -> None:
    """Accounts of tenants are others than the global ones, which are also those of ``_main``."""
    await client.put(example, "email/default")
    answer = await client.put({**example, "port": 25}, "admin%20tenant/email/default")
    assert (answer.status, answer.json["_id"]) == (201, "admin tenant/email/default")
    own = (await client.get("admin%20tenant/email/default")).json["_source"]
    assert (own["_tenant"], own["port"]) == ("admin tenant", 25)
    both = (await client.get("_main/email/default")).json
    assert (both["_id"], both["_source"]["port"]) == ("email/default", 465)
    assert "_tenant" not in both["_source"]
    assert (await client.get("other/email/default")).status == 404
    await client.delete("_main/email/default")
    assert (await client.get("admin%20tenant/email/default")).status == 200


async def test_accepted_and_dropped(client: Any, example: Any, cluster: Any) -> None:
    """What GET adds may be in a body: who the account is, is said by the path alone."""
    extra = {"_id": "email/other", "_name": "other", "_tenant": "other", "type": "EMAIL"}
    assert (await client.put({**example, **extra})).status == 201
    source = cluster.source()
    assert (source["type"], source["_name"]) == ("email", "default")
    assert "_tenant" not in source


async def test_two_writers(serve: Any, connected: Any, elasticsearch: str, example: Any) -> None:
    """Of writes that start from one version exactly one succeeds, and no success is lost."""
    clients = [await serve(registry=connected(elasticsearch)) for _ in range(2)]
    await clients[0].put(example)
    answers = await asyncio.gather(
        *(clients[n % 2].put({**example, "description": f"n{n}"}) for n in range(8))
    )
    assert {answer.status for answer in answers} <= {200, 409}
    accepted = [answer for answer in answers if answer.status == 200]
    shown = (await clients[1].get()).json
    assert shown["_version"] == 1 + len(accepted)
    assert sorted(a.json["_version"] for a in accepted) == [*range(2, 2 + len(accepted))]
    newest = max(range(8), key=lambda n: answers[n].json.get("_version", 0))
    assert shown["_source"]["description"] == f"n{newest}"
    for answer in answers:
        if answer.status == 409:
            assert answer.json.keys() == {"status", "error"}


async def test_a_change_in_between(
    serve: Any, connected: Any, faulty_wire: Any, client: Any, example: Any
) -> None:
    """A PUT or DELETE whose account changes between its reading and its writing begins anew."""
    slow = await serve(registry=connected(faulty_wire.url))
    for marker, fault in (
        (b"/_doc/", Fault.HOLD_ANSWER),
        (b"POST /_bulk", Fault.HOLD_REQUEST),
    ):
        await client.put(example)
        version = (await client.get()).json["_version"]
        for action in (slow.put({**example, "description": "slow"}), slow.delete()):
            held = faulty_wire.plan(marker, fault)
            acting = asyncio.create_task(action)
            await (held.answered if fault is Fault.HOLD_ANSWER else held.met).wait()
            await client.put({**example, "description": "quick"})
            held.release.set()
            answer = await acting
            version += 2
            assert (answer.status, answer.json["_version"]) == (200, version)
        assert (await client.get()).status == 404


async def test_conflicts(
    serve: Any, connected: Any, faulty_wire: Any, client: Any, example: Any
) -> None:
    """A PUT that says what it replaces is a 409 if something else is there; so is one that does not
    once others were quicker five times."""
    slow = await serve(registry=connected(faulty_wire.url))
    await client.put(example)
    shown = (await client.get()).json
    guarded = f"email/default?if_seq_no={shown['_seq_no']}&if_primary_term={shown['_primary_term']}"
    for path, tries in ((guarded, 1), ("email/default", 5)):
        held = faulty_wire.plan(b"POST /_bulk", Fault.HOLD_REQUEST)
        writing = asyncio.create_task(slow.put({**example, "description": "slow"}, path))
        for n in range(tries):
            await held.met.wait()
            await client.put({**example, "description": f"quick {n}"})
            met = held
            if n + 1 < tries:
                held = faulty_wire.plan(b"POST /_bulk", Fault.HOLD_REQUEST)
            met.release.set()
        answer = await writing
        assert answer.status == 409
        assert "email/default" in answer.json["error"]
        assert (await client.get()).json["_source"]["description"] == f"quick {tries - 1}"


async def test_every_proxy_shows_it(
    serve: Any, connected: Any, elasticsearch: str, example: Any
) -> None:
    """What one proxy has written another shows at once."""
    one, other = [await serve(registry=connected(elasticsearch)) for _ in range(2)]
    assert (await other.get()).status == 404
    await one.put(example)
    assert (await other.get()).json["_version"] == 1
    await one.delete()
    assert (await other.get()).status == 404


async def test_op_type_create(client: Any, example: Any) -> None:
    """``op_type=create`` never replaces anything, in Elasticsearch's words."""
    assert (await client.put(example, "email/default?op_type=create")).status == 201
    answer = await client.put(example, "email/default?op_type=create")
    assert answer.status == 409
    assert answer.json["error"] == (
        "[email/default]: version conflict, document already exists (current version [1])"
    )
    assert (await client.put(example, "email/default?op_type=index")).status == 200


async def test_if_seq_no(client: Any, example: Any) -> None:
    """``if_seq_no`` and ``if_primary_term`` replace just the version that they name."""
    path = "email/default?if_seq_no={}&if_primary_term={}"
    conflict = "[email/default]: version conflict, required seqNo [{}], primary term [1]. "
    answer = await client.put(example, path.format(0, 1))
    assert answer.status == 409
    assert answer.json["error"] == conflict.format(0) + "but no document was found"
    await client.put(example)
    answer = await client.put(example, path.format(7, 1))
    assert answer.status == 409
    assert answer.json["error"] == (
        conflict.format(7) + "current document has seqNo [0] and primary term [1]"
    )
    assert (await client.put(example, path.format(0, 2))).status == 409
    assert (await client.put(example, path.format(0, 1))).json["_seq_no"] == 1
    # The version is judged before the body: a guess of a secret learns nothing from the order.
    answer = await client.put(
        {**example, "host": "evil.example", "password": REDACTED}, path.format(0, 1)
    )
    assert answer.status == 409


async def test_pretty(client: Any, example: Any) -> None:
    """``pretty`` lays an answer out as Elasticsearch does; ``human`` and the like change nothing."""
    answer = await client.put(example, "email/default?pretty")
    assert answer.text == (
        '{\n  "_id" : "email/default",\n  "_version" : 1,\n  "_seq_no" : 0,\n'
        '  "_primary_term" : 1,\n  "result" : "created"\n}\n'
    )
    plain = await client.get("email/default?pretty=false&human=true&error_trace")
    pretty = await client.get("email/default?pretty=true")
    assert plain.json == pretty.json
    assert "\n" not in plain.text
    assert (await client.delete("email/default?pretty=")).text.startswith("{\n")
