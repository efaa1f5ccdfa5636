"""Lines of JSON with the names of the Elastic Common Schema; what it has no name for stands under
``signals_proxy.``.

Every value that a caller can choose is cut to a length, and JSON escapes its control characters, so
that one line stays one line.
"""

import ipaddress
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

__all__ = ["ip", "line"]

_LONGEST: Final = 1024
"""Characters of a value that are kept; an account's id has at most 512 bytes."""


def line(now: datetime, dataset: str, fields: Mapping[str, Any]) -> str:
    """Return the line of an event at ``now``, in UTC; fields that are None are left out."""
    whole = {
        "@timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "log.level": "info",
        "ecs.version": "9.0.0",
        "event.kind": "event",
        "event.dataset": dataset,
        **fields,
    }
    return json.dumps(
        {
            name: value[:_LONGEST] if isinstance(value, str) else value
            for name, value in whole.items()
            if value is not None
        }
    )


def ip(address: str | None) -> str | None:
    """Return an address if Elasticsearch's type ``ip`` takes it."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    return None if getattr(found, "scope_id", None) else str(found)
