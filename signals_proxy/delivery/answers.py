"""What the answers of services over HTTP mean, and what it means that there is none.

Rules of the file: 429 and 503 are the only answers after which a message was certainly not taken and
may be taken later. What a server failed with tells nobody whether it had taken it before.
"""

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp

from signals_proxy.account.body import Json, parse
from signals_proxy.delivery.report import Progress, Reason, Step
from signals_proxy.errors import DeliveryFailed, InvalidBody

__all__ = ["Answer", "failure", "retry_after_s", "unanswered"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. ``body`` is empty if it is longer than 64 KiB, or ended too early."""

    status: int
    body: bytes = field(repr=False)
    retry_after_s: float | None = None

    def members(self) -> Mapping[str, Json]:
        """Return the members of the JSON object that the body is; none if it is anything else."""
        try:
            return parse(self.body)
        except InvalidBody:
            return {}

    def texts(self, *names: str) -> dict[str, Json]:
        """Return the members of these names that are texts."""
        members = self.members()
        return {name: members[name] for name in names if isinstance(members.get(name), str)}


def failure(
    answer: Answer, said: Mapping[str, Json] | None = None, *, acts: bool = True
) -> DeliveryFailed:
    """Return what an answer means that is not the one of success; ``said`` is what of it is told."""
    step, mendable, handed_over = Step.SEND, False, False
    match answer.status:
        case 429:
            reason, mendable = Reason.THROTTLED, True
            meaning = "takes no more messages for now; try again later"
        case 503:
            reason, mendable = Reason.UNAVAILABLE, True
            meaning = "is not available; try again later"
        case 401 | 403:
            reason, step = Reason.CREDENTIALS_REFUSED, Step.AUTH
            meaning = "refuses the account's credentials; PUT the account again with others"
        case status if 300 <= status < 400:
            reason = Reason.REDIRECTED
            meaning = "is elsewhere; PUT the account again with the URL that it has now"
        case status if 400 <= status < 500:
            reason = Reason.REFUSED
            meaning = "refuses the message, or knows nothing of the account's URL"
        case status if status >= 500 and acts:
            reason, handed_over = Reason.OUTCOME_UNKNOWN, True
            meaning = "failed, and may have taken the message; look there before you send it again"
        case status if status >= 500:
            reason, mendable = Reason.UNAVAILABLE, True
            meaning = "failed; try again later"
        case _:
            reason, handed_over = Reason.BAD_ANSWER, acts
            meaning = "gave an answer that it has no documented meaning for; is the URL right?"
    return DeliveryFailed(
        f"The service {meaning} (HTTP {_named(answer.status)}).",
        step=step,
        reason=reason,
        handed_over=handed_over,
        mendable=mendable,
        retry_after_s=answer.retry_after_s,
        answer=said,
    )


def _named(status: int) -> str:
    with suppress(ValueError):
        return f"{status} {HTTPStatus(status).phrase}"
    return str(status)


def unanswered(progress: Progress, error: Exception) -> DeliveryFailed:
    """Return what it means that there is no answer, or none that is HTTP."""
    if isinstance(error, aiohttp.ClientResponseError):
        return DeliveryFailed(
            "The answer is not HTTP, or its head is too long; is the URL right?",
            step=progress.step,
            reason=Reason.BAD_ANSWER,
            handed_over=progress.handed_over,
        )
    if progress.handed_over:
        return DeliveryFailed(
            "The connection ended without an answer, and the service may have taken the message;"
            " look there before you send it again.",
            step=progress.step,
            reason=Reason.OUTCOME_UNKNOWN,
            handed_over=True,
        )
    return DeliveryFailed(
        "The connection ended before the request was through; try again later.",
        step=progress.step,
        reason=Reason.DISCONNECTED,
        mendable=True,
    )


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` (RFC 9110 section 10.2.3), which may name a date."""
    if value is None:
        return None
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    with suppress(ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    return None
