"""Log lines on standard error: lower case, ``key=value``, one line an event.

Secrets cannot get here by construction: what holds one is a ``Secret``, which shows a mask. Of an
exception the log gets the way that it took, files, lines and types; its message may quote what a
client sent.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final

__all__ = ["Log", "set_up", "way_of"]

_WHOLE: Final = {"signals_proxy.audit", "signals_proxy.access"}
"""Whose messages are lines already: JSON, as its readers want it."""


class Log:
    """Writes the events of one part of the program, with what belongs to them as fields."""

    __slots__ = ("_logger",)

    def __init__(self, part: str) -> None:
        self._logger = logging.getLogger(f"signals_proxy.{part}")

    def info(self, event: str, **fields: object) -> None:
        """Tell what an operator likes to know."""
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        """Tell what may need an operator."""
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, **fields: object) -> None:
        """Tell what needs an operator."""
        self._logger.error(event, extra={"fields": fields})


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        if record.name in _WHOLE:
            return record.getMessage()
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": record.name.removeprefix("signals_proxy."),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        line = " ".join(f"{name}={_quoted(str(value))}" for name, value in fields.items())
        error = record.exc_info[1] if record.exc_info else None
        return f"{line}\n{way_of(error)}" if error else line


def way_of(error: BaseException) -> str:
    """Return an error's traceback and causes without their messages."""
    lines = []
    seen: BaseException | None = error
    while seen is not None:
        lines += [
            *traceback.format_tb(seen.__traceback__),
            f"  {type(seen).__module__}.{type(seen).__qualname__}\n",
        ]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "".join(lines).rstrip()


def set_up() -> None:
    """Send the events of this process, and those of its libraries, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Their ordinary events tell of single requests: who wants those has the access log. asyncio warns
    # of each write to a client over TLS who has left.
    for library in ("asyncio", "elastic_transport", "elasticsearch", "aiohttp.access"):
        logging.getLogger(library).setLevel(logging.ERROR)


def _quoted(value: str) -> str:
    plain = value.isascii() and value.isprintable() and not set(value) & set(' "=\\')
    return value if plain and value else json.dumps(value, ensure_ascii=False)
