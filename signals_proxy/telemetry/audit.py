"""One line for every account call, when its outcome is known: who did what to which account.

Rules of the file:

- Exactly one line a call tells its outcome. :meth:`Audit.call` is a context manager around the
  whole of a call, so no way out of it, an error, a crash or a client that leaves, goes unrecorded,
  and no handler can forget it. Where lines are required, one more, of the intent, comes before.
- Never a secret. What a line holds is a closed list of fields, filled with names, numbers and
  words of our own; nothing of a body, no credential, no message of an exception.

The lines go to a file, or to the logger ``signals_proxy.audit`` as the message of a record of level
``INFO``; whoever sets logging up writes the message as it is (see ``ecs``). The formatter of
``ecs-logging`` takes any field that a record carries, adds where in our code it was made, and knows
no newer version of the schema than 1.6, which has no category for calls of an API.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from signals_proxy.errors import NotRecorded
from signals_proxy.telemetry import ecs
from signals_proxy.telemetry.line_file import LineFile

__all__ = ["LOGGER", "Audit", "AuditSettings", "Entry"]

LOGGER: Final = "signals_proxy.audit"

PATIENCE_S: Final = 10.0

_TYPES: Final = {"created": "creation", "updated": "change", "deleted": "deletion"}
"""``event.type`` of what was done."""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where the lines go: to ``file``, to the log if that is None.

    ``required``: what cannot be recorded there before is not done.
    """

    file: Path | None = None
    required: bool = False


@dataclass(slots=True)
class Entry:
    """What is known of a call so far; filled in while it is worked on.

    ``action`` is the action asked for (``put``), ``account`` the document's id, ``tenant`` whose
    accounts it is about (None: the global ones, or it was not asked). ``allowed`` is what
    the authorizer said: None while it has not been asked or could not decide. ``result`` is what
    was done (``created``), also where the caller never learned it. ``status`` is that of the answer;
    None if there was none. ``error`` is the kind of error, never its text.
    """

    request_id: str
    method: str | None
    address: str | None
    opaque_id: str | None = None
    traceparent: str | None = None
    action: str | None = None
    account: str | None = None
    tenant: str | None = None
    user: str | None = None
    allowed: bool | None = None
    result: str | None = None
    status: int | None = None
    error: str | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))


class Audit:
    """Writes the lines, to the log if ``settings`` names no file.

    ``clock`` tells the time in UTC; ``patience_s`` is how long an intent waits for the disk.
    ``calls`` counts those that ended: by action, whether they were allowed, and outcome.

    :raises ConfigError: if the file cannot be opened.
    """

    def __init__(
        self,
        settings: AuditSettings = AuditSettings(),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self.calls: Counter[tuple[str, ...]] = Counter()
        self._log = logging.getLogger(LOGGER)
        self._file = LineFile(settings.file, self._tell) if settings.file is not None else None
        self._required = self._file if settings.required else None

    @property
    def not_in_file(self) -> int:
        """How many lines the file did not take."""
        return 0 if self._file is None else self._file.failed

    async def close(self) -> None:
        """Write what has not been written; no call may be under way or follow."""
        if self._file is not None:
            await self._file.close()

    @contextmanager
    def call(self, entry: Entry) -> Iterator[Entry]:
        """Write the entry's line when the block ends, however it ends."""
        entry.started = self._clock()
        try:
            yield entry
        except asyncio.CancelledError:
            # The client left, or the server stops: nobody gets an answer. What was done, was done.
            entry.error = "cancelled"
            entry.status = None
            raise
        except BaseException as error:
            entry.error = type(error).__name__
            entry.status = None
            raise
        finally:
            line = self._line(entry, _outcome)
            self.calls[entry.action or "none", _decision(entry), _result(entry)] += 1
            if self._file is None:
                self._tell(line)
            else:
                _ = self._file.append(line)

    async def intend(self, entry: Entry) -> None:
        """Where lines are required, write who is about to do what, before anything is done.

        :raises NotRecorded: if that could not be written.
        """
        if self._required is None:
            return
        took = self._required.append(self._line(entry, _intent))
        with contextlib.suppress(TimeoutError):
            if await asyncio.wait_for(asyncio.shield(took), self._patience_s):
                return
        raise NotRecorded("The call cannot be recorded in the audit trail, so nothing was done.")

    def _tell(self, line: str) -> None:
        self._log.info("%s", line)

    def _line(self, entry: Entry, phase: Callable[[Entry, datetime], dict[str, Any]]) -> str:
        now = self._clock()
        fields = {
            "event.category": ["api"],
            "event.action": f"account/{entry.action}" if entry.action else None,
            **phase(entry, now),
            "user.name": entry.user,
            "client.address": entry.address,
            "client.ip": ecs.ip(entry.address),
            "http.request.id": entry.request_id,
            "http.request.method": entry.method,
            "signals_proxy.account": entry.account,
            "signals_proxy.tenant": entry.tenant,
            "signals_proxy.allowed": entry.allowed,
            "signals_proxy.x_opaque_id": entry.opaque_id,
            "signals_proxy.traceparent": entry.traceparent,
        }
        return ecs.line(now, LOGGER, fields)


def _intent(_: Entry, __: datetime) -> dict[str, Any]:
    return {
        "message": "account call begins",
        "event.type": ["start", "allowed"],
        "signals_proxy.phase": "intent",
    }


def _outcome(entry: Entry, now: datetime) -> dict[str, Any]:
    types = ["end"]
    if entry.allowed is not None:
        types.append("allowed" if entry.allowed else "denied")
    if entry.result in _TYPES:
        types.append(_TYPES[entry.result])
    outcome = _result(entry)
    if outcome == "success" and entry.action in {"get", "search"}:
        types.append("access")
    return {
        "message": "account call ended",
        "event.type": types,
        "event.outcome": outcome,
        "event.duration": round((now - entry.started).total_seconds() * 1e9),
        "http.response.status_code": entry.status,
        "error.type": entry.error,
        "signals_proxy.phase": "outcome",
        "signals_proxy.result": entry.result,
    }


def _result(entry: Entry) -> str:
    if entry.status is not None:
        return "success" if entry.status < 400 else "failure"
    # No answer went out; something may have been done, or may still be.
    return "success" if entry.result else "unknown"


def _decision(entry: Entry) -> str:
    if entry.allowed is None:
        return "none"
    return "allowed" if entry.allowed else "denied"
