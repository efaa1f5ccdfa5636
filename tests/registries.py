"""A plugin with a registry on a real node, in an index of the test's own."""

import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
from opensearch import User

from signals_proxy.account import keyring as keyrings
from signals_proxy.account import schema, sealing
from signals_proxy.account.account_type import Account, AccountType
from signals_proxy.account.document import SealedAccount
from signals_proxy.account.keyring import Keyring
from signals_proxy.account.ref import Ref
from signals_proxy.registry.client import connect
from signals_proxy.registry.documents import Registry
from signals_proxy.registry.settings import RegistrySettings
from signals_proxy.secret import Secret

REF = Ref("email", "default")


@pytest.fixture(scope="session")
def types() -> Mapping[str, AccountType]:
    return schema.load()


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return keyrings.parse(keyrings.generate())


@pytest.fixture
def index(request: pytest.FixtureRequest) -> str:
    """The name of an index that no other test uses."""
    return f".signals_{abs(hash(request.node.nodeid)):x}"


@pytest.fixture
def operator() -> User | None:
    """Who the tests are to the node where they go past the registry; None if it asks nobody."""
    return None


@pytest.fixture
def registry_user() -> User | None:
    """Who the registry is to the node; None if it asks nobody."""
    return None


class Cluster:
    """The node as somebody sees it who goes past the registry. Blocking: for few, small calls."""

    def __init__(self, url: str, index: str, operator: User | None = None) -> None:
        self._url = url
        self._index = index
        self._fields = {"Content-Type": "application/json"}
        if operator is not None:
            self._fields["Authorization"] = operator.authorization

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and answer of one request; ``{index}`` in the path is the registry's."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url = self._url + path.replace("{index}", self._index)
        request = urllib.request.Request(url, data, self._fields, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def source(self, ref: Ref = REF) -> Any:
        """Return the stored document; None if there is none."""
        _, answer = self.ask("GET", f"/{{index}}/_doc/{ref.document_id.replace('/', '%2F')}")
        return answer.get("_source")

    def put(self, document: Any, ref: Ref = REF) -> None:
        """Write a document as nobody but an attacker does."""
        path = f"/{{index}}/_doc/{ref.document_id.replace('/', '%2F')}?refresh=true"
        status, answer = self.ask("PUT", path, document)
        assert status in {200, 201}, answer

    def exists(self) -> bool:
        return self.ask("GET", "/{index}")[0] == 200


@pytest.fixture
def cluster(elasticsearch: str, index: str, operator: User | None) -> Iterator[Cluster]:
    cluster = Cluster(elasticsearch, index, operator)
    yield cluster
    # Thousands of indices are more than a small node likes.
    for name in ("{index}-1", "{index}-2", "{index}", "{index}_health"):
        cluster.ask("DELETE", f"/{name}?ignore_unavailable=true")


Connect = Callable[..., Registry]


@pytest.fixture
async def connected(
    index: str, types: Mapping[str, AccountType], registry_user: User | None
) -> AsyncIterator[Connect]:
    """Return a function that connects a registry to a URL."""
    made: list[Registry] = []

    def connected(
        url: str,
        settings: RegistrySettings | None = None,
        read_timeout_s: float = 30,
        write_timeout_s: float = 30,
    ) -> Registry:
        settings = settings or RegistrySettings(index, registry_user and registry_user.credentials)
        client = connect(settings, [url], None, read_timeout_s=read_timeout_s)
        made.append(Registry(client, settings.index, types, write_timeout_s=write_timeout_s))
        return made[-1]

    yield connected
    for registry in made:
        await registry.close()


@pytest.fixture
def registry(elasticsearch: str, connected: Connect) -> Registry:
    return connected(elasticsearch)


Seal = Callable[..., SealedAccount]


@pytest.fixture
def seal(keyring: Keyring, canary: Callable[[str], str]) -> Seal:
    """Return a function that seals a small account; each call of it makes another box."""

    def seal(ref: Ref = REF, **public: Any) -> SealedAccount:
        attributes = {"host": "smtp.example.com", "port": 465, "user": "signals", **public}
        return sealing.seal(
            Account(ref, attributes, {"password": Secret(canary("password"))}), keyring
        )

    return seal
