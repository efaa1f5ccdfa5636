"""The backend ``opensearch``: by roles that the caller has in the cluster's security plugin.

The plugin says who the caller is and which roles he has; the configuration says what these roles
may do. So one answer decides all calls of a caller.
"""

from dataclasses import dataclass
from typing import Final

from signals_proxy.account.ref import Ref
from signals_proxy.authorization.asking import Asking, unclear
from signals_proxy.authorization.cache import Cache
from signals_proxy.authorization.question import Action, Caller, Identity
from signals_proxy.authorization.rights import Rights
from signals_proxy.errors import Unauthenticated

__all__ = ["AuthInfo"]

_REQUEST: Final = "GET /_plugins/_security/authinfo"
_ANONYMOUS: Final = "opendistro_security_anonymous"
"""Whom the plugin takes callers for who do not log in, where it lets them; here, they are nobody."""


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    roles: frozenset[str]


class AuthInfo:
    """Lets callers do what ``rights`` give to their roles, which stand for ``cache_s`` seconds."""

    def __init__(self, asking: Asking, cache_s: float, rights: Rights) -> None:
        self._asking = asking
        self._rights = rights
        self._users: Cache[_User] = Cache(cache_s)
        self.lookups = self._users.lookups

    async def require(
        self, action: Action, ref: Ref | None, tenant: str | None, caller: Caller
    ) -> Identity:
        """See :class:`~.question.Authorizer`."""
        credentials = self._asking.credentials(caller)
        user = await self._users.get(credentials, lambda: self._user(caller))
        return self._rights.require(user.name, user.roles, action, ref, tenant)

    async def _user(self, caller: Caller) -> _User:
        told = await self._asking.answer(_REQUEST, caller)
        name, roles = told.get("user_name", ""), told.get("roles")
        if name is None or name == _ANONYMOUS:
            raise Unauthenticated("The cluster knows no user for this.", self._asking.challenges)
        if not isinstance(name, str) or not name or not isinstance(roles, list):
            raise unclear(_REQUEST)
        named = {role for role in roles if isinstance(role, str)}
        return _User(name, frozenset(self._rights.roles.keys() & named))
