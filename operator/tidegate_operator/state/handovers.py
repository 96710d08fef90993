"""Attempts that were given to workers of pools, by hand-over and by worker.

A run's status says what was given to which worker, so every leader knows it. Whether the worker has it, the worker says when it
connects; until then the attempt counts as running, and holds its slots.
"""

from collections.abc import Callable

from tidegate_operator.policies.outcome import is_over
from tidegate_operator.records.attempt import AttemptRecord, PodRecord
from tidegate_operator.records.pool import Handover
from tidegate_operator.records.process import ProcessEnd
from tidegate_operator.records.run import Cause, Plan
from tidegate_operator.state.attempts import AttemptIndex


class HandoverIndex:
    """What was given to whom, and how far it is."""

    def __init__(self, attempts: AttemptIndex, *, on_change: Callable[[str], None]) -> None:
        """`on_change` is called with the uid of a run of which an attempt has changed."""
        self._attempts, self._on_change = attempts, on_change
        self._by_worker: dict[str, dict[str, None]] = {}
        """In the order in which they came."""

    def find(self, ident: str) -> AttemptRecord | None:
        """The attempt that was given to a worker as `ident`."""
        return self._attempts.by_job(handover_key(ident))

    def at_worker(self, pod_uid: str) -> list[AttemptRecord]:
        """Attempts that were given to a worker and may still matter."""
        idents = self._by_worker.get(pod_uid, {})
        found = {ident: self.find(ident) for ident in idents}
        for ident in [ident for ident, attempt in found.items() if attempt is None]:
            del idents[ident]
        if not idents:
            self._by_worker.pop(pod_uid, None)
        return [attempt for attempt in found.values() if attempt is not None]

    def put(
        self,
        handover: Handover,
        *,
        run_uid: str,
        namespace: str,
        number: int,
        plan: Plan | None,
        key: str,
        started: float,
        now: float,
        spec_hash: str | None = None,
    ) -> AttemptRecord:
        """A run's status, or the worker, says that the attempt was given to a worker. Whether that has it is to be found out.

        `plan`: None where the status doesn't say how it is treated.
        """
        attempt = AttemptRecord(
            run_uid=run_uid,
            namespace=namespace,
            number=number,
            job_name="",
            job_uid=handover_key(handover.ident),
            created=min(started, now),
            plan=self._attempts.shared(plan or Plan(pool=handover.pool)),
            plan_known=plan is not None,
            key=key,
            handover=handover,
            spec_hash=spec_hash,
            unwatched=True,
            inspected_at=now,
        )
        attempt.pods[handover.ident] = PodRecord(
            uid=handover.ident,
            name=handover.pod_name,
            version=0,
            job_uid=attempt.job_uid,
            phase="Running",
            created=attempt.created,
            received=now,
            node=handover.node,
            started=attempt.created,
            containers=0,
        )
        self._by_worker.setdefault(handover.pod_uid, {})[handover.ident] = None
        self._attempts.add(attempt)
        return attempt

    def is_held(self, attempt: AttemptRecord) -> None:
        """Its worker has it, and will report its end."""
        if not attempt.unwatched:
            return
        attempt.unwatched, attempt.inspections = False, 0
        self._set_unreachable(attempt, unreachable=False)
        self._on_change(attempt.run_uid)

    def worker_left(self, pod_uid: str, *, now: float) -> None:
        """A worker's connection is gone: what was given to it has to be looked into, unless it is back soon."""
        for attempt in self.at_worker(pod_uid):
            if not is_over(attempt):
                attempt.unwatched, attempt.inspected_at, attempt.inspections = True, now, 0
                self._on_change(attempt.run_uid)

    def run_is_gone(self, run_uid: str) -> None:
        """What was given to workers of a run that is gone is to be stopped."""
        for attempt in self._attempts.of(run_uid):
            if attempt.handover is not None:
                self._attempts.inspect_soon(attempt)

    def is_silent(self, attempt: AttemptRecord, *, now: float) -> None:
        """It was looked into: its worker is there, and isn't connected."""
        self._attempts.inspected(attempt, at=now, runs=False)
        self._set_unreachable(attempt, unreachable=True)
        self._on_change(attempt.run_uid)

    def started(self, attempt: AttemptRecord, *, at: float) -> None:
        """The function was called."""
        for pod in attempt.pods.values():
            if not pod.terminal:
                pod.started = at

    def ended(self, attempt: AttemptRecord, end: ProcessEnd, *, now: float) -> bool:
        """The process has ended, its worker reports, or the worker has. Says whether that is news."""
        pod = attempt.pod
        if pod is None or pod.terminal:
            return False
        attempt.pods[pod.uid] = end.applied_to(pod, received=now)
        attempt.job_ended, attempt.unwatched = True, False
        if end.stop is not None:
            attempt.stop = end.stop
        self._on_change(attempt.run_uid)
        return True

    def stopping(self, attempt: AttemptRecord, why: Cause) -> None:
        """Its worker is asked to stop it."""
        self._attempts.stopping(attempt, why, pod=attempt.pod)

    def _set_unreachable(self, attempt: AttemptRecord, *, unreachable: bool) -> None:
        for pod in attempt.pods.values():
            if pod.unreachable is not unreachable and not pod.terminal:
                pod.unreachable, pod.version = unreachable, pod.version + 1


def handover_key(ident: str) -> str:
    """What stands for the uid of a Job in an attempt that has none."""
    return f"handover:{ident}"
