"""What a handler works with: the other rooms, one call, and the question that comes first."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from signals_proxy.account import message
from signals_proxy.account.account_type import AccountType
from signals_proxy.account.keyring import Keyring
from signals_proxy.account.message import MessageSchema
from signals_proxy.account.ref import Ref
from signals_proxy.api import receive
from signals_proxy.authorization import Action, Authorizer, Identity
from signals_proxy.delivery.deliveries import Deliveries
from signals_proxy.delivery.fair_use import Buckets, Shares
from signals_proxy.delivery.settings import DeliverySettings
from signals_proxy.delivery.types import by_type
from signals_proxy.errors import Forbidden, TooManyAttempts, Unauthenticated
from signals_proxy.registry.documents import Registry
from signals_proxy.registry.health import Health
from signals_proxy.telemetry.audit import Audit, Entry

__all__ = ["Call", "Published", "Rooms", "Sending", "permit", "require", "require_account"]


@dataclass(frozen=True, slots=True)
class Published:
    """What everybody is told: the schema of each type by its name, and the OpenAPI document."""

    schemas: Mapping[str, Any]
    openapi: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sending:
    """What accounts are used with.

    ``max_body`` is in bytes; ``ended`` counts deliveries and checks by account type, action and
    outcome, for the metrics.
    """

    deliveries: Deliveries
    messages: Mapping[str, MessageSchema]
    health: Health
    account_buckets: Buckets
    caller_buckets: Buckets
    memory: Shares
    max_body: int
    ended: Counter[tuple[str, ...]] = field(default_factory=Counter)

    @classmethod
    def by(cls, settings: DeliverySettings, health: Health) -> "Sending":
        """Return what the settings ask for."""
        return cls(
            deliveries=Deliveries(settings, by_type(settings)),
            messages=message.load(),
            health=health,
            account_buckets=Buckets(settings.account_rate),
            caller_buckets=Buckets(settings.caller_rate),
            memory=Shares(settings.memory),
            max_body=settings.max_body,
        )


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the handlers work with.

    ``body_timeout_s`` bounds the arrival of one body; ``fields`` are those that can be searched, as
    ``query.searchable`` says.
    """

    registry: Registry
    keyring: Keyring
    types: Mapping[str, AccountType]
    authorizer: Authorizer
    audit: Audit
    sending: Sending
    body_timeout_s: float
    fields: Mapping[str, str]
    published: Published


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the account API: the request, and what is known of it.

    ``path`` is the request target without its query, for messages; ``ref`` the account that it is
    about, if it is about one, ``tenant`` that of a search and ``type`` that of a schema; ``entry``
    the audit entry.
    """

    rooms: Rooms
    request: web.Request
    path: str
    parameters: tuple[tuple[str, str], ...]
    ref: Ref | None
    entry: Entry
    tenant: str | None = None
    type: str | None = None


async def require(call: Call, action: Action, ref: Ref | None, tenant: str | None) -> Identity:
    """Ask the authorizer, note and return what it says; ``ref`` and ``tenant`` as it takes them.

    Raises what it raises, and :class:`NotRecorded` where a call has to be recorded before it is
    done and cannot be.
    """
    call.entry.action, call.entry.tenant = action.value, tenant
    identity = await permit(call, action, ref, tenant)
    await call.rooms.audit.intend(call.entry)
    return identity


async def require_account(call: Call, action: Action) -> tuple[Ref, Identity]:
    """Ask as :func:`require` does about the account of a call; return it, and who asks."""
    ref = call.ref
    assert ref is not None  # noqa: S101  a target that has this handler names an account
    return ref, await require(call, action, ref, ref.tenant)


async def permit(call: Call, action: Action, ref: Ref | None, tenant: str | None) -> Identity:
    """Ask the authorizer for a right, and note what it says. Raises what it raises."""
    entry = call.entry
    caller = receive.caller(call.request, entry.address)
    try:
        identity = await call.rooms.authorizer.require(action, ref, tenant, caller)
    except (Unauthenticated, Forbidden, TooManyAttempts) as error:
        entry.allowed = False
        entry.user = error.user if isinstance(error, Forbidden) else None
        raise
    entry.allowed = True
    entry.user = identity.name
    return identity
