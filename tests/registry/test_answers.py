"""What a cluster may answer that no test can make a real node say."""

import asyncio
import json
import logging
from typing import Any

import pytest

from signals_proxy.account.ref import Ref
from signals_proxy.account.schema import index_mapping
from signals_proxy.errors import Lost, Refused, Unavailable, UpstreamError, VersionConflict
from signals_proxy.registry import Version

REF = Ref("email", "default")


class Cluster:
    """A server on a socket that answers every request alike: for what no test can make a node do."""

    def __init__(self) -> None:
        self.answers: dict[bytes, bytes] = {}
        self.url = ""

    def answer(
        self, marker: bytes, status: int, body: bytes, fields: bytes = b"", kind: bytes = b"json"
    ) -> None:
        """Have requests whose bytes hold ``marker`` answered so."""
        self.answers[marker] = (
            b"HTTP/1.1 %d Whatever\r\nX-elastic-product: Elasticsearch\r\n"
            b"Content-Type: application/%s\r\nContent-Length: %d\r\n%s\r\n"
            % (status, kind, len(body), fields)
        ) + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            answer = next((it for marker, it in self.answers.items() if marker in data), None)
            if answer is not None:
                writer.write(answer)
        writer.close()


@pytest.fixture
async def fake() -> Any:
    """A cluster that answers as it is told."""
    fake = Cluster()
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    fake.url = f"http://{host}:{port}"
    yield fake
    server.close()


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
    connected: Any, fake: Cluster, status: int, body: bytes, expected: type, words: str
) -> None:
    """Each kind of answer to a read has its error, with the remedy, and never the reason's text."""
    fake.answer(b"GET", status, body)
    with pytest.raises(UpstreamError) as caught:
        await connected(fake.url).get(REF)
    assert type(caught.value) is expected or issubclass(type(caught.value), expected)
    assert words in caught.value.message
    assert "quote" not in caught.value.message


async def test_foreign_content_types(connected: Any, fake: Cluster) -> None:
    """An answer in a media type that no cluster uses is an error of ours too."""
    fake.answer(b"GET", 200, b"<a/>", kind=b"xml")
    with pytest.raises(Refused, match="not the JSON"):
        await connected(fake.url).get(REF)


async def test_another_product(connected: Any, fake: Cluster) -> None:
    """What does not say that it is Elasticsearch is not trusted to be."""
    fake.answer(b"GET", 200, b'{"found":false}')
    fake.answers[b"GET"] = fake.answers[b"GET"].replace(b": Elasticsearch", b": Other")
    with pytest.raises(Refused, match="not Elasticsearch"):
        await connected(fake.url).get(REF)


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
    fake: Cluster,
    seal: Any,
    types: Any,
    item: bytes,
    expected: type,
    words: str,
) -> None:
    """So has each kind of answer to a write, which comes in an answer that is itself a success."""
    described = {"it": {"mappings": index_mapping(types), "settings": {}}}
    fake.answer(b"flat_settings", 200, json.dumps(described).encode())
    fake.answer(b"/_doc/", 404, b'{"found":false}')
    fake.answer(b"POST /_bulk", 200, b'{"items":[%s]}' % item)
    with pytest.raises(expected) as caught:
        await connected(fake.url).put(seal(), None)
    assert words in str(caught.value)


async def test_twice_by_somebody_between(
    connected: Any, fake: Cluster, seal: Any, types: Any
) -> None:
    """A conflict with ourselves, when a proxy between sent the write twice, is a success."""
    sealed = seal()
    described = {"it": {"mappings": index_mapping(types), "settings": {}}}
    stored = {"found": True, "_version": 1, "_seq_no": 7, "_primary_term": 2}
    fake.answer(b"flat_settings", 200, json.dumps(described).encode())
    fake.answer(b"/_doc/", 200, json.dumps(stored | {"_source": sealed.source}).encode())
    fake.answer(b"POST /_bulk", 200, b'{"items":[{"create":{"status":409,"error":{"type":"v"}}}]}')
    assert await connected(fake.url).put(sealed, None) == Version(1, 7, 2)


async def test_warnings_are_logged_once(
    connected: Any, fake: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning of the cluster's is in the log, once, and is no exception in any filter."""
    fake.answer(b"GET", 200, b'{"found":false}', fields=b'Warning: 299 Elasticsearch "mind"\r\n')
    registry = connected(fake.url)
    with caplog.at_level(logging.WARNING, "signals_proxy"):
        for _ in range(3):
            assert await registry.get(REF) is None
    assert [record.fields["text"] for record in caplog.records] == ['299 Elasticsearch "mind"']


async def test_duplicate_keys(connected: Any, fake: Cluster, types: Any) -> None:
    """A key that a stored document has twice is neither of the two."""
    described = {"it": {"mappings": index_mapping(types), "settings": {}}}
    fake.answer(b"flat_settings", 200, json.dumps(described).encode())
    fake.answer(
        b"/_doc/",
        200,
        b'{"found":true,"_version":1,"_seq_no":1,"_primary_term":1,'
        b'"_source":{"port":1,"host":"a","host":"b","port":NaN}}',
    )
    stored = await connected(fake.url).get(REF)
    assert [str(value) for value in stored.account.source.values()] == ["nan", "nan"]
