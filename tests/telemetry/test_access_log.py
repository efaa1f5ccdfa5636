"""Lines of the access log: what of a request is in them, and what never is."""

import asyncio
import json
import logging
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from served import LIMIT_S

from signals_proxy.relay import Ended
from signals_proxy.server.access_log import LOGGER, AccessLog

ENDED = Ended("cluster", "GET", 200, False, 100, 1000, 0.25)
PEER = ("127.0.0.1", 5000)


def text_of(file: Path) -> str:
    return file.read_text()


def deleted(file: Path) -> None:
    file.unlink()


async def line_of(file: Path, head: bytes | None, ended: Ended = ENDED) -> dict[str, Any]:
    """Return the line of a request with this head."""
    log = AccessLog(file, [ip_network("127.0.0.0/8")])
    log.ended(None if head is None else log.note(head, PEER), PEER, ended)
    await log.close()
    line: dict[str, Any] = json.loads(text_of(file))
    return line


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "access.json"


async def test_a_line(file: Path, canary: Callable[[str], str]) -> None:
    """It has the names of ECS, and nothing of a head but what is listed here."""
    password, token = canary("password"), canary("token")
    head = (
        f"GET /index/_search?token={token} HTTP/1.1\r\nHost: {token}\r\n"
        f"Authorization: Basic {password}\r\nCookie: {password}\r\nX-Opaque-Id: job 7\r\n"
        "traceparent: 00-ab-cd-01\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n\r\n"
    )
    line = await line_of(file, head.encode())
    assert line.pop("@timestamp").endswith("Z")
    assert line == {
        "log.level": "info",
        "ecs.version": "9.0.0",
        "event.kind": "event",
        "event.dataset": LOGGER,
        "message": "request ended",
        "event.category": ["web"],
        "event.type": ["access"],
        "event.outcome": "success",
        "event.duration": 250_000_000,
        "client.address": "192.0.2.7",
        "client.ip": "192.0.2.7",
        "http.request.method": "GET",
        "http.request.bytes": 100,
        "http.response.bytes": 1000,
        "http.response.status_code": 200,
        "url.path": "/index/_search",
        "signals_proxy.destination": "cluster",
        "signals_proxy.x_opaque_id": "job 7",
        "signals_proxy.traceparent": "00-ab-cd-01",
    }
    written = text_of(file)
    assert password not in written
    assert token not in written


@pytest.mark.parametrize(
    ("request_line", "path"),
    [
        ("GET / HTTP/1.1", "/"),
        ("GET /a%2Fb;c?SECRET HTTP/1.0", "/a%2Fb;c"),
        ("GET http://me:SECRET@host/a?b HTTP/1.1", "/a"),
        ("GET http://me:SECRET@host HTTP/1.1", None),
        ("GET http://me:SECRET@host?a=/b HTTP/1.1", None),
        ("GET me:SECRET@host/a HTTP/1.1", None),
        ("GET ?SECRET HTTP/1.1", None),
        ("GET //me:SECRET@host/a HTTP/1.1", "/a"),
        ("GET //me:SECRET@host HTTP/1.1", None),
        ("GET http://me:SECRET@host#a HTTP/1.1", None),
        ("GET /a#token=SECRET HTTP/1.1", "/a"),
        ("GET //a//b@c HTTP/1.1", "//a//b@c"),
        ("OPTIONS * HTTP/1.1", None),
        ("GET /a SECRET HTTP/1.1", None),
        ("GET http://x\r\nAuthorization:Basic/SECRET HTTP/1.1", None),
        ("Authorization: /SECRET", None),
        ("SECRET", None),
        ("GET /\u20ac\t HTTP/1.1", "/\u20ac\t"),
        (f"GET /{'a' * 5000} HTTP/1.1", "/" + "a" * 1023),
    ],
)
async def test_paths(
    file: Path, canary: Callable[[str], str], request_line: str, path: str | None
) -> None:
    """Whatever stands in the first line, no more than a path gets into the log."""
    secret = canary("secret")
    head = request_line.replace("SECRET", secret) + "\r\nHost: a\r\n\r\n"
    assert (await line_of(file, head.encode())).get("url.path") == path
    assert secret not in text_of(file)


@pytest.mark.parametrize(
    ("named", "told"),
    [("PUT", "PUT"), ("PURGE", "other"), ("other", "other"), ("put", "other"), ("", "other")],
)
async def test_the_method_of_a_refused_request(file: Path, named: str, told: str) -> None:
    """Of a request that was refused before it had a destination the method is told as well."""
    ended = ENDED._replace(destination="none", method="other", status=404)
    line = await line_of(file, f"{named} /a HTTP/1.1\r\n\r\n".encode(), ended)
    assert line["http.request.method"] == told


@pytest.mark.parametrize(
    ("status", "is_cut", "outcome", "told"),
    [
        (399, False, "success", 399),
        (404, False, "failure", 404),
        (200, True, "unknown", 200),
        (0, True, "unknown", None),
    ],
)
async def test_outcomes(
    file: Path, status: int, is_cut: bool, outcome: str, told: int | None
) -> None:
    line = await line_of(file, None, ENDED._replace(status=status, is_cut=is_cut))
    found = line["event.outcome"], line.get("http.response.status_code")
    assert found == (outcome, told)
    assert line.get("signals_proxy.cut", False) is is_cut
    assert line["client.address"] == "127.0.0.1"


async def test_many_lines(file: Path) -> None:
    """They are written together, none is lost, and each is one line."""
    log = AccessLog(file, [])
    noted = log.note(b"GET /x HTTP/1.1\r\nX-Opaque-Id: a\x0bb\x85c\r\n\r\n", PEER)
    for _ in range(1000):
        log.ended(noted, PEER, ENDED)
    async with asyncio.timeout(LIMIT_S):
        while not text_of(file):  # what is full is written at once
            await asyncio.sleep(0.01)
    await log.close()
    assert len(list(map(json.loads, text_of(file).split("\n")[:-1]))) == 1000
    assert log.lost == 0


async def test_lost_lines(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines that the file does not take are counted, and the log tells of it once."""
    log = AccessLog(file, [])
    deleted(file)
    for _ in range(1000):
        log.ended(None, PEER, ENDED)
    await log.close()
    assert log.lost == 1000
    assert [it.getMessage() for it in caplog.records] == ["lines of the access log are lost"]


async def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Without a file the lines go to the log, a second after the first at the latest."""
    caplog.set_level(logging.INFO, LOGGER)
    log = AccessLog(None, [])
    log.ended(None, PEER, ENDED)
    log.ended(None, PEER, ENDED)
    async with asyncio.timeout(LIMIT_S):
        while not caplog.records:
            await asyncio.sleep(0.01)
    # Each alone: a pipe that other workers write to keeps only small writes whole.
    told = [json.loads(record.getMessage())["message"] for record in caplog.records]
    assert told == ["request ended", "request ended"]
    await log.close()
