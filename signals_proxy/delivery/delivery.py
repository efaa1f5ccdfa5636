"""What each way of delivering has to offer, and what it is given to work with.

A further type that only sends HTTP is one more class of this kind (``teams`` is the shortest), its
schema in ``schemas/account/`` and that of its messages in ``schemas/message/``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from signals_proxy.account.account_type import Account
from signals_proxy.account.body import Json
from signals_proxy.delivery.mask import Masks
from signals_proxy.delivery.report import Progress
from signals_proxy.secret import Secret

__all__ = ["AUTHENTICATED", "REACHABLE", "Attempt", "Delivery", "Message", "Place"]

AUTHENTICATED: Final = "authenticated"
REACHABLE: Final = "reachable"

Message = Mapping[str, Json]
"""A message that fits the schema of its type."""


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere that an account leads to: ``attribute`` says so, ``host`` is a name or an address.

    ``by_proxy`` is set where a SOCKS proxy resolves the name, and nobody here learns the address.
    """

    attribute: str
    host: str
    port: int
    by_proxy: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to use an account.

    ``account`` was verified in the cluster's answer just before. ``version`` is the state of it,
    different for every change: access tokens are used again within one state only.
    ``key`` is the caller's ``Idempotency-Key``, printable ASCII. ``borrowed`` are the access tokens
    that were got for it: they are to be told as little as the account's own secrets. ``known`` is
    what the message can be looked for by, if nobody knows whether it was taken.
    """

    account: Account
    version: str
    key: str | None = None
    progress: Progress = field(default_factory=Progress)
    borrowed: list[Secret] = field(default_factory=list)
    known: dict[str, Json] = field(default_factory=dict)

    def masked(self, said: str) -> str:
        """Return words of a service as a message may quote them: see ``mask``."""
        return Masks(self.account, self.borrowed).text(said)


class Delivery(Protocol):
    """How accounts of one type deliver. Objects are made once for a worker, and hold no account."""

    tries: int
    """How often a message may be tried, if each try fails in a way that allows another."""

    def places(self, account: Account) -> Iterable[Place]:
        """Return everything that the account makes us connect to; for the egress policy."""
        ...

    def prepare(self, account: Account, message: Message) -> Message:
        """Return the message with what the account fills in; nothing is sent.

        Raises :class:`InvalidAccount` with details of what is missing or wrong in the message, and
        :class:`Forbidden` for a recipient, sender, channel or project that is not allowed.
        """
        ...

    async def check(self, attempt: Attempt) -> str:
        """Check the account without sending to anybody; return what is proved by it.

        Raises :class:`DeliveryFailed`.
        """
        ...

    async def send(self, attempt: Attempt, message: Message) -> Mapping[str, Json]:
        """Deliver a prepared message; return the known parts of the service's answer.

        It says in ``attempt.progress`` how far it is: a time limit from outside cancels it anywhere.

        Raises :class:`DeliveryFailed`.
        """
        ...
