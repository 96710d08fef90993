"""An attempt under way: judge its end, hold it to its limits, report where it stands."""

from tidegate_api.names import Outcome, Phase, Reason

from tidegate_operator.policies import retry
from tidegate_operator.policies.cancellation import stop_for_cancel
from tidegate_operator.policies.deadlines import run_deadline, started_at, stop_for_deadline
from tidegate_operator.policies.decision import (
    Decision,
    DecisionContext,
    DeleteJob,
    InspectAttempt,
    StopAttempt,
    WriteStatus,
)
from tidegate_operator.policies.finish import finish
from tidegate_operator.policies.outcome import UNKNOWN, End, end_of
from tidegate_operator.policies.status import attempt_entry, build_status, with_attempt
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.run import NOT_LOOKED, VAGUE, Cause, RunRecord

STARTING_LASTS = 5.0
RUNNING_LASTS = 0.3
"""A state is written once it has lasted so long; a terminal one at once."""

OWN_ENDS = frozenset({Reason.ERROR, Reason.OOM_KILLED})
DISRUPTION_DELAY = 1.0
OUT_OF_MEMORY_MAX = 3
"""Workers that may run out of memory under a run before it is taken for the cause."""

STOP_LOOK_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 60.0
"""A thousand pods that no node takes must not cost two hundred lists a second."""


def follow(run: RunRecord, attempt: AttemptRecord, context: DecisionContext, now: float) -> Decision:
    """An attempt is under way: judge its end, hold it to its limits, report where it stands."""
    if not attempt.plan_known:
        return Decision([InspectAttempt(attempt)])  # its limits aren't known yet
    deadline = run_deadline(run, context)
    end = end_of(attempt, cancelled=run.cancel, overdue=deadline is not None and now >= deadline, now=now)
    if (
        end is not None
        and end.reason == Reason.POD_DELETED
        and not (attempt.job_gone or attempt.job_ended)
        and attempt.inspected_at < end.received
    ):
        return Decision(
            [InspectAttempt(attempt)]
        )  # a Job that is suspended loses its pod, and makes another when resumed
    if end is not None:
        return _conclude(run, attempt, end, context, now)
    decision = Decision()
    lost = sum(p.disrupted and p.phase != "Succeeded" for p in attempt.pods.values())
    over = run.cancel or run.status.disruptions + lost > context.max_disruptions
    if lost and over and all(p.terminal for p in attempt.pods.values()):
        # Its Job could still replace the pod: the run ends once the Job is gone.
        again = attempt.inspected_at + STOP_LOOK_SECONDS
        return Decision([DeleteJob(attempt)]) if now >= again else Decision(wake_at=again)
    _hold_to_limits(run, attempt, context, now, decision, deadline=deadline)
    _report_state(run, attempt, now, decision)
    return decision


def _hold_to_limits(
    run: RunRecord,
    attempt: AttemptRecord,
    context: DecisionContext,
    now: float,
    decision: Decision,
    *,
    deadline: float | None,
) -> None:
    pod = attempt.pod
    stop = stop_for_cancel(run, attempt)
    if stop is None and attempt.stop is None:
        stop, wake = stop_for_deadline(attempt, now, deadline=deadline)
        decision.wake(wake)
    if (
        stop is None
        and attempt.stop is not None
        and pod is not None
        and not pod.terminal
        and pod.uid != attempt.stopped_pod
    ):
        stop = attempt.stop  # a pod that came after the stop, or got its node after it
    if stop is not None:
        decision.actions.append(StopAttempt(attempt, stop))
        return
    if pod is None or not pod.running or pod.phase == "Pending" or attempt.unwatched:
        patience = min(LONGEST_LOOK_SECONDS, context.look_seconds * 2.0 ** min(attempt.inspections, 10))
        pause = STOP_LOOK_SECONDS if attempt.stop is not None else patience
        look_at = max(attempt.created, attempt.inspected_at) + pause
        if now >= look_at:
            urgent = attempt.stop is not None or attempt.unwatched or attempt.inspected_at == float("-inf")
            decision.actions.append(InspectAttempt(attempt, lazy=not urgent))
        else:
            decision.wake(look_at)


