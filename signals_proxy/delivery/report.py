"""What is known of a delivery: how far it got, how it ended, and why.

Rules of the file: steps and reasons are closed sets. They are in answers, metrics and the health
of accounts, and clients decide by them: a new one is a change of the API.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from signals_proxy.account.body import Json

__all__ = ["Progress", "Reason", "Report", "Step"]


class Step(StrEnum):
    """What is done one after the other to reach a service."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    AUTH = "auth"
    SEND = "send"


class Reason(StrEnum):
    """Why a delivery failed."""

    NOT_ALLOWED = "destination_not_allowed"
    NAME_NOT_RESOLVED = "name_not_resolved"
    NOT_CONNECTED = "not_connected"
    PROXY_FAILED = "proxy_failed"
    CERTIFICATE_REFUSED = "certificate_refused"
    TLS_FAILED = "tls_failed"
    TLS_NOT_OFFERED = "start_tls_not_offered"
    AUTH_NOT_OFFERED = "auth_not_offered"
    CREDENTIALS_REFUSED = "credentials_refused"
    RECIPIENTS_REFUSED = "recipients_refused"
    REFUSED = "refused"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    REDIRECTED = "redirected"
    TIMED_OUT = "timed_out"
    DISCONNECTED = "disconnected"
    OUTCOME_UNKNOWN = "outcome_unknown"
    BAD_ANSWER = "bad_answer"


@dataclass(slots=True)
class Progress:
    """How far one try has got. Whoever makes it says so, before each step.

    ``handed_over`` is set just before the first byte that the service could act upon: from then on
    nobody can say that the message was not taken, unless the service does.
    """

    step: Step = Step.RESOLVE
    handed_over: bool = False
    _begun: list[tuple[Step, float]] = field(default_factory=list)

    def begin(self, step: Step) -> None:
        """Note that this step begins now, and the one before has ended."""
        self.step = step
        self._begun.append((step, time.monotonic()))

    def steps(self) -> list[dict[str, Json]]:
        """Return the steps so far, with the time that each took, in milliseconds."""
        ends = [begun for _, begun in self._begun[1:]] + [time.monotonic()]
        return [
            {"step": step.value, "duration_ms": round((end - begun) * 1000)}
            for (step, begun), end in zip(self._begun, ends, strict=False)
        ]


@dataclass(frozen=True, slots=True)
class Report:
    """How a delivery, or a check, ended well.

    ``answer`` are the known parts of what the service said; ``proved`` what a check has shown,
    ``authenticated`` or ``reachable``. ``delivered`` is false where an account only simulates.
    """

    duration_ms: int
    answer: Mapping[str, Json]
    steps: list[dict[str, Json]]
    proved: str | None = None
    delivered: bool = True
