"""Every metric that there is, and all of them in the format of Prometheus: ``docs/metrics.md``.

Rule of the file: the values of all labels come from closed sets, from the configuration, or from the
cluster's own answers. Nothing that a client can make up is one.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import inf
from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from signals_proxy.telemetry.counters import Figures, Ledger

__all__ = ["CONTENT_TYPE", "METRICS", "Described", "ledger", "rendered"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

PREFIX: Final = "signals_proxy_"


class Described(NamedTuple):
    """A metric. A histogram is told of as two: ``…_bucket`` with the label ``le``, and ``…_sum``."""

    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


def _counter(meaning: str, *labels: str) -> Described:
    return Described("counter", labels, meaning)


def _gauge(meaning: str, *labels: str) -> Described:
    return Described("gauge", labels, meaning)


METRICS: Final[Mapping[str, Described]] = {
    "requests_total": _counter(
        "Requests that ended. destination: cluster, accounts, or none for what was refused before it"
        " had one. method: as sent if clusters know it, or other. status: of the answer, or none if"
        " there was none.",
        *("destination", "method", "status"),
    ),
    "request_bytes_total": _counter("Bytes of these requests, with their heads.", "destination"),
    "response_bytes_total": _counter("Bytes of their answers, with their heads.", "destination"),
    "request_duration_seconds": Described(
        "histogram",
        ("destination",),
        "Time from the end of a request's head to the end of its answer.",
    ),
    "responses_cut_total": _counter("Answers that began and never became whole.", "destination"),
    "requests_repeated_total": _counter(
        "Requests sent once more, as a kept connection to a node had just ended.", "destination"
    ),
    "client_connections": _gauge("Connections of clients."),
    "client_connections_accepted_total": _counter("Connections of clients that came."),
    "client_connections_refused_total": _counter("Those of them that were one too many."),
    "tls_handshakes_failed_total": _counter(
        "Handshakes with clients that failed. reason: no_tls if what came was none; refused if the"
        " client did not take what it was shown, mostly a certificate that it does not trust;"
        " certificate if it showed none, or a wrong one; slow if it took too long; left if it ended"
        " the connection; or other.",
        "reason",
    ),
    "node_connections": _gauge("Connections to a node of the cluster.", "node"),
    "node_requests_in_flight": _gauge("Requests that a node has.", "node"),
    "node_workers": _gauge(
        "Workers to which a node is living, or dead: they judge for themselves.", "node", "state"
    ),
    "node_connects_total": _counter("Connections that were made to a node.", "node"),
    "node_connect_failures_total": _counter("Connections to a node that failed.", "node"),
    "account_calls_total": _counter(
        "Calls of the account API that ended. action: none if it is none of ours. decision: allowed,"
        " denied, or none if nobody was asked or could tell. outcome: success, failure, or unknown if"
        " no answer went out.",
        *("action", "decision", "outcome"),
    ),
    "deliveries_total": _counter(
        "Deliveries, and checks of accounts, that ended. type: of the account. action: send or test."
        " outcome: success, or the reason of the failure; not_tried if it was the caller's or the"
        " account's, cluster_unavailable if the account could not be read, or error.",
        *("type", "action", "outcome"),
    ),
    "decision_lookups_total": _counter(
        "Questions to the cluster of who may do what. result: hit if the answer was remembered, joined"
        " if it was awaited already, else asked.",
        "result",
    ),
    "audit_lines_not_in_file_total": _counter("Audit lines that went to the log, not to the file."),
    "access_log_lines_lost_total": _counter("Lines of the access log that its file did not take."),
    "worker_cpu_seconds_total": _counter("Processor time of the workers, user and system."),
    "workers": _gauge("Worker processes, those that retire included."),
    "workers_started_total": _counter("Worker processes that were started."),
    "reloads_total": _counter("Reloads. outcome: success, or failure.", "outcome"),
    "build_info": _gauge("Always 1. version: of this program.", "version"),
}


def ledger() -> Ledger:
    """Return where workers' numbers are kept."""
    labels: dict[str, tuple[str, ...]] = {}
    for name, (kind, named, _) in METRICS.items():
        if kind == "histogram":
            labels |= {f"{name}_bucket": (*named, "le"), f"{name}_sum": named}
        else:
            labels[name] = named
    return Ledger(labels, lambda name: METRICS[name].kind != "gauge" if name in METRICS else True)


def rendered(figures: Figures) -> bytes:
    """Return the text for Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(figures))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for name, (kind, labels, meaning) in METRICS.items():
            if kind == "histogram":
                yield self._histogram(name, labels, meaning)
                continue
            family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
            metric = family(PREFIX + name, meaning, labels=labels)
            for values, value in sorted(self._figures.get(name, {}).items()):
                metric.add_metric(values, value)
            yield metric

    def _histogram(self, name: str, labels: tuple[str, ...], meaning: str) -> Metric:
        metric = HistogramMetricFamily(PREFIX + name, meaning, labels=labels)
        counts = self._figures.get(f"{name}_bucket", {})
        for values, total in sorted(self._figures.get(f"{name}_sum", {}).items()):
            own = sorted((float(key[-1]), n) for key, n in counts.items() if key[:-1] == values)
            below = accumulate(n for _, n in own)
            bounds = ["+Inf" if bound == inf else f"{bound:g}" for bound, _ in own]
            metric.add_metric(values, list(zip(bounds, below, strict=True)), total)
        return metric
