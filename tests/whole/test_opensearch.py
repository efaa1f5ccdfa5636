"""A whole proxy in front of an OpenSearch that knows its users, and the proxy as one of them."""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from on_opensearch import elasticsearch, operator  # noqa: F401  fixtures
from opensearch import ADMIN, OpenSearch, User, registry_role
from rawhttp import exchange
from registries import Cluster
from rotations import Rotation, configured
from served import configure, serve

BODY = {"host": "smtp.example.com", "port": 465, "user": "signals"}
READER = User("readall", "readall")


@pytest.fixture
def registry_user(opensearch: OpenSearch, index: str, canary: Callable[[str], str]) -> User:
    """The proxy's own user, with rights for its index alone, whose password may be seen nowhere."""
    user = User(f"proxy{index}", canary("password-of-the-proxy"))
    opensearch.add_user(user, registry_role(index))
    return user


@pytest.fixture
def file(opensearch: OpenSearch, index: str, registry_user: User, tmp_path: Path) -> Path:
    """The proxy's configuration."""
    return configure(tmp_path, opensearch.url, configured(index, registry_user))


async def ask(address: tuple[str, int], method: str, path: str, *fields: str, body: Any = None):
    """Return status, head and body of one request."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
    if data:
        lines += [f"Content-Length: {len(data)}", "Content-Type: application/json"]
    head, rest = await exchange(address, "\r\n".join([*lines, "", ""]).encode() + data)
    return int(head.split()[1]), head.decode().lower(), rest


async def test_accounts_and_everything_else(
    file: Path, opensearch: OpenSearch, cluster: Cluster, saw: Any, canary: Callable[[str], str]
) -> None:
    """Accounts are kept as the proxy's user; all other requests are their callers' alone."""
    account = "/_signals/account/email/default"
    async with serve(file) as proxy:
        served = await proxy.served()
        await proxy.event("ready")
        address = "127.0.0.1", served.port
        for body, status in (({**BODY, "password": canary("password")}, 201), (BODY, 200)):
            found, head, answer = await ask(address, "PUT", account, body=body)
            saw("put", head.encode() + answer)
            assert found == status, answer
            # It says of itself no product, and so says the proxy.
            assert "x-elastic-product" not in head
        found, head, answer = await ask(address, "GET", account)
        saw("get", head.encode() + answer)
        told = json.loads(answer)
        assert (found, told["integrity"]) == (200, "verified")
        assert told["_source"]["password"] == "::es_redacted::"
        found, head, answer = await ask(address, "GET", "/_signals/account/_search?q=type:email")
        saw("search", head.encode() + answer)
        assert found == 200, answer
        assert [hit["_id"] for hit in json.loads(answer)["hits"]["hits"]] == ["email/default"]
        assert (await ask(address, "DELETE", account))[0] == 200
        assert (await ask(address, "GET", account))[0] == 404
        stored = await asyncio.to_thread(cluster.ask, "GET", "/{index}/_count")
        assert (stored[0], stored[1]["count"]) == (200, 0)

        # Who says nothing, or something wrong, gets the node's own words, and never our rights.
        node = "127.0.0.1", int(opensearch.url.rpartition(":")[2])
        wrong = User("admin", canary("wrong"))
        for fields in ([], [f"Authorization: {wrong.authorization}"]):
            through, direct = [await ask(to, "GET", "/", *fields) for to in (address, node)]
            assert (through[0], through[2]) == (direct[0], direct[2]) == (401, b"Unauthorized")
            assert 'www-authenticate: basic realm="opensearch security"' in through[1]
        path = "/_plugins/_security/authinfo"
        for user in (ADMIN, READER):
            status, _, answer = await ask(
                address, "GET", path, f"Authorization: {user.authorization}"
            )
            assert (status, json.loads(answer)["user_name"]) == (200, user.name)
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0


async def test_check(
    rotation: Rotation, opensearch: OpenSearch, index: str, registry_user: User, canary: Any
) -> None:
    """`serve --check` is content with rights that suffice, and names what is wrong with others."""
    status, _, said = await rotation.run("serve", "--check")
    assert (status, said.count("the configuration is right")) == (0, 1)
    low = User(f"low{index}", canary("low"))
    opensearch.add_user(low, {"cluster_permissions": ["cluster_composite_ops"]})
    for user, kind in (
        (User(registry_user.name, canary("wrong")), "401"),
        (low, "403 security_exception"),
        (None, "401"),
    ):
        configure(rotation.config.parent, opensearch.url, configured(index, user))
        status, _, said = await rotation.run("serve", "--check")
        assert (status, f"({kind}): registry.credentials need the rights" in said) == (1, True)
    assert not rotation.cluster.exists()


async def test_a_rotation(rotation: Rotation) -> None:
    """Keys are looked at and accounts sealed anew as the proxy's user."""
    await rotation.fill(30)
    _, new = rotation.rotate()
    assert (await rotation.run("keys", "status"))[0] == 3
    assert (await rotation.run("accounts", "reseal"))[0] == 0
    assert (await rotation.run("keys", "status"))[0] == 0
    assert await rotation.sealed_by() == {new: 30}
