"""The backend ``none``: everybody may do everything, for clusters without security.

What is left to refuse is DNS rebinding: a web page whose name is made to point at the loopback
address, so that the browser takes the proxy for the page's own server. Such a request carries the
page's name in ``Host``; so names other than the loopback's have to be listed.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from signals_proxy.account.ref import Ref
from signals_proxy.authorization.question import Action, Caller, Identity
from signals_proxy.errors import Forbidden

__all__ = ["Anybody"]

# RFC 9110 7.2: uri-host [ ":" port ]; RFC 3986 3.2.2, but for the comma, which joins two fields.
_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]+)(?::[0-9]*)?")
_LONGEST_SHOWN: Final = 100


class Anybody:
    """Lets everybody do everything who uses one of the proxy's own names.

    ``hostnames`` are names or addresses without a port, compared case-insensitively; the loopback
    ones (``localhost``, ``*.localhost``, ``127.0.0.0/8``, ``[::1]``) need not be listed.
    """

    def __init__(self, hostnames: Iterable[str] = ()) -> None:
        self._hostnames = frozenset(map(_canonical, hostnames))

    async def require(
        self,
        action: Action,  # noqa: ARG002  part of the protocol
        ref: Ref | None,  # noqa: ARG002
        tenant: str | None,  # noqa: ARG002
        caller: Caller,
    ) -> Identity:
        """Return an identity without a name.

        Raises :class:`Forbidden` for a ``Host`` that is neither loopback nor listed, or none.
        """
        found = _HOST.fullmatch(caller.host or "")
        if found is None:
            raise Forbidden("The request names no host that could be the proxy's own.")
        name = _canonical(found["name"])
        if not _is_loopback(name) and name not in self._hostnames:
            raise Forbidden(
                f"The host {name[:_LONGEST_SHOWN]!r} is not one of the proxy's own names. Without"
                " authentication only loopback names and those in authorization.hostnames are"
                " accepted, so that no web page can pass for the proxy."
            )
        return Identity(None)


def _canonical(name: str) -> str:
    """Return a name without its case and the root's dot, an address in its one short form."""
    name = name.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _is_loopback(name: str) -> bool:
    # RFC 6761 6.3: the name "localhost." and any names falling within ".localhost."
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
