"""What the operator reports to Prometheus. One object, made at start and passed to the parts that count: no global registry.

What can be summed up when Prometheus asks is no field here but in `state_metrics`. What is counted as it happens costs a few
look-ups in a dict: the child of a metric is kept by what it is for, as finding it by its labels costs more than to count.
"""

import time
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from tidegate_operator.metrics.run_metrics import RunMetrics

LATENCY: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Metrics of one operator process."""

    def __init__(self, *, by_namespace: bool = True) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series of each counter, and say what Prometheus finds out itself
        self.registry = CollectorRegistry()
        r = self.registry
        ProcessCollector(registry=r)
        self.leader = Gauge("tidegate_leader", "1 while this replica leads.", registry=r)
        self._requests = Counter(
            "tidegate_kube_requests_total", "Requests to the apiserver.", ["verb", "resource", "code"], registry=r
        )
        self._request_seconds = Histogram(
            "tidegate_kube_request_seconds",
            "Duration of requests to the apiserver.",
            ["verb"],
            buckets=LATENCY,
            registry=r,
        )
        self.start_seconds = Histogram(
            "tidegate_run_start_seconds",
            "From a run's first sight to the POST of its first Job.",
            buckets=LATENCY,
            registry=r,
        )
        self.decide_seconds = Histogram(
            "tidegate_decide_seconds", "Time to decide on one run.", buckets=LATENCY, registry=r
        )
        self.dirty = Gauge("tidegate_dirty_keys", "Objects that wait to be decided on.", registry=r)
        self.reconcile_lag_seconds = Histogram(
            "tidegate_reconcile_lag_seconds",
            "From a change of an object until it is decided on: of the first of those that are decided on together.",
            ["kind"],
            buckets=LATENCY,
            registry=r,
        )
        self._last_event = Gauge(
            "tidegate_last_event_timestamp_seconds", "Last event or bookmark of a watch.", ["kind"], registry=r
        )
        self._events = Counter(
            "tidegate_watch_events_total",
            "Objects of our own kinds that watches and their lists have handed over.",
            ["kind"],
            registry=r,
        )
        self._lists = Counter(
            "tidegate_watch_lists_total",
            "Lists from which a watch began. More than one a kind: the apiserver no longer had what came since the last event.",
            ["kind"],
            registry=r,
        )
        self.watch_restarts = Counter(
            "tidegate_watch_restarts_total", "Times that the watches of our own kinds were started again.", registry=r
        )
        self.sweeps = Counter("tidegate_sweeps_total", "Full lists of everything.", ["outcome"], registry=r)
        self.corrections = Counter(
            "tidegate_sweep_corrections_total", "What a sweep found that no event had reported.", ["kind"], registry=r
        )
        self.set_aside = Gauge(
            "tidegate_set_aside_objects",
            "Objects with which reading, deciding or writing breaks, and which are set aside.",
            ["kind"],
            registry=r,
        )
        self.pool_workers = Gauge("tidegate_pool_workers", "Workers that are connected.", registry=r)
        self.pool_connections = Counter(
            "tidegate_pool_connections_total",
            "Connections to the dispatch port, by what became of them.",
            ["outcome"],
            registry=r,
        )
        self.handover_seconds = Histogram(
            "tidegate_pool_handover_seconds",
            "From the write of a hand-over to the start of the function.",
            buckets=LATENCY,
            registry=r,
        )
        self.errors = Counter("tidegate_reconcile_errors_total", "Failed reconciles, to be tried again.", registry=r)
        self.by_run = RunMetrics(r, by_namespace=by_namespace)
        self._request_children: dict[tuple[str, str, int], Counter] = {}
        self._request_second_children: dict[str, Histogram] = {}
        self._event_children: dict[str, Counter] = {}
        self._last_event_children: dict[str, Gauge] = {}

    def answered(self, verb: str, resource: str, status: int, *, seconds: float | None = None) -> None:
        """The apiserver has answered a request; `seconds` after it was sent, but for watches."""
        key = (verb, resource, status)
        if (count := self._request_children.get(key)) is None:
            count = self._request_children[key] = self._requests.labels(verb, resource, str(status))
        count.inc()
        if seconds is None:
            return
        if (duration := self._request_second_children.get(verb)) is None:
            duration = self._request_second_children[verb] = self._request_seconds.labels(verb)
        duration.observe(seconds)

    def watch_event(self, kind: str) -> None:
        """A watch of one of our own kinds, or its list, has handed an object over."""
        if (events := self._event_children.get(kind)) is None:
            events = self._event_children[kind] = self._events.labels(kind)
        events.inc()
        self.watch_alive(kind, time.time())

    def watch_listed(self, kind: str) -> None:
        """Everything of a kind was listed, to be watched from there on."""
        self._lists.labels(kind).inc()

    def watch_alive(self, kind: str, at: float) -> None:
        """A watch has said something: an event, or that there is none."""
        if (last := self._last_event_children.get(kind)) is None:
            last = self._last_event_children[kind] = self._last_event.labels(kind)
        last.set(at)
