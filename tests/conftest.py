"""Fixtures of all rooms: real nodes, one of each version a session.

A room's own fixtures stand in ``tests/<room>/conftest.py``. `make test` runs the files in several
processes side by side, each with nodes of its own. So that these find the same tests, no name of a
parameter may be made up or told by the clock: such parameters need ``ids``.
"""

import fcntl
from collections.abc import Iterator

import pytest

from signals_proxy import embedded
from signals_proxy.embedded import archive, jars

# Each after those that it imports, whose asserts could not be rewritten otherwise.
pytest_plugins = [
    "opensearch",
    "canary",
    "registries",
    "faults",
    "applications",
    "played",
    "rotations",
]


# Rooms with the longest files: they begin first, lest in the end one process be left with one.
FIRST = ("whole", "transcripts", "supervisor", "cli", "api")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        room = item.path.parent.name
        return [*FIRST, room].index(room)

    items.sort(key=turn)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What nodes are started from is there: the jars, and the archive that makes starts quick."""
    # One process at a time: the next one finds what the first has fetched and made.
    with (tmp_path_factory.getbasetemp().parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        jars.fetch(embedded.VERSION)
        if archive.is_missing(embedded.VERSION):
            archive.make(embedded.VERSION)


@pytest.fixture(scope="session")
def elasticsearch(prepared: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # noqa: ARG001
    """The URL of a running Elasticsearch 9.5, shared by the session: use ids of your own."""
    with embedded.start(embedded.VERSION, tmp_path_factory.mktemp("elasticsearch")) as node:
        yield node.url


@pytest.fixture(scope="session")
def elasticsearch_8(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running Elasticsearch 8.19, shared by the session: use ids of your own."""
    version = "8.19.21"
    jars.fetch(version)
    with embedded.start(version, tmp_path_factory.mktemp("elasticsearch-8")) as node:
        yield node.url
