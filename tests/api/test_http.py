"""The account API as HTTP: methods, targets, and the fields of every answer."""

import asyncio
import json
from typing import Any

import pytest
from rawhttp import BODY, exchange, get, put


@pytest.mark.parametrize("method", ["POST", "PATCH", "TRACE", "PROPFIND"])
async def test_wrong_methods(client: Any, cluster: Any, method: str) -> None:
    """A method that accounts do not have is a 405 in Elasticsearch's words, with ``Allow``."""
    answer = await client.ask(method, "email/default", {"password": "x"})
    assert answer.status == 405
    assert answer.fields["Allow"] == "GET,HEAD,PUT,DELETE"
    assert answer.json == {
        "status": 405,
        "error": (
            f"Incorrect HTTP method for uri [/_signals/account/email/default] and method [{method}]"
            ", allowed: [GET, HEAD, PUT, DELETE]"
        ),
    }
    assert not cluster.exists()


async def test_methods_that_are_none(client: Any, cluster: Any, audit_lines: Any) -> None:
    """A method that not even the parser knows is a 405 as well, and quotes nothing."""
    for method in (b"FOO", b"put"):
        head, body = await exchange(client.address, put().replace(b"PUT", method))
        assert head.split()[1] == b"405"
        assert b"\r\nAllow: GET,HEAD,PUT,DELETE\r\n" in head
        assert b"\r\nX-Content-Type-Options: nosniff" in head
        assert json.loads(body) == {
            "status": 405,
            "error": "Unexpected http method, allowed: [GET, HEAD, PUT, DELETE]",
        }
    assert [line["http.response.status_code"] for line in audit_lines()] == [405, 405]
    assert not cluster.exists()


@pytest.mark.parametrize(
    "request_bytes",
    [
        put("Authorization: Basic {}\x01"),
        put("Bad Name {}: x"),
        put("Transfer-Encoding: chunked", body=b"zz\r\n{}"),
        put("Transfer-Encoding: chunked", body=b"5\r\nabcdeX{}"),
        put("Transfer-Encoding: chunked", body=b"-1\r\n{}"),
        put("Transfer-Encoding: chunked", "Content-Length: 3"),
        b"\x16\x03\x01{}\r\n\r\n",
        b"GET /_signals/account/email/default?{} HTTP/9.9\r\n\r\n",
    ],
)
async def test_what_is_no_http(
    client: Any, cluster: Any, canary: Any, saw: Any, audit_lines: Any, request_bytes: bytes
) -> None:
    """What cannot be parsed is a 400 in the one shape, one audit line, and quoted nowhere."""
    request = request_bytes.replace(b"{}", canary("anything").encode())
    head, body = await exchange(client.address, request)
    saw("the socket", head + body)
    assert head.split()[1] in {b"400", b"405"}
    assert json.loads(body)["status"] in {400, 405}
    assert b"aiohttp" not in head
    assert len(audit_lines()) == 1
    assert not cluster.exists()


async def test_a_body_whose_framing_breaks(serve: Any, cluster: Any, audit_lines: Any) -> None:
    """A chunk that is none, in a body that had begun well, never becomes the end of a body.

    aiohttp does not tell the call that the rest will not come: its patience ends it.
    """
    client = await serve(body_timeout_s=0.1)
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(put("Transfer-Encoding: chunked", "Expect: 100-continue", body=b""))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"%x\r\n%s\r\nzz\r\n" % (len(BODY), BODY))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    writer.close()
    assert audit_lines()[0]["signals_proxy.account"] == "email/default"
    assert not cluster.exists()


async def test_options(client: Any) -> None:
    """OPTIONS tells the methods, as Elasticsearch does, to anybody, and never those of CORS."""
    answer = await client.ask("OPTIONS", "email/default")
    assert (answer.status, answer.text) == (200, "")
    assert answer.fields["Allow"] == "GET,HEAD,PUT,DELETE"
    assert answer.fields["Content-Type"] == "text/plain; charset=UTF-8"
    assert not any(name.startswith("Access-Control") for name in answer.fields)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("OPTIONS * HTTP/1.1", 404),
        ("GET / HTTP/1.1", 404),
        ("PUT /_doc/1 HTTP/1.1", 404),
        ("GET http://localhost/_signals/account/email/default HTTP/1.1", 400),
        ("GET /_signals/account/email/default HTTP/1.0", 404),
    ],
)
async def test_other_targets(client: Any, request_line: str, status: int) -> None:
    """What is not the registry's is not found here: there is nobody to forward it to."""
    request = f"{request_line}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    head, body = await exchange(client.address, request)
    assert head.split()[1] == str(status).encode()
    assert json.loads(body)["status"] == status


async def test_fields_of_every_answer(client: Any) -> None:
    """Each answer is not to be sniffed or stored, and carries nothing of a web server's own."""
    for method in ("PUT", "GET", "HEAD", "DELETE", "GET", "POST", "OPTIONS"):
        body = json.loads(BODY) if method == "PUT" else None
        answer = await client.ask(method, "email/default", body)
        assert answer.fields["X-Content-Type-Options"] == "nosniff"
        assert answer.fields["Cache-Control"] == "no-store"
        assert answer.fields["X-elastic-product"] == "Elasticsearch"
        assert "Server" not in answer.fields
        assert answer.fields["Content-Type"] == (
            "text/plain; charset=UTF-8" if method == "OPTIONS" else "application/json"
        )


async def test_product_before_the_first_answer(client: Any) -> None:
    """The cluster's name is not made up before it was heard."""
    assert "X-elastic-product" not in (await client.ask("OPTIONS", "email/default")).fields


async def test_opaque_id(client: Any) -> None:
    """``X-Opaque-Id`` comes back, as from Elasticsearch; one that no field can hold does not."""
    assert (await client.get(X_Opaque_Id="cron 7/a")).fields["X-Opaque-Id"] == "cron 7/a"
    assert "X-Opaque-Id" not in (await client.get()).fields
    for bad in (b"\xff\xfe", b"a\tb", "ä".encode()):
        request = get("X-Opaque-Id: {}").replace(b"{}", bad)
        head, _ = await exchange(client.address, request)
        assert head.startswith(b"HTTP/1.1 404 ")
        assert b"X-Opaque-Id" not in head
