"""The backend ``elasticsearch``: by privileges that the caller has in the cluster.

It is asked whether the caller has the action as a privilege on the cluster, or as one of the
application ``signals_proxy`` on the account. Each of them is enough, so ``has_all_requested`` says
nothing here. Privileges cannot be listed, only asked for: so a search needs the right to all that
it may find.
"""

import json
from typing import Any, Final

from signals_proxy.account.ref import Ref
from signals_proxy.authorization.asking import Asking, unclear
from signals_proxy.authorization.cache import Cache
from signals_proxy.authorization.question import Action, Caller, Identity
from signals_proxy.authorization.rights import forbidden

__all__ = ["HasPrivileges"]

_REQUEST: Final = "POST /_security/user/_has_privileges"
_APPLICATION: Final = "signals_proxy"
_ON_THE_CLUSTER: Final = "cluster:admin:searchguard:signals:"


class HasPrivileges:
    """Lets callers do what their privileges say; a decision stands for ``cache_s`` seconds."""

    def __init__(self, asking: Asking, cache_s: float) -> None:
        self._asking = asking
        self._decisions: Cache[tuple[str, bool]] = Cache(cache_s)
        self.lookups = self._decisions.lookups

    async def require(
        self, action: Action, ref: Ref | None, tenant: str | None, caller: Caller
    ) -> Identity:
        """See :class:`~.question.Authorizer`."""
        if ref is not None:
            # In the question this is a pattern, too; no name holds anything that is special there.
            resource, tenant = ref.document_id, ref.tenant
        else:
            resource = "*" if tenant is None else f"{tenant}/*"
        name, may = await self._decisions.get(
            [*self._asking.credentials(caller), action.value, resource],
            lambda: self._decision(action, resource, caller, is_global=tenant is None),
        )
        if not may:
            raise forbidden(name, action, ref, tenant)
        return Identity(name)

    async def _decision(
        self, action: Action, resource: str, caller: Caller, *, is_global: bool
    ) -> tuple[str, bool]:
        """Return the caller's name, and whether it has the right."""
        privilege = f"account/{action.value}"
        on_the_cluster = [_ON_THE_CLUSTER + privilege] if is_global else []
        question = {
            "cluster": on_the_cluster,
            "application": [
                {
                    "application": _APPLICATION,
                    "privileges": [privilege],
                    "resources": [resource],
                }
            ],
        }
        told = await self._asking.answer(_REQUEST, caller, json.dumps(question).encode())
        name = told.get("username")
        if not isinstance(name, str) or not name:
            raise unclear(_REQUEST)
        has = [_has(told, "cluster", each) for each in on_the_cluster]
        has.append(_has(told, "application", _APPLICATION, resource, privilege))
        return name, any(has)


def _has(told: Any, *path: str) -> bool:
    """Return what is told about one privilege. Raises ``Undecided`` if nothing is."""
    for member in path:
        told = told.get(member) if isinstance(told, dict) else None
    if not isinstance(told, bool):
        raise unclear(_REQUEST)
    return told
