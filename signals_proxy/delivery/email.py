"""Mail, by a server that the account names."""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Final, cast

from signals_proxy.account import glob
from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.account.values import MISSING
from signals_proxy.delivery import mail
from signals_proxy.delivery.delivery import AUTHENTICATED, REACHABLE, Attempt, Message, Place
from signals_proxy.delivery.dial import Socks
from signals_proxy.delivery.egress import Egress
from signals_proxy.delivery.http import place_of
from signals_proxy.delivery.report import Reason, Step
from signals_proxy.delivery.smtp import Conversation, conversation
from signals_proxy.delivery.tokens import Tokens
from signals_proxy.errors import DeliveryFailed, Detail, Forbidden, InvalidMessage

__all__ = ["Email"]

_MOST_RECIPIENTS: Final = 256


class Email:
    """A message is tried once. An ``Idempotency-Key`` becomes its ``Message-ID``."""

    tries = 1

    def __init__(self, egress: Egress, tokens: Tokens) -> None:
        self._egress = egress
        self._tokens = tokens

    def places(self, account: Account) -> Iterable[Place]:
        yield _server(account)
        if "proxy_host" in account.public:
            yield _proxy(account)
        if "oauth2" in account.secrets:
            yield place_of("oauth2", account.secrets["oauth2"].reveal()["token_url"])

    def prepare(self, account: Account, message: Message) -> Message:
        public = account.public
        sender = message.get("from", public.get("default_from"))
        lists: dict[str, Json] = {
            # An empty array is nobody: a default is for what is left out.
            name: [*mail.mailboxes(message.get(name, public.get(f"default_{name}")))]
            for name in ("to", "cc", "bcc")
        }
        recipients = [
            mail.address_of(each) for found in lists.values() for each in mail.mailboxes(found)
        ]
        _require_whole(message, sender, recipients)
        for what, attribute, addresses in (
            ("sender", "allowed_from", [mail.address_of(str(sender))]),
            ("recipient", "allowed_recipients", recipients),
        ):
            allowed = cast("list[str] | None", public.get(attribute))
            for address in addresses:
                if allowed is not None and not _is_among(allowed, address):
                    raise Forbidden(
                        f"The account's '{attribute}' do not allow the {what} {address}."
                    )
        return {**message, "from": sender, **lists}

    async def check(self, attempt: Attempt) -> str:
        async with self._conversation(attempt) as talk:
            await talk.check()
            return AUTHENTICATED if talk.authenticated else REACHABLE

    async def send(self, attempt: Attempt, message: Message) -> Mapping[str, Json]:
        message_id = _message_id(attempt, mail.address_of(str(message["from"])))
        attempt.known["message_id"] = message_id
        # In a thread: an attachment of 10 MiB takes a tenth of a second.
        composed = await asyncio.to_thread(mail.compose, message, message_id, datetime.now(UTC))
        async with self._conversation(attempt) as talk:
            reply, refused = await talk.send(composed)
        answer: dict[str, Json] = {"message_id": message_id, "reply": reply}
        if refused:
            raise DeliveryFailed(
                f"The mail server has taken the message, but not for {', '.join(refused)}.",
                step=Step.SEND,
                reason=Reason.RECIPIENTS_REFUSED,
                handed_over=True,
                answer={**answer, "refused": refused},
            )
        return answer

    def _conversation(self, attempt: Attempt) -> AbstractAsyncContextManager[Conversation]:
        account, socks = attempt.account, None
        if "proxy_host" in account.public:
            user = cast("str | None", account.public.get("proxy_user"))
            socks = Socks(_proxy(account), user, account.secrets.get("proxy_password"))
        return conversation(attempt, _server(account), self._egress, socks, self._tokens)


def _server(account: Account) -> Place:
    public = account.public
    host, port = str(public["host"]), cast("int", public["port"])
    return Place("host", host, port, by_proxy="proxy_host" in public)


def _proxy(account: Account) -> Place:
    public = account.public
    return Place("proxy_host", str(public["proxy_host"]), cast("int", public["proxy_port"]))


def _require_whole(message: Message, sender: Json, recipients: list[str]) -> None:
    """Raise :class:`InvalidMessage` for a message in which something is missing, or too much."""
    details: dict[str, list[Detail]] = {}
    if sender is None:
        details["from"] = [Detail(f"{MISSING}, and the account has no 'default_from'")]
    if not recipients:
        why = f"{MISSING}: no recipient, neither here nor in 'cc', 'bcc' or a default for what is left out"
        details["to"] = [Detail(why)]
    elif len(recipients) > _MOST_RECIPIENTS:
        expected = f"At most {_MOST_RECIPIENTS} recipients in all, copies and defaults included"
        details["to"] = [Detail("Invalid value", expected=expected)]
    if not message.keys() & {"text_body", "html_body"}:
        details["text_body"] = [Detail(f"{MISSING}: 'text_body' or 'html_body'")]
    attachments = cast("Mapping[str, Mapping[str, str]]", message.get("attachments", {}))
    for name, attachment in attachments.items():
        if len(attachment["content"]) % 4:
            place = f"attachments.{name}.content"
            details[place] = [Detail("Invalid value", expected="Base64 with its padding")]
    if details:
        raise InvalidMessage(details)


def _is_among(allowed: list[str], address: str) -> bool:
    return any(glob.fits(pattern.lower(), address.lower()) for pattern in allowed)


def _message_id(attempt: Attempt, sender: str) -> str:
    """Return the same id for the same key of an account, by whatever proxy, and else a new one."""
    unique = secrets.token_hex(16)
    if attempt.key is not None:
        whose = json.dumps([attempt.account.ref.document_id, attempt.key])
        unique = hashlib.sha256(whose.encode()).hexdigest()[:32]
    return f"<{unique}@{sender.rpartition('@')[2]}>"
