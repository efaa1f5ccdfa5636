"""``authorization`` in the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from signals_proxy.authorization.rights import Grant
from signals_proxy.secret import Secret

__all__ = ["AuthorizationSettings", "User"]


@dataclass(frozen=True, slots=True)
class User:
    """Somebody whom the configuration itself names, with the roles that it gives him.

    ``password_hash`` is what libsodium's ``crypto_pwhash_str`` makes (argon2id).
    """

    password_hash: Secret
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuthorizationSettings:
    """Which backend decides, one to a deployment.

    ``hostnames`` are further names of the proxy's own, without ports; only ``none`` looks at them.
    ``cache_s`` is for how long a decision stands. ``roles`` are those of the cluster with
    ``opensearch``, with ``static`` those of ``users``.
    """

    backend: Literal["elasticsearch", "opensearch", "static", "none"] = "none"
    hostnames: tuple[str, ...] = ()
    cache_s: float = 10.0
    roles: Mapping[str, tuple[Grant, ...]] = field(default_factory=dict)
    users: Mapping[str, User] = field(default_factory=dict)
