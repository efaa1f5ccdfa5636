"""A whole proxy whose cluster cannot say who may do what: that never means yes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from asked import BODY, Asked, deciding
from has_privileges import PATH as HAS_PRIVILEGES
from has_privileges import Security, cut_off, giant, saying, security
from opensearch import User
from privileges import Role
from served import configure, serve


@pytest.fixture
async def played() -> AsyncIterator[Security]:
    async with security() as cluster:
        yield cluster


BACKENDS = {
    "elasticsearch": ("{backend: elasticsearch, cache: 1ms}", HAS_PRIVILEGES),
    "opensearch": (
        "{backend: opensearch, cache: 1ms, roles: {all: [{actions: '*', accounts: '*'}]}}",
        "/_plugins/_security/authinfo",
    ),
}
YES = b"""{"username": "anna", "has_all_requested": true,
    "cluster": {"cluster:admin:searchguard:signals:account/get": true},
    "application": {"signals_proxy": {"email/a": {"account/get": true}}},
    "user_name": "anna", "roles": ["all"]"""
"""What says yes to a GET, but for its end."""

FAULTS = {
    "busy": saying(429, YES + b"}"),
    "failing": saying(500, YES + b"}"),
    "unavailable": saying(503, YES + b"}"),
    "moved": saying(302, YES + b"}", Location="/"),
    "created": saying(201, YES + b"}"),
    "empty": saying(200, b""),
    "cut": saying(200, YES),
    "words": saying(200, b"yes"),
    "true": saying(200, b"true"),
    "list": saying(200, b'["all"]'),
    "nobody": saying(200, b'{"cluster": {}, "application": {}, "roles": ["all"]}'),
    "aborted": cut_off,
    "endless": giant,
}


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_cluster_that_cannot_decide(
    backend: str, played: Security, tmp_path: Path, canary: Callable[[str], str]
) -> None:
    """Account calls are a 503, whatever is wrong; the cluster's own requests go on meanwhile."""
    authorization, path = BACKENDS[backend]
    wrong, reached, go = saying(200, b"{}"), asyncio.Event(), asyncio.Event()

    async def later(request: Any) -> Any:
        reached.set()
        await go.wait()
        return await FAULTS["busy"](request)

    async def fault(request: Any) -> Any:
        if request.path != path:
            return await saying(200, b"{}")(request)
        return await wrong(request)

    played.roles["all"] = Role(["all"])
    played.users["anna"] = (canary("anna"), ["all"])
    played.fault = fault
    file = deciding(configure(tmp_path, played.url), authorization)
    fields = {"anna": User("anna", played.users["anna"][0]).authorization}
    async with serve(file) as proxy:
        asked = Asked(await proxy.served(), fields)
        await proxy.event("ready")
        calls: list[tuple[str, str, Any]] = [
            *(("GET", "email/a", None), ("HEAD", "email/a", None), ("PUT", "email/a", BODY)),
            *(("DELETE", "email/a", None), ("POST", "_search", {}), ("GET", "ops/_search", None)),
        ]
        # Said as it should be, this does mean yes: then there is no index that makes sense.
        wrong = saying(200, YES + b"}")
        assert (await asked.ask("anna", *calls[0])).status == 502
        actual, elsewhere = {}, set()
        for name, wrong in FAULTS.items():  # noqa: B007  the one that stands above
            for call in calls if name in {"busy", "words"} else calls[:1]:
                told = await asked.ask("anna", *call)
                actual[f"{name}: {call[0]} {call[1]}"] = told.status
            elsewhere.add((await asked.ask("anna", "GET", "/")).status)
        assert actual == dict.fromkeys(actual, 503)
        assert elsewhere == {200}

        # One that does not answer holds up nothing but the calls that wait for it.
        wrong = later
        waiting = asyncio.create_task(asked.ask("anna", "GET", "email/a"))
        await reached.wait()
        for _ in range(10):
            assert (await asked.ask("anna", "GET", "/")).status == 200
        assert not waiting.done()
        go.set()
        assert (await waiting).status == 503

        # Nobody was let in: no document was asked for. Decisions have connections of their own.
        used = {tuple(sorted(set(paths))) for paths in played.connections.values()}
        assert used == {("/",), (path,)}
