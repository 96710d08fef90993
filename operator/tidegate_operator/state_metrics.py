"""What is summed up of the state when Prometheus asks: runs by phase, queues, pools. What is gone has no series from then on.

Summing up needs the loop to itself and is short. Writing the page of an installation with hundreds of queues takes a tenth of a second,
and goes on in a thread: it reads what was summed up, never the state.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tidegate_operator.metrics import Metrics
from tidegate_operator.metrics.label_names import Key, LabelNames
from tidegate_operator.queueing.queue_state import QueueState
from tidegate_operator.state.cache import Cache

QUEUE: Final = ("namespace", "queue")
POOL: Final = ("namespace", "pool")
FAMILIES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "tidegate_runs": ("TaskRuns in the cluster that have not ended, by phase.", ("phase",)),
    "tidegate_queue_pending": ("Runs that wait in a queue's line.", QUEUE),
    "tidegate_queue_running": ("Runs that hold a slot of a queue.", QUEUE),
    "tidegate_queue_oldest_waiting_seconds": ("How long the run has waited that waits longest in a queue; 0: none does.", QUEUE),
    "tidegate_queue_paused": ("1 while a Queue is paused.", QUEUE),
    "tidegate_queue_concurrency_limit": ("Runs of a Queue that may go at once, where that is limited.", QUEUE),
    "tidegate_queue_key_concurrency_limit": ("The same of each concurrencyKey.", QUEUE),
    "tidegate_queue_rate_limit_runs_per_second": ("First attempts of a Queue that may start in a second, where that is limited.", QUEUE),
    "tidegate_namespace_concurrency_limit": ("Runs of one namespace that may go at once, where that is limited.", ()),
    "tidegate_cluster_concurrency_limit": ("Runs that may go at once in all namespaces together, where that is limited.", ()),
    "tidegate_pool_waiting": ("Runs that wait and name a WorkerPool.", POOL),
    "tidegate_pool_slots": ("Slots of the connected workers of a WorkerPool.", POOL),
    "tidegate_pool_busy": ("Slots of a WorkerPool that runs hold.", POOL),
    "tidegate_pool_ready_workers": ("Connected workers of a WorkerPool that take runs.", POOL),
}  # fmt: skip
"""Name, text and labels of each."""


@dataclass(slots=True)
class _QueueNumbers:
    """One queue, or several that share their labels."""

    pending: int = 0
    running: int = 0
    oldest: float = 0.0


class StateMetrics(Collector):
    """A collector of the registry."""

    def __init__(
        self,
        cache: Cache,
        metrics: Metrics,
        *,
        by_namespace: bool,
        namespace_limit: int | None = None,
        cluster_limit: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache, self._metrics, self._by_namespace, self._clock = cache, metrics, by_namespace, clock
        self._limits = {
            "tidegate_namespace_concurrency_limit": namespace_limit,
            "tidegate_cluster_concurrency_limit": cluster_limit,
        }
        self._pool_names = LabelNames(by_namespace=by_namespace)
        self._summed: Mapping[str, GaugeMetricFamily] = _families()
        metrics.registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The families, without samples."""
        return _families().values()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The state as it was last summed up."""
        return self._summed.values()

    def refresh(self) -> None:
        """Sum the state up, and take away the series of what is gone: before each scrape, in the loop."""
        self._tidy()
        families = _families()
        for phase, count in self._cache.count_runs().items():
            families["tidegate_runs"].add_metric([phase], count)
        for name, limit in self._limits.items():
            if limit is not None:
                families[name].add_metric([], limit)
        self._add_queues(families)
        self._add_pools(families)
        self._summed = families

    def _tidy(self) -> None:
        now, cache = self._clock(), self._cache
        queues = {state.key for state in cache.admission.queues if not state.is_idle}
        tasks = {(task.namespace, task.name) for task in cache.records("tasks")}
        self._metrics.by_run.tidy(queues=queues, tasks=tasks, now=now)
        for _ in self._pool_names.tidy(cache.pools.pools, now):
            pass  # each scrape sums them up again

    def _add_queues(self, families: Mapping[str, GaugeMetricFamily]) -> None:
        now, numbers = self._clock(), dict[Key, _QueueNumbers]()
        if not self._by_namespace:
            numbers["", ""] = _QueueNumbers()
        for state in self._cache.admission.queues:
            if state.is_idle:
                continue
            labels = self._metrics.by_run.queue_names.of(state.key, exists=state.there)
            sums = numbers.setdefault(labels, _QueueNumbers())
            sums.pending += len(state.waiting)
            sums.running += len(state.holders)
            # Whether one of several is paused isn't shown, so those that are don't count as waiting too long.
            own = labels == state.key
            if (oldest := state.waiting.oldest) is not None and (own or not state.limits.paused):
                sums.oldest = max(sums.oldest, now - oldest)
            if own:
                _add_limits(families, state)
        for labels, sums in numbers.items():
            families["tidegate_queue_pending"].add_metric(labels, sums.pending)
            families["tidegate_queue_running"].add_metric(labels, sums.running)
            families["tidegate_queue_oldest_waiting_seconds"].add_metric(labels, sums.oldest)

    def _add_pools(self, families: Mapping[str, GaugeMetricFamily]) -> None:
        admission, numbers = self._cache.admission, dict[Key, list[int]]()
        waiting = Counter[Key]()  # in one pass: to ask for each pool looks at every queue
        for state in admission.queues:
            for pool, count in state.waiting.pools.items():
                waiting[state.key[0], pool] += count
        if not self._by_namespace:
            numbers["", ""] = [0, 0, 0, 0]
        for key in self._cache.pools.pools:
            found = admission.pools.count(key)
            counted = (waiting[key], found.slots, found.busy, found.workers)
            sums = numbers.setdefault(self._pool_names.of(key), [0, 0, 0, 0])
            for place, number in enumerate(counted):
                sums[place] += number
        for labels, sums in numbers.items():
            for name, number in zip(("waiting", "slots", "busy", "ready_workers"), sums, strict=True):
                families[f"tidegate_pool_{name}"].add_metric(labels, number)


def _add_limits(families: Mapping[str, GaugeMetricFamily], state: QueueState) -> None:
    limits, bucket, labels = state.limits, state.bucket, state.key
    families["tidegate_queue_paused"].add_metric(labels, limits.paused)
    if limits.runs is not None:
        families["tidegate_queue_concurrency_limit"].add_metric(labels, limits.runs)
    if limits.per_key is not None:
        families["tidegate_queue_key_concurrency_limit"].add_metric(labels, limits.per_key)
    if bucket is not None:
        families["tidegate_queue_rate_limit_runs_per_second"].add_metric(labels, bucket.runs / bucket.per_seconds)


def _families() -> dict[str, GaugeMetricFamily]:
    return {name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in FAMILIES.items()}
