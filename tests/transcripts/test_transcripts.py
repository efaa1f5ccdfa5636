"""The transcripts of this folder, against a whole proxy in front of each kind of cluster.

A transcript is a text of requests and the answers to them, in which ``#`` begins a comment line::

    > PUT /_signals/account/email/default
    {"host": "smtp.example.com", "port": 465, "user": "signals", "password": "{{password}}"}

    < 201
    < Warning: 299 … "password: …"
    {"_id": "email/default", "_version": 1, "result": "created", "…": "…"}

- ``>`` begins the request's first line, then its fields. What follows is its body, which is JSON
  unless a ``Content-Type`` says something else, or nothing, and is packed if its coding is gzip.
- ``<`` begins the status, then fields of the answer; one without a value may not be there. What
  follows is the answer's JSON, in any order of members, or after ``|`` its text, letter by letter.
- ``…`` stands for any text or value, ``"…": "…"`` for any further members.
- ``{{password}}`` is a secret, made up in each run and the same throughout a file; ``{{x*99}}`` are
  99 of the letter. ``{id}`` keeps what is answered as that value, to be said again later;
  ``{product}`` is what the cluster calls itself.

Each transcript begins with an empty registry, so that versions and sequence numbers are known.
"""

import gzip
import io
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from applications import JSON
from opensearch import ADMIN, OpenSearch, User, registry_role
from registries import Cluster
from rotations import configured
from served import configure, serve
from yarl import URL

INDEX = ".signals_accounts"
AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Step:
    """A request and its answer: the lines of their heads without the marks, and their bodies."""

    line: int
    asked: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)


def read(text: str) -> list[Step]:
    steps: list[Step] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("> "):
            if not steps or steps[-1].answered:
                steps.append(Step(number))
            steps[-1].asked.append(line[2:])
        elif line.startswith("< "):
            steps[-1].answered.append(line[2:])
        elif steps and not line.startswith("#"):
            (steps[-1].expected if steps[-1].answered else steps[-1].sent).append(line)
    return steps


TRANSCRIPTS = {it.stem: read(it.read_text()) for it in Path(__file__).parent.glob("*.txt")}


def fields_of(lines: list[str]) -> list[tuple[str, str]]:
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def is_like(expected: str, actual: str) -> bool:
    return bool(re.fullmatch(".*".join(map(re.escape, expected.split("…"))), actual, re.DOTALL))


