"""Who may do what: one question, asked before anything else of every account call.

A backend answers it with the caller's own credentials. What it cannot decide it refuses: an
authorizer that fails never means yes.
"""

from signals_proxy.authorization.asking import Asking
from signals_proxy.authorization.elasticsearch import HasPrivileges
from signals_proxy.authorization.none import Anybody
from signals_proxy.authorization.opensearch import AuthInfo
from signals_proxy.authorization.question import (
    Action,
    Authorizer,
    Caller,
    Identity,
)
from signals_proxy.authorization.rights import Grant, Rights
from signals_proxy.authorization.settings import AuthorizationSettings, User
from signals_proxy.authorization.static import StaticUsers

__all__ = [
    "Action",
    "Anybody",
    "Asking",
    "AuthInfo",
    "AuthorizationSettings",
    "Authorizer",
    "Caller",
    "Grant",
    "HasPrivileges",
    "Identity",
    "Rights",
    "StaticUsers",
    "User",
]
