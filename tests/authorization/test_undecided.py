"""The backend ``elasticsearch`` without a clear answer: that is a 503, and never a yes."""

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from callers import asking, caller
from has_privileges import Fault, Security, cut_off, giant, saying, security, silent
from played import Played

from signals_proxy.account.ref import Ref
from signals_proxy.authorization import Action, HasPrivileges, Identity
from signals_proxy.errors import Undecided

EMAIL = Ref("email", "a")
ACTION = "cluster:admin:searchguard:signals:account/"


@pytest.fixture
async def cluster() -> AsyncIterator[Security]:
    async with security() as cluster:
        yield cluster


YES = {
    "username": "anna",
    "has_all_requested": True,
    "cluster": {ACTION + "get": True},
    "index": {},
    "application": {"signals_proxy": {"email/a": {"account/get": True}}},
}


def without(*path: str, instead: Any = None) -> bytes:
    """Return an answer that says yes but for one member, which is missing or another."""
    answer = json.loads(json.dumps(YES))
    at = answer
    for name in path[:-1]:
        at = at[name]
    if instead is None:
        del at[path[-1]]
    else:
        at[path[-1]] = instead
    return json.dumps(answer).encode()


FLAGS = [
    ("cluster", ACTION + "get"),
    ("application", "signals_proxy", "email/a", "account/get"),
]
NONSENSE = [
    b"",
    b"yes",
    b"<html>",
    b"true",
    b"[]",
    b"{}",
    json.dumps(YES).encode()[:-1],
    json.dumps(YES).encode() + b"}",
    json.dumps(YES).encode("utf-16"),
    b'{"username":"a",' + json.dumps(YES).encode()[1:],
    without("username"),
    without("username", instead=""),
    without("username", instead=["anna"]),
    *(without(*path[:end]) for path in FLAGS for end in range(1, len(path) + 1)),
    *(without(*path[:end], instead=[]) for path in FLAGS for end in range(1, len(path) + 1)),
    *(without(*path, instead=it) for path in FLAGS for it in (1, "true", {"true": True})),
]


FAULTS = {
    **{f"nonsense {n}": saying(200, body) for n, body in enumerate(NONSENSE)},
    **{
        f"status {status}": saying(status, json.dumps(YES).encode())
        for status in (201, 204, 302, 400, 404, 405, 406, 413, 429, 500, 502, 503, 504)
    },
    "cut off": cut_off,
    "giant": giant,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_no_clear_answer(cluster: Security, fault: Fault) -> None:
    """Whatever is not a clear answer is none: a 503, never a yes, and not remembered."""
    cluster.fault = fault
    async with asking(cluster.url) as connected:
        backend = HasPrivileges(connected, 60)
        with pytest.raises(Undecided) as refusal:
            await backend.require(Action.GET, EMAIL, None, caller("x"))
        assert refusal.value.status == 503
        cluster.fault = saying(200, json.dumps(YES).encode())
        assert await backend.require(Action.GET, EMAIL, None, caller("x")) == Identity("anna")


async def test_a_kept_connection_that_ends(cluster: Security) -> None:
    """A node may end a connection in the moment of the next question: that is asked once more."""
    ended = []

    async def end(request: web.Request) -> web.StreamResponse:
        ended.append(request)
        assert request.transport is not None
        request.transport.abort()
        cluster.fault = saying(200, json.dumps(YES).encode())
        return web.Response()

    cluster.fault = end
    async with asking(cluster.url) as connected:
        backend = HasPrivileges(connected, 60)
        assert await backend.require(Action.GET, EMAIL, None, caller("x")) == Identity("anna")
    assert len(ended) == 1


async def test_no_answer_in_time(cluster: Security) -> None:
    """There is a limit; it is short here, so that nobody has to wait for it."""
    cluster.fault = silent
    async with asking(cluster.url, limit_s=0.01) as connected:
        with pytest.raises(Undecided, match=r"did not say within 0\.01 s"):
            await HasPrivileges(connected, 60).require(Action.GET, EMAIL, None, caller("x"))


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ],
)
async def test_no_http(played: Played, answer: bytes) -> None:
    played.answers[b"POST"] = answer
    async with asking(played.url) as connected:
        with pytest.raises(Undecided, match="could not be asked"):
            await HasPrivileges(connected, 10).require(Action.GET, EMAIL, None, caller("x"))


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with asking(url) as connected:
        backend = HasPrivileges(connected, 10)
        with pytest.raises(Undecided, match=r"could not be asked.*no connection to"):
            await backend.require(Action.GET, EMAIL, None, caller("x"))


async def test_a_cluster_without_security(elasticsearch: str) -> None:
    """A real node without the API: that is said."""
    async with asking(elasticsearch) as connected:
        backend = HasPrivileges(connected, 10)
        with pytest.raises(Undecided, match=r"seems not to have that.*authorization\.backend"):
            await backend.require(Action.GET, EMAIL, None, caller("x"))