def _report_state(run: RunRecord, attempt: AttemptRecord, now: float, decision: Decision) -> None:
    pod = attempt.pod
    if pod is not None and pod.phase == UNKNOWN:
        return  # it is being inspected: what that finds is reported next
    reason: str | None = Reason.CANCELLING if run.cancel else None
    message: str | None = None
    if pod is not None and pod.running:
        phase, lasted = Phase.RUNNING, pod.received + RUNNING_LASTS
        started: float | None = started_at(attempt, pod)
        if pod.unreachable and not run.cancel and attempt.handover is not None:
            reason, message = Reason.WORKER_UNREACHABLE, f"worker {pod.name} does not answer"
        elif pod.unreachable and not run.cancel:
            reason, message = Reason.NODE_UNREACHABLE, f"node {pod.node} does not answer"
        elif pod.others is not None and (pod.task_ended or pod.phase == "Pending"):
            has = "has ended" if pod.task_ended else "runs"
            message = f"the container task {has}; its pod waits for {pod.others}"
    else:
        phase, lasted, started = Phase.STARTING, attempt.created + STARTING_LASTS, None
        trouble = attempt.trouble or Cause(Reason.SCHEDULING, NOT_LOOKED)
        if not run.cancel:
            reason, message = trouble.reason, trouble.message
    known = any(a["number"] == attempt.number for a in run.status.attempts)
    vague = run.status.message in VAGUE and message not in VAGUE
    silent = phase is not Phase.RUNNING or (run.status.message is None) == (message is None)
    if known and run.status.phase is phase and run.status.reason == reason and silent and not vague:
        return
    if now < lasted:
        decision.wake(lasted)
        return
    attempts = with_attempt(run.status.attempts, attempt_entry(attempt, end=None, started=started))
    status = build_status(run, phase=phase, reason=reason, message=message, attempts=attempts, started=started, now=now)
    decision.actions.append(WriteStatus(status, run.version, lazy=True))


def _is_listed(end: End, attempt: AttemptRecord) -> bool:
    """Whether the task's own exit code is one that is never retried. That of a container that was stopped or lost says nothing."""
    return end.reason in OWN_ENDS and end.exit_code in attempt.plan.non_retryable


def _conclude(run: RunRecord, attempt: AttemptRecord, end: End, context: DecisionContext, now: float) -> Decision:
    """The attempt has ended: the run ends with it, or waits for the next."""
    attempts = with_attempt(run.status.attempts, attempt_entry(attempt, end=end, started=end.started))
    lost = sum(p.disrupted and p.phase != "Succeeded" for p in attempt.pods.values())
    if end.outcome is Outcome.DISRUPTED:
        lost = 0 if end.reason == Reason.NOT_STARTED else max(1, lost)
    disruptions = run.status.disruptions + lost

    def ends(phase: Phase, reason: str | None, message: str | None) -> Decision:
        return finish(
            run,
            context,
            now,
            phase=phase,
            reason=reason,
            message=message,
            attempts=attempts,
            end=end,
            disruptions=disruptions,
        )

    if end.outcome is Outcome.SUCCEEDED:
        return ends(Phase.SUCCEEDED, None, end.message)
    if run.cancel:
        return ends(Phase.CANCELLED, Reason.CANCELLED, "cancelled")
    if end.reason == Reason.DEADLINE_EXCEEDED:
        return ends(Phase.FAILED, end.reason, end.message)
    failed = retry.failures(attempts)
    if end.outcome is Outcome.DISRUPTED:
        if disruptions > context.max_disruptions:
            return ends(
                Phase.FAILED, Reason.EVICTED, f"its pods were disrupted {disruptions} times; last: {end.reason}"
            )
        if retry.workers_out_of_memory(attempts) >= OUT_OF_MEMORY_MAX:
            return ends(Phase.FAILED, Reason.OOM_KILLED, f"{OUT_OF_MEMORY_MAX} workers ran out of memory under it")
        pause = 0.0 if retry.is_first_not_started(attempts) else DISRUPTION_DELAY
    elif end.final or _is_listed(end, attempt) or failed >= attempt.plan.max_attempts:
        return ends(Phase.FAILED, end.reason, end.message)
    else:
        pause = retry.delay(attempt.plan, run_uid=run.uid, failed=failed, retry_after=end.retry_after)
    status = build_status(
        run,
        phase=Phase.RETRYING,
        reason=Reason.BACK_OFF,
        message=end.message,
        attempts=attempts,
        started=end.started,
        disruptions=disruptions,
        next_attempt=(end.received or now) + pause,
        now=now,
    )
    return Decision([WriteStatus(status, run.version)])
