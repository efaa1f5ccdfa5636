"""``authorization`` in the configuration."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["AuthorizationSettings"]


@dataclass(frozen=True, slots=True)
class AuthorizationSettings:
    """Which backend decides, one to a deployment.

    ``hostnames`` are further names of the proxy's own, without ports; only ``none`` looks at them.
    """

    backend: Literal["none"] = "none"
    hostnames: tuple[str, ...] = ()
