"""The data plane: passes requests on to where they belong, as the bytes that came.

It knows nothing of accounts: which destination a request has is decided by a function that it is
given. Read ``fields``, ``head``, ``forwarding``, ``body``, ``client``, ``reading``, ``exchange``,
``answered``, ``node``, ``pool``, ``upstream``, ``nodes``, ``cluster``, ``secured``, ``relay``, in this
order.
"""

from signals_proxy.relay.cluster import Cluster
from signals_proxy.relay.deciding import ByBody
from signals_proxy.relay.forwarding import Forwarding
from signals_proxy.relay.pool import Destination, LocalServer
from signals_proxy.relay.relay import Limits, Relay
from signals_proxy.relay.tally import Access, Ended, Tally
from signals_proxy.relay.tls import ClientCertificate, ServerTls
from signals_proxy.relay.upstream import Upstream

__all__ = [
    "Access",
    "ByBody",
    "ClientCertificate",
    "Cluster",
    "Destination",
    "Ended",
    "Forwarding",
    "Limits",
    "LocalServer",
    "Relay",
    "ServerTls",
    "Tally",
    "Upstream",
]
