"""Accounts in the cluster: one document each, in one hidden index.

The only room that speaks to the cluster through the official client. Foreign exceptions end here.
"""

from signals_proxy.registry.client import connect
from signals_proxy.registry.documents import Registry, Stored, Version
from signals_proxy.registry.health import Health
from signals_proxy.registry.reseal import Reseal
from signals_proxy.registry.settings import (
    ApiKeyCredentials,
    BasicCredentials,
    BearerCredentials,
    CertificateCredentials,
    Credentials,
    RegistrySettings,
)
from signals_proxy.registry.survey import Sample, Survey, Tally

__all__ = [
    "ApiKeyCredentials",
    "BasicCredentials",
    "BearerCredentials",
    "CertificateCredentials",
    "Credentials",
    "Health",
    "Registry",
    "RegistrySettings",
    "Reseal",
    "Sample",
    "Stored",
    "Survey",
    "Tally",
    "Version",
    "connect",
]
