"""The access log: one line of JSON for each request, when it has ended.

Rules of the file

- Of a request's head a line holds the method if it is a known one, the path, and two fields by which
  a request is found again. Never the query, in which credentials are sent, nor any other field.
- Lines are written many at a time: a second after the first of them at the latest.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from signals_proxy.api.client_address import client_address
from signals_proxy.config import Network
from signals_proxy.relay import Ended
from signals_proxy.relay.head import METHODS
from signals_proxy.telemetry import ecs
from signals_proxy.telemetry.line_file import LineFile

__all__ = ["LOGGER", "AccessLog"]

LOGGER: Final = "signals_proxy.access"

_WAIT_S: Final = 1.0
_MANY: Final = 64 * 1024
_MOST_WAITING: Final = 256
"""How many writes wait for the disk at most: 16 MiB."""

# The path of the target, without the authority of its absolute form, where a password can stand
# (RFC 9112 3.2.2), the like of which some clients write without a scheme; and without a fragment, in
# which browsers keep tokens, and which is refused (RFC 9112 3.2).
_PATH: Final = re.compile(
    rb"([A-Za-z]+) (?:[A-Za-z][A-Za-z0-9+.-]*://[^/?# \r\n]*|//[^/?#@ \r\n]*@[^/?# \r\n]*)?"
    rb"(/[^?# \r\n]*)?(?:[?#][^ \r\n]*)? HTTP/1\.[01]\r\n"
)
_FIELDS: Final = re.compile(rb"\r\n((?i:x-opaque-id|traceparent|x-forwarded-for)):[\t ]*+([^\r]*+)")


@dataclass(frozen=True, slots=True)
class _Noted:
    method: str | None
    path: str | None
    address: str | None
    opaque_id: str | None
    traceparent: str | None


class AccessLog:
    """Writes the lines to ``file``, to the log if it is None: see ``relay.Access``.

    ``trusted`` are the proxies that are believed in what they say of where a request comes from.

    :raises ConfigError: if the file cannot be opened.
    """

    def __init__(self, file: Path | None, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._log = logging.getLogger(LOGGER)
        self._lines: list[str] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._file = file and LineFile(
            file,
            lambda _: None,
            _MOST_WAITING,
            setting="access_log.file",
            troubled="lines of the access log are lost",
            well="no more lines of the access log are lost",
        )

    @property
    def lost(self) -> int:
        """How many lines the file did not take."""
        return self._file.failed if self._file else 0

    def note(self, head: bytes, peer: object) -> _Noted:
        """See ``relay.Access``."""
        found = _PATH.match(head)
        method, path = found.groups() if found is not None else (b"", None)
        fields: dict[bytes, list[str]] = {}
        for name, value in _FIELDS.findall(head):
            fields.setdefault(name.lower(), []).append(_text(value))
        return _Noted(
            method=_text(method) if _text(method) in METHODS[1:] else None,
            path=None if path is None else _text(path),
            address=client_address(
                _address(peer), fields.get(b"x-forwarded-for", ()), self._trusted
            ),
            opaque_id=fields.get(b"x-opaque-id", [None])[0],
            traceparent=fields.get(b"traceparent", [None])[0],
        )

    def ended(self, noted: object, peer: object, request: Ended) -> None:
        """See ``relay.Access``."""
        if not isinstance(noted, _Noted):
            noted = _Noted(None, None, _address(peer), None, None)
        line = ecs.line(datetime.now(UTC), LOGGER, _fields(noted, request))
        self._lines.append(line)
        self._size += len(line)
        if self._size > _MANY:
            self._write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_WAIT_S, self._write)

    async def close(self) -> None:
        """Write what has not been written."""
        self._write()
        if self._file:
            await self._file.close()

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._size = self._lines, [], 0
        if not lines:
            return
        if self._file:
            _ = self._file.append("\n".join(lines))
            return
        for (
            line
        ) in lines:  # one write each: a pipe that others write to keeps only small ones whole
            self._log.info("%s", line)


def _fields(noted: _Noted, request: Ended) -> dict[str, Any]:
    if request.is_cut or not request.status:
        outcome = "unknown"
    else:
        outcome = "success" if request.status < 400 else "failure"
    return {
        "message": "request ended",
        "event.category": ["web"],
        "event.type": ["access"],
        "event.outcome": outcome,
        "event.duration": round(request.seconds * 1e9),
        "client.address": noted.address,
        "client.ip": ecs.ip(noted.address),
        "http.request.method": noted.method or request.method,
        "http.request.bytes": request.received,
        "http.response.bytes": request.sent,
        "http.response.status_code": request.status or None,
        "url.path": noted.path,
        "signals_proxy.destination": request.destination,
        "signals_proxy.cut": request.is_cut or None,
        "signals_proxy.x_opaque_id": noted.opaque_id,
        "signals_proxy.traceparent": noted.traceparent,
    }


def _address(peer: object) -> str | None:
    return str(peer[0]) if isinstance(peer, tuple) else None


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
