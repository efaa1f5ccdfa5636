"""The question and its answer, the same for every backend."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from signals_proxy.account.ref import Ref
from signals_proxy.account.visible import Visible
from signals_proxy.secret import Secret

__all__ = ["Action", "Authorizer", "Caller", "Identity"]


class Action(Enum):
    """What can be done to accounts; the value is the last part of the action's name."""

    GET = "get"
    PUT = "put"
    DELETE = "delete"
    SEARCH = "search"
    TEST = "test"
    SEND = "send"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as the request itself says.

    ``credentials`` are the credential fields that it carries: name in lower case, and value.
    ``address`` is the client's IP address, ``host`` the ``Host`` field as sent.
    """

    credentials: tuple[tuple[str, Secret], ...]
    address: str | None
    host: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a caller turned out to be; ``name`` is None where a backend knows no names.

    ``visible`` are the accounts that a search may find; None where it may find all of its tenant's
    and the global ones.
    """

    name: str | None
    visible: Visible | None = None


class Authorizer(Protocol):
    """A backend that decides."""

    async def require(
        self, action: Action, ref: Ref | None, tenant: str | None, caller: Caller
    ) -> Identity:
        """Return the caller's identity if it may do this to the account ``ref``.

        ``ref`` is None for a search in ``tenant``, which is None for the global one.

        Raises :class:`Unauthenticated` without an identity, :class:`Forbidden` without the right,
        :class:`TooManyAttempts` if it has to wait before it may try again, and an
        :class:`UpstreamError` if nobody could decide.
        """
        ...
