"""What somebody gains who writes the index and waits for the next edit: nothing."""

from typing import Any
from urllib.request import Request, urlopen

import pytest

REDACTED = "::es_redacted::"


@pytest.fixture
async def stored(client: Any, example: Any, cluster: Any) -> dict[str, Any]:
    """The document of a genuine account."""
    await client.put(example)
    return cluster.source()


@pytest.mark.parametrize("healing", ["null", "clear"])
@pytest.mark.parametrize("attack", ["plain", [], None, "password", "over-nested"])
async def test_no_edit_adopts_an_attackers_document(
    client: Any, stored: Any, example: Any, cluster: Any, attack: Any, healing: str
) -> None:
    """However he hides that there was a secret, an edit that means to keep it is refused."""
    planted: Any = {**stored, "host": "evil.example"}
    if attack == "plain":
        del planted["_sealed"]
    elif attack == "over-nested":
        planted = b'{"host":"evil.example","x":' + b"[" * 900 + b"]" * 900 + b"}"
    else:
        planted["_sealed"] = {**stored["_sealed"], "secrets": attack}
    cluster.put(planted)
    edit = {name: value for name, value in example.items() if name != "password"}
    for kept in (edit, {**edit, "password": REDACTED}, {"host": "evil.example", "port": 465}):
        assert (await client.put(kept)).status == 409
    assert (await client.get()).json["integrity"] in {"failed", "unsealed"}
    password = None if healing == "null" else example["password"]
    assert (await client.put({**edit, "password": password})).status == 200
    shown = (await client.get()).json
    assert (shown["integrity"], shown["_source"]["host"]) == ("verified", "smtp.example.com")


async def test_a_document_that_the_cluster_cannot_tell(
    client: Any, stored: Any, example: Any, cluster: Any, index: str, elasticsearch: str
) -> None:
    """One in CBOR whose text is no UTF-8 shows as failed, and can be replaced and deleted."""
    assert stored

    def plant() -> None:
        url = f"{elasticsearch}/{index}/_doc/email%2Fdefault?refresh=true"
        cbor = b"\xbf\x62zz\x63ab\xff\xff"
        fields = {"Content-Type": "application/cbor", "Accept": "application/json"}
        with urlopen(Request(url, cbor, fields, method="PUT")) as answer:
            assert answer.status == 200

    plant()
    assert cluster.ask("GET", "/{index}/_doc/email%2Fdefault")[0] == 500
    shown = (await client.get()).json
    assert (shown["integrity"], shown["_source"]) == (
        "failed",
        {"type": "email", "_name": "default"},
    )
    edit = {name: value for name, value in example.items() if name != "password"}
    assert (await client.put(edit)).status == 409
    assert (await client.put({**edit, "password": None})).status == 200
    plant()
    assert (await client.put(example)).status == 200
    assert (await client.get()).json["integrity"] == "verified"
    plant()
    assert (await client.delete()).status == 200
    assert (await client.get()).status == 404
