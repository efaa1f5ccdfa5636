"""Events to PagerDuty, by its Events API v2.

https://developer.pagerduty.com/docs/events-api-v2/overview/, and "API Response Codes & Retry Logic" in
https://github.com/PagerDuty/api-schema/blob/main/reference/events-v2/openapiv3.json
"""

from collections.abc import Iterable, Mapping
from typing import Final

from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.delivery.answers import failure
from signals_proxy.delivery.delivery import REACHABLE, Attempt, Message, Place
from signals_proxy.delivery.http import (
    HttpDelivery,
    Request,
    encoded,
    place_of,
    require_size,
)
from signals_proxy.delivery.report import Reason
from signals_proxy.errors import DeliveryFailed

__all__ = ["PagerDuty"]

_MOST: Final = 512 * 1024


class PagerDuty(HttpDelivery):
    """An ``Idempotency-Key`` becomes the ``dedup_key`` where there is none.

    An event with a ``dedup_key`` may be sent again whatever became of it: to the same alert.
    """

    def places(self, account: Account) -> Iterable[Place]:
        yield place_of("url", str(account.public["url"]))

    def prepare(self, account: Account, message: Message) -> Message:
        key = account.secrets["integration_key"].reveal()
        event = {"routing_key": key, "event_action": "trigger", **message}
        require_size(event, _MOST, "payload")
        return event

    async def check(self, attempt: Attempt) -> str:
        await self._http.reach(Request("url", str(attempt.account.public["url"])), attempt)
        return REACHABLE

    async def send(self, attempt: Attempt, message: Message) -> Mapping[str, Json]:
        event = dict(message)
        if attempt.key is not None:
            event.setdefault("dedup_key", attempt.key)
            require_size(event, _MOST, "payload")
        if "dedup_key" in event:
            attempt.known["dedup_key"] = event["dedup_key"]
        request = Request(
            "url",
            str(attempt.account.public["url"]),
            {"Content-Type": "application/json"},
            encoded(event),
        )
        try:
            answer = await self._http.exchange(request, attempt)
            said = answer.texts("status", "message", "dedup_key")
            if answer.status == 202:
                return said
            raise failure(answer, said)
        except DeliveryFailed as error:
            if "dedup_key" in event and error.reason is Reason.OUTCOME_UNKNOWN:
                error.repeatable = True
            raise
