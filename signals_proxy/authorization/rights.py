"""Rights that the configuration gives to roles: which actions on which accounts.

Rule of the file: denied is what nothing grants. It serves every backend that learns a caller's
roles.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from signals_proxy.account.ref import Ref
from signals_proxy.account.visible import Visible
from signals_proxy.authorization.question import Action, Identity
from signals_proxy.errors import Forbidden

__all__ = ["Grant", "Rights", "forbidden"]


@dataclass(frozen=True, slots=True)
class Grant:
    """Actions on the accounts whose ``[tenant/]type/id`` fits one of the patterns ``accounts``."""

    actions: frozenset[Action]
    accounts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rights:
    """What each role may do, by its name; ``types`` are the names of all account types."""

    roles: Mapping[str, Sequence[Grant]]
    types: Collection[str]

    def require(
        self,
        user: str,
        names: Iterable[str],
        action: Action,
        ref: Ref | None,
        tenant: str | None,
    ) -> Identity:
        """Return the identity of ``user``, with what a search may find.

        ``names`` are his roles: those without rights here grant nothing. ``ref`` and ``tenant`` are
        as :class:`~.question.Authorizer` takes them.

        Raises :class:`Forbidden` if none of the roles grants the action.
        """
        granted = Visible(
            frozenset(
                pattern
                for name in names
                for grant in self.roles.get(name, ())
                if action in grant.actions
                for pattern in grant.accounts
            )
        )
        if ref is not None:
            if not granted.includes(ref):
                raise forbidden(user, action, ref, tenant)
            return Identity(user)
        if granted.query(tenant, self.types) is None:
            raise forbidden(user, action, ref, tenant)
        return Identity(user, granted)


def forbidden(user: str, action: Action, ref: Ref | None, tenant: str | None) -> Forbidden:
    """Return the refusal of an action, which says what is missing."""
    if ref is not None:
        return Forbidden(f"No right to {action.value} the account {ref.document_id}.", user)
    where = "the global accounts" if tenant is None else f"the accounts of tenant {tenant}"
    return Forbidden(f"No right to {action.value} {where}.", user)
