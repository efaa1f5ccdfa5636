"""The metrics: what there is, and sums that never fall."""

import asyncio
import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from signals_proxy.relay import Cluster, Relay, Upstream
from signals_proxy.relay.relay import Limits
from signals_proxy.server.figures import Rooms, keep_telling
from signals_proxy.telemetry import counters, metrics
from signals_proxy.telemetry.audit import Audit, AuditSettings
from signals_proxy.telemetry.counters import Figures, Ledger
from signals_proxy.telemetry.metrics import METRICS

DOCS = Path(__file__).parents[2] / "docs/metrics.md"

REQUESTS = ("cluster", "GET", "200")


def requests(ledger: Ledger) -> float:
    return ledger.total().get("requests_total", {}).get(REQUESTS, 0)


@pytest.fixture
def ledger() -> Ledger:
    return metrics.ledger()


def test_docs() -> None:
    """The table of the docs has every metric, in order, as the code describes it."""
    described = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"
        for name, (kind, labels, meaning) in METRICS.items()
    ]
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    assert rows == described


def test_the_format() -> None:
    """Prometheus' own parser reads all that is written; buckets add up."""
    buckets = {("cluster", "0.5"): 2.0, ("cluster", "inf"): 1.0, ("cluster", "0.005"): 3.0}
    figures: Figures = {
        "requests_total": {REQUESTS: 6},
        "request_duration_seconds_bucket": buckets,
        "request_duration_seconds_sum": {("cluster",): 1.25},
        "node_connections": {('http://a"\n:1',): 4},
    }
    families = {
        family.name: family
        for family in text_string_to_metric_families(metrics.rendered(figures).decode())
    }
    assert set(families) == {metrics.PREFIX + name.removesuffix("_total") for name in METRICS}
    assert {(it.type, it.documentation) for it in families.values()} == {
        (kind, meaning) for kind, _, meaning in METRICS.values()
    }
    samples = families["signals_proxy_request_duration_seconds"].samples
    of_duration = [(it.name.rpartition("_")[2], it.labels.get("le"), it.value) for it in samples]
    assert of_duration == [
        *(("bucket", "0.005", 3), ("bucket", "0.5", 5), ("bucket", "+Inf", 6)),
        *(("count", None, 6), ("sum", None, 1.25)),
    ]
    [node] = families["signals_proxy_node_connections"].samples
    assert (node.labels, node.value) == ({"node": 'http://a"\n:1'}, 4)


def test_counters_outlive_their_worker(ledger: Ledger) -> None:
    """What it had counted stays; what it had at the moment does not."""
    one, other = ledger.open(), ledger.open()
    counters.write(one, {"requests_total": {REQUESTS: 5}, "client_connections": {(): 3}})
    counters.write(other, {"requests_total": {REQUESTS: 2}, "client_connections": {(): 4}})
    assert ledger.total() == {"requests_total": {REQUESTS: 7}, "client_connections": {(): 7}}
    ledger.close(one)
    assert ledger.total() == {"requests_total": {REQUESTS: 7}, "client_connections": {(): 4}}
    assert len(ledger) == 1


def test_a_shorter_text_in_place_of_a_longer(ledger: Ledger) -> None:
    descriptor = ledger.open()
    counters.write(descriptor, {"requests_total": {REQUESTS: 123456789}, "workers": {(): 1}})
    counters.write(descriptor, {"requests_total": {REQUESTS: 9}})
    assert ledger.total() == {"requests_total": {REQUESTS: 9}}


def torn(descriptor: int) -> None:
    """Leave memory as one who was killed while he wrote: in part from before."""
    whole = os.pread(descriptor, 10_000, 0)
    head, text = whole[: counters._HEAD.size], whole[counters._HEAD.size :]
    os.pwrite(descriptor, head + text.replace(b"5", b"3"), 0)


@pytest.mark.parametrize(
    "told", ["torn", "[]", '{"requests_total": 1}', '{"requests_total": [[1]]}', "[" * 9999]
)
def test_what_cannot_be_read(ledger: Ledger, told: str) -> None:
    """What was told before stands, and is kept at the end: no sum falls."""
    descriptor = ledger.open()
    counters.write(descriptor, {"requests_total": {REQUESTS: 5}})
    assert requests(ledger) == 5
    if told == "torn":
        torn(descriptor)
    else:
        data = told.encode()
        head = counters._HEAD.pack(counters.zlib.crc32(data), len(data))
        os.pwrite(descriptor, head + data, 0)
    assert requests(ledger) == 5
    ledger.close(descriptor)
    assert requests(ledger) == 5


def test_a_worker_that_never_told_anything(ledger: Ledger) -> None:
    ledger.close(ledger.open())
    assert ledger.total() == {}


def test_what_is_unknown_is_not_taken(ledger: Ledger) -> None:
    """A worker of another version may count what this one does not show, or otherwise."""
    descriptor = ledger.open()
    counters.write(
        descriptor,
        {"unheard_of": {(): 1}, "requests_total": {REQUESTS: 5, ("a", "b"): 1}},
    )
    assert ledger.total() == {"requests_total": {REQUESTS: 5}}


def test_numbers_that_are_none(ledger: Ledger) -> None:
    """A worker does not tell what would be no JSON."""
    descriptor = ledger.open()
    with pytest.raises(ValueError, match="JSON"):
        counters.write(descriptor, {"workers": {(): float("nan")}})
    assert json.dumps(ledger.total()) == "{}"


class Lookups(dict[str, int]):
    """Counts how often it was looked at."""

    looks = 0

    def items(self) -> Any:
        self.looks += 1
        return super().items()


async def test_a_worker_that_cannot_tell_goes_on_trying(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """What it had counted is told as soon as that is possible again; that it was not, is logged once."""
    cluster = Cluster(Upstream(("http://127.0.0.1:9",)), None, 1024)
    descriptor, full = ledger.open(), os.open("/dev/full", os.O_WRONLY)
    with closing(Relay(lambda _: cluster, [cluster], Limits())) as relay:
        relay.failed_handshakes["left"] += 3
        lookups = Lookups()
        rooms = Rooms([relay], [cluster.tally], cluster, Audit(AuditSettings()), None, lookups, {})
        telling = asyncio.create_task(keep_telling(full, rooms))
        while lookups.looks < 2:
            await asyncio.sleep(0.01)
        os.dup2(descriptor, full)
        while not (told := ledger.total()):
            await asyncio.sleep(0.01)
        telling.cancel()
    os.close(full)
    assert [record.getMessage() for record in caplog.records] == ["metrics stand still"]
    assert told["tls_handshakes_failed_total"] == {("left",): 3}
    assert set(told) <= set(ledger._labels)
