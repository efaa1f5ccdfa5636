"""The data plane: passes requests on to where they belong, as the bytes that came.

It knows nothing of accounts: which destination a request has is decided by a function that it is
given. Read ``head``, ``body``, ``client``, ``node``, ``pool``, ``relay``, in this order.
"""

from signals_proxy.relay.deciding import ByBody
from signals_proxy.relay.pool import Cluster, Destination, LocalServer, Upstream
from signals_proxy.relay.relay import Limits, Relay

__all__ = ["ByBody", "Cluster", "Destination", "Limits", "LocalServer", "Relay", "Upstream"]
