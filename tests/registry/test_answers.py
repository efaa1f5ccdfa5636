"""What a cluster may answer that no test can make a real node say."""

import json
import logging
from typing import Any

import pytest
from played import Played

from signals_proxy.account.ref import Ref
from signals_proxy.account.schema import index_mapping
from signals_proxy.errors import Lost, Refused, Unavailable, UpstreamError, VersionConflict
from signals_proxy.registry.documents import Version

REF = Ref("email", "default")


def error(kind: str) -> bytes:
    return f'{{"error":{{"type":"{kind}","reason":"do not quote"}},"status":0}}'.encode()


@pytest.mark.parametrize(
    ("status", "body", "expected", "words"),
    [
        (401, error("security_exception"), Refused, "registry.credentials"),
        (403, error("security_exception"), Refused, "registry.credentials"),
        (403, error("cluster_block_exception"), Unavailable, "blocked"),
        (429, error("circuit_breaking_exception"), Unavailable, "try again later"),
        (503, error("no_shard_available_action_exception"), Unavailable, "try again later"),
        (503, b'{"message":"do not quote"}', Unavailable, "try again later"),
        (502, b'{"error":"do not quote"}', Lost, "502"),
        (504, b"[]", Lost, "504"),
        (500, error("null_pointer_exception"), Refused, "500 null_pointer_exception"),
        (400, error("illegal_argument_exception"), Refused, "400 illegal_argument_exception"),
        (404, error("resource_not_found_exception"), Refused, "404 resource_not_found"),
        (302, b'"do not quote"', Refused, "302"),
        (200, b"do not quote", Refused, "not the JSON"),
        (500, b"<html>do not quote</html>", Refused, "not the JSON"),
        (200, b'{"found":true,"do": not quote', Refused, "not the JSON"),
    ],
)
async def test_unhappy_answers(
    connected: Any, played: Played, status: int, body: bytes, expected: type, words: str
) -> None:
    """Each kind of answer to a read has its error, with the remedy, and never the reason's text."""
    played.answer(b"GET", status, body)
    with pytest.raises(UpstreamError) as caught:
        await connected(played.url).get(REF)
    assert type(caught.value) is expected or issubclass(type(caught.value), expected)
    assert words in caught.value.message
    assert "quote" not in caught.value.message


async def test_foreign_content_types(connected: Any, played: Played) -> None:
    """An answer in a media type that no cluster uses is an error of ours too."""
    played.answer(b"GET", 200, b"<a/>", kind=b"application/xml")
    with pytest.raises(Refused, match="not the JSON"):
        await connected(played.url).get(REF)


async def test_another_product(connected: Any, played: Played) -> None:
    """What does not say that it is Elasticsearch is not trusted to be."""
    played.answer(b"GET", 200, b'{"found":false}')
    played.answers[b"GET"] = played.answers[b"GET"].replace(b": Elasticsearch", b": Other")
    with pytest.raises(Refused, match="not Elasticsearch"):
        await connected(played.url).get(REF)


@pytest.mark.parametrize(
    ("item", "expected", "words"),
    [
        (b'{"create":{"status":429,"error":{"type":"es_rejected"}}}', Unavailable, "es_rejected"),
        (b'{"create":{"status":503,"error":{"type":"unavailable"}}}', Unavailable, "later"),
        (b'{"create":{"status":403,"error":{"type":"security"}}}', Refused, "credentials"),
        (b'{"create":{"status":409,"error":{"type":"version"}}}', VersionConflict, "meanwhile"),
        (b'{"create":{"status":400,"error":{"type":"strange"}}}', Refused, "400 strange"),
        (b"", Refused, "made no sense"),
        (b'{"create":{},"index":{}}', Refused, "made no sense"),
        (b'{"create":{"status":201}},{"create":{"status":201}}', Refused, "made no sense"),
    ],
)
async def test_unhappy_writes(
    connected: Any,
    played: Played,
    seal: Any,
    types: Any,
    item: bytes,
    expected: type,
    words: str,
) -> None:
    """So has each kind of answer to a write, which comes in an answer that is itself a success."""
    described = {"it": {"mappings": index_mapping(types), "settings": {}}}
    played.answer(b"flat_settings", 200, json.dumps(described).encode())
    played.answer(b"/_doc/", 404, b'{"found":false}')
    played.answer(b"POST /_bulk", 200, b'{"items":[%s]}' % item)
    with pytest.raises(expected) as caught:
        await connected(played.url).put(seal(), None)
    assert words in str(caught.value)


async def test_twice_by_somebody_between(
    connected: Any, played: Played, seal: Any, types: Any
) -> None:
    """A conflict with ourselves, when a proxy between sent the write twice, is a success."""
    sealed = seal()
    described = {"it": {"mappings": index_mapping(types), "settings": {}}}
    stored = {"found": True, "_version": 1, "_seq_no": 7, "_primary_term": 2}
    played.answer(b"flat_settings", 200, json.dumps(described).encode())
    played.answer(b"/_doc/", 200, json.dumps(stored | {"_source": sealed.source}).encode())
    played.answer(
        b"POST /_bulk", 200, b'{"items":[{"create":{"status":409,"error":{"type":"v"}}}]}'
    )
    assert await connected(played.url).put(sealed, None) == Version(1, 7, 2)


async def test_warnings_are_logged_once(
    connected: Any, played: Played, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning of the cluster's is in the log, once, and is no exception in any filter."""
    played.answer(b"GET", 200, b'{"found":false}', fields=b'Warning: 299 Elasticsearch "mind"\r\n')
    registry = connected(played.url)
    with caplog.at_level(logging.WARNING, "signals_proxy"):
        for _ in range(3):
            assert await registry.get(REF) is None
    assert [record.fields["text"] for record in caplog.records] == ['299 Elasticsearch "mind"']


async def test_duplicate_keys(connected: Any, played: Played, types: Any) -> None:
    """A key that a stored document has twice is neither of the two."""
    described = {"it": {"mappings": index_mapping(types), "settings": {}}}
    played.answer(b"flat_settings", 200, json.dumps(described).encode())
    played.answer(
        b"/_doc/",
        200,
        b'{"found":true,"_version":1,"_seq_no":1,"_primary_term":1,'
        b'"_source":{"port":1,"host":"a","host":"b","port":NaN}}',
    )
    stored = await connected(played.url).get(REF)
    assert [str(value) for value in stored.account.source.values()] == ["nan", "nan"]
