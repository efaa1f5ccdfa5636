"""Many clients change the same few accounts through two proxies: every answer is true.

What each client did and was answered makes up the history of every account, which is played again
by the rules of a PUT and a DELETE: no version is missing from it or there twice, each was made of
the one before, and what it ends with is what is stored.
"""

import asyncio
import random
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from applications import Answer, Client
from served import configure, serve

from signals_proxy.account import keyring as keyrings
from signals_proxy.account import sealing
from signals_proxy.account.document import SealedAccount
from signals_proxy.account.ref import Ref

ACCOUNTS = [Ref("email", f"a{number}") for number in range(10)]
CLIENTS = 20
UPDATES = 50  # of each client

KINDS = {"increment": 8, "put": 5, "put password": 2, "create": 2, "delete": 3}
"""What is done, and how often."""

SERVER = {"host": "smtp.example.com", "port": 465, "user": "signals"}

Body = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """One update: ``read`` is the version that it was made of, if the caller said so."""

    kind: str
    ref: Ref
    body: Body
    answer: Answer
    read: int | None = None

    @property
    def version(self) -> int:
        return int(self.answer.json["_version"])

    @property
    def is_acknowledged(self) -> bool:
        return self.answer.status in {200, 201}


class Updater:
    """One of the clients, who changes any account through any proxy."""

    def __init__(self, number: int, proxies: list[Client], password: str) -> None:
        self._name = f"c{number}"
        self._proxies = proxies
        self._password = password
        self._random = random.Random(number)  # the same choices each time
        self._count = 0

    async def updates(self) -> list[Done]:
        return [await self._update() for _ in range(UPDATES)]

    async def _update(self) -> Done:
        ref = self._random.choice(ACCOUNTS)
        proxy = self._random.choice(self._proxies)
        (kind,) = self._random.choices([*KINDS], [*KINDS.values()])
        if kind == "increment":
            return await self._increment(proxy, ref)
        if kind == "delete":
            return Done(kind, ref, {}, await proxy.delete(ref.document_id))
        body = self._body(0)
        if kind == "put password":
            body["password"] = self._password
        query = "?op_type=create" if kind == "create" else ""
        return Done(kind, ref, body, await proxy.put(body, ref.document_id + query))

    async def _increment(self, proxy: Client, ref: Ref) -> Done:
        """Count one further from what is read; an account that is missing counts from nothing."""
        found = await self._random.choice(self._proxies).get(ref.document_id)
        if found.status == 404:
            body = self._body(1)
            answer = await proxy.put(body, f"{ref.document_id}?op_type=create")
            return Done("create", ref, body, answer)
        assert found.status == 200, found.text
        read = found.json
        body = self._body(int(read["_source"]["labels"]["count"]) + 1)
        guard = f"if_seq_no={read['_seq_no']}&if_primary_term={read['_primary_term']}"
        answer = await proxy.put(body, f"{ref.document_id}?{guard}")
        return Done("increment", ref, body, answer, read["_version"])

    def _body(self, count: int) -> Body:
        """Return a body that nobody else sends."""
        self._count += 1
        labels = {"update": f"{self._name}-{self._count}", "count": str(count)}
        return {**SERVER, "labels": labels}


def played(history: Mapping[int, Done]) -> Body | None:
    """Return what an account is after its history; a password that is not sent stays."""
    state: Body | None = None
    for version in range(1, len(history) + 1):
        done = history[version]  # none is missing
        before, is_created = state, done.answer.json["result"] == "created"
        assert is_created is (before is None and done.kind != "delete")
        assert done.kind != "create" or before is None
        if done.kind == "delete":
            assert before is not None
            state = None
            continue
        kept = {"password": before["password"]} if before and "password" in before else {}
        state = kept | done.body
        if done.kind == "increment":
            assert before is not None
            assert done.read == version - 1
            assert int(state["labels"]["count"]) == int(before["labels"]["count"]) + 1
    return state


def explained(done: Done, history: Mapping[int, Done]) -> bool:
    """Tell whether an update that was refused had to be, by what others did."""
    message = done.answer.json["error"]
    match done.answer.status, done.kind:
        case 409, "increment":
            assert done.read is not None
            return done.read + 1 in history
        case 409, "create":
            return any(each.kind != "delete" for each in history.values())
        case 409, _:  # others were quicker each time
            return "was changed or deleted meanwhile" in message
        case 404, "delete":
            return message == "Not found"
    return False


@pytest.fixture
async def proxies(tmp_path: Path, elasticsearch: str, index: str) -> AsyncIterator[list[Client]]:
    """Two proxies with one configuration."""
    file = configure(tmp_path, elasticsearch, f'registry: {{index: "{index}"}}\n')
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(ClientSession())
        running = [await stack.enter_async_context(serve(file)) for _ in range(2)]
        addresses = [await each.served() for each in running]
        for each in running:
            await each.event("ready")
        yield [Client(session, f"http://127.0.0.1:{each.port}") for each in addresses]
        for each in running:
            each.signal(signal.SIGTERM)
            assert await each.ended() == 0


async def test_no_update_is_lost(
    proxies: list[Client], tmp_path: Path, cluster: Any, canary: Any
) -> None:
    # Else a version begins anew a minute after a DELETE.
    assert (await proxies[0].put(SERVER, "email/first")).status == 201
    cluster.ask("PUT", "/{index}/_settings", {"index.gc_deletes": "1h"})
    updaters = [Updater(n, proxies, canary(f"password-{n}")) for n in range(CLIENTS)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(updater.updates()) for updater in updaters]
    updates = [done for task in tasks for done in task.result()]

    histories: dict[Ref, dict[int, Done]] = defaultdict(dict)
    for done in updates:
        if done.is_acknowledged:
            assert done.version not in histories[done.ref]
            histories[done.ref][done.version] = done
    refused = [done for done in updates if not done.is_acknowledged]
    assert [(it, it.answer.text) for it in refused if not explained(it, histories[it.ref])] == []
    said = Counter((done.kind, done.answer.status) for done in updates)
    assert all(said[kind, 200] + said[kind, 201] for kind in KINDS), said
    assert said["increment", 409], said

    keyring = keyrings.parse((tmp_path / "keyring").read_text())
    expected = {ref: state for ref in ACCOUNTS if (state := played(histories[ref])) is not None}
    for proxy in proxies:
        found = (await proxy.get("_search?q=_name:a*&size=100")).json["hits"]["hits"]
        assert {hit["_id"] for hit in found} == {ref.document_id for ref in expected}
        for hit in found:
            state = expected[Ref.of_document(hit["_id"])]
            assert (hit["integrity"], hit["_source"]["labels"]) == ("verified", state["labels"])
        for ref in ACCOUNTS:
            shown = await proxy.get(ref.document_id)
            if ref not in expected:
                assert shown.status == 404
                continue
            assert shown.json["_version"] == max(histories[ref])
            assert shown.json["_source"]["labels"] == expected[ref]["labels"]
    for ref, state in expected.items():
        account = sealing.open_sealed(SealedAccount(ref, cluster.source(ref)), keyring)
        secrets = {name: secret.reveal() for name, secret in account.secrets.items()}
        assert secrets == {name: state[name] for name in state if name == "password"}
