"""Messages to Slack, by an incoming webhook or by the token of a bot.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
https://docs.slack.dev/reference/methods/chat.postMessage
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, cast

from signals_proxy.account import glob
from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.account.values import MISSING
from signals_proxy.delivery.answers import Answer, failure
from signals_proxy.delivery.delivery import AUTHENTICATED, REACHABLE, Attempt, Message, Place
from signals_proxy.delivery.http import (
    Http,
    HttpDelivery,
    Request,
    encoded,
    place_of,
)
from signals_proxy.delivery.report import Reason, Step
from signals_proxy.errors import DeliveryFailed, Detail, Forbidden, InvalidMessage

__all__ = ["Slack"]

_CREDENTIALS: Final = {
    *("access_denied", "accesslimited", "account_inactive", "ekm_access_denied"),
    *("enterprise_is_restricted", "invalid_auth", "missing_scope", "no_permission", "not_authed"),
    *("not_allowed_token_type", "org_login_required", "team_access_not_granted", "token_expired"),
    *("token_revoked", "two_factor_setup_required"),
}
_THROTTLED: Final = {"rate_limited", "ratelimited"}
# The last: what was posted was cut on its way.
_UNAVAILABLE: Final = {"service_unavailable", "team_added_to_org", "request_timeout"}
# "It's possible some aspect of the operation succeeded before the error was raised."
_UNKNOWN: Final = {"fatal_error", "internal_error"}
_REMEDIES: Final = {
    "channel_not_found": "; name a channel that exists, and invite the app to it",
    "is_archived": "; name a channel that is in use",
    "missing_scope": "; give the app the scopes chat:write and, for a name or icon of the message's"
    " own, chat:write.customize",
    "not_in_channel": "; invite the app to the channel, or give it the scope chat:write.public",
    "no_service": "; make a new webhook and PUT the account again with its URL",
}


class Slack(HttpDelivery):
    """A webhook posts to its own channel, whatever is named, unless it is of the oldest kind.

    There is nothing to drop a repeat by, so an ``Idempotency-Key`` has no effect.
    """

    def __init__(self, http: Http, api: str) -> None:
        super().__init__(http)
        self._api = api.rstrip("/")

    def places(self, account: Account) -> Iterable[Place]:
        if "url" in account.secrets:
            yield place_of("url", account.secrets["url"].reveal())
        else:
            yield place_of("token", self._api)

    def prepare(self, account: Account, message: Message) -> Message:
        channel = message.get("channel", account.public.get("default_channel"))
        allowed = cast("list[str] | None", account.public.get("allowed_channels"))
        if channel is None:
            if "token" in account.secrets:
                raise InvalidMessage({"channel": [Detail(MISSING)]})
            return message
        if allowed is not None and not any(glob.fits(each, str(channel)) for each in allowed):
            raise Forbidden(f"The account allows no messages to the channel '{channel}'.")
        return {**message, "channel": channel}

    async def check(self, attempt: Attempt) -> str:
        secrets = attempt.account.secrets
        if "url" in secrets:
            await self._http.reach(Request("url", secrets["url"].reveal()), attempt)
            return REACHABLE
        await self._call("auth.test", attempt, {}, acts=False)
        return AUTHENTICATED

    async def send(self, attempt: Attempt, message: Message) -> Mapping[str, Json]:
        secrets = attempt.account.secrets
        if "token" in secrets:
            answer = await self._call("chat.postMessage", attempt, message, acts=True)
            return answer.texts("channel", "ts")
        fields = {"Content-Type": "application/json"}
        request = Request("url", secrets["url"].reveal(), fields, encoded(message))
        answer = await self._http.exchange(request, attempt)
        if answer.status == 200:
            return {}
        word = answer.body.decode("ascii", "replace").strip()
        is_word = re.fullmatch("[a-z_]{1,64}", word)
        raise _named(failure(answer), word if is_word else None, attempt)

    async def _call(self, method: str, attempt: Attempt, message: Message, *, acts: bool) -> Answer:
        fields = {
            "Authorization": f"Bearer {attempt.account.secrets['token'].reveal()}",
            "Content-Type": "application/json; charset=utf-8",
        }
        request = Request("token", f"{self._api}/{method}", fields, encoded(message), acts=acts)
        answer = await self._http.exchange(request, attempt)
        members = answer.members()
        if answer.status == 200 and members.get("ok") is True:
            return answer
        error = members.get("error")
        if answer.status == 200 and members.get("ok") is False and isinstance(error, str):
            raise _named(_refused(error, answer.retry_after_s, acts=acts), error, attempt)
        failed = failure(answer, acts=acts)
        raise _named(failed, error if isinstance(error, str) else None, attempt)


def _named(failed: DeliveryFailed, error: str | None, attempt: Attempt) -> DeliveryFailed:
    """Return a failure with Slack's own word for it."""
    if error is not None:
        shown = attempt.masked(error)[:64]
        perhaps = " It may have taken the message all the same." if failed.handed_over else ""
        failed.message = f"Slack says '{shown}'{_REMEDIES.get(error, '')}.{perhaps}"
        failed.answer = {"error": shown}
    return failed


def _refused(error: str, retry_after_s: float | None, *, acts: bool) -> DeliveryFailed:
    """Return what an error of the Web API means; those that are not listed refuse the message."""
    reason = Reason.REFUSED
    if error in _CREDENTIALS:
        reason = Reason.CREDENTIALS_REFUSED
    elif error in _THROTTLED:
        reason = Reason.THROTTLED
    elif error in _UNKNOWN and acts:
        reason = Reason.OUTCOME_UNKNOWN
    elif error in _UNKNOWN | _UNAVAILABLE:
        reason = Reason.UNAVAILABLE
    return DeliveryFailed(
        "Slack refuses.",
        step=Step.AUTH if reason is Reason.CREDENTIALS_REFUSED else Step.SEND,
        reason=reason,
        handed_over=reason is Reason.OUTCOME_UNKNOWN,
        mendable=reason in {Reason.THROTTLED, Reason.UNAVAILABLE},
        retry_after_s=retry_after_s,
    )
