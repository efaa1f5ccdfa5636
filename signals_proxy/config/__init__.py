"""The configuration file: YAML in, every room's own settings out.

``schemas/config.json`` is the one list of settings. A value may hold ``${NAME}``, which the
environment fills in; a secret ``x`` may be given as ``x_file`` instead, the file that holds it.
All that a proxy reads from disk is read here, through ``sources``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from signals_proxy.authorization import Action, AuthorizationSettings, Grant, User
from signals_proxy.config.checked import checked, schema, settings_of
from signals_proxy.config.contradictions import accounts_listeners, contradictions
from signals_proxy.config.document import Document, Place, Problem, parse
from signals_proxy.config.sources import Sources
from signals_proxy.config.units import Address, Network, address
from signals_proxy.delivery.settings import DeliverySettings, Rate
from signals_proxy.errors import ConfigError
from signals_proxy.registry.settings import (
    ApiKeyCredentials,
    BasicCredentials,
    BearerCredentials,
    CertificateCredentials,
    Credentials,
    RegistrySettings,
)
from signals_proxy.relay import ClientCertificate, Forwarding, Limits, ServerTls, Upstream
from signals_proxy.relay.forwarding import folded
from signals_proxy.secret import Secret
from signals_proxy.telemetry.audit import AuditSettings

__all__ = [
    "AccessLogSettings",
    "Address",
    "InvalidSettings",
    "KeyringText",
    "Network",
    "Settings",
    "Sources",
    "health_address",
    "load",
    "schema",
    "settings_of",
]

_LONGEST: Final = 128 * 1024
"""Characters of a configuration; reading YAML takes seconds for more."""


class InvalidSettings(ConfigError):
    """A configuration with one or more errors. As an error it is its first one."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(
            first.message, remedy=first.remedy, file=first.file, line=first.line, path=first.path
        )
        self.errors = errors


@dataclass(frozen=True, slots=True)
class KeyringText:
    """The keyring as it was read, from ``file``, or from ``keyring.command`` if that is None."""

    text: Secret
    file: Path | None


