"""Every delivery that a worker makes: its tries, its deadline, and what is told of it.

Rules of the file:

- The account is read, verified and open anew before every try: an emergency stop holds at once.
- There is one deadline for all tries and the pauses between them; to read the account again, which
  its own time limits bound, may add to it.
- Nothing that a service said leaves this file with a secret of the account in it.
- Once begun a delivery goes on to its end, whoever leaves meanwhile: see the caller.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.delivery.delivery import Attempt, Delivery, Message
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.mask import Masks, cut
from signals_proxy.delivery.report import Reason, Report
from signals_proxy.delivery.settings import DeliverySettings
from signals_proxy.errors import DeliveryFailed, Detail, InvalidAccount, SignalsError, Unusable

__all__ = ["Deliveries", "Opened", "Outcome", "Read"]

_FIRST_PAUSE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Opened:
    """A verified account, and the state of it that was read: see ``Attempt.version``."""

    account: Account
    version: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one try ended well: see ``Report``."""

    answer: Mapping[str, Json]
    delivered: bool
    proved: str | None = None


Read = Callable[[], Awaitable[Opened]]


class Deliveries:
    """The deliveries of all types, by account type."""

    def __init__(self, settings: DeliverySettings, by_type: Mapping[str, Delivery]) -> None:
        self._settings = settings
        self._by_type = by_type
        self._egress = Egress(settings)

    def require_allowed(self, account: Account) -> None:
        """Raise :class:`InvalidAccount` for an account that is not allowed, or leads to where nothing is."""
        delivery = self._by_type.get(account.ref.type)
        details: dict[str, list[Detail]] = {}
        types = self._settings.types
        if types is not None and account.ref.type not in types:
            details["type"] = [Detail("Not among 'registry.types'", expected=sorted(types))]
        for place in delivery.places(account) if delivery else ():
            why = self._egress.objection(place)
            if why is not None:
                details.setdefault(place.attribute, []).append(Detail(why))
        if details:
            raise InvalidAccount(details)

    async def send(self, read: Read, message: Message, key: str | None) -> Report:
        """Deliver a message, which fits the schema of its type; ``key`` is an ``Idempotency-Key``.

        Raises :class:`DeliveryFailed`, :class:`InvalidMessage` and :class:`Forbidden` of
        :meth:`Delivery.prepare`, :class:`Unusable`, and whatever ``read`` raises.
        """

        async def act(delivery: Delivery, attempt: Attempt) -> Outcome:
            # In a thread: 256 recipients against as many patterns take most of a second.
            prepared = await asyncio.to_thread(delivery.prepare, attempt.account, message)
            if attempt.account.public.get("simulate"):
                return Outcome({"simulated": True}, delivered=False)
            return Outcome(await delivery.send(attempt, prepared), delivered=True)

        return await self._tried(read, act, key)

    async def check(self, read: Read) -> Report:
        """Check an account without sending to anybody. Raises as :meth:`send` does."""

        async def act(delivery: Delivery, attempt: Attempt) -> Outcome:
            return Outcome({}, delivered=False, proved=await delivery.check(attempt))

        return await self._tried(read, act, None)

    async def _tried(
        self,
        read: Read,
        act: Callable[[Delivery, Attempt], Awaitable[Outcome]],
        key: str | None,
    ) -> Report:
        begun = time.monotonic()
        opened = await read()
        attempt = Attempt(opened.account, opened.version, key)
        delivery, tries = self._of(opened.account), 0
        unknown: tuple[DeliveryFailed, Attempt] | None = None
        deadline = begun + self._limit_s(opened.account)
        while True:
            tries += 1
            try:
                if tries > 1:
                    opened = await read()
                    if unknown is not None and opened.version != attempt.version:
                        # It may lead elsewhere now, where nobody drops what came twice.
                        raise Unusable("The account has been changed meanwhile.")
                    attempt = Attempt(opened.account, opened.version, key)
                outcome = await _in_time(act(delivery, attempt), attempt, deadline)
            except DeliveryFailed as error:
                # Once it may have been taken, no later try can tell that it was not.
                unknown = (error, attempt) if error.handed_over else unknown
                pause_s = _pause_s(error, tries)
                again = error.repeatable and tries < delivery.tries
                if not again or time.monotonic() + pause_s >= deadline:
                    raise _told(*(unknown or (error, attempt)), begun) from None
            except SignalsError:
                if unknown is None:
                    raise
                # What stands in the way of another try says nothing of the one before.
                raise _told(*unknown, begun) from None
            else:
                return _report(outcome, attempt, begun)
            await asyncio.sleep(pause_s)

    def _limit_s(self, account: Account) -> float:
        own = account.public.get("session_timeout")
        return (
            min(own, self._settings.timeout_s) if isinstance(own, int) else self._settings.timeout_s
        )

    def _of(self, account: Account) -> Delivery:
        name, types = account.ref.type, self._settings.types
        delivery = self._by_type.get(name)
        if delivery is None or (types is not None and name not in types):
            raise Unusable(f"Nothing can be delivered through accounts of type {name} here.")
        return delivery


async def _in_time(act: Awaitable[Outcome], attempt: Attempt, deadline: float) -> Outcome:
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await act
    except TimeoutError:
        handed_over = attempt.progress.handed_over
        raise DeliveryFailed(
            "The service has not answered in time"
            + (
                ", and may have taken the message." if handed_over else "; nothing was handed over."
            ),
            step=attempt.progress.step,
            reason=Reason.OUTCOME_UNKNOWN if handed_over else Reason.TIMED_OUT,
            handed_over=handed_over,
            mendable=True,
            repeatable=False,
        ) from None


def _pause_s(error: DeliveryFailed, tries: int) -> float:
    """Return how long to wait before the next try: as the service asks, or longer each time."""
    if error.retry_after_s is not None:
        return error.retry_after_s
    # Proxies that fail together are not to try again together.
    return _FIRST_PAUSE_S * 2.0 ** (tries - 1) * random.uniform(0.5, 1.5)  # noqa: S311


def _told(error: DeliveryFailed, attempt: Attempt, begun: float) -> DeliveryFailed:
    """Return the error as it may be shown."""
    masks = Masks(attempt.account, attempt.borrowed)
    known = attempt.known if error.handed_over else {}
    shown = DeliveryFailed(
        cut(error.message),
        step=error.step,
        reason=error.reason,
        handed_over=error.handed_over,
        mendable=error.status == 502,
        retry_after_s=error.retry_after_s,
        answer=masks.answer({**known, **error.answer}),
    )
    shown.duration_ms = _since(begun)
    return shown


def _report(outcome: Outcome, attempt: Attempt, begun: float) -> Report:
    return Report(
        steps=attempt.progress.steps(),
        duration_ms=_since(begun),
        answer=Masks(attempt.account, attempt.borrowed).answer(outcome.answer),
        proved=outcome.proved,
        delivered=outcome.delivered,
    )


def _since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)
