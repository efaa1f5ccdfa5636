"""Answers of the relay's own, in Elasticsearch's shape."""

import json
from typing import Any, Final

from signals_proxy.errors import CallerError, SignalsError

__all__ = ["refusal"]

_REASONS: Final = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
# Elasticsearch's names, so that whoever counts errors by type finds those that he knows.
_TYPES: Final = {
    429: "es_rejected_execution_exception",
    431: "too_long_http_header_exception",
    502: "node_disconnected_exception",
    503: "node_not_connected_exception",
    504: "receive_timeout_transport_exception",
}


def refusal(status: int, reason: str | SignalsError, *, is_head: bool) -> bytes:
    """Return a whole answer, after which the connection is closed.

    An error of the registry's callers has the registry's shape, every other Elasticsearch's. The
    answer to HEAD has the length of the body that it lacks (RFC 9110 9.3.2).
    """
    if status == 417:  # which Elasticsearch says without a word
        return b"HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    body: dict[str, Any]
    if isinstance(reason, CallerError):
        body = {"status": status, "error": reason.message}
    else:
        text = reason.message if isinstance(reason, SignalsError) else reason
        cause = {"type": _TYPES.get(status, "illegal_argument_exception"), "reason": text}
        body = {"error": {"root_cause": [cause], **cause}, "status": status}
    content = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(content)}\r\n"
        "x-content-type-options: nosniff\r\n"
        "cache-control: no-store\r\n"
    )
    if status == 405:
        head += "allow: DELETE, GET, HEAD, OPTIONS, POST, PUT\r\n"
    if status in {429, 503}:
        head += "retry-after: 1\r\n"
    return head.encode() + b"connection: close\r\n\r\n" + (b"" if is_head else content)
