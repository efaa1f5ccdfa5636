"""A plugin with a registry between two keys: its files, its index, and the commands that end it."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opensearch import User
from registries import Cluster
from served import configure

from signals_proxy.account import Account, Ref, seal
from signals_proxy.account import keyring as keyrings
from signals_proxy.account.document import SealedAccount
from signals_proxy.account.keyring import Keyring
from signals_proxy.account.sealing import verify
from signals_proxy.registry.documents import Registry
from signals_proxy.secret import Secret

PUBLIC = {"host": "smtp.example.com", "port": 465, "user": "signals"}


class Rotation:
    """A configuration and its keyring, and the index behind it."""

    def __init__(self, config: Path, cluster: Cluster, registry: Registry, password: str) -> None:
        self.config = config
        self.file = config.parent / "keyring"
        self.cluster = cluster
        self.password = password
        self._registry = registry

    @property
    def keyring(self) -> Keyring:
        return keyrings.parse(self.file.read_text())

    def account(self, document_id: str, keyring: Keyring | None = None) -> SealedAccount:
        """Return an account of this registry, sealed."""
        ref = Ref(*document_id.split("/"))
        account = Account(ref, PUBLIC, {"password": Secret(self.password)})
        return seal(account, keyring or self.keyring)

    async def fill(self, count: int, name: str = "a") -> None:
        """Store accounts, by many in a request."""
        accounts = [self.account(f"email/{name}{n}") for n in range(count)]
        await self._registry.put(accounts[0], None)  # makes the index
        await self.plant({each.ref.document_id: dict(each.source) for each in accounts})

    async def plant(self, documents: dict[str, Any]) -> None:
        """Write documents past the registry."""
        lines = [
            json.dumps(line)
            for document_id, source in documents.items()
            for line in ({"index": {"_id": document_id}}, source)
        ]
        data = "\n".join([*lines, ""]).encode()
        status, answer = await asyncio.to_thread(
            self.cluster.ask, "POST", "/{index}/_bulk?refresh=true", data
        )
        assert (status, answer["errors"]) == (200, False)

    def rotate(self) -> tuple[str, str]:
        """Put a new key on the keyring's top; return the ids of the old and the new primary."""
        old = self.keyring.primary.id
        *lines, new = keyrings.appended(self.file.read_text()).splitlines(keepends=True)
        self.file.write_text("".join([new, *lines]))
        return old, self.keyring.primary.id

    def append(self) -> None:
        """Put a new key at the keyring's end."""
        self.file.write_text(keyrings.appended(self.file.read_text()))

    def forget(self, key_id: str) -> None:
        """Take a key's line away."""
        gone = [key.id for key in self.keyring.keys].index(key_id)
        lines = self.file.read_text().splitlines(keepends=True)
        at = [n for n, line in enumerate(lines) if line.startswith("signals-proxy-key-1")][gone]
        self.file.write_text("".join(lines[:at] + lines[at + 1 :]))

    async def documents(self) -> dict[str, Any]:
        """Return every document of the index, by its id."""
        await asyncio.to_thread(self.cluster.ask, "POST", "/{index}/_refresh")
        _, found = await asyncio.to_thread(
            self.cluster.ask, "POST", "/{index}/_search", {"size": 10_000}
        )
        return {hit["_id"]: hit["_source"] for hit in found["hits"]["hits"]}

    async def sealed_by(self) -> dict[str, int]:
        """Return how many documents each key sealed."""
        return dict(Counter(it["_sealed"]["key"] for it in (await self.documents()).values()))

    async def states(self) -> dict[str, int]:
        """Return how many accounts are in each state."""
        keyring = self.keyring
        return dict(
            Counter(
                verify(SealedAccount(Ref(*name.split("/")), source), keyring).value
                for name, source in (await self.documents()).items()
            )
        )

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Run a command to its end; return its exit status, standard output and standard error."""
        process = await self.start(*words)
        output, said = await process.communicate()
        return process.returncode or 0, output.decode(), said.decode()

    async def start(self, *words: str, **options: Any) -> asyncio.subprocess.Process:
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "signals_proxy",
            *words,
            f"--config={self.config}",
            **{**pipes, "env": dict(os.environ), **options},
        )


def configured(index: str, user: User | None) -> str:
    """Return what a configuration says of a registry."""
    lines = f'registry:\n  index: "{index}"\n'
    if user is not None:
        lines += f'  credentials: {{username: "{user.name}", password: "{user.password}"}}\n'
    return lines


@pytest.fixture
def rotation(
    tmp_path: Path,
    elasticsearch: str,
    index: str,
    cluster: Cluster,
    registry: Registry,
    registry_user: User | None,
    canary: Callable[[str], str],
) -> Rotation:
    """A configuration in a folder of the test's, whose keyring has one key."""
    file = configure(tmp_path, elasticsearch, configured(index, registry_user))
    # A port on which nobody listens.
    file.write_text(file.read_text().replace('"127.0.0.1:0"', '"127.0.0.1:1"'))
    return Rotation(file, cluster, registry, canary("password"))
