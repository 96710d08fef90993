"""What this process has done about a run, and the cluster doesn't record: the tracked half of its record."""

from collections.abc import Callable

from tidegate_api.bodies import TaskRunBody

from tidegate_operator.policies.decision import queue_name
from tidegate_operator.queueing.admission import Admission
from tidegate_operator.records.definitions import TaskRecord
from tidegate_operator.records.run import Cause, RunRecord, Worker
from tidegate_operator.state.run_bodies import RunBodies


class RunTracker:
    """Takes note of it. A slot is held from `starts` until the attempt is over, or `not_started`."""

    def __init__(
        self,
        admission: Admission,
        bodies: RunBodies,
        *,
        task_of: Callable[[RunRecord], TaskRecord | None],
        settle: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._admission, self._bodies = admission, bodies
        self._task_of, self._settle, self._clock = task_of, settle, clock

    def starts(self, run: RunRecord, number: int, *, worker: Worker | None = None) -> None:
        """The run's turn has come: it holds its slot, and attempt `number` is to be made. `worker`: which one is to have it."""
        run.tracked.worker = worker
        run.tracked.starting, run.tracked.posted_at, run.tracked.refused, run.tracked.in_doubt_since = (
            number,
            0.0,
            None,
            0.0,
        )

    def posted(self, run: RunRecord) -> None:
        """The Job of the attempt is being sent to the apiserver."""
        run.tracked.posted_at = self._clock()

    def not_started(self, run: RunRecord, number: int) -> None:
        """The run was let in and did not start: its slot is free, and so is its share of the rate."""
        if number == 1:
            self._admission.refund(run.namespace, queue_name(run, self._task_of(run)), self._clock())
        run.tracked.starting, run.tracked.posted_at, run.tracked.worker = 0, 0.0, None
        self._settle(run.uid)

    def in_doubt_since(self, run: RunRecord) -> float:
        """Since when it isn't sure whether a POST of the run's Job was carried out: from the first question on."""
        run.tracked.in_doubt_since = run.tracked.in_doubt_since or self._clock()
        return run.tracked.in_doubt_since

    def refused(self, run: RunRecord, why: Cause, *, retry_at: float) -> None:
        """The apiserver would not take the run's Job; it is tried again at `retry_at`."""
        run.tracked.refused, run.tracked.retry_at = why, retry_at

    def recover_later(self, run: RunRecord, at: float) -> None:
        """An attempt whose Job may be gone isn't looked for before `at`."""
        run.tracked.recover_at = at

    def check_later(self, run: RunRecord, at: float) -> None:
        """The payload isn't checked before `at`."""
        run.tracked.check_at = at

    def payload_matches(self, run: RunRecord, *, version: str, body: TaskRunBody) -> None:
        """The payload matches that version of its schema. The body spares the start a second read."""
        run.tracked.checked_for = version
        if self._bodies.find(run.uid) is None:
            self._bodies.put(run.uid, body)

    def queues_up(self, run: RunRecord, *, queued_at: float | None, first_asked: bool) -> None:
        """The run waits in its queue's line. `queued_at`: since when only that holds it, where it is given."""
        if first_asked:
            run.tracked.in_line_since = self._clock()
        if queued_at is not None:
            run.tracked.queued_at = queued_at

    def waits(self, run: RunRecord) -> None:
        """Nothing starts it now: no more than the JSON of its body is kept."""
        if not run.tracked.starting:
            self._bodies.pack(run.uid)
