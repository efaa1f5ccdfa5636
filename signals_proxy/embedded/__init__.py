"""The development cluster: a real Elasticsearch node in a child process, from packages alone.

For ``make run`` and the tests. It has no security of any kind and is nothing to put data into that
matters: in production ``upstream.hosts`` names a real cluster.
"""

from signals_proxy.embedded import archive, jars
from signals_proxy.embedded.node import Node, start

__all__ = ["VERSION", "Node", "archive", "jars", "start"]

VERSION = "9.5.3"
"""The version that ``make run`` starts."""
