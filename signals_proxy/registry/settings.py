"""What the registry has to know: the name of its index, and who it is to the cluster."""

import re
from dataclasses import dataclass
from typing import Final

from signals_proxy.errors import ConfigError
from signals_proxy.secret import Secret

__all__ = [
    "ApiKeyCredentials",
    "BasicCredentials",
    "BearerCredentials",
    "CertificateCredentials",
    "Credentials",
    "RegistrySettings",
]

_LONGEST: Final = 249  # bytes; an index may have 255, and "<index>_guard" is a name as well
_INDEX_NAME: Final = re.compile(r"[^-_+A-Z\s\\/*?\"<>|,#:\x00-\x1f][^A-Z\s\\/*?\"<>|,#:\x00-\x1f]*")


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """A user of the cluster and its password."""

    username: str
    password: Secret


@dataclass(frozen=True, slots=True)
class ApiKeyCredentials:
    """An API key in the form in which the cluster calls it ``encoded``."""

    key: Secret


@dataclass(frozen=True, slots=True)
class BearerCredentials:
    """A token, such as a service account's."""

    token: Secret


@dataclass(frozen=True, slots=True)
class CertificateCredentials:
    """A certificate, with its chain, that is shown to nodes, and the key for it; both in PEM."""

    certificate: str
    key: Secret


Credentials = BasicCredentials | ApiKeyCredentials | BearerCredentials | CertificateCredentials


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """``registry`` in the configuration.

    ``credentials`` are the proxy's own, so that users need no right on the index at all; none for
    a cluster without security. Raises :class:`ConfigError` for a name no index can have (the rules
    are those of Elasticsearch's *Create index* API).
    """

    index: str = ".signals_accounts"
    credentials: Credentials | None = None

    def __post_init__(self) -> None:
        valid = _INDEX_NAME.fullmatch(self.index) and self.index not in {".", ".."}
        if not valid or len(self.index.encode()) > _LONGEST:
            raise ConfigError(
                f"{self.index!r} is no name that an index can have",
                path="registry.index",
                remedy="use lower-case letters, digits, '.', '_' and '-', such as .signals_accounts",
            )