class Play:
    """One transcript on its way, and the values that it goes on with."""

    def __init__(self, session: ClientSession, url: str, canary: Any, product: str) -> None:
        self._session = session
        self._url = url
        self._secret = cache(canary)
        self._known = {"product": product}

    async def problem(self, step: Step) -> str | None:
        """Take a step; return what was answered otherwise than was said, and the whole answer."""
        method, target = self._filled(step.asked[0]).split(" ", 1)
        body = self._filled("\n".join(step.sent).strip()).encode()
        fields = dict(JSON if body else {})
        fields.update(fields_of([self._filled(line) for line in step.asked[1:]]))
        if fields.get("Content-Encoding") == "gzip":
            body = gzip.compress(body)
        async with self._session.request(
            method,
            URL(self._url + target, encoded=True),
            data=io.BytesIO(body) if body else None,
            headers={name: value for name, value in fields.items() if value},
            skip_auto_headers=AUTOMATIC,
        ) as answer:
            text = (await answer.read()).decode(errors="replace")
        try:
            found = list(self._differences(step, answer, text))
        except ValueError as error:  # one or the other is no JSON
            found = [str(error)]
        if not found:
            return None
        head = "".join(f"< {name}: {value}\n" for name, value in answer.headers.items())
        return f"{'; '.join(found)}\n\n> {method} {target}\n< {answer.status}\n{head}{text}"

    def _differences(self, step: Step, answer: Any, text: str) -> Iterator[str]:
        if str(answer.status) != step.answered[0].split()[0]:
            yield f"the status is {answer.status}"
        expected = fields_of([self._filled(line) for line in step.answered[1:]])
        for name in dict(expected):
            wanted = [value for other, value in expected if other == name and value]
            values = answer.headers.getall(name, [])
            if len(values) != len(wanted) or not all(map(is_like, wanted, values)):
                yield f"the field {name} is {values}"
        lines = "\n".join(step.expected).strip()
        if lines.startswith("|"):
            letters = self._filled(re.sub(r"^\| ?", "", lines, flags=re.MULTILINE))
            if not is_like(letters, text.removesuffix("\n")):
                yield "the text is another"
        elif not lines or not text:
            if lines or text:
                yield "there is a body" if text else "there is no body"
        else:
            yield from self._between(json.loads(self._filled(lines)), json.loads(text), "body")

    def _between(self, expected: Any, actual: Any, place: str) -> Iterator[str]:
        """Yield each difference between two JSON values."""
        match expected, actual:
            case dict(), dict():
                names = expected.keys() - {"…"}
                for name in sorted(names - actual.keys()):
                    yield f"{place}.{name} is missing"
                for name in sorted(actual.keys() - names if "…" not in expected else ()):
                    yield f"{place}.{name} is unexpected"
                for name in sorted(names & actual.keys()):
                    yield from self._between(expected[name], actual[name], f"{place}.{name}")
            case list(), list() if len(expected) == len(actual):
                for at, pair in enumerate(zip(expected, actual, strict=True)):
                    yield from self._between(*pair, f"{place}.{at}")
            case str(), str() if is_like(expected, actual):
                pass
            case "…", _:
                pass
            case str(), _ if name := re.fullmatch(r"\{(\w+)\}", expected):
                self._known[name[1]] = str(actual)
            case _ if json.dumps(expected) != json.dumps(actual):
                yield f"{place} is {json.dumps(actual, ensure_ascii=False)}"

    def _filled(self, text: str) -> str:
        text = re.sub(r"\{\{(.)\*(\d+)\}\}", lambda it: it[1] * int(it[2]), text)
        text = re.sub(r"\{\{(\w+)\}\}", lambda it: str(self._secret(it[1])), text)
        return re.sub(r"\{(\w+)\}", lambda it: self._known.get(it[1], it[0]), text)


@pytest.fixture(scope="module", params=["elasticsearch", "elasticsearch_8", "opensearch"])
def elasticsearch_or_kin(request: pytest.FixtureRequest) -> str | OpenSearch:
    """The cluster, under a name by which the canary finds it."""
    node: str | OpenSearch = request.getfixturevalue(request.param)
    return node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy(
    elasticsearch_or_kin: str | OpenSearch, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """The URL of a proxy in front of the cluster, as a user of its own if the cluster has any."""
    node, user = elasticsearch_or_kin, None
    if isinstance(node, OpenSearch):
        user = User("transcripts", "Known-to-this-file-1")
        node.add_user(user, registry_role(INDEX))
        node = node.url
    folder = tmp_path_factory.mktemp("proxy")
    # A name that a SOCKS proxy resolves has to be named.
    more = "delivery: {allowed_hosts: ['*', '*.example.com']}\n"
    async with serve(configure(folder, node, configured(INDEX, user) + more)) as proxy:
        address = await proxy.served()
        await proxy.event("ready")
        yield f"http://127.0.0.1:{address.port}"
        proxy.signal(signal.SIGTERM)
        assert await proxy.ended() == 0


@pytest.fixture
def user(elasticsearch_or_kin: str | OpenSearch) -> Iterator[User | None]:
    """Who asks, if the cluster wants to know; nothing is left there before and after."""
    node, user = elasticsearch_or_kin, None
    if isinstance(node, OpenSearch):
        node, user = node.url, ADMIN
    cluster = Cluster(node, INDEX, user)
    left = "/{index},.signals_watches,transcripts?ignore_unavailable=true"
    cluster.ask("DELETE", left)
    yield user
    cluster.ask("DELETE", left)


@pytest.mark.parametrize("name", sorted(TRANSCRIPTS))
async def test_transcript(name: str, proxy: str, user: User | None, canary: Any) -> None:
    """Every request of a transcript is answered as it says."""
    fields = {} if user is None else {"Authorization": user.authorization}
    async with ClientSession(headers=fields) as session:
        play = Play(session, proxy, canary, product="" if user else "Elasticsearch")
        for step in TRANSCRIPTS[name]:
            if problem := await play.problem(step):
                pytest.fail(f"{name}.txt:{step.line}: {problem}", pytrace=False)
