"""Calls of several people to one whole proxy, whose configuration says who decides."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawhttp import exchange
from served import Address

BODY = {"host": "smtp.example.com", "port": 465}
"""A small account."""


@dataclass(frozen=True)
class Told:
    """An answer; the head is in lower case."""

    status: int
    head: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asked:
    """A proxy that serves, and who calls it: ``fields`` are the values of ``Authorization``."""

    def __init__(self, served: Address, fields: Mapping[str, str]) -> None:
        self.served = served
        self.fields = dict(fields)

    async def ask(self, who: str, method: str, path: str, given: Any = None) -> Told:
        """Ask as somebody, or as nobody whom ``fields`` does not name.

        A path that does not begin with a slash is one of the registry's.
        """
        path = path if path.startswith("/") else f"/_signals/account/{path}"
        data = b"" if given is None else json.dumps(given).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if who in self.fields:
            lines.append(f"Authorization: {self.fields[who]}")
        if data:
            lines += [f"Content-Length: {len(data)}", "Content-Type: application/json"]
        address = self.served.host, self.served.port
        head, rest = await exchange(address, "\r\n".join([*lines, "", ""]).encode() + data)
        return Told(int(head.split()[1]), head.decode().lower(), rest)


def deciding(file: Path, authorization: str) -> Path:
    """Change who decides in a configuration that ``served.configure`` wrote."""
    text = file.read_text()
    assert "{backend: none}" in text
    file.write_text(text.replace("{backend: none}", authorization))
    return file
