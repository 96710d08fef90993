"""What the operator reports to Prometheus. One object, made at start and passed to the parts that count: no global registry."""

from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class QueueCount(NamedTuple):
    """Runs of a queue."""

    key: tuple[str, str]
    """(namespace, name)."""
    pending: int
    running: int


class PoolCount(NamedTuple):
    """A WorkerPool in numbers."""

    key: tuple[str, str]
    """(namespace, name)."""
    waiting: int
    slots: int
    busy: int


class Metrics:
    """Metrics of one operator process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        ProcessCollector(registry=r)
        self.leader = Gauge("tidegate_leader", "1 while this replica leads.", registry=r)
        self.requests = Counter(
            "tidegate_kube_requests_total", "Requests to the apiserver.", ["verb", "resource", "code"], registry=r
        )
        self.request_seconds = Histogram(
            "tidegate_kube_request_seconds",
            "Duration of requests to the apiserver.",
            ["verb"],
            buckets=LATENCY,
            registry=r,
        )
        self.runs = Gauge(
            "tidegate_runs", "TaskRuns in the cluster that have not ended, by phase.", ["phase"], registry=r
        )
        self.pending = Gauge(
            "tidegate_queue_pending", "Runs that wait in a queue's line.", ["namespace", "queue"], registry=r
        )
        self.slots = Gauge(
            "tidegate_queue_running", "Runs that hold a slot of a queue.", ["namespace", "queue"], registry=r
        )
        self.finished = Counter("tidegate_runs_finished_total", "Runs that ended.", ["phase", "reason"], registry=r)
        self.start_seconds = Histogram(
            "tidegate_run_start_seconds",
            "From a run's first sight to the POST of its first Job.",
            buckets=LATENCY,
            registry=r,
        )
        self.decide_seconds = Histogram(
            "tidegate_decide_seconds", "Time to decide on one run.", buckets=LATENCY, registry=r
        )
        self.dirty = Gauge("tidegate_dirty_keys", "Runs that wait to be decided on.", registry=r)
        self.last_event = Gauge(
            "tidegate_last_event_timestamp_seconds", "Last event or bookmark of a watch.", ["kind"], registry=r
        )
        self.events = Counter(
            "tidegate_watch_events_total",
            "Objects of our own kinds that watches and their lists have handed over.",
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
        self.pool_waiting = Gauge(
            "tidegate_pool_waiting", "Runs that wait and name a WorkerPool.", ["namespace", "pool"], registry=r
        )
        self.pool_slots = Gauge(
            "tidegate_pool_slots", "Slots of the connected workers of a WorkerPool.", ["namespace", "pool"], registry=r
        )
        self.pool_busy = Gauge(
            "tidegate_pool_busy", "Slots of a WorkerPool that runs hold.", ["namespace", "pool"], registry=r
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

    def count_pools(self, pools: Iterable[PoolCount], *, by_namespace: bool) -> None:
        """Report the slots of pools and who waits for them. Not ``by_namespace``: of all pools together, under no name."""
        counts = list(pools)
        if not by_namespace:
            sums = [sum(column) for column in zip(*(each[1:] for each in counts), strict=True)] or [0, 0, 0]
            counts = [PoolCount(("", ""), *sums)]
        for gauge in (self.pool_waiting, self.pool_slots, self.pool_busy):
            gauge.clear()  # of pools that are gone nothing stays
        for each in counts:
            self.pool_waiting.labels(*each.key).set(each.waiting)
            self.pool_slots.labels(*each.key).set(each.slots)
            self.pool_busy.labels(*each.key).set(each.busy)

    def count_queues(self, queues: Iterable[QueueCount], *, by_namespace: bool) -> None:
        """Report how many runs wait and run. Not ``by_namespace``: of all queues together, under no name."""
        counts = list(queues)
        if not by_namespace:
            counts = [QueueCount(("", ""), sum(each.pending for each in counts), sum(each.running for each in counts))]
        for each in counts:
            self.pending.labels(*each.key).set(each.pending)
            self.slots.labels(*each.key).set(each.running)
