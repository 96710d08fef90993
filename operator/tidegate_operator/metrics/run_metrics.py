"""What is counted of runs: by queue how they get on, by task how they end.

The children of a queue or a task are looked up once and kept: a run costs a few look-ups in a dict and as many additions.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from tidegate_api.names import Outcome, Phase, Reason

from tidegate_operator.metrics.label_names import INLINE, OTHER, Key, LabelNames

DURATIONS: Final = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
"""Runs wait and go on for hours."""
PHASES: Final = frozenset(Phase)
REASONS: Final = frozenset(Reason) | {""}
QUEUE: Final = ("namespace", "queue")


@dataclass(slots=True)
class QueueSeries:
    """The series of one queue."""

    labels: Key
    wait: Histogram
    duration: Histogram
    attempts: Counter
    retries: Counter
    disruptions: Counter
    ended: dict[str, Counter]
    """Attempts that have ended, by outcome."""
    used: bool = True
    """Whether something was counted since it was last asked what is gone."""


@dataclass(slots=True)
class _TaskSeries:
    labels: Key
    finished: dict[tuple[str, str], Counter] = field(default_factory=dict)
    """By phase and reason."""
    used: bool = True


class RunMetrics:
    """The series of runs."""

    def __init__(self, registry: CollectorRegistry, *, by_namespace: bool = True) -> None:
        r = registry
        self.queue_names, self._task_names = (
            LabelNames(by_namespace=by_namespace),
            LabelNames(by_namespace=by_namespace),
        )
        self._wait = Histogram(
            "tidegate_run_wait_seconds",
            "From when only its queue held a run until the Job or hand-over of its first attempt was made.",
            QUEUE,
            buckets=DURATIONS,
            registry=r,
        )
        self._duration = Histogram(
            "tidegate_run_duration_seconds",
            "From the first start of a run's container until the run ended, retries and their pauses included.",
            QUEUE,
            buckets=DURATIONS,
            registry=r,
        )
        self._attempts = Counter("tidegate_attempts_started_total", "Attempts that were made.", QUEUE, registry=r)
        self._ended = Counter(
            "tidegate_attempts_finished_total", "Attempts that ended, by outcome.", [*QUEUE, "outcome"], registry=r
        )
        self._retries = Counter(
            "tidegate_run_retries_total", "Failures that are followed by another attempt.", QUEUE, registry=r
        )
        self._disruptions = Counter(
            "tidegate_run_disruptions_total", "Pods lost to evictions, preemptions and lost nodes.", QUEUE, registry=r
        )
        self._finished = Counter(
            "tidegate_runs_finished_total",
            "Runs that ended, by task, phase and reason.",
            ["namespace", "task", "phase", "reason"],
            registry=r,
        )
        self._queues: dict[Key, QueueSeries] = {}
        self._tasks: dict[Key, _TaskSeries] = {}

    def queue(self, key: Key, *, exists: bool) -> QueueSeries:
        """The series of a queue, by namespace and name; those of others where it doesn't exist."""
        if (found := self._queues.get(key)) is not None:
            found.used = True
            return found
        labels = self.queue_names.of(key, exists=exists)
        if (found := self._queues.get(labels)) is None:
            found = self._queues[labels] = QueueSeries(
                labels=labels,
                wait=self._wait.labels(*labels),
                duration=self._duration.labels(*labels),
                attempts=self._attempts.labels(*labels),
                retries=self._retries.labels(*labels),
                disruptions=self._disruptions.labels(*labels),
                ended={outcome: self._ended.labels(*labels, outcome) for outcome in Outcome},
            )
        return found

    def finished(self, namespace: str, task: str | None, *, exists: bool, phase: str, reason: str) -> None:
        """A run of a Task has ended; of an inline task where that is None."""
        key = (namespace, INLINE if task is None else task)
        if (series := self._tasks.get(key)) is None:
            labels = self._task_names.of(key, exists=exists)
            if (series := self._tasks.get(labels)) is None:
                series = self._tasks[labels] = _TaskSeries(labels)
        if (count := series.finished.get((phase, reason))) is None:
            known = (phase if phase in PHASES else OTHER, reason if reason in REASONS else OTHER)
            if (count := series.finished.get(known)) is None:
                count = series.finished[known] = self._finished.labels(*series.labels, *known)
        series.used = True
        count.inc()

    def tidy(self, *, queues: Collection[Key], tasks: Collection[Key], now: float) -> None:
        """Take away the series of queues and tasks that are gone, now that only these are there, and of which nothing is heard."""
        for labels in self.queue_names.tidy(_in_use(self._queues) | set(queues), now):
            if (of_queue := self._queues.pop(labels, None)) is None:
                continue
            for metric in (self._wait, self._duration, self._attempts, self._retries, self._disruptions):
                metric.remove(*labels)
            for outcome in of_queue.ended:
                self._ended.remove(*labels, outcome)
        for labels in self._task_names.tidy(_in_use(self._tasks) | set(tasks), now):
            if (of_task := self._tasks.pop(labels, None)) is None:
                continue
            for known in of_task.finished:
                self._finished.remove(*labels, *known)


def _in_use(series: Mapping[Key, QueueSeries | _TaskSeries]) -> set[Key]:
    """Those of which something was counted since the last call."""
    used = {key for key, each in series.items() if each.used}
    for each in series.values():
        each.used = False
    return used
