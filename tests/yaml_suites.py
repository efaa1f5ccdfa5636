"""The YAML REST tests of ``org.opensearch:rest-api-spec``: what they say, and who runs them.

Rules of the file

- A test either passes or not: why not is told in one line. What a test asks of its runner that this
  one lacks (``LACKING``) makes it fail, before anything is sent.
- Warnings are not looked at; everything else of the format is.
"""

import contextlib
import http.client
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import yaml

VERSION = "2.19.0"
SHA256 = "4dec3e0c48343aa6bdc0bc745a0e166b2bb66ded90690e6794146bc7038663e5"
LACKING = {"arbitrary_key", "node_selector", "warnings", "spi_on_classpath_jdk9"}
CATCHES = {
    "bad_request": {400},
    "unauthorized": {401},
    "forbidden": {403},
    "missing": {404},
    "request_timeout": {408},
    "conflict": {409},
    "unavailable": {503},
    "request": set(range(400, 600)) - {400, 401, 403, 404, 408, 409},
    "param": set(),
}


BOUNDS = {"gt": (1,), "gte": (0, 1), "lt": (-1,), "lte": (-1, 0)}


class Loader(yaml.SafeLoader):
    """YAML in which a date is a text, as the tests mean it."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [it for it in found if it[0] != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class Failed(Exception):
    """A test that does not pass."""


@dataclass(frozen=True)
class Suite:
    """One test with what surrounds it."""

    name: str
    steps: list[dict[str, Any]]
    teardown: list[dict[str, Any]]


def fetched() -> zipfile.ZipFile:
    """Return the jar; it is downloaded once, and must be the one that was looked at."""
    from jgo.maven import MavenContext

    project = MavenContext().project("org.opensearch", "rest-api-spec").at_version(VERSION)
    path = Path(project.artifact().resolve())
    assert sha256(path.read_bytes()).hexdigest() == SHA256
    return zipfile.ZipFile(path)


def suites(jar: zipfile.ZipFile, folders: set[str]) -> Iterator[Suite]:
    """Yield every test of these folders, in their order."""
    for path in sorted(jar.namelist()):
        parts = path.split("/")
        if parts[1:2] != ["test"] or not path.endswith(".yml") or parts[2] not in folders:
            continue
        documents: dict[str, list[Any]] = {}
        for document in yaml.load_all(jar.read(path), Loader):
            documents |= document or {}
        setup, teardown = documents.pop("setup", None), documents.pop("teardown", None)
        for title, steps in documents.items():
            name = "/".join([*parts[2:], title])
            yield Suite(name, [*(setup or []), *(steps or [])], teardown or [])


@dataclass
class Runner:
    """Runs tests against one address."""

    url: str
    authorization: str
    specs: dict[str, Any]
    version: tuple[int, ...]
    stash: dict[str, Any] = field(default_factory=dict)
    answer: Any = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def run(self, suite: Suite) -> str:
        """Return why a test fails, or nothing."""
        self.stash, self.answer = {}, None
        try:
            for step in suite.steps:
                ((action, said),) = step.items()
                if action == "skip" and self._skipped(said):
                    return "skipped"
                if action in BOUNDS:
                    self._compared(said, BOUNDS[action])
                elif action != "skip":
                    getattr(self, f"_{action}")(said)
        except Failed as failed:
            return f"{failed}"[:300]
        finally:
            with contextlib.suppress(Failed):
                for step in suite.teardown:
                    self._do({**step.get("do", {}), "catch": "any"})
        return ""

    def ask(
        self, method: str, target: str, body: bytes = b"", fields: Mapping[str, str] = {}
    ) -> tuple[int, Any]:
        """Return status and answer of one request."""
        fields = {"Authorization": self.authorization, **fields}
        if body:
            fields = {"Content-Type": "application/json", **fields}
        self._connection.request(method, target, body or None, fields)
        answer = self._connection.getresponse()
        data, kind = answer.read(), answer.headers.get_content_type()
        if method == "HEAD":
            return answer.status, answer.status < 400
        if kind.endswith("json") and data:
            return answer.status, json.loads(data)
        if kind.endswith("yaml"):
            return answer.status, yaml.load(data, Loader)
        return answer.status, data.decode()

    def _skipped(self, said: Mapping[str, Any]) -> bool:
        features = said.get("features", [])
        if isinstance(features, str):
            features = re.split(r", *", features)
        first, _, last = str(said.get("version", "1 - 0")).replace("all", " - ").partition("-")
        low, high = _number(first, (0,)), _number(last, (4,))
        return bool(LACKING & set(features)) or low <= self.version <= high

    def _do(self, said: dict[str, Any]) -> None:
        said = self._filled(said)
        catch, fields = said.pop("catch", None), said.pop("headers", {})
        for ignored in ("warnings", "allowed_warnings"):
            said.pop(ignored, None)
        if len(said) != 1:
            raise Failed("not one call")
        ((name, given),) = said.items()
        given = dict(given or {})
        ignore, body = given.pop("ignore", []), given.pop("body", None)
        method, path = self._way(name, given)
        target = path + ("?" + urlencode(given, doseq=False) if given else "")
        status, self.answer = self.ask(method, target, _serialized(body), fields)
        if catch == "any" or status in (ignore if isinstance(ignore, list) else [ignore]):
            return
        if method == "HEAD" and status == 404 and catch is None:
            return
        if catch is None and status >= 400:
            raise Failed(f"{name}: {status} {self.answer}")
        if catch is not None and not self._caught(catch, status):
            raise Failed(f"{name}: {status} {self.answer} is not {catch}")

    def _caught(self, catch: str, status: int) -> bool:
        if catch.startswith("/"):
            text = json.dumps(self.answer, ensure_ascii=False)
            return status >= 400 and _searched(catch, text.replace('\\"', '"'), re.DOTALL)
        return status in CATCHES[catch]

    def _way(self, name: str, given: dict[str, Any]) -> tuple[str, str]:
        """Return method and path, and take the path's parts from what is given."""
        ways = [
            (parts, way)
            for way in self.specs.get(name, {"url": {"paths": []}})["url"]["paths"]
            if (parts := set(re.findall(r"\{(\w+)\}", way["path"]))) <= given.keys()
        ]
        if not ways:
            raise Failed(f"no way to call {name}")
        parts, way = max(ways, key=lambda it: len(it[0]))
        path = way["path"]
        for part in parts:
            value = given.pop(part)
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            path = path.replace("{" + part + "}", quote(text, safe=",*"))
        for parameter, value in given.items():
            if isinstance(value, bool | list):
                joined = (
                    ",".join(map(str, value)) if isinstance(value, list) else str(value).lower()
                )
                given[parameter] = joined
        return way["methods"][0], path

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._filled(key): self._filled(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        if isinstance(value, str):
            if value.removeprefix("$") in self.stash and value.startswith("$"):
                return self.stash[value[1:]]
            return re.sub(r"\$\{(\w+)\}", lambda m: str(self.stash.get(m[1], m[0])), value)
        return value

    def _at(self, path: str) -> Any:
        path = self._filled(path)
        if path in {"", "$body"}:
            return self.answer
        value = self.answer
        for part in re.split(r"(?<!\\)\.", str(path).removeprefix("$body.")):
            key = self._filled(part.replace("\\.", "."))
            if isinstance(value, list) and str(key).isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                value = value.get(str(key)) if isinstance(value, dict) else None
        return value

    def _each(self, said: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        for path, expected in said.items():
            yield path, self._at(path), self._filled(expected)

    def _match(self, said: dict[str, Any]) -> None:
        for path, actual, expected in self._each(said):
            if isinstance(expected, str) and re.fullmatch(r"\s*/.*/\s*", expected, re.DOTALL):
                same = _searched(expected, str(actual), re.VERBOSE)
            else:
                same = actual == expected
            if not same:
                raise Failed(f"{path}: {actual!r} is not {expected!r}")

    def _length(self, said: dict[str, Any]) -> None:
        for path, actual, expected in self._each(said):
            if not hasattr(actual, "__len__") or len(actual) != int(expected):
                raise Failed(f"{path}: {actual!r} is not of length {expected}")

    def _contains(self, said: dict[str, Any]) -> None:
        for path, actual, expected in self._each(said):
            if expected not in (actual or []):
                raise Failed(f"{path}: {actual!r} has no {expected!r}")

    def _set(self, said: dict[str, str]) -> None:
        for path, name in said.items():
            self.stash[name] = self._at(path)

    def _is_true(self, path: str) -> None:
        if self._at(path) in (None, False, "", "false", 0, "0"):
            raise Failed(f"{path} is not true")

    def _is_false(self, path: str) -> None:
        if self._at(path) not in (None, False, "", "false", 0, "0"):
            raise Failed(f"{path} is not false")

    def _compared(self, said: dict[str, Any], right: tuple[int, ...]) -> None:
        for path, actual, bound in self._each(said):
            if actual is None or (actual > bound) - (actual < bound) not in right:
                raise Failed(f"{path}: {actual!r} is out of bounds: {bound!r}")


def _number(text: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    number = tuple(map(int, re.findall(r"\d+", text))) or otherwise
    return (0, *number) if number[0] > 4 else number  # Elasticsearch's, from before the fork


def _searched(pattern: str, text: str, flags: re.RegexFlag) -> bool:
    try:
        return re.search(pattern.strip().strip("/"), text, flags) is not None
    except re.error as error:
        raise Failed(f"a pattern of another language: {error}") from error


def _serialized(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, list):
        lines = (each.strip("\n") if isinstance(each, str) else json.dumps(each) for each in body)
        return "".join(f"{line}\n" for line in lines).encode()
    return json.dumps(body).encode()
