"""The same bytes to a node and through the proxy: the answers are the same, and so is what arrives.

Compared are status lines, fields in their order and spelling, and bodies byte by byte, of every
answer to what stands in ``EXCHANGES``, from Elasticsearch 9.5 and 8.19. Left out are the version
and the fields of the connection (RFC 9110 2.5 and 7.6.1), the framing of chunks, and the figure of
``took``.

Each exchange is made on an index of its own, which is as it was before; ``{then}`` stands for
waiting until something has been answered to what stands before it. Where it is the last, the
connection is not waited for: Elasticsearch 8.19 keeps one open that it should not.
"""

import asyncio
import gzip
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from recorder import recording
from served import LIMIT_S, Address, configure, serve

JSON = b"Content-Type: application/json\r\n"
TOOK = re.compile(rb'"took":\d+')
EXPECTED = re.compile(rb"\r\n(?:Connection|Upgrade|HTTP2-Settings):[^\r]*")
OF_THE_CONNECTION = (b"connection", b"keep-alive", b"transfer-encoding")
WHOLE = 1 << 30
SLOWLY = {
    "odd ids looked at",
    "every method",
    "chunks with trailers",
    "Expect and 100",
    "pipelining",
}
"""Exchanges that are sent byte by byte as well.

None whose body the node refuses before it has come: there the proxy has to close the connection
(RFC 9112 9.5), and whether it was so soon is a matter of moments.
"""
DOCUMENT = b'{"text": "%b"}'


def ask(
    line: bytes, fields: bytes = b"", body: bytes | None = None, version: bytes = b"1"
) -> bytes:
    """Return the bytes of a request; it has a length if it has a body."""
    length = b"" if body is None else b"Content-Length: %d\r\n" % len(body)
    head = b"%b HTTP/1.%b\r\nHost: localhost\r\n%b%b\r\n" % (line, version, fields, length)
    return head + (body or b"")


def chunked(data: bytes, trailers: bytes = b"", extension: bytes = b"") -> bytes:
    """Return two chunks."""
    parts = [data[:7], data[7:]]
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    return chunks + b"0\r\n" + trailers + b"\r\n"


IDS = (
    b"a%2Fb a%2fb a+b a%2Bb a;b a%3Bb %E2%82%AC \xe2\x82\xac .. %2E%2E . a%20b a%00b a%zz a% "
    b"a:b a@b a,b a%25b _x a=b&c a'b a%22b %C3%28 a//b a/b"
).split(b" ")  # fmt: skip
METHODS = b"GET HEAD POST PUT DELETE OPTIONS PATCH TRACE FOO get".split(b" ")
TEXT = DOCUMENT % (b"x" * 65_536)
PUT = b"PUT /differs/_doc/1?refresh=true"
SEARCH = b'{"query": {"match": {"text": "x"}}}'
CHUNKED = b"Transfer-Encoding: chunked\r\n"

