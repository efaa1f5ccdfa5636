"""Answers of no shape that a cluster gives: a proxy between, another product, a document of no use."""

import base64
import json
import math
from typing import Any

import pytest
from played import Played

from signals_proxy.account import sealing
from signals_proxy.account.ref import Ref
from signals_proxy.account.schema import index_mapping
from signals_proxy.account.sealing import Integrity
from signals_proxy.errors import Refused
from signals_proxy.registry.documents import Version
from signals_proxy.registry.settings import (
    ApiKeyCredentials,
    BasicCredentials,
    BearerCredentials,
    RegistrySettings,
)
from signals_proxy.secret import Secret

REF = Ref("email", "default")
READ, DESCRIBE, WRITE = b"/_doc/", b"flat_settings", b"POST /_bulk"
HTML, JSON = b"text/html", b"application/json"
VERSION = {"_version": 1, "_seq_no": 7, "_primary_term": 2}

ODD = [
    (404, JSON, b"{}"),
    (404, HTML, b"<html>do not quote</html>"),
    (404, JSON, b""),
    (204, JSON, b""),
    (200, JSON, b""),
    (200, JSON, b"[1]"),
    (200, JSON, b'"do not quote"'),
    (200, HTML, b"<html>do not quote</html>"),
    (200, JSON, b"7"),
    (200, JSON, b"null"),
    (200, JSON, b"{}"),
    (404, JSON, b'{"error":"do not quote"}'),
    (404, JSON, b'{"error":{"type":["do not quote"]}}'),
]
"""What comes of no node: status, media type, body."""


@pytest.fixture
def described(types: Any) -> bytes:
    """What a node says of an index that is ours."""
    return json.dumps({"it": {"mappings": index_mapping(types), "settings": {}}}).encode()


def check(error: Refused) -> None:
    """It is a sentence for the caller: a 502, without anything of the answer."""
    assert error.status == 502
    assert error.message.startswith("The cluster")
    assert error.message.endswith(".")
    assert "quote" not in error.message


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        *ODD,
        (200, JSON, b'{"found":true}'),
        (200, JSON, b'{"found":true,"_version":1,"_seq_no":1}'),
        (200, JSON, b'{"found":true,"_version":"1","_seq_no":1,"_primary_term":1}'),
        (200, JSON, b'{"found":true,"_version":true,"_seq_no":1,"_primary_term":1}'),
        (200, JSON, b'{"found":"true","_version":1,"_seq_no":1,"_primary_term":1}'),
        (404, JSON, b'{"found":0}'),
    ],
)
async def test_reads(
    connected: Any, played: Played, described: bytes, status: int, kind: bytes, body: bytes
) -> None:
    """No odd answer to a read means that there is no account, nor that it was deleted."""
    played.answer(DESCRIBE, 200, described)
    played.answer(READ, status, body, kind=kind)
    played.answer(WRITE, status, body, kind=kind)
    registry = connected(played.url)
    with pytest.raises(Refused) as read:
        await registry.get(REF)
    check(read.value)
    with pytest.raises(Refused) as deleted:
        await registry.delete(REF, Version(1, 7, 2))
    check(deleted.value)


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        *ODD,
        (200, JSON, b'{"items":{}}'),
        (200, JSON, b'{"items":[7]}'),
        (200, JSON, b'{"items":[{"create":7}]}'),
        (200, JSON, b'{"items":[{"create":{}}]}'),
        (200, JSON, b'{"items":[{"create":{"status":"201"}}]}'),
        (200, JSON, b'{"items":[{"create":{"status":201}}]}'),
        (200, JSON, b'{"items":[{"create":{"_version":1,"_seq_no":7,"_primary_term":2}}]}'),
    ],
)
async def test_writes(
    connected: Any,
    played: Played,
    described: bytes,
    seal: Any,
    status: int,
    kind: bytes,
    body: bytes,
) -> None:
    """No odd answer to a write means that something was written."""
    played.answer(DESCRIBE, 200, described)
    played.answer(READ, 404, b'{"found":false}')
    played.answer(WRITE, status, body, kind=kind)
    with pytest.raises(Refused) as caught:
        await connected(played.url).put(seal(), None)
    check(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        *ODD,
        (200, JSON, b'{"it":[]}'),
        (200, JSON, b'{"it":{}}'),
        (200, JSON, b'{"it":{"mappings":[],"settings":{}}}'),
        (200, JSON, b'{"it":{"mappings":{"properties":7},"settings":{}}}'),
        (200, JSON, b'{"it":{"mappings":{},"settings":"x"}}'),
        (200, JSON, b'{"it":{"mappings":{},"settings":{}},"more":7}'),
    ],
)
async def test_descriptions(
    connected: Any, played: Played, seal: Any, status: int, kind: bytes, body: bytes
) -> None:
    """No odd answer is taken for the description of an index, nor for its absence."""
    played.answer(DESCRIBE, status, body, kind=kind)
    played.answer(READ, 200, json.dumps({"found": True, **VERSION, "_source": {}}).encode())
    registry = connected(played.url)
    for act in (registry.check(), registry.get(REF), registry.put(seal(), None)):
        with pytest.raises(Refused) as caught:
            await act
        check(caught.value)
    assert not any(WRITE in request for request in played.requests)


