"""Accounts in the cluster: one document each, in one hidden index.

The only room that speaks to the cluster through the official client. Foreign exceptions end here.
"""

from signals_proxy.registry.client import connect
from signals_proxy.registry.documents import Registry, Stored, Version
from signals_proxy.registry.settings import (
    ApiKeyCredentials,
    BasicCredentials,
    BearerCredentials,
    RegistrySettings,
)

__all__ = [
    "ApiKeyCredentials",
    "BasicCredentials",
    "BearerCredentials",
    "Registry",
    "RegistrySettings",
    "Stored",
    "Version",
    "connect",
]
