"""Secrets of an account: kept, removed, sent again, and never told."""

from typing import Any

import pytest

from signals_proxy.api import Sending
from signals_proxy.delivery.settings import DeliverySettings

REDACTED = "::es_redacted::"


@pytest.mark.parametrize("kept", [{}, {"password": REDACTED}])
async def test_kept_secrets(client: Any, example: Any, cluster: Any, kept: Any) -> None:
    """A secret that is left out or sent as it is shown stays; what GET shows can be PUT back."""
    await client.put(example)
    del example["password"]
    answer = await client.put({**example, **kept, "description": "changed"})
    assert (answer.status, answer.json["result"]) == (200, "updated")
    assert cluster.source()["_sealed"]["secrets"] == ["password"]
    assert (await client.get()).json["integrity"] == "verified"
    shown = (await client.get()).json["_source"]
    answer = await client.put(shown)
    assert (answer.status, answer.json["result"]) == (200, "noop")


async def test_noop(client: Any, example: Any, cluster: Any) -> None:
    """A body that changes nothing writes nothing; one with a secret in clear always does."""
    await client.put(example)
    before = cluster.source()
    sent = dict(example)
    del sent["password"]
    answer = await client.put(sent)
    assert answer.status == 200
    assert answer.text == (
        '{"_id":"email/default","_version":1,"_seq_no":0,"_primary_term":1,"result":"noop"}'
    )
    assert cluster.source() == before
    answer = await client.put(example)
    assert (answer.json["result"], answer.json["_version"]) == ("updated", 2)
    assert cluster.source()["_sealed"]["box"] != before["_sealed"]["box"]


async def test_removed_secrets(client: Any, example: Any, cluster: Any) -> None:
    """``null`` removes a secret."""
    await client.put(example)
    await client.put({**example, "password": None, "user": None})
    assert cluster.source()["_sealed"]["secrets"] == []
    assert "password" not in (await client.get()).json["_source"]


@pytest.mark.parametrize(
    "change",
    [
        {"host": "evil.example"},
        {"port": 25},
        {"enable_tls": False},
        {"enable_start_tls": True},
        {"trust_all": True},
        {"trusted_hosts": ["evil.example"]},
        {"proxy_host": "evil.example", "proxy_port": 1080},
        {"enable_tls": None},
    ],
)
@pytest.mark.parametrize("kept", [{}, {"password": REDACTED}])
async def test_the_destination_lock(
    serve: Any, registry: Any, example: Any, cluster: Any, change: Any, kept: Any
) -> None:
    """Whoever changes where the password goes has to know it."""
    # A name that a SOCKS proxy resolves has to be allowed by itself.
    by = DeliverySettings(allowed_hosts=("*", "smtp.example.com"))
    client = await serve(sending=Sending.by(by, registry.health))
    await client.put(example)
    before = cluster.source()
    password = example.pop("password")
    answer = await client.put({**example, **kept, **change})
    assert answer.status == 400
    assert list(answer.json["detail"]) == ["password"]
    assert cluster.source() == before
    assert (await client.put({**example, **change, "password": password})).status == 200
    assert (await client.put({**example, "password": None})).status == 200


async def test_guesses(client: Any, example: Any, canary: Any) -> None:
    """No answer tells whether the secret that was sent is the one that is stored."""
    await client.put(example)
    right = await client.put(example)
    wrong = await client.put({**example, "password": canary("guess")})
    assert right.json["result"] == wrong.json["result"] == "updated"
    assert right.fields.keys() == wrong.fields.keys()
    assert len(right.text) == len(wrong.text)
