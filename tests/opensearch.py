"""A plugin with a real OpenSearch with its security plugin: users, roles, answers of its own.

It is started as the embedded Elasticsearch is, in a child process, from jars that were checked.
``python tests/opensearch.py`` writes the list of these jars anew.
"""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from signals_proxy.embedded import jars
from signals_proxy.embedded.node import Node, start
from signals_proxy.registry.settings import BasicCredentials
from signals_proxy.secret import Secret

VERSION = "2.19.4"


@dataclass(frozen=True)
class User:
    """Somebody whom the node knows. The demo users have their names as passwords."""

    name: str
    password: str

    @property
    def authorization(self) -> str:
        """Return the field that says so."""
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()

    @property
    def credentials(self) -> BasicCredentials:
        """Return what stands in the settings of a registry that is this user."""
        return BasicCredentials(self.name, Secret(self.password))


ADMIN = User("admin", "admin")


def registry_role(index: str) -> Mapping[str, Any]:
    """What a registry has to be allowed: its index, the alias that guards it, a look at watches."""
    return {
        "cluster_permissions": ["cluster_composite_ops", "indices:data/read/scroll/clear"],
        "index_permissions": [
            {"index_patterns": [f"{index}*"], "allowed_actions": ["read", "write", "manage"]},
            {"index_patterns": [".signals_watches"], "allowed_actions": ["read"]},
        ],
    }


@dataclass(frozen=True)
class OpenSearch:
    """A running node; ``home`` has its configuration, data and log."""

    url: str
    home: Path

    def ask(
        self, method: str, path: str, body: Any = None, user: User | None = ADMIN
    ) -> tuple[int, Any]:
        """Return status and answer of one request; an answer that is not JSON as it is."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        if user is not None:
            request.add_header("Authorization", user.authorization)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, _read(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _read(error.read())

    def add_user(self, user: User, role: Mapping[str, Any]) -> None:
        """Make a user, or another one of the name, with a role of its own: what that permits."""
        for path, body in (
            (f"roles/{user.name}", role),
            (f"internalusers/{user.name}", {"password": user.password}),
            (f"rolesmapping/{user.name}", {"users": [user.name]}),
        ):
            status, answer = self.ask("PUT", f"/_plugins/_security/api/{path}", body)
            assert status in {200, 201}, answer


def started(home: Path) -> Node:
    """Start a node; ``config/opensearch-security/*.yml`` in its home say who may do what."""
    jars.fetch(VERSION)
    child = Path(__file__).with_name("opensearch_jvm.py")
    return start(VERSION, home, program=[str(child)])


@pytest.fixture(scope="session")
def opensearch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSearch]:
    """A running OpenSearch 2.19, shared by the session: use ids and users of your own."""
    with started(tmp_path_factory.mktemp("opensearch")) as node:
        yield OpenSearch(node.url, node.home)


def _read(data: bytes) -> Any:
    try:
        return json.loads(data or b"null")
    except ValueError:
        return data.decode()


def write_list() -> Path:
    """Resolve OpenSearch and its plugin, and write their list."""
    import jgo
    from jgo.maven import MavenContext

    def one(group: str, artifact: str, version: str, **kind: str) -> Any:
        return MavenContext().project(group, artifact).at_version(version).artifact(**kind)

    transport = f"org.opensearch.plugin:transport-netty4-client:{VERSION}"
    found = [
        *jgo.resolve(f"org.opensearch:opensearch:{VERSION}+{transport}"),
        # Not in the line above: there its own managed versions would replace those of OpenSearch.
        one("org.apache.logging.log4j", "log4j-core", "2.21.0"),
        one("org.opensearch.plugin", "opensearch-security", f"{VERSION}.0", packaging="zip"),
    ]
    return jars.write_list_of(Path(jars.__file__).with_name(f"opensearch-{VERSION}.sha256"), found)


if __name__ == "__main__":
    print(write_list())  # noqa: T201