THEN = b"{then}"
EXCHANGES: dict[str, bytes] = {
    "odd ids": THEN.join(
        ask(b"PUT /differs/_doc/%b?refresh=true" % name, JSON, DOCUMENT % b"x")
        + THEN + ask(b"GET /differs/_doc/%b" % name)
        + THEN + ask(b"HEAD /differs/_doc/%b" % name)
        + THEN + ask(b"DELETE /differs/_doc/%b" % name)
        for name in IDS
    ),
    "odd ids looked at": THEN.join(
        ask(b"%b /differs/_doc/%b" % (method, name)) for name in IDS for method in (b"GET", b"HEAD")
    ),
    "every method": THEN.join(ask(b"%b /differs/_doc/1" % it) for it in METHODS),
    "every method with a body": THEN.join(
        ask(b"%b /differs/_count" % it, JSON, b"{}") for it in METHODS
    ),
    "GET with a body": ask(PUT, JSON, DOCUMENT % b"x") + THEN + ask(b"GET /differs/_search", JSON, SEARCH),
    "HEAD of what there is": ask(PUT, JSON, DOCUMENT % b"x") + THEN + ask(b"HEAD /differs/_doc/1"),
    "HEAD of what there is not": ask(b"HEAD /differs/_doc/2") + THEN + ask(b"HEAD /nowhere"),
    "gzip both ways": ask(
        PUT, JSON + b"Content-Encoding: gzip\r\n", gzip.compress(TEXT, mtime=0)
    )
    + THEN + ask(b"GET /differs/_doc/1", b"Accept-Encoding: gzip\r\n"),
    "gzip that is none": ask(PUT, JSON + b"Content-Encoding: gzip\r\n", b"none"),
    "an unknown coding": ask(PUT, JSON + b"Content-Encoding: br\r\n", b"none"),
    "chunks": ask(PUT, JSON + CHUNKED) + chunked(DOCUMENT % b"x") + THEN + ask(b"GET /differs/_doc/1"),
    "chunks with trailers": ask(PUT, JSON + CHUNKED + b"Trailer: X-Sum\r\n")
    + chunked(DOCUMENT % b"x", b"X-Sum: 1\r\n"),
    "Expect and 100": ask(
        PUT, JSON + b"Expect: 100-continue\r\nContent-Length: 13\r\n"
    ) + THEN + DOCUMENT % b"x",
    "Expect with the body at once": ask(PUT, JSON + b"Expect: 100-continue\r\n", DOCUMENT % b"x"),
    "Expect of a body that is too large": ask(
        PUT, JSON + b"Expect: 100-continue\r\nContent-Length: 999999999\r\n"
    ) + THEN,
    "Expect of something else": ask(PUT, JSON + b"Expect: tea\r\n", DOCUMENT % b"x") + THEN,
    "HTTP/1.0": ask(PUT, JSON, DOCUMENT % b"x", version=b"0"),
    "HTTP/1.0 that stays": ask(
        PUT, JSON + b"Connection: keep-alive\r\n", DOCUMENT % b"x", version=b"0"
    )
    + THEN + ask(b"GET /differs/_doc/1", version=b"0"),
    "a body of no bytes": ask(PUT, JSON, b"") + THEN + ask(b"POST /differs/_refresh", body=b""),
    "a body of one byte": ask(PUT, JSON, b"{") + THEN + ask(b"GET /differs/_doc/1"),
    "a body of 64 KiB": ask(PUT, JSON, TEXT) + THEN + ask(b"GET /differs/_doc/1"),
    "fields twice": ask(
        b"GET /", b"X-Opaque-Id: a\r\nx-opaque-id: b\r\nAccept: application/json\r\naCCept:*/*\r\n"
    ),
    "fields oddly spelt": ask(b"GET /", b"X-oPAQUE-iD:\t  odd\xe4  x\t\r\nx:\r\nX_y: z\r\n"),
    "two content types": ask(PUT, JSON + JSON, DOCUMENT % b"x"),
    "no content type": ask(PUT, body=DOCUMENT % b"x"),
    "an unknown content type": ask(PUT, b"Content-Type: text/x\r\n", DOCUMENT % b"x"),
    "an unknown answer": ask(b"GET /", b"Accept: text/x\r\n"),
    "other formats": ask(b"GET /_cat/aliases?v&format=yaml") + THEN + ask(b"GET /_cat?help&format=cbor"),
    "an unknown parameter": ask(b"GET /differs/_search?teh=1") + THEN + ask(b"GET /_cat?q=%zz&&=&"),
    "a deprecated one": ask(b"GET /differs/_search?preference=_x&sort=_id:asc"),
    "slashes": ask(b"GET //differs//_doc//1") + THEN + ask(b"GET /differs/_doc/1/") + THEN + ask(b"GET /?"),
    "a whole URL as target": ask(b"GET http://other.example/differs/_doc/1"),
    "an asterisk as target": ask(b"OPTIONS *") + THEN + ask(b"OPTIONS /*"),
    "an empty line first": b"\r\n\r\n" + ask(b"GET /differs/_doc/1"),
    "a long target": ask(b"GET /differs/_doc/" + b"x" * 3000) + THEN + ask(b"GET /differs/_doc/1"),
    "a head of 6 KiB": ask(b"GET /differs/_doc/1", b"X-Long: %b\r\n" % (b"x" * 6000)),
    "Upgrade": ask(
        b"POST /differs/_search",
        JSON + b"Upgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade, HTTP2-Settings\r\n",
        SEARCH,
    ),
    "pipelining": b"".join(ask(b"GET /differs/_doc/%d" % it) for it in range(20)),
}  # fmt: skip


@pytest.fixture(params=["elasticsearch", "elasticsearch_8"])
def node(request: pytest.FixtureRequest) -> str:
    """The URL of each node."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def proxy(node: str, tmp_path: Path) -> AsyncIterator[Address]:
    """The whole proxy before it."""
    async with serve(configure(tmp_path, node)) as served:
        yield await served.served()


async def sent(port: int, data: bytes, *, by: int) -> bytes:
    """Send an exchange, ``by`` so many bytes at once, and return all that comes until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    async with asyncio.timeout(LIMIT_S):
        try:
            for part in re.split(rb"(?={then})", data):
                if part.startswith(b"{then}"):
                    got += await reader.readuntil(b"\r\n\r\n")
                part = part.removeprefix(b"{then}")  # noqa: PLW2901
                for start in range(0, len(part), by):
                    writer.write(part[start : start + by])
                    await asyncio.sleep(0)
            if not data.endswith(THEN):
                got += await reader.read()
        except asyncio.IncompleteReadError as error:
            got += error.partial
        finally:
            writer.close()
    return got


