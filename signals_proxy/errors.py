"""Every way in which a request, a command or a start can fail.

::

    SignalsError
    ├ CallerError            the caller has to change something
    │  ├ InvalidTarget  400  a request target that only looks different from one of ours
    │  ├ InvalidParameter 400
    │  ├ InvalidBody    400
    │  ├ InvalidAccount 400  with every error of the body at once
    │  │  └ InvalidMessage
    │  ├ Unauthenticated 401
    │  ├ Forbidden      403
    │  ├ NotFound       404
    │  ├ WrongMethod    405
    │  ├ VersionConflict 409
    │  ├ InUse         409
    │  ├ NewerAccount   409
    │  ├ BodyTooLarge   413
    │  ├ WrongMediaType 415
    │  ├ Unusable       409  an account that may not be used for delivery
    │  ├ TooManyAttempts 429 has to wait before the next attempt
    │  └ TooOften       429  an account or a caller has used up its fair share for now
    ├ SealingError      409  becomes ``integrity`` where an account is read
    │  ├ UnknownKey
    │  ├ Forged
    │  └ Unsealed
    ├ UpstreamError          the cluster did not do its part
    │  ├ NotConnected   503  nothing was sent: may be tried again
    │  ├ Rejected       429  too many wait for a place at a node already; nothing was sent
    │  ├ Lost           502  the connection ended in the middle
    │  ├ TimedOut       504
    │  ├ Refused        502  the cluster answered, but not with what the registry needs
    │  │  └ Unavailable 503  it asked for patience: too busy, blocked, a shard without a node
    │  ├ ForeignIndex   503  an index of our name that is not ours
    │  ├ SharedIdentity 503  our certificate would make its user of everybody
    │  └ Undecided      503  nobody could say whether the caller may: never means yes
    ├ DeliveryFailed 424 502 the service did not take the message, or nobody knows
    ├ NotRecorded       503  the audit trail could not be told first, so nothing was done
    └ ConfigError            file, line, path and remedy; never reaches HTTP

Rules of the file: a message says what is wrong, with which thing, and what to do about it, and it
never holds a secret. ``status`` is a hint that only a boundary reads: the core knows no HTTP
server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = [
    "BodyTooLarge",
    "CallerError",
    "ConfigError",
    "DeliveryFailed",
    "Detail",
    "Forbidden",
    "ForeignIndex",
    "Forged",
    "InUse",
    "InvalidAccount",
    "InvalidBody",
    "InvalidMessage",
    "InvalidParameter",
    "InvalidTarget",
    "Lost",
    "NewerAccount",
    "NotConnected",
    "NotFound",
    "NotRecorded",
    "Refused",
    "Rejected",
    "SealingError",
    "SharedIdentity",
    "SignalsError",
    "TimedOut",
    "TooManyAttempts",
    "TooOften",
    "Unauthenticated",
    "Unavailable",
    "Undecided",
    "UnknownKey",
    "Unsealed",
    "Unusable",
    "UpstreamError",
    "VersionConflict",
    "WrongMediaType",
    "WrongMethod",
]


class SignalsError(Exception):
    """Base of every error of this package; never raised itself."""

    status: int = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallerError(SignalsError):
    """The caller has to change something; never raised itself."""

    status = 400


class InvalidTarget(CallerError):
    """A request target that is not one of ours but could be taken for one, or names a thing badly."""


class InvalidParameter(CallerError):
    """A query parameter that is unknown, repeated or malformed."""


class InvalidBody(CallerError):
    """A body that is not the one JSON object it has to be."""


@dataclass(frozen=True, slots=True)
class Detail:
    """What is wrong with one attribute. ``value`` is shown to the caller: never that of a secret."""

    error: str
    value: Any = None
    expected: Any = None

    def as_json(self) -> dict[str, Any]:
        """Return the members that were given."""
        members = {"error": self.error, "value": self.value, "expected": self.expected}
        return {name: member for name, member in members.items() if member is not None}


_MOST_DETAILS: Final = 100


class InvalidAccount(CallerError):
    """An account that breaks its schema, with every error at once, by attribute (``default_to.0``).

    Of more than a hundred, the first hundred are listed, and how many more there are.
    """

    def __init__(self, details: Mapping[str, Sequence[Detail]]) -> None:
        count = sum(len(found) for found in details.values())
        if count == 1:
            ((attribute, (only,)),) = details.items()
            super().__init__(f"'{attribute}': {only.error}")
        else:
            super().__init__(f"{count} errors; see detail.")
        self.details = _first(details, count)


class InvalidMessage(InvalidAccount):
    """A message that breaks the schema of its type, or lacks what no default fills in."""


def _first(details: Mapping[str, Sequence[Detail]], count: int) -> Mapping[str, Sequence[Detail]]:
    if count <= _MOST_DETAILS:
        return details
    each = [(attribute, detail) for attribute, found in details.items() for detail in found]
    first: dict[str, list[Detail]] = {}
    for attribute, detail in each[:_MOST_DETAILS]:
        first.setdefault(attribute, []).append(detail)
    return {**first, "…": [Detail(f"and {count - _MOST_DETAILS} more")]}


class Unauthenticated(CallerError):
    """No identity came with the request; ``challenges`` are the values for ``WWW-Authenticate``."""

    status = 401

    def __init__(self, message: str, challenges: Sequence[str]) -> None:
        super().__init__(message)
        self.challenges = challenges


class Forbidden(CallerError):
    """This caller may not do this; ``user`` is who that is, for the audit trail, if it is known."""

    status = 403

    def __init__(self, message: str, user: str | None = None) -> None:
        super().__init__(message)
        self.user = user


class NotFound(CallerError):
    """No such account."""

    status = 404


class WrongMethod(CallerError):
    """A method that this target does not have; ``allowed`` are those that it has."""

    status = 405

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = allowed


class VersionConflict(CallerError):
    """Somebody else changed the account since it was read."""

    status = 409


class InUse(CallerError):
    """An account that a watch names cannot be deleted."""

    status = 409


class NewerAccount(CallerError):
    """The stored account has attributes that this version does not know and would drop."""

    status = 409


class BodyTooLarge(CallerError):
    """A body over the limit."""

    status = 413


class WrongMediaType(CallerError):
    """A body or a content coding that is not understood."""

    status = 415


class Unusable(CallerError):
    """An account that is disabled, or for which its type has no delivery."""

    status = 409


class TooManyAttempts(CallerError):
    """Too many log-ins have failed; the next is looked at after ``retry_after_s`` seconds."""

    status = 429

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooOften(CallerError):
    """An account, or a caller, delivers too often; the next is taken after ``retry_after_s``."""

    status = 429

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SealingError(SignalsError):
    """A stored account that cannot be opened; never raised itself."""

    status = 409


class UnknownKey(SealingError):
    """The key that sealed the account is not in the keyring."""


class Forged(SealingError):
    """The account is not what was sealed: something in it was changed, moved or cut."""


class Unsealed(SealingError):
    """The account carries no box: it did not come from a registry."""


class UpstreamError(SignalsError):
    """The cluster did not do its part; never raised itself."""

    status = 502


class NotConnected(UpstreamError):
    """No connection could be made. Nothing was sent, so a repeat is safe."""

    status = 503


class Rejected(UpstreamError):
    """Too many requests wait for a place at a node already. Nothing was sent."""

    status = 429


class Lost(UpstreamError):
    """The connection ended, or made no sense, after something was sent."""


class TimedOut(UpstreamError):
    """No answer within the time that was set."""

    status = 504


class Refused(UpstreamError):
    """The cluster answered with an error that the registry cannot work with."""


class Unavailable(Refused):
    """The cluster answered that it cannot do it now. Nothing was done; a repeat may succeed."""

    status = 503


class ForeignIndex(UpstreamError):
    """The registry's index has a mapping or a setting that this registry did not make."""

    status = 503


