"""One line for every account call, when its outcome is known: who did what to which account.

Rules of the file:

- Exactly one line a call. :meth:`Audit.call` is a context manager around the whole of a call, so
  no way out of it, an error, a crash or a client that leaves, goes unrecorded, and no handler can
  forget it.
- Never a secret. What a line holds is a closed list of fields, filled with names, numbers and
  words of our own; nothing of a body, no credential, no message of an exception.
- Every value that a caller can choose is cut to a length, and JSON escapes its control characters,
  so that one line stays one line.

The lines go to the logger ``signals_proxy.audit`` as the message of a record of level ``INFO``;
whoever sets logging up writes the message as it is. Names are those of the Elastic Common Schema
where it has one; the rest stands under ``signals_proxy.``.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

__all__ = ["LOGGER", "Audit", "Entry"]

LOGGER: Final = "signals_proxy.audit"

_LONGEST: Final = 1024
"""Characters of a value that are kept; an account's id has at most 512 bytes."""


@dataclass(slots=True)
class Entry:
    """What is known of a call so far; filled in while it is worked on.

    ``action`` is the action asked for (``put``), ``account`` the document's id. ``allowed`` is what
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
    user: str | None = None
    allowed: bool | None = None
    result: str | None = None
    status: int | None = None
    error: str | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))


class Audit:
    """Writes the lines. ``clock`` tells the time in UTC."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._logger = logging.getLogger(LOGGER)

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
            self._logger.info("%s", self._line(entry))

    def _line(self, entry: Entry) -> str:
        now = self._clock()
        fields: dict[str, Any] = {
            "@timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "event.kind": "event",
            "event.dataset": LOGGER,
            "event.action": f"account/{entry.action}" if entry.action else None,
            "event.outcome": _outcome(entry),
            "event.duration": round((now - entry.started).total_seconds() * 1e9),
            "user.name": entry.user,
            "client.address": entry.address,
            "http.request.id": entry.request_id,
            "http.request.method": entry.method,
            "http.response.status_code": entry.status,
            "error.type": entry.error,
            "signals_proxy.account": entry.account,
            "signals_proxy.allowed": entry.allowed,
            "signals_proxy.result": entry.result,
            "signals_proxy.x_opaque_id": entry.opaque_id,
            "signals_proxy.traceparent": entry.traceparent,
        }
        return json.dumps(
            {
                name: value[:_LONGEST] if isinstance(value, str) else value
                for name, value in fields.items()
                if value is not None
            }
        )


def _outcome(entry: Entry) -> str:
    if entry.status is not None:
        return "success" if entry.status < 400 else "failure"
    # No answer went out. Something may have been done, or may still be.
    return "success" if entry.result else "unknown"
