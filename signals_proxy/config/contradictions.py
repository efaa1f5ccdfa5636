"""What is wrong with settings that are right one by one."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from signals_proxy.config.document import Place, Problem
from signals_proxy.config.units import Address, address
from signals_proxy.delivery.settings import SHARES
from signals_proxy.relay.forwarding import ESSENTIAL, folded

__all__ = ["accounts_listeners", "contradictions"]

_OF_BACKENDS: Final[Mapping[str, tuple[str, ...]]] = {
    "roles": ("opensearch", "static"),
    "users": ("static",),
    "hostnames": ("none",),
}
"""Settings of ``authorization`` that only some of its backends look at."""


def contradictions(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with checked settings; ``values`` are all of them, by their names."""
    yield from _of_tls(values)
    yield from _of_addresses(values)
    yield from _of_rights(values["authorization"])
    for position, name in enumerate(values["forward"]["strip_fields"]):
        if folded(name.encode()) in ESSENTIAL:
            said = "without this field the cluster would see another request than the client sent"
            yield Problem(("forward", "strip_fields", position), said, "take it away")
    delivery = values["delivery"]
    if delivery["memory"] < SHARES * delivery["max_body"]:
        said = "one caller has a quarter of it, which is less than delivery.max_body"
        yield Problem(("delivery", "memory"), said, "raise it, or lower that one")
    if values["audit"]["required"] and "file" not in values["audit"]:
        said = "there is no file that a line could have to be in"
        yield Problem(("audit", "required"), said, "set audit.file as well")
    if "file" in values["access_log"] and not values["access_log"]["enabled"]:
        said = "has no effect without access_log.enabled"
        yield Problem(("access_log", "file"), said, "set it to true, or take this setting away")


def accounts_listeners(values: Mapping[str, Any]) -> tuple[Address, ...]:
    """Return the addresses of ``accounts.listen``."""
    listening = values["accounts"].get("listen")
    return () if listening is None else (listening,)


def _of_tls(values: Mapping[str, Any]) -> Iterator[Problem]:
    upstream, for_clients = values["upstream"], values.get("tls", {})
    if "client_authentication" in for_clients and "client_certificates" not in for_clients:
        said = "has no effect without client_certificates"
        yield Problem(("tls", "client_authentication"), said, "set that as well, or take this away")
    trust = [name for name in ("ca_certificates", "ca_fingerprint") if name in upstream]
    if len(trust) > 1:
        said = "ca_certificates is set as well"
        yield Problem(("upstream", "ca_fingerprint"), said, "set one of the two")
        trust = []
    if upstream["shared_identity"] and "client_certificate" not in upstream:
        said = "has no effect without client_certificate"
        yield Problem(("upstream", "shared_identity"), said, "take it away")
    if any(host.startswith("https://") for host in upstream["hosts"]):
        return
    found: list[Place] = [("upstream", name) for name in trust]
    found += [("upstream", "client_certificate")] if "client_certificate" in upstream else []
    if "client_certificate" in values["registry"].get("credentials", {}):
        found.append(("registry", "credentials", "client_certificate"))
    for place in found:
        remedy = "name the hosts with https://, or take this setting away"
        yield Problem(place, "no host is reached by https", remedy)


def _of_addresses(values: Mapping[str, Any]) -> Iterator[Problem]:
    listeners: dict[Place, Address] = {
        ("listen", position): each for position, each in enumerate(values["listen"])
    }
    for own in accounts_listeners(values):
        place: Place = ("accounts", "listen")
        others = [*values["listen"], values["health"]["listen"]]
        if own.port and any(own.takes_in(each) or each.takes_in(own) for each in others):
            remedy = "choose another port"
            yield Problem(place, f"{own} is another listener's as well", remedy)
        listeners[place] = own
    for position, host in enumerate(values["upstream"]["hosts"]):
        node = address(host.partition("://")[2])
        if any(listening.takes_in(node) for listening in listeners.values()):
            place = ("upstream", "hosts", position)
            remedy = "name the cluster's own address, or listen on another port"
            yield Problem(place, f"{node} is the proxy itself", remedy)
    if values["authorization"]["backend"] == "none" and not values["insecure"]:
        for place, listening in listeners.items():
            if not listening.is_loopback:
                yield Problem(
                    place,
                    f"with authorization.backend none, everybody who reaches {listening} could"
                    " read, change and delete every account",
                    f"listen on a loopback address such as 127.0.0.1:{listening.port}, or allow it"
                    " with `insecure: true`",
                )


def _of_rights(values: Mapping[str, Any]) -> Iterator[Problem]:
    backend = values["backend"]
    for name, backends in _OF_BACKENDS.items():
        place = ("authorization", name)
        if values[name] and backend not in backends:
            said = f"has no effect with authorization.backend {backend}"
            yield Problem(place, said, "take it away, or choose another backend")
        elif not values[name] and backend in backends and backend != "none":
            said = f"is missing, without which {backend} lets nobody do anything"
            yield Problem(place, said, "see docs/rights.md for some to start from")
    for name, user in values["users"].items():
        of_user = ("authorization", "users", name)
        if not name or ":" in name or not name.isprintable():
            said = "is no name that anybody could log in with"
            yield Problem(of_user, said, "choose one without ':' (RFC 7617, section 2)")
        for role in user["roles"]:
            if role not in values["roles"]:
                remedy = "the roles are those of authorization.roles"
                yield Problem((*of_user, "roles"), f"there is no role {role!r}", remedy)
