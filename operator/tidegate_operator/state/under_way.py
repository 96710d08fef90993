"""Attempts that begin, as Jobs or in workers, and what that means for their runs: a plan, and no place in line any more."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from tidegate_api.bodies import TaskSpecBody
from tidegate_api.objects import ObjectMeta
from tidegate_api.ownership import controller_uid
from tidegate_api.times import parse_time

from tidegate_operator.queueing.admission import Admission
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.parsing import attempt_number
from tidegate_operator.records.pool_parsing import handover_of
from tidegate_operator.records.run import Plan, RunRecord
from tidegate_operator.state.attempts import AttemptIndex, Uids, queue_of
from tidegate_operator.state.handovers import HandoverIndex
from tidegate_operator.state.run_bodies import RunBodies


class UnderWay:
    """Takes note of them."""

    def __init__(
        self,
        runs: Mapping[str, RunRecord],
        attempts: AttemptIndex,
        handovers: HandoverIndex,
        admission: Admission,
        bodies: RunBodies,
        *,
        settled: Callable[[Uids], None],
        clock: Callable[[], float],
    ) -> None:
        """`settled` derives again which slots runs hold, and has them looked at."""
        self._runs, self._attempts, self._handovers, self._admission = runs, attempts, handovers, admission
        self._bodies = bodies
        self._settled, self._clock = settled, clock

    def put_job(self, meta: ObjectMeta, *, spec: TaskSpecBody | None = None) -> None:
        """A Job was seen, or made with `spec` just now: known at once, so that counts never lag the watch. Only its metadata is
        looked at."""
        now = self._clock()
        uid = controller_uid(meta, kind="TaskRun") or ""
        run, number = self._runs.get(uid), attempt_number(meta)
        if spec is None and number == 1 and not self._attempts.settled:
            # Before this process was there another started it, and may not have written what is left of the rate.
            created = parse_time(meta["creationTimestamp"]) or now
            self._admission.started_before(meta["namespace"], queue_of(meta), created=created)
        marked = self._attempts.put_job(meta, now=now, spec=spec)
        if run is not None and number is not None:
            _is_started(run, number)
        if marked and (attempt := self._attempts.latest(uid)) is not None and run is not None:
            self._begin(run, attempt)
        self._settled(marked)

    def note_handover(self, run: RunRecord, resolved: TaskSpecBody | None) -> None:
        """The status may name an attempt that was given to a worker: it is under way from then on, for every leader."""
        if resolved is not None and run.plan is None and run.status.attempts:
            run.plan = self._attempts.shared(Plan.of(resolved))
        last = run.status.attempts[-1] if run.status.attempts and not run.status.phase.terminal else None
        handover = handover_of(last) if last is not None and not last.get("outcome") else None
        if last is None or handover is None or self._handovers.find(handover.ident) is not None:
            return
        now = self._clock()
        attempt = self._handovers.put(
            handover,
            run_uid=run.uid,
            namespace=run.namespace,
            number=last["number"],
            plan=Plan.of(resolved) if resolved is not None else None,
            key=run.concurrency_key,
            started=parse_time(last.get("startedAt")) or now,
            now=now,
            spec_hash=last.get("specHash"),
        )
        _is_started(run, last["number"])
        self._begin(run, attempt)

    def put_attempt(self, attempt: AttemptRecord) -> None:
        """An attempt that is known only from its run's status."""
        self._attempts.add(attempt)
        if (run := self._runs.get(attempt.run_uid)) is not None:
            self._begin(run, attempt)
        self._settled((attempt.run_uid,))

    def planned(self, attempt: AttemptRecord, resolved: TaskSpecBody) -> None:
        """An attempt whose Job doesn't hold its plan is treated by this TaskSpec. It holds its slot where it did."""
        attempt.plan, attempt.plan_known = replace(Plan.of(resolved), queue=attempt.plan.queue), True
        if (run := self._runs.get(attempt.run_uid)) is not None and self._attempts.latest(run.uid) is attempt:
            run.plan = attempt.plan
        self._settled((attempt.run_uid,))

    def needs_pool(self, run: RunRecord, pool: str) -> None:
        """The next attempt needs a slot of this WorkerPool, or of none, whatever the one before had."""
        if run.plan is not None:
            run.plan = self._attempts.shared(replace(run.plan, pool=pool))

    def first_began(self, run: RunRecord) -> float | None:
        """When the first attempt began (its Job was made); what the status says where no more is known."""
        if (first := self._attempts.get(run.uid, 1)) is not None and first.plan_known:
            return first.created
        return parse_time(run.status.attempts[0].get("startedAt")) if run.status.attempts else None

    def _begin(self, run: RunRecord, attempt: AttemptRecord) -> None:
        run.plan, run.tracked.refused = attempt.plan, None
        self._bodies.drop(run.uid)
        attempt.recorded_start = run.status.started(attempt.number)
        self._admission.withdraw(run.uid)


def _is_started(run: RunRecord, number: int) -> None:
    if number == run.tracked.starting:
        run.tracked.starting, run.tracked.posted_at, run.tracked.worker = 0, 0.0, None
