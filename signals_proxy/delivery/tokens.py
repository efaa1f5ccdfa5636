"""Access tokens by OAuth 2.0 client credentials (RFC 6749 section 4.4), in memory only.

Rules of the file:

- A token serves one state of one account. All who need it at once wait for the same one.
- The client's secret goes to whom the system's authorities, or the account's, vouch for: that the
  account trusts its server whatever it shows says nothing about the server that gives out tokens.
"""

import asyncio
import base64
import hashlib
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from signals_proxy.delivery import tls
from signals_proxy.delivery.answers import Answer, failure
from signals_proxy.delivery.delivery import Attempt
from signals_proxy.delivery.http import Http, Request
from signals_proxy.delivery.report import Reason, Step
from signals_proxy.errors import DeliveryFailed
from signals_proxy.secret import Secret

__all__ = ["Tokens"]

_MOST_KEPT: Final = 256
_LONGEST_S: Final = 24 * 3600
_FRESH: Final = 0.9  # of a token's time: what is left is for its way, and for clocks
_TOKEN: Final = re.compile("[!-~]{1,16384}")


@dataclass(slots=True)
class _Kept:
    token: Secret | None = None
    until: float = 0.0
    good: Secret | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Tokens:
    """The tokens of all accounts; of too many, those used least recently are forgotten.

    ``clock`` tells seconds.
    """

    def __init__(self, http: Http, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def token(self, oauth2: Mapping[str, Any], attempt: Attempt) -> Secret:
        """Return a token for ``token_url, client_id, client_secret, scope``; a new one if need be.

        Raises :class:`DeliveryFailed`.
        """
        kept = self._of(oauth2, attempt)
        async with kept.lock:
            if kept.token is None or self._clock() >= kept.until:
                kept.token, lasts_s = await self._ask(oauth2, attempt)
                kept.until = self._clock() + lasts_s * _FRESH
            attempt.borrowed.append(kept.token)
            return kept.token

    def ended_well(self, oauth2: Mapping[str, Any], attempt: Attempt) -> None:
        """Note that the last token of an attempt was accepted."""
        self._of(oauth2, attempt).good = attempt.borrowed[-1]

    def forget(self, oauth2: Mapping[str, Any], attempt: Attempt) -> bool:
        """Forget the last token of an attempt, which was refused; tell whether another may do.

        So it is if the token had been accepted before, and was revoked, or another is there by now.
        If it never was, the account's credentials are wrong.
        """
        kept, refused = self._of(oauth2, attempt), attempt.borrowed[-1]
        if kept.token is refused:
            kept.token = None
        return kept.token is not None or kept.good is refused

    def _of(self, oauth2: Mapping[str, Any], attempt: Attempt) -> _Kept:
        whose = [attempt.account.ref.document_id, attempt.version, oauth2]
        name = hashlib.sha256(json.dumps(whose, sort_keys=True).encode()).hexdigest()
        kept = self._kept.setdefault(name, _Kept())
        self._kept.move_to_end(name)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return kept

    async def _ask(self, oauth2: Mapping[str, Any], attempt: Attempt) -> tuple[Secret, float]:
        trust = tls.context_for_tokens
        try:
            answer = await self._http.exchange(_with_basic(oauth2), attempt, trust)
            # Every server has to take that, says section 2.3.1; not every one does.
            if answer.status in {400, 401}:
                answer = await self._http.exchange(_with_body(oauth2), attempt, trust)
            return _token_in(answer)
        except DeliveryFailed as error:
            error.step = Step.AUTH  # whatever it was, it was not on the way to the service
            raise


def _with_basic(oauth2: Mapping[str, Any]) -> Request:
    pair = f"{quote_plus(oauth2['client_id'])}:{quote_plus(oauth2['client_secret'])}"
    credentials = base64.b64encode(pair.encode()).decode()
    return _request(oauth2, {"Authorization": f"Basic {credentials}"}, {})


def _with_body(oauth2: Mapping[str, Any]) -> Request:
    return _request(oauth2, {}, {name: oauth2[name] for name in ("client_id", "client_secret")})


def _request(
    oauth2: Mapping[str, Any], headers: Mapping[str, str], form: Mapping[str, str]
) -> Request:
    scope = {"scope": oauth2["scope"]} if "scope" in oauth2 else {}
    return Request(
        "oauth2",
        oauth2["token_url"],
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            **headers,
        },
        urlencode({"grant_type": "client_credentials", **scope, **form}).encode(),
        acts=False,
    )


def _token_in(answer: Answer) -> tuple[Secret, float]:
    """Return the token of an answer (section 5.1), and how many seconds it lasts."""
    members = answer.members()
    said = answer.texts("error", "error_description")
    if answer.status == 200:
        token, kind = members.get("access_token"), str(members.get("token_type"))
        if isinstance(token, str) and _TOKEN.fullmatch(token) and kind.lower() == "bearer":
            return Secret(token), _seconds(members.get("expires_in"))
        raise DeliveryFailed(
            "The token URL gave an answer without a bearer token; is the URL right?",
            step=Step.AUTH,
            reason=Reason.BAD_ANSWER,
        )
    if answer.status in {400, 401, 403}:
        raise DeliveryFailed(
            "The token URL gave no token for the account's client id, secret and scope; PUT the"
            " account again with others.",
            step=Step.AUTH,
            reason=Reason.CREDENTIALS_REFUSED,
            answer=said,
        )
    raise failure(answer, said, acts=False)


def _seconds(lasts: object) -> float:
    """Return how long a token lasts. If nobody says, it is used once."""
    return float(min(int(lasts), _LONGEST_S)) if re.fullmatch("[0-9]{1,9}", str(lasts)) else 0.0  # type: ignore[call-overload]
