"""The process that an operator starts: it holds the sockets and keeps the workers running.

It reads no byte of a client, so nothing that comes from outside can end it. It answers the health
listener, for it alone knows whether the proxy is draining and what every worker says.
"""

from signals_proxy.supervisor.descriptors import shortage
from signals_proxy.supervisor.supervise import check_files, supervise

__all__ = ["check_files", "shortage", "supervise"]
