"""A plugin that watches, around every test, where the test's secrets turn up.

A secret of a test is made by the fixture ``canary``::

    async def test_something(canary, ...):
        password = canary("password")

It is a string that exists nowhere else. Once the test is over, the plugin looks for it, and for its
base64 (in all three alignments), hex, percent and JSON-escaped forms, in

- ``log``: every record of every logger, from DEBUG on, with tracebacks;
- ``output``: what was printed, by the test or by a process whose output it read;
- ``answer``: head and body of every answer that an HTTP client of the test received;
- ``index``: mapping, settings and documents of every index of the nodes that the test used, and
  whatever these nodes answered meanwhile;
- ``files``: what these nodes wrote to disk meanwhile, of translogs and segments.

A find fails the test and names the place. A place where the test itself puts the secret in clear,
such as an index that an attacker wrote to, is named when it is made: ``canary("password",
allowed={"index"})``. What may be in an index may be in the node's files.

Rules of the file: nothing is to be asked for and nothing to be remembered, but to make secrets with
``canary``; a test that makes none costs nothing, for nothing is watched before the first is made
(and so nothing missed).
"""

import base64
import contextlib
import json
import os
import secrets
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import pytest
from ears import all_answers, all_logs, all_output
from opensearch import ADMIN, OpenSearch, User

PLACES: Final = frozenset({"log", "output", "answer", "index", "files"})
_NODES: Final = "elasticsearch"
"""Fixtures whose names begin so give the URL of a node; an OpenSearch is known by its type."""

_SEVERAL: Final = 5000
"""Indices with more documents are bulk of other tests, unless they are named like a registry's."""

_CLOCK_NS: Final = 20_000_000
"""How far the time of a file may be behind the clock."""

_MOST_OF_A_FILE: Final = 8 << 20
"""Bytes of a file that are looked at: its end, where it grows."""

_MOST_OF_FILES: Final = 64 << 20
"""Bytes of all files, those that changed last first."""

_watch: "Watch | None" = None


class Canary(Protocol):
    """What the fixture is: makes a secret that is named ``name`` in a failure."""

    def __call__(self, name: str, *, allowed: Collection[str] = ()) -> str: ...


@pytest.fixture
def canary() -> Canary:
    """Return the maker of this test's secrets."""
    assert _watch is not None
    return _watch.add


@pytest.fixture
def secret_value(canary: Canary) -> str:
    """One secret, for a test that needs no more."""
    return canary("secret_value")


@pytest.fixture
def saw() -> Callable[[str, bytes | str], None]:
    """Return a function that shows the plugin what no hook sees, such as a raw socket's bytes."""
    assert _watch is not None
    return lambda where, data: _current_watch().see("answer", where, data)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol() -> Iterator[None]:
    global _watch  # noqa: PLW0603  the test that runs is global to its process
    outer, _watch = _watch, Watch()
    try:
        return (yield)
    finally:
        _watch.stop()
        _watch = outer


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    # Before the fixtures end: the nodes are still there, and so is what the test left in them.
    watch = _current_watch()
    if watch.secrets:
        for url, user in _nodes_of(getattr(item, "funcargs", {})).items():
            watch.nodes.add(urlsplit(url).netloc)
            try:
                node = Node(url, user)
                watch.dump(node)
                watch.read_files(node)
            except OSError as error:
                # The fixtures have to end all the same.
                watch.problems.append(f"  could not look into {url}: {error}")
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Iterator[pytest.TestReport]:
    report: pytest.TestReport = yield
    watch = _current_watch()
    if report.when == "teardown" and watch.secrets:
        for where, text in report.sections:
            if "stdout" in where or "stderr" in where:
                watch.see("output", where, text)
        finds = watch.finds()
        if finds:
            report.outcome = "failed"
            report.longrepr = "\n".join([f"secrets leaked by {item.nodeid}:", *finds])
    return report


def _nodes_of(fixtures: Mapping[str, object]) -> dict[str, User | None]:
    """Return the URLs of the nodes that a test used, and who may look into each."""
    nodes: dict[str, User | None] = {
        value: None
        for name, value in fixtures.items()
        if name.startswith(_NODES) and isinstance(value, str)
    }
    # Such a node may stand in for one of the others.
    return nodes | {it.url: ADMIN for it in fixtures.values() if isinstance(it, OpenSearch)}


def _current_watch() -> "Watch":
    assert _watch is not None
    return _watch


