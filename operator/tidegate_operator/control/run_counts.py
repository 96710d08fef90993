"""What is counted of a run, where it is written or started: waiting and running times, attempts, retries, disruptions, ends.

Counted is what a write of the status says for the first time, so that nothing is counted twice: also by another leader, which goes
on from the status.
"""

from collections.abc import Callable, Iterator

from tidegate_api.bodies import AttemptBody, TaskRunStatusBody
from tidegate_api.names import DEFAULT_QUEUE, Phase
from tidegate_api.times import parse_time

from tidegate_operator.metrics import Metrics
from tidegate_operator.metrics.run_metrics import QueueSeries
from tidegate_operator.policies.decision import queue_name
from tidegate_operator.records.run import RunRecord, StatusRecord
from tidegate_operator.state.cache import Cache


class RunCounts:
    """Counts what becomes of runs."""

    def __init__(self, cache: Cache, metrics: Metrics, *, clock: Callable[[], float]) -> None:
        self._cache, self._metrics, self._clock = cache, metrics, clock

    def started(self, run: RunRecord, number: int) -> None:
        """Attempt `number` was made."""
        now = self._clock()
        series = self._queue(run.namespace, queue_name(run, self._cache.task_of(run)))
        series.attempts.inc()
        if number == 1:
            self._metrics.start_seconds.observe(max(0.0, now - run.seen))
            if (queued_at := run.tracked.queued_at) is not None:
                series.wait.observe(max(0.0, now - queued_at))

    def wrote(self, run: RunRecord, before: StatusRecord, status: TaskRunStatusBody) -> None:
        """The status was written; `before`: what stood there."""
        phase = status["phase"]
        series = self._queue(run.namespace, status.get("queue") or run.queue or DEFAULT_QUEUE)
        for ended in newly_ended(before, status):
            if (count := series.ended.get(ended["outcome"])) is not None:
                count.inc()
        if (lost := (status.get("disruptions") or 0) - before.disruptions) > 0:
            series.disruptions.inc(lost)
        if phase == Phase.RETRYING and before.phase is not Phase.RETRYING:
            series.retries.inc()
        if "finishedAt" not in status:
            return
        began, finished = parse_time(status.get("startedAt")), parse_time(status.get("finishedAt"))
        if began is not None and finished is not None:
            series.duration.observe(max(0.0, finished - began))
        self._metrics.by_run.finished(
            run.namespace,
            run.task_ref,
            exists=run.task_ref is None or self._cache.task_of(run) is not None,
            phase=phase,
            reason=status.get("reason") or "",
        )

    def _queue(self, namespace: str, name: str) -> QueueSeries:
        state = self._cache.admission.queue(namespace, name)
        exists = state.there if state is not None else name == DEFAULT_QUEUE
        return self._metrics.by_run.queue((namespace, name), exists=exists)


def newly_ended(before: StatusRecord, status: TaskRunStatusBody) -> Iterator[AttemptBody]:
    """The attempts whose end a status is the first to say."""
    attempts = status.get("attempts")
    if not attempts:
        return
    known = {each["number"] for each in before.attempts if each.get("outcome")}
    for each in attempts:
        if each.get("outcome") and each["number"] not in known:
            yield each
