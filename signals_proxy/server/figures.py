"""The numbers of one worker, collected from its rooms for the metrics (``telemetry/metrics.py``)."""

import asyncio
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from signals_proxy.relay import Cluster, Relay
from signals_proxy.relay.tally import BOUNDS_S, Tally
from signals_proxy.server.access_log import AccessLog
from signals_proxy.telemetry import counters
from signals_proxy.telemetry.audit import Audit
from signals_proxy.telemetry.counters import Figures, add
from signals_proxy.telemetry.log import Log, way_of

__all__ = ["Rooms", "keep_telling", "tell"]

_EVERY_S: Final = 1.0

_log = Log("telemetry")


@dataclass(frozen=True, slots=True)
class Rooms:
    """Whoever counts."""

    relays: Sequence[Relay]
    tallies: Sequence[Tally]
    cluster: Cluster
    audit: Audit
    access_log: AccessLog | None
    lookups: Mapping[str, int]
    deliveries: Mapping[tuple[str, ...], int]

    def figures(self) -> Figures:
        """Return what they have counted so far, and what is now."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        lost = 0 if self.access_log is None else self.access_log.lost
        figures: Figures = {
            "account_calls_total": dict(self.audit.calls),
            "deliveries_total": dict(self.deliveries),
            "decision_lookups_total": {(name,): n for name, n in self.lookups.items()},
            "audit_lines_not_in_file_total": {(): self.audit.not_in_file},
            "access_log_lines_lost_total": {(): lost},
            "worker_cpu_seconds_total": {(): used.ru_utime + used.ru_stime},
        }
        for relay in self.relays:
            add(figures, _of_relay(relay))
        for tally in self.tallies:
            add(figures, _of_tally(tally))
        add(figures, _of_cluster(self.cluster))
        return figures


async def keep_telling(descriptor: int, rooms: Rooms) -> None:
    """Tell the supervisor every second. Whatever goes wrong is logged once, until it is over."""
    troubled = False
    while True:
        try:
            tell(descriptor, rooms)
        except Exception as error:  # noqa: BLE001  what was told before stands, and clients are served
            if not troubled:
                _log.error("metrics stand still", way=way_of(error))
            troubled = True
        else:
            troubled = False
        await asyncio.sleep(_EVERY_S)


def tell(descriptor: int, rooms: Rooms) -> None:
    """Tell the supervisor all that was counted."""
    counters.write(descriptor, rooms.figures())


def _of_relay(relay: Relay) -> Figures:
    return {
        "client_connections": {(): len(relay)},
        "client_connections_accepted_total": {(): relay.accepted},
        "client_connections_refused_total": {(): relay.refused},
        "tls_handshakes_failed_total": {(why,): n for why, n in relay.failed_handshakes.items()},
    }


def _of_tally(tally: Tally) -> Figures:
    place = (tally.destination,)
    figures: Figures = {
        "responses_cut_total": {place: tally.cut},
        "requests_repeated_total": {place: tally.repeated},
    }
    bounds = [*map(str, BOUNDS_S), "inf"]
    for method, status, counts in tally.by_method_and_status():
        requests, received, sent, seconds, *buckets = counts
        answered = str(status) if status else "none"
        one: Figures = {
            "requests_total": {(*place, method, answered): requests},
            "request_bytes_total": {place: received},
            "response_bytes_total": {place: sent},
            "request_duration_seconds_sum": {place: seconds},
            "request_duration_seconds_bucket": {
                (*place, bound): count for bound, count in zip(bounds, buckets, strict=True)
            },
        }
        add(figures, one)
    return figures


def _of_cluster(cluster: Cluster) -> Figures:
    figures: Figures = {}
    for pool in cluster.pools:
        label = (pool.url,)
        one: Figures = {
            "node_connections": {label: len(pool)},
            "node_requests_in_flight": {label: pool.node.in_flight},
            "node_workers": {
                (pool.url, "dead"): pool.node.is_dead,
                (pool.url, "living"): not pool.node.is_dead,
            },
            "node_connects_total": {label: pool.connected},
            "node_connect_failures_total": {label: pool.failed},
        }
        add(figures, one)
    return figures
