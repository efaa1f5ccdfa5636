"""Messages to any service that takes an HTTP request."""

from collections.abc import Iterable, Mapping
from typing import Any

from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.delivery.answers import failure
from signals_proxy.delivery.delivery import REACHABLE, Attempt, Message, Place
from signals_proxy.delivery.http import (
    Http,
    HttpDelivery,
    Request,
    basic,
    encoded,
    place_of,
)
from signals_proxy.delivery.tokens import Tokens
from signals_proxy.errors import Detail, InvalidMessage

__all__ = ["Webhook"]


class Webhook(HttpDelivery):
    """The body is a text, or JSON. An ``Idempotency-Key`` is passed on as it is."""

    def __init__(self, http: Http, tokens: Tokens) -> None:
        super().__init__(http)
        self._tokens = tokens

    def places(self, account: Account) -> Iterable[Place]:
        yield place_of("url", account.secrets["url"].reveal())
        auth = _auth(account)
        if auth.get("type") == "oauth2":
            yield place_of("auth", auth["token_url"])

    def prepare(self, account: Account, message: Message) -> Message:
        if "body" in message and account.public["method"] == "GET":
            why = "Not with this account: its method is GET, which has no body"
            raise InvalidMessage({"body": [Detail(why)]})
        return message

    async def check(self, attempt: Attempt) -> str:
        await self._http.reach(Request("url", attempt.account.secrets["url"].reveal()), attempt)
        return REACHABLE

    async def send(self, attempt: Attempt, message: Message) -> Mapping[str, Json]:
        account, auth = attempt.account, _auth(attempt.account)
        body, fields = message.get("body", ""), {}
        if "body" in message:
            is_text = isinstance(body, str)
            fields["Content-Type"] = "text/plain; charset=utf-8" if is_text else "application/json"
        if attempt.key is not None:
            fields["Idempotency-Key"] = attempt.key
        own = account.secrets["headers"].reveal() if "headers" in account.secrets else {}
        request = Request(
            "url",
            account.secrets["url"].reveal(),
            # Of names that differ in upper and lower case alone, aiohttp takes the last.
            {**fields, **own, **await self._authorization(auth, attempt)},
            body.encode() if isinstance(body, str) else encoded(body),
            str(account.public["method"]),
            reads=False,
        )
        answer = await self._http.exchange(request, attempt)
        status: dict[str, Json] = {"status": answer.status}
        if 200 <= answer.status < 300:
            if auth.get("type") == "oauth2":
                self._tokens.ended_well(auth, attempt)
            return status
        failed = failure(answer, status)
        if answer.status == 401 and auth.get("type") == "oauth2":
            failed.repeatable = self._tokens.forget(auth, attempt)
        raise failed

    async def _authorization(self, auth: Mapping[str, Any], attempt: Attempt) -> dict[str, str]:
        match auth.get("type"):
            case "basic":
                return {"Authorization": basic(auth["user"], auth["password"])}
            case "bearer":
                return {"Authorization": f"Bearer {auth['token']}"}
            case "oauth2":
                token = await self._tokens.token(auth, attempt)
                return {"Authorization": f"Bearer {token.reveal()}"}
            case _:
                return {}


def _auth(account: Account) -> Mapping[str, Any]:
    secret = account.secrets.get("auth")
    return secret.reveal() if secret is not None else {}
