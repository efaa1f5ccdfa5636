"""What is measured in front of a real Elasticsearch: latency, and the calls for accounts."""

import base64
import json
import secrets
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from bench.cases import Outcome, Quantity, Sample, Scale, cost_of, in_turn
from bench.children import free_ports, run
from bench.contestants import CADDY, DIRECT, EVERYBODY, NGINX, OURS, Contestant, Setup, running
from bench.load import load
from signals_proxy import embedded
from signals_proxy.authorization import passwords
from signals_proxy.embedded import archive, jars
from signals_proxy.errors import ConfigError
from signals_proxy.secret import Secret

__all__ = ["ALONE", "DOCUMENT", "elasticsearch", "node", "one_user", "put"]

ALONE: Final = "its handler in aiohttp directly"
DOCUMENT: Final = "a GET of its document"

_LIMITS: Final = ((1, 1.05), (8, 1.2), (64, 1.2))
_ACCOUNT: Final = {"host": "smtp.example.com", "port": 465}


def elasticsearch(scale: Scale, folder: Path) -> Iterator[Outcome]:
    """A GET of a document at 1, 8 and 64 connections; a GET of an account."""
    with node(scale, folder) as port:
        setup = Setup(folder, port)
        yield from _latency(scale, setup)
        yield from _accounts(scale, setup)


@contextmanager
def node(scale: Scale, folder: Path) -> Iterator[int]:
    """Run an Elasticsearch with a document in it, warmed up; yield its port."""
    jars.fetch(embedded.VERSION)
    if archive.is_missing(embedded.VERSION):
        archive.make(embedded.VERSION)
    with embedded.start(embedded.VERSION, Path(mkdtemp(dir=folder))) as started:
        put(f"{started.url}/bench/_doc/1?refresh=true", {"text": "x" * 220})
        load(f"{started.url}/bench/_doc/1", connections=64, seconds=scale.warm_up_s)
        yield started.http_port


def _latency(scale: Scale, setup: Setup) -> Iterator[Outcome]:
    names = (DIRECT, *EVERYBODY)
    with running(names, setup) as who:
        for connections, limit in _LIMITS:

            def measure(name: str, connections: int = connections) -> Sample:
                sent = load(f"{who[name].url}/bench/_doc/1", connections=connections)
                return Sample(sent.p50_us, sent.requests / sent.duration_s)

            title = f"Elasticsearch, {connections} connection{'s' * (connections > 1)}"
            samples = in_turn(names, scale.rounds, measure)
            yield Outcome(title, Quantity.LATENCY, samples, {NGINX: limit, CADDY: 0.5})


def _accounts(scale: Scale, setup: Setup) -> Iterator[Outcome]:
    """Calls of a user who has a password and a role, decided from the cache but for the first."""
    password = Secret(secrets.token_urlsafe())
    log_in = base64.b64encode(f"ops:{password.reveal()}".encode()).decode()
    fields = {"Authorization": f"Basic {log_in}"}
    setup = replace(setup, authorization=one_user(password))
    [port] = free_ports(1)
    with running([OURS], setup) as who:
        ours = who[OURS]
        account, document = (
            f"{ours.url}/_signals/account/email/bench",
            f"{ours.url}/.signals_accounts/_doc/email%2Fbench",
        )
        put(account, _ACCOUNT, fields)
        assert ours.config is not None  # noqa: S101 - it is a proxy
        command = [sys.executable, "-m", "bench.application", str(ours.config), str(port)]
        with run(command, ours.config.parent, port) as process_id:
            url = f"http://127.0.0.1:{port}"
            alone = Contestant(ALONE, url, port, process_id)

            def cost(name: str) -> Sample:
                one = ours if name == OURS else alone
                path = account.removeprefix(ours.url)
                return cost_of(one, lambda: load(one.url + path, connections=8, fields=fields))

            samples = in_turn((OURS, ALONE), scale.rounds, cost)
            yield Outcome("A GET of an account", Quantity.CPU, samples, {ALONE: 1.3})

        def latency(name: str) -> Sample:
            url = account if name == OURS else document
            return Sample(load(url, connections=1, fields=fields).p50_us)

        samples = in_turn((OURS, DOCUMENT), scale.rounds, latency)
        yield Outcome("A GET of an account", Quantity.LATENCY, samples, {DOCUMENT: 2.0})


def one_user(password: Secret) -> str:
    """Return the settings of an authorization that lets in one user, ``ops``, to do everything."""
    hashed = passwords.hash_password(password)
    settings = {
        "backend": "static",
        "cache": "60s",
        "users": {"ops": {"password_hash": hashed, "roles": ["all"]}},
        "roles": {"all": [{"actions": "*", "accounts": "*"}]},
    }
    return json.dumps(settings)


def put(url: str, body: object, fields: dict[str, str] | None = None) -> None:
    """PUT something; raise :class:`ConfigError` if that fails."""
    request = urllib.request.Request(  # noqa: S310 - an address of our own
        url,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", **(fields or {})},
        method="PUT",
    )
    try:
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310 - the same
    except OSError as error:
        raise ConfigError(f"PUT {url} failed: {error}") from error
