"""A running proxy does what its published OpenAPI document says: every operation, asked at random.

The requests are the same in every run. Left out is schemathesis's ``positive_data_acceptance``:
that whatever fits its schema is accepted cannot hold, for JSON Schema cannot say which parameters go
together, what a query may be, or what a body needs that depends on the stored account.
"""

import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from threading import Thread
from typing import Any

import pytest
import schemathesis
from accounts import TYPES, fullest
from hypothesis import settings
from registries import Cluster
from schemathesis.core import NOT_SET
from schemathesis.specs.openapi import checks
from served import configure, fields_of

from signals_proxy import __version__
from signals_proxy.account import message
from signals_proxy.api.openapi import openapi

INDEX = ".signals_contract"
PREFIX = "/_signals/account"
DOCUMENT = openapi(TYPES, message.load(), __version__)

# They ask for more than their own schema says: for others beside them, or for what is stored.
DEPENDENT = (
    *("if_seq_no", "if_primary_term", "op_type", "source", "source_content_type"),
    *("df", "default_operator", "lenient", "analyze_wildcard"),
)


def closed(document: Any) -> Any:
    """Return the document with answers that have no member but those which it names."""
    document = deepcopy(document)
    pending = [its for name, its in document["components"]["schemas"].items() if name not in TYPES]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            pending += node.values()
            if isinstance(node.get("properties"), dict):
                node.setdefault("additionalProperties", False)
        elif isinstance(node, list):
            pending += node
    return document


def loaded(*, fuzzing: bool) -> Any:
    schema = schemathesis.openapi.from_dict(closed(DOCUMENT))
    schema.config.seed = 1
    schema.config.generation.update(database="none", deterministic=True)
    schema.config.phases.fuzzing.enabled = fuzzing
    schema.config.phases.coverage.enabled = not fuzzing
    return schema


RANDOM = loaded(fuzzing=True)
# It takes its time, so only one type of account; bodies are tested without a server.
AT_LIMITS = loaded(fuzzing=False).exclude(method="PUT")
AT_LIMITS = AT_LIMITS.include(path_regex=f"^{PREFIX}/(_[a-z]+(/{{type}})?$|{{tenant}}/email/)")


@pytest.fixture(scope="module")
def proxy(elasticsearch: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running proxy; an account of each type is there, and one in a tenant."""
    more = (
        f"registry: {{index: {INDEX}}}\n"
        # Nothing leaves this machine, whatever accounts say.
        "delivery: {allowed_hosts: ['*', '*.test'], denied_networks: [0.0.0.0/0, '::/0'],"
        " account_rate: 100000, caller_rate: 100000}\n"
    )
    file = configure(tmp_path_factory.mktemp("proxy"), elasticsearch, more)
    command = [sys.executable, "-m", "signals_proxy", "serve", "--config", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        reading = Thread(target=process.stderr.read)  # or its log would fill the pipe
        try:
            events: dict[str | None, dict[str, str]] = {}
            while "ready" not in events:
                line = process.stderr.readline()
                assert line, events
                events[fields_of(line).get("event")] = fields_of(line)
            reading.start()
            url = f"http://{events['serving']['addresses'].partition(',')[0]}"
            for name, its in TYPES.items():
                for place in (name, f"ops/{name}"):
                    target = f"{PREFIX}/{place}/kept"
                    assert Cluster(url, INDEX).ask("PUT", target, next(fullest(its)))[0] == 201
            yield url
        finally:
            process.terminate()
            if reading.is_alive():
                reading.join()
            Cluster(elasticsearch, INDEX).ask("DELETE", "/{index}?ignore_unavailable=true")


def test_it_is_what_is_published(proxy: str) -> None:
    assert Cluster(proxy, INDEX).ask("GET", f"{PREFIX}/_openapi") == (200, DOCUMENT)


@RANDOM.parametrize()
@settings(max_examples=10, deadline=None)
def test_random_requests(case: Any, proxy: str) -> None:
    check(case, proxy)


@AT_LIMITS.parametrize()
@settings(deadline=None)
def test_every_parameter_at_its_limits(case: Any, proxy: str) -> None:
    check(case, proxy)


def check(case: Any, proxy: str) -> None:
    """Send the request; its status, fields, media type and body are documented, mistakes refused."""
    if case.meta.generation.mode.is_positive:
        make_sense(case)
    left_out = [checks.positive_data_acceptance]
    if case.method == "OPTIONS":  # looks no further at names than to tell what a target is about
        left_out.append(checks.negative_data_rejection)
    if case.path.endswith("/_test"):  # what a draft leads to may not be there: a 502, as documented
        left_out.append(schemathesis.checks.not_a_server_error)
    case.validate_response(case.call(base_url=proxy), excluded_checks=left_out)


def make_sense(case: Any) -> None:
    """Make every other request one that most often succeeds, whatever other parameters it has."""
    names, query = case.path_parameters, case.query
    if len(str(names or query)) % 2:
        return
    if "id" in names:
        names["id"] = "changed" if case.method in {"PUT", "DELETE"} else "kept"
    if "tenant" in names:
        names["tenant"] = "ops"
    if case.path.endswith("/_test"):
        case.body = NOT_SET
    if case.method == "PUT":
        case.body = next(fullest(TYPES[case.path.split("/")[-2]]))
    for name in DEPENDENT:
        query.pop(name, None)