class Watch:
    """The secrets of one test, and everything that could show them."""

    def __init__(self) -> None:
        self.secrets: list[tuple[str, str, frozenset[str]]] = []
        self.problems: list[str] = []
        self.nodes: set[str] = set()
        self._since_ns = 0
        self._seen: list[tuple[str, str | None, str, bytearray]] = []
        self._hooks = ExitStack()

    def add(self, name: str, *, allowed: Collection[str] = ()) -> str:
        """Make a secret; from the first on, everything is watched."""
        if unknown := set(allowed) - PLACES:
            raise ValueError(f"no places: {unknown}")
        if not self.secrets:
            self._since_ns = time.time_ns() - _CLOCK_NS
            self._hooks.enter_context(all_logs(self.see))
            self._hooks.enter_context(all_output(self.see))
            self._hooks.enter_context(all_answers(self.see))
        # Letters and digits are left alone by every escaping that is not made to hide.
        token = secrets.token_hex(12)
        implied = {"files"} if "index" in allowed else set()
        self.secrets.append((name, token, frozenset(allowed) | implied))
        return f"{name}-{token}"

    def see(
        self, place: str, where: str, data: bytes | str, server: str | None = None
    ) -> bytearray:
        """Remember what was seen; more may be added to what is returned.

        ``server`` is who gave an answer, as ``host:port``: it may turn out to be a node.
        """
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogateescape")
        seen = bytearray(data)
        self._seen.append((place, server, where, seen))
        return seen

    def dump(self, node: "Node") -> None:
        """Read every index of a node, hidden ones too."""
        fields = "index,status,docs.count"
        names = node.get(f"/_cat/indices?format=json&expand_wildcards=all&h={fields}")
        for found in json.loads(names):
            index = found["index"]
            if found["status"] != "open":
                continue
            if "signals" not in index and int(found["docs.count"] or 0) > _SEVERAL:
                continue
            node.get(f"/{index}/_refresh", method="POST")
            self.see("index", f"the index {index}", node.get(f"/{index}"))
            documents = node.get(f"/{index}/_search?size=10000&version=true")
            self.see("index", f"the documents of {index}", documents)

    def read_files(self, node: "Node") -> None:
        """Read what a node on this machine wrote to its folder since the first secret was made."""
        answer = json.loads(node.get("/_nodes/_local/stats/fs?filter_path=nodes.*.fs.data.path"))
        left = _MOST_OF_FILES
        for folder in (
            Path(it["path"]) for n in answer["nodes"].values() for it in n["fs"]["data"]
        ):
            # A translog is never compressed, so nothing has to be flushed to be found.
            for path, size in _changed(folder / "indices", self._since_ns):
                self.see("files", str(path.relative_to(folder)), _end_of(path, min(size, left)))
                left -= min(size, left)

    def stop(self) -> None:
        self._hooks.close()

    def finds(self) -> list[str]:
        """Return a line for each place where a secret was found."""
        self.stop()
        lines = []
        for place, server, where, data in self._seen:
            place = "index" if server in self.nodes else place  # noqa: PLW2901
            for name, token, allowed in self.secrets:
                for form, hidden in () if place in allowed else _forms(token):
                    if (at := data.find(hidden)) >= 0:
                        around = bytes(data[max(0, at - 60) : at + 90])
                        lines.append(f"  {name} as {form} in {place}: {where}: {around!r}")
        return self.problems + lines


def _forms(token: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each form that a token may hide in."""
    data = token.encode()
    yield "itself", data
    for name, text in (
        ("hex", data.hex()),
        ("percent", "".join(f"%{byte:02x}" for byte in data)),
        ("json", "".join(rf"\u{byte:04x}" for byte in data)),
    ):
        yield name, text.encode()
        # The letter after a backslash is never a capital one.
        yield name, text.upper().replace("\\U", "\\u").encode()
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            # Only what does not depend on what stands before and after.
            whole = encode(b"\0" * shift + data)
            yield "base64", whole[(shift * 8 + 5) // 6 : (shift + len(data)) * 8 // 6]


def _changed(folder: Path, since_ns: int) -> list[tuple[Path, int]]:
    """Return the files in a folder that were written to since, and how much of each is looked at."""
    found = []
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with contextlib.suppress(FileNotFoundError):  # a node merges and deletes at any time
                stat = path.stat()
                if stat.st_mtime_ns >= since_ns:
                    found.append((stat.st_mtime_ns, path, min(stat.st_size, _MOST_OF_A_FILE)))
    return [(path, size) for _, path, size in sorted(found, reverse=True)]


def _end_of(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(-min(size, file.seek(0, os.SEEK_END)), os.SEEK_END)
            return file.read(size)
    except FileNotFoundError:
        return b""


class Node:
    """A node that is looked into, by a user if it asks who that is."""

    def __init__(self, url: str, user: User | None) -> None:
        self._url = url
        self._fields = {} if user is None else {"Authorization": user.authorization}

    def get(self, path: str, method: str = "GET") -> bytes:
        # No hook of ours may take this for the test's own client: that would name the wrong place.
        request = urllib.request.Request(self._url + path, headers=self._fields, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return b"".join(iter(lambda: answer.read1(1 << 20), b""))