@pytest.mark.parametrize("source", [[], None, 7, "text", math.nan])
async def test_sources(
    connected: Any, played: Played, described: bytes, keyring: Any, source: Any
) -> None:
    """A stored document that is no object is an account that failed."""
    played.answer(DESCRIBE, 200, described)
    played.answer(READ, 200, json.dumps({"found": True, **VERSION, "_source": source}).encode())
    stored = await connected(played.url).get(REF)
    assert stored.version == Version(1, 7, 2)
    assert sealing.verify(stored.account, keyring) is Integrity.FAILED


async def test_a_document_too_large(
    connected: Any, played: Played, described: bytes, keyring: Any
) -> None:
    """A document of over 4 MiB is not looked at, and is an account that failed."""
    whole = {"found": True, **VERSION, "_source": {"owner": "x" * (4 << 20)}}
    played.answer(DESCRIBE, 200, described)
    played.answer(b"_source=false", 200, json.dumps({"found": True, **VERSION}).encode())
    played.answer(READ, 200, json.dumps(whole).encode())
    stored = await connected(played.url).get(REF)
    assert "owner" not in stored.account.source
    assert sealing.verify(stored.account, keyring) is Integrity.FAILED


@pytest.mark.parametrize("kind", ["json_parse_exception", "x_content_parse_exception"])
async def test_a_document_that_cannot_be_told(
    connected: Any, played: Played, described: bytes, keyring: Any, kind: str
) -> None:
    """What the cluster itself cannot put into JSON is an account that failed."""
    played.answer(DESCRIBE, 200, described)
    played.answer(b"_source=false", 200, json.dumps({"found": True, **VERSION}).encode())
    played.answer(READ, 500, json.dumps({"error": {"type": kind}, "status": 500}).encode())
    stored = await connected(played.url).get(REF)
    assert sealing.verify(stored.account, keyring) is Integrity.FAILED


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("credentials", "field"),
    [
        (BasicCredentials("elastic", Secret("pass:word")), basic("elastic:pass:word")),
        (BasicCredentials("jürgen", Secret("pässwörd €")), basic("jürgen:pässwörd €")),
        (BasicCredentials("u", Secret("a\r\nX-Evil: b\0")), basic("u:a\r\nX-Evil: b\0")),
        (BasicCredentials("u" * 200, Secret("p" * 200)), basic("u" * 200 + ":" + "p" * 200)),
        (ApiKeyCredentials(Secret("a2V5")), b"ApiKey a2V5"),
        (BearerCredentials(Secret("t0ken")), b"Bearer t0ken"),
    ],
)
async def test_credentials(
    connected: Any, played: Played, index: str, credentials: Any, field: bytes
) -> None:
    """Credentials arrive as they were set, whatever characters they are of."""
    played.answer(b"GET", 404, b'{"error":{"type":"index_not_found_exception"}}')
    await connected(played.url, RegistrySettings(index, credentials)).check()
    (request,) = played.requests
    head = request.lower().split(b"\r\n")
    assert head.count(b"authorization: " + field.lower()) == 1
    assert field in request
    assert b"\nX-Evil" not in request
