"""Messages to Microsoft Teams, by the URL of a workflow of Power Automate.

https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using
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

__all__ = ["Teams"]

_MOST: Final = 28 * 1024  # "Message size limit is 28 KB"


class Teams(HttpDelivery):
    """A message is a text or an Adaptive Card. There is nothing to drop a repeat by."""

    def places(self, account: Account) -> Iterable[Place]:
        yield place_of("url", account.secrets["url"].reveal())

    def prepare(self, account: Account, message: Message) -> Message:  # noqa: ARG002
        card = message.get("card") or _card(message["text"])
        payload: dict[str, Json] = {
            "type": "message",
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "contentUrl": None,
                    "content": card,
                }
            ],
        }
        require_size(payload, _MOST, "card" if "card" in message else "text")
        return payload

    async def check(self, attempt: Attempt) -> str:
        await self._http.reach(_request(attempt), attempt)
        return REACHABLE

    async def send(self, attempt: Attempt, message: Message) -> Mapping[str, Json]:
        answer = await self._http.exchange(_request(attempt, encoded(message)), attempt)
        status: dict[str, Json] = {"status": answer.status}
        if 200 <= answer.status < 300:
            return status
        raise failure(answer, status)


def _request(attempt: Attempt, body: bytes = b"") -> Request:
    url = attempt.account.secrets["url"].reveal()
    return Request("url", url, {"Content-Type": "application/json"}, body, reads=False)


def _card(text: Json) -> dict[str, Json]:
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "TextBlock", "text": text, "wrap": True}],
    }