Answer = tuple[bytes, list[bytes], bytes]


def answers(got: bytes, methods: list[bytes]) -> list[Answer]:
    """Take a stream of answers apart: status and reason, fields and content of each."""
    found = []
    methods = methods.copy()
    while got:
        head, end, got = got.partition(b"\r\n\r\n")
        assert end
        line, *fields = head.split(b"\r\n")
        status = int(line.split(b" ")[1])
        method = methods.pop(0) if status >= 200 else b"HEAD"
        values = {field.split(b":")[0].lower(): field.split(b":", 1)[1].strip() for field in fields}
        if method == b"HEAD" or status in {204, 304}:
            content = b""
        elif b"transfer-encoding" in values:
            content, got = unchunked(got)
        else:
            length = int(values[b"content-length"])
            content, got = got[:length], got[length:]
            assert len(content) == length
        kept = [it for it in fields if not it.lower().startswith(OF_THE_CONNECTION)]
        if b"gzip" in values.get(b"content-encoding", b""):
            content = gzip.decompress(content)
        found.append((line[9:], kept, TOOK.sub(b"", content)))
    return found


def unchunked(data: bytes) -> tuple[bytes, bytes]:
    """Return the content of chunks, and what is behind them."""
    content = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            assert data.startswith(b"\r\n")
            return content, data[2:]
        content, data = content + data[:size], data[size + 2 :]


async def prepared(session: aiohttp.ClientSession, node: str) -> None:
    """Have the index be as new."""
    async with session.delete(f"{node}/differs"):
        pass
    settings = {"number_of_shards": 1, "number_of_replicas": 0}
    async with session.put(f"{node}/differs", json={"settings": settings}) as answer:
        assert answer.status == 200


def finished(data: bytes) -> bytes:
    """Have the last request of an exchange ask for the connection's end."""
    start, host, rest = data.rpartition(b"\r\nHost: localhost\r\n")
    return start + host + b"Connection: close\r\n" + rest


@pytest.mark.timeout(300)
async def test_answers(node: str, proxy: Address) -> None:
    """A node's answers are the same whether the bytes come directly, through the proxy, or slowly."""
    different: dict[str, list[tuple[Answer | None, Answer | None]]] = {}
    async with aiohttp.ClientSession() as session:
        await prepared(session, node)
        for name, exchange in EXCHANGES.items():
            data = finished(exchange)
            methods = re.findall(rb"([A-Za-z]+) [^ \r\n]+ HTTP/1", data)
            found = []
            for port, by in ((node_port(node), WHOLE), (proxy.port, WHOLE), (proxy.port, 1)):
                if by == 1 and name not in SLOWLY:
                    continue
                found.append(answers(await sent(port, data, by=by), methods))
                if b"PUT " in data:
                    await prepared(session, node)
            for proxied in found[1:]:
                if proxied != found[0]:
                    pairs = itertools.zip_longest(found[0], proxied)
                    different[name] = [(one, other) for one, other in pairs if one != other]
    assert different == {}


def node_port(node: str) -> int:
    """Return the port of a URL."""
    return int(node.rpartition(":")[2])


async def test_a_half_close(node: str, proxy: Address) -> None:
    """Who says no more is gone, to a node and to the proxy: a request under way has no answer."""
    for port in (node_port(node), proxy.port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ask(b"GET /_cluster/health?wait_for_nodes=7&timeout=20s"))
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


async def test_what_arrives(tmp_path: Path) -> None:
    """What arrives at a node is what was sent, but for the fields of the connection."""
    async with recording() as upstream, serve(configure(tmp_path, upstream.url)) as served:
        proxy = await served.served()
        for name, exchange in EXCHANGES.items():
            if name.startswith("Expect of "):  # a body that never comes, or something else
                continue
            upstream.messages.clear()
            data = finished(exchange.replace(THEN, b""))
            await sent(proxy.port, data, by=WHOLE)
            expected = EXPECTED.sub(b"", data).lstrip().replace(b"HTTP/1.0", b"HTTP/1.1")
            seen = [it for it in upstream.messages if it.values(b"host") == [b"localhost"]]
            assert b"".join(it.head + it.body for it in seen) == expected, name
    assert upstream.unread == []
