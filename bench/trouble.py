"""What a soak does to a proxy, all at once: clients of every kind, and what happens to nodes and workers.

Rules of the file

- Whatever a client meets that it must not is a line in ``Seen.wrong``: so is a failure, unless
  something was just being killed or stopped.
- Elasticsearch itself repeats a write whose primary died, on the next one, and answers 409 if the
  first had got so far: it does so without a proxy, too. Nobody else may: whose document was written
  in the term of the primary that answered 409 was sent twice.
"""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp

__all__ = ["CLIENTS", "Client", "Seen", "prepare"]

_ACCOUNT: Final = {"host": "smtp.example.com", "port": 465}
_FEW: Final = 20
_PAUSE_S: Final = 0.1
_PART: Final = 64 * 1024
_BULK: Final = '{"index": {"_id": "%d"}}\n{"text": "bulk"}\n'
_LINES: Final = {"Content-Type": "application/x-ndjson"}
_PASSING: Final = {429, 502, 503, 504}
"""What a cluster, or a proxy in front of it, may answer while a node dies."""


@dataclass
class Seen:
    """What clients saw.

    ``acknowledged`` are the ids of guarded writes that were, if only by a 409; ``repeated`` has for
    those the term of the primary that it was then.
    """

    answers: Counter[str] = field(default_factory=Counter)
    acknowledged: set[str] = field(default_factory=set)
    repeated: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    _troubles: int = 0
    _calm_at: float = 0.0

    @contextmanager
    def trouble(self, then_s: float) -> Iterator[None]:
        """Let failures pass in the block, and for a while after it."""
        self._troubles += 1
        try:
            yield
        finally:
            self._troubles -= 1
            self._calm_at = max(self._calm_at, time.monotonic() + then_s)

    def took(self, kind: str, status: int, *expected: int) -> None:
        """Count an answer."""
        self.answers[f"{kind} {status}"] += 1
        if status in _PASSING:
            self.failed(f"{kind}: {status}")
        elif status not in expected:
            self.wrong.append(f"{kind}: {status}")

    def failed(self, what: str) -> None:
        """Note a failure, if there is no reason for it."""
        if not self._troubles and time.monotonic() > self._calm_at:
            self.wrong.append(f"{what}, while nothing happened")


Client = Callable[[aiohttp.ClientSession, str, Seen], Awaitable[None]]
_ids = itertools.count()


async def _write(session: aiohttp.ClientSession, url: str, seen: Seen) -> None:
    """Create a document, once.

    Not by PUT, which this client itself would repeat after a connection that was cut.
    """
    name = str(next(_ids))
    async with session.post(f"{url}/soak/_create/{name}", json={"text": name}) as answer:
        await answer.read()
        status = answer.status
        seen.took("guarded write", status, 201, 409)
    if status == 409:
        seen.repeated[name] = await _term(session, url)
    if status in {201, 409}:
        seen.acknowledged.add(name)
    await asyncio.sleep(_PAUSE_S)


async def _term(session: aiohttp.ClientSession, url: str) -> int:
    """Return which term of the primary it is."""
    while True:
        async with session.get(f"{url}/_cluster/state/metadata/soak") as answer:
            content = await answer.read()
        if answer.status == 200:
            return int(json.loads(content)["metadata"]["indices"]["soak"]["primary_terms"]["0"])
        await asyncio.sleep(_PAUSE_S)


async def _read(session: aiohttp.ClientSession, url: str, seen: Seen) -> None:
    async with session.get(f"{url}/large/_doc/1") as answer:
        await answer.read()
        seen.took("GET", answer.status, 200)
    await asyncio.sleep(_PAUSE_S / 2)


async def _bulk(session: aiohttp.ClientSession, url: str, seen: Seen) -> None:
    lines = "".join(_BULK % random.randrange(2000) for _ in range(200))  # noqa: S311 - any will do
    async with session.post(f"{url}/bulk/_bulk", data=lines, headers=_LINES) as answer:
        await answer.read()
        seen.took("bulk", answer.status, 200)
    await asyncio.sleep(3 * _PAUSE_S)


async def _account(session: aiohttp.ClientSession, url: str, seen: Seen) -> None:
    account = f"{url}/_signals/account/email/soak-{random.randrange(_FEW)}"  # noqa: S311
    async with session.put(account, json=_ACCOUNT) as answer:
        await answer.read()
        seen.took("account PUT", answer.status, 200, 201, 409)
        there = () if answer.status in {200, 201} else (404,)
    async with session.get(account) as answer:
        await answer.read()
        seen.took("account GET", answer.status, 200, *there)
    await asyncio.sleep(2 * _PAUSE_S)


async def _slow_reader(session: aiohttp.ClientSession, url: str, seen: Seen) -> None:
    async with session.get(f"{url}/large/_search?size=200") as answer:
        async for _ in answer.content.iter_chunked(_PART):
            await asyncio.sleep(_PAUSE_S / 5)
        seen.took("slow search", answer.status, 200)


async def _leaving(session: aiohttp.ClientSession, url: str, seen: Seen) -> None:
    """Leave in the middle of an answer, or before it."""
    try:
        async with asyncio.timeout(random.random() * _PAUSE_S):  # noqa: S311
            async with session.get(f"{url}/large/_search?size=50") as answer:
                await answer.content.readany()
                seen.took("left", answer.status, 200)
    except TimeoutError:
        seen.answers["left before an answer"] += 1
    await asyncio.sleep(3 * _PAUSE_S)


CLIENTS: Final[tuple[tuple[Client, int], ...]] = (
    (_write, 20),
    (_read, 10),
    (_bulk, 2),
    (_account, 2),
    (_slow_reader, 4),
    (_leaving, 4),
)
"""Every kind of client, and how many there are of it."""


async def prepare(session: aiohttp.ClientSession, url: str) -> None:
    """Make what clients read: 200 documents of 20 KiB, and indices with a copy on each node."""
    settings = {"settings": {"number_of_shards": 1, "number_of_replicas": 2}}
    for index in ("soak", "large", "bulk"):
        async with session.put(f"{url}/{index}", json=settings) as answer:
            answer.raise_for_status()
    text = "x" * 20 * 1024
    lines = "".join(
        f'{{"index": {{"_id": "{number}"}}}}\n{json.dumps({"text": text})}\n'
        for number in range(200)
    )
    target = f"{url}/large/_bulk?refresh=true"
    async with session.post(target, data=lines, headers=_LINES) as answer:
        answer.raise_for_status()
    async with session.get(f"{url}/_cluster/health?wait_for_status=green&timeout=60s") as answer:
        answer.raise_for_status()
