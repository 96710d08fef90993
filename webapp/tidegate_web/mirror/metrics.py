"""What a mirror reports to Prometheus, whether it leads or not. What a term knows is asked of it when Prometheus asks."""

import time
from typing import TYPE_CHECKING, Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tidegate_web.mirror.archive_metrics import ArchiveMetrics
from tidegate_web.shared.archive_bound import ArchiveBound
from tidegate_web.store.models.runs import LogMark
from tidegate_web.store.models.work import DeliveryState

if TYPE_CHECKING:
    from tidegate_web.mirror.term import Term

LAGS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class MirrorMetrics:
    """The series of a mirror's process."""

    def __init__(self, registry: CollectorRegistry, *, bound: ArchiveBound, by_namespace: bool) -> None:
        r = registry
        self._term: Term | None = None
        self._leads = Gauge("tidegate_mirror_leader", "1 while this mirror is at work.", registry=r)
        followed = Gauge("tidegate_mirror_followed_logs", "Pods whose logs are being read.", registry=r)
        followed.set_function(lambda: term.followed if (term := self._term) is not None else 0)
        quiet = Gauge(
            "tidegate_mirror_seconds_since_event", "Seconds since the watch of TaskRuns last said anything; 0: not at work.",
            registry=r,
        )  # fmt: skip
        quiet.set_function(lambda: time.monotonic() - term.heard if (term := self._term) is not None else 0)
        lag = Gauge(
            "tidegate_mirror_lag_seconds", "How long the oldest change has waited that Postgres has not stored; 0: none waits.",
            registry=r,
        )  # fmt: skip
        lag.set_function(lambda: term.lag if (term := self._term) is not None else 0)
        self.store_seconds = Histogram(
            "tidegate_mirror_store_seconds", "From the receipt of a change until it was committed, of the first of each batch.",
            buckets=LAGS, registry=r,
        )  # fmt: skip
        self.outbox_events = Gauge("tidegate_outbox_events", "Live events that wait to be published.", registry=r)
        self.outbox_oldest = Gauge(
            "tidegate_outbox_oldest_seconds", "Age of the oldest of them; 0: none waits.", registry=r
        )
        self._logs = Counter("tidegate_logs_ended_total", "Logs that got their end mark.", ["mark"], registry=r)
        self.webhook_attempts = Counter(
            "tidegate_webhook_attempts_total",
            "Attempts to deliver webhooks: delivered, failed for good, or pending: to be made again.",
            ["state"],
            registry=r,
        )
        self.restarts = Counter(
            "tidegate_mirror_thread_failures_total",
            "Times that a thread had ended or got nowhere, and all were replaced.",
            registry=r,
        )
        self.set_aside = Gauge(
            "tidegate_set_aside_objects", "Objects that are set aside because reading or storing them breaks.", ["kind"],
            registry=r,
        )  # fmt: skip
        # A series that is first seen with its first count looks as if nothing had happened.
        for state in get_args(DeliveryState):
            self.webhook_attempts.labels(state)
        for mark in get_args(LogMark):
            self._logs.labels(mark)
        self.archive = ArchiveMetrics(registry=registry, bound=bound, by_namespace=by_namespace)

    def leads(self, term: "Term") -> None:
        """A term has begun."""
        self._term = term
        self._leads.set(1)

    def lost(self) -> None:
        """Another mirror leads, or none."""
        self._term = None
        self._leads.set(0)
        self.outbox_events.set(0)
        self.outbox_oldest.set(0)
        self.archive.clear()

    def log_ended(self, mark: LogMark) -> None:
        """A log has got its end mark."""
        self._logs.labels(mark).inc()
