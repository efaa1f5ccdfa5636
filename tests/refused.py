"""What bad input is made of, and what has to come of it."""

import json
from typing import Any

VALID = {"host": "smtp.example.com", "port": 465}


def encoded(body: Any) -> bytes:
    return json.dumps(body).encode()


def large(size: int) -> bytes:
    """A body of ``size`` bytes that is valid but for its size."""
    body = encoded(VALID)
    return body[:-1] + b" " * (size - len(body)) + b"}"


def check(answer: Any, status: int) -> dict[str, Any]:
    """Return the error, which has the one shape."""
    assert answer.status == status, answer.text
    error = answer.json
    assert error["status"] == status
    assert isinstance(error["error"], str)
    assert error.keys() <= {"status", "error", "detail"}
    assert answer.fields["Content-Type"] == "application/json"
    assert answer.fields["X-Content-Type-Options"] == "nosniff"
    assert answer.fields["Cache-Control"] == "no-store"
    return error
