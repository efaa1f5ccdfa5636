"""The account API: the aiohttp application that answers everything under ``/_signals/account``.

``build`` the application, run it in a ``web.AppRunner`` with ``RUNNER_OPTIONS``, and give what
``protocols`` returns to whoever makes its connections: a listener, or the relay.
"""

from signals_proxy.api.application import (
    BODY_TIMEOUT_S,
    RUNNER_OPTIONS,
    build,
    protocols,
    remote_of,
)
from signals_proxy.api.rooms import Sending

__all__ = ["BODY_TIMEOUT_S", "RUNNER_OPTIONS", "Sending", "build", "protocols", "remote_of"]
