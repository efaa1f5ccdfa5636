"""Who may do what: one question, asked before anything else of every account call.

A backend answers it with the caller's own credentials. What it cannot decide it refuses: an
authorizer that fails never means yes.
"""

from signals_proxy.authorization.none import Anybody
from signals_proxy.authorization.question import (
    Action,
    Authorizer,
    Caller,
    Identity,
)
from signals_proxy.authorization.rights import Grant, Rights
from signals_proxy.authorization.settings import AuthorizationSettings, User

__all__ = [
    "Action",
    "Anybody",
    "AuthorizationSettings",
    "Authorizer",
    "Caller",
    "Grant",
    "Identity",
    "Rights",
    "User",
]