@dataclass(frozen=True, slots=True)
class AccessLogSettings:
    """Where a line for each request goes: to ``file``, to the log if that is None."""

    file: Path | None


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a proxy, checked, with their defaults.

    ``file`` is where they came from, ``lines`` where each that is in it stands. ``accounts`` is where
    the account API alone is served, if anywhere; ``tls`` is for both. ``trusted_proxies`` are believed in what they say
    of where a request comes from. ``forwarding`` is None if heads are not changed for it.
    """

    file: Path
    lines: Mapping[str, int]
    listen: tuple[Address, ...]
    accounts: tuple[Address, ...]
    tls: ServerTls | None
    workers: int
    insecure: bool
    upstream: Upstream
    registry: RegistrySettings
    delivery: DeliverySettings
    keyring: KeyringText
    authorization: AuthorizationSettings
    audit: AuditSettings
    access_log: AccessLogSettings | None
    trusted_proxies: tuple[Network, ...]
    health: Address
    forwarding: Forwarding | None
    limits: Limits

    @contextmanager
    def locating(self) -> Iterator[None]:
        """Give an error of the block that names a setting the file and the line of that setting."""
        try:
            yield
        except ConfigError as error:
            if error.file is not None or not error.path:
                raise
            place = error.path
            while place and place not in self.lines:
                place = place.rpartition(".")[0]
            raise ConfigError(
                error.message,
                remedy=error.remedy,
                file=self.file,
                line=self.lines.get(place),
                path=error.path,
            ) from error


def load(file: Path, environ: Mapping[str, str], sources: Sources | None = None) -> Settings:
    """Read, check and return the settings in ``file``, and what it names, through ``sources``.

    Relative paths in it are looked up in its own folder. What the named files hold is not looked
    at; the keyring's command is run only if nothing else is wrong.

    :raises ConfigError: with file, line, setting and remedy; :class:`InvalidSettings` with all
        errors if the file could be read.
    """
    file, sources = file.absolute(), sources or Sources()
    document, values = _read(file, environ, sources)
    try:
        lines = {".".join(map(str, place)): line for place, line in document.lines.items()}
        return _settings(file, lines, values, sources)
    except ConfigError as error:  # a room has a rule that the schema cannot express
        place = tuple(error.path.split("."))
        document.problems.append(Problem(place, error.message, error.remedy))
        raise InvalidSettings(_errors(document, file)) from error


def health_address(file: Path, environ: Mapping[str, str]) -> Address:
    """Return ``health.listen`` of ``file``, whatever may be wrong with its other settings.

    Those are for the proxy to judge, which may have another environment than whoever asks here.

    :raises ConfigError: if the file cannot be read, or the setting.
    """
    file = file.absolute()
    document = parse(_text(file, Sources()), file, environ)
    match document.data:
        case {"health": {"listen": str(listen)}}:
            pass
        case _:
            listen = schema()["properties"]["health"]["properties"]["listen"]["default"]
    try:
        return address(listen)
    except ValueError:
        path = "health.listen"
        raise ConfigError("must be an address", file=file, path=path) from None


def _text(file: Path, sources: Sources) -> str:
    try:
        text = sources.text(file)
    except ConfigError as error:
        start = "--config names the configuration; config.example.yaml is one to start from"
        raise ConfigError(error.message, remedy=error.remedy or start, file=file) from error
    if len(text) > _LONGEST:
        raise ConfigError("too large for a configuration", remedy="check the path", file=file)
    return text


def _read(
    file: Path, environ: Mapping[str, str], sources: Sources
) -> tuple[Document, dict[str, Any]]:
    document = parse(_text(file, sources), file, environ)
    values = checked(document, file.parent, sources, private=sources.is_private(file))
    if values is not None:
        document.problems.extend(contradictions(values))
    if values is None or document.problems:
        raise InvalidSettings(_errors(document, file))
    return document, values


def _errors(document: Document, file: Path) -> list[ConfigError]:
    """Return the problems as errors in the order of their lines, one to a place, innermost only."""
    first: dict[Place, Problem] = {}
    for problem in document.problems:
        first.setdefault(problem.place, problem)
    around = {place[:length] for place in first for length in range(len(place))}
    located = [
        (problem.line or document.line(place), problem)
        for place, problem in first.items()
        if place not in around
    ]
    return [
        ConfigError(
            problem.message,
            remedy=problem.remedy,
            file=file,
            line=line,
            path=".".join(map(str, problem.place)),
        )
        for line, problem in sorted(located, key=lambda each: (each[0], str(each[1].place)))
    ]


def _settings(
    file: Path, lines: Mapping[str, int], values: Mapping[str, Any], sources: Sources
) -> Settings:
    upstream, limits, access = values["upstream"], values["limits"], values["access_log"]
    authorities = upstream.get("ca_certificates")
    certificates = "upstream.ca_certificates"
    return Settings(
        file=file,
        lines=lines,
        listen=values["listen"],
        accounts=accounts_listeners(values),
        tls=_tls(values["tls"], sources) if "tls" in values else None,
        workers=values["workers"],
        insecure=values["insecure"],
        upstream=Upstream(
            hosts=upstream["hosts"],
            ca_certificates=authorities and _text_of(authorities, certificates, sources.text),
            ca_fingerprint=upstream.get("ca_fingerprint"),
            connect_timeout_s=upstream["connect_timeout"],
            host_field=upstream.get("host_field"),
            shown=_shown(upstream, sources),
            shared_identity=upstream["shared_identity"],
        ),
        registry=RegistrySettings(
            index=values["registry"]["index"],
            credentials=_credentials(values["registry"].get("credentials", {}), sources),
        ),
        delivery=_delivery(values["delivery"], values["registry"].get("types")),
        keyring=_keyring(values["keyring"], file.parent, sources),
        authorization=_authorization(values["authorization"]),
        audit=AuditSettings(values["audit"].get("file"), values["audit"]["required"]),
        access_log=AccessLogSettings(access.get("file")) if access["enabled"] else None,
        trusted_proxies=values["trusted_proxies"],
        health=values["health"]["listen"],
        forwarding=_forwarding(values["forward"]),
        limits=Limits(
            head_size=limits["head_size"],
            response_head_size=limits["response_head_size"],
            head_timeout_s=limits["head_timeout"],
            idle_timeout_s=limits["idle_timeout"],
            connections=limits["connections"],
            drain_s=limits["drain"],
            in_flight=limits.get("in_flight"),
            place_timeout_s=limits["place_timeout"],
            answer_timeout_s=limits.get("answer_timeout"),
        ),
    )


def _forwarding(values: Mapping[str, Any]) -> Forwarding | None:
    names = frozenset(folded(name.encode()) for name in values["strip_fields"])
    appends = values["append_forwarded_for"]
    return Forwarding(names, appends) if names or appends else None


def _text_of(file: Path, path: str, read: Callable[[Path], str]) -> str:
    """Return the text of the file that a setting names."""
    try:
        return read(file)
    except ConfigError as error:
        remedy = error.remedy or "check the path and its rights"
        raise ConfigError(str(error), remedy=remedy, path=path) from error


def _pair(
    setting: str, values: Mapping[str, Any], sources: Sources, prefix: str = "client_"
) -> tuple[str, Secret]:
    """Return the certificate and the key that a group of settings names."""
    certificate, key = f"{prefix}certificate", f"{prefix}key"
    return (
        _text_of(values[certificate], f"{setting}.{certificate}", sources.text),
        Secret(_text_of(values[key], f"{setting}.{key}", sources.secret)),
    )


def _tls(values: Mapping[str, Any], sources: Sources) -> ServerTls:
    authorities = values.get("client_certificates")
    return ServerTls(
        *_pair("tls", values, sources, prefix=""),
        authorities and _text_of(authorities, "tls.client_certificates", sources.text),
        values.get("client_authentication", "required"),
    )


def _shown(upstream: Mapping[str, Any], sources: Sources) -> ClientCertificate | None:
    if "client_certificate" not in upstream:
        return None
    return ClientCertificate(*_pair("upstream", upstream, sources), "upstream")


def _delivery(values: Mapping[str, Any], types: Sequence[str] | None) -> DeliverySettings:
    return DeliverySettings(
        timeout_s=values["timeout"],
        max_body=values["max_body"],
        memory=values["memory"],
        allowed_hosts=values["allowed_hosts"],
        allowed_networks=values["allowed_networks"],
        denied_networks=values["denied_networks"],
        allowed_ports=frozenset(values["allowed_ports"]),
        types=None if types is None else frozenset(types),
        slack_api=values["slack_api"],
        account_rate=Rate(values["account_rate"], values["account_rate"]),
        caller_rate=Rate(values["caller_rate"], values["caller_rate"]),
    )


def _authorization(values: Mapping[str, Any]) -> AuthorizationSettings:
    return AuthorizationSettings(
        backend=values["backend"],
        hostnames=values["hostnames"],
        cache_s=values["cache"],
        roles={
            name: tuple(
                Grant(_actions(grant["actions"]), frozenset(grant["accounts"])) for grant in grants
            )
            for name, grants in values["roles"].items()
        },
        users={
            name: User(user["password_hash"], user["roles"])
            for name, user in values["users"].items()
        },
    )


def _actions(names: Sequence[str]) -> frozenset[Action]:
    return frozenset(Action) if "*" in names else frozenset(map(Action, names))


def _keyring(values: Mapping[str, Any], folder: Path, sources: Sources) -> KeyringText:
    file: Path | None = values.get("file")
    try:
        text = sources.output(values["command"], folder) if file is None else sources.secret(file)
    except ConfigError as error:
        remedy = error.remedy or "check the path, or make one with 'signals-proxy keys generate'"
        path = "keyring.command" if file is None else "keyring.file"
        raise ConfigError(str(error), remedy=remedy, path=path) from error
    return KeyringText(Secret(text), file)


def _credentials(values: Mapping[str, Any], sources: Sources) -> Credentials | None:
    match values:
        case {"username": username, "password": password}:
            return BasicCredentials(username, password)
        case {"api_key": key}:
            return ApiKeyCredentials(key)
        case {"bearer_token": token}:
            return BearerCredentials(token)
        case {"client_certificate": _}:
            return CertificateCredentials(*_pair("registry.credentials", values, sources))
        case _:
            return None
