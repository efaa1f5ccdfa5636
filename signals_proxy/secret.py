"""A value that cannot be shown by accident.

Rule of the file: nothing but :meth:`Secret.reveal` gives the value out, and a call of it marks the
place where a reader has to look. Every other way in which Python turns an object into text or
bytes (``str``, ``repr``, ``format``, ``pickle``, ``copy``, JSON) yields a mask or a ``TypeError``.
"""

import hmac
import json
from typing import Any, Final, NoReturn

__all__ = ["CREDENTIAL_FIELDS", "MASK", "REDACTED", "Secret"]

MASK: Final = "<secret>"
"""What a secret looks like in logs, tracebacks and debuggers."""

CREDENTIAL_FIELDS: Final = (
    "authorization",
    "es-security-runas-user",
    "es-secondary-authorization",
)
"""The fields of a request that say who its caller is, to an Elasticsearch or OpenSearch cluster and
so to us: these and no others."""

REDACTED: Final = "::es_redacted::"
"""What a stored secret looks like in an answer, as in Elasticsearch's own APIs."""


class Secret:
    """A string, or a JSON value that holds strings, which is not to be seen.

    Two secrets compare equal when their values do, in time that does not depend on where they
    differ. Secrets are unhashable: a dictionary or set would compare them in the ordinary way.
    """

    __slots__ = ("__value",)

    def __init__(self, value: Any) -> None:
        self.__value = value

    def reveal(self) -> Any:
        """Return the value. To be called where it is sealed or sent, and nowhere else."""
        return self.__value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_canonical(self.__value), _canonical(other.reveal()))

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        # Covers pickle, copy and deepcopy: each would put the value where nobody looks after it.
        raise TypeError("a secret is neither pickled nor copied")


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True).encode()
