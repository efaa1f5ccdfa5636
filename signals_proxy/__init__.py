"""An Elasticsearch-compatible reverse proxy with a sealed registry of alerting accounts."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("signals-proxy")