class SharedIdentity(UpstreamError):
    """The cluster takes everybody who brings no credentials for the user of our certificate."""

    status = 503


class Undecided(UpstreamError):
    """The backend that decides on rights did not answer, or with nothing that can be relied on."""

    status = 503


class DeliveryFailed(SignalsError):
    """A message was not delivered, an account not checked, or nobody knows whether it was.

    ``step`` and ``reason`` are of the closed sets of ``delivery.report``. ``handed_over`` tells
    whether the service may have taken the message, ``mendable`` whether the same may succeed later.
    ``repeatable`` allows another try at once, not before ``retry_after_s`` if the service named a
    time; unless said otherwise it is what may be repeated by anybody. ``answer`` are the known
    parts of what the service said, without secrets. ``duration_ms`` is set by who made all tries.

    Elasticsearch's clients repeat a 502 by themselves, and never a 424: so it is a 502 only where a
    repeat may help, and cannot deliver twice.
    """

    def __init__(
        self,
        message: str,
        *,
        step: str,
        reason: str,
        handed_over: bool = False,
        mendable: bool = False,
        repeatable: bool | None = None,
        retry_after_s: float | None = None,
        answer: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.step = step
        self.reason = reason
        self.handed_over = handed_over
        self.status = 502 if mendable and not handed_over else 424
        self.repeatable = self.status == 502 if repeatable is None else repeatable
        self.retry_after_s = retry_after_s
        self.answer = answer or {}
        self.duration_ms = 0


class NotRecorded(SignalsError):
    """A call that the audit trail has to be told of before it is done, and could not be."""

    status = 503


class ConfigError(SignalsError):
    """A setting, a file or a machine that does not allow a start; ``remedy`` says what to do.

    ``line`` counts from one; ``path`` is the setting's place, such as ``upstream.hosts.0``.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        file: Path | None = None,
        line: int | None = None,
        path: str = "",
    ) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.file = file
        self.line = line
        self.path = path

    def __str__(self) -> str:
        place = str(self.file or "")
        if self.line is not None:
            place += f":{self.line}"
        return ": ".join(part for part in (place, self.path, self.message) if part)
