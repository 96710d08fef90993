"""A run with no attempt under way: what holds it, and its place in its queue's line once only that does."""

from tidegate_api.names import Phase, Reason
from tidegate_api.times import parse_time

from tidegate_operator.policies.deadlines import run_deadline
from tidegate_operator.policies.decision import (
    CheckPayload,
    Decision,
    DecisionContext,
    WriteStatus,
    pool_name,
    queue_name,
)
from tidegate_operator.policies.finish import finish
from tidegate_operator.policies.payload import must_check
from tidegate_operator.policies.start_gates import clear
from tidegate_operator.policies.status import build_status
from tidegate_operator.queueing.fair_queue import QueueEntry
from tidegate_operator.records.run import Cause, RunRecord

PENDING_LASTS = 1.0
"""A state is written once it has lasted so long."""

TASK_NOT_FOUND_SECONDS = 60.0
LINE_REASONS = frozenset(
    {
        Reason.QUEUED,
        Reason.CONCURRENCY_LIMIT,
        Reason.RATE_LIMIT,
        Reason.QUEUE_PAUSED,
        Reason.POOL_NOT_FOUND,
        Reason.POOL_NOT_READY,
        Reason.POOL_FULL,
    }
)
"""Of these only the first is written: they change with every run that starts or ends."""


def wait(run: RunRecord, context: DecisionContext, now: float) -> Decision:
    """Hold the run, end it, or have it wait for its turn."""
    if run.cancel:
        return finish(
            run, context, now, phase=Phase.CANCELLED, reason=Reason.CANCELLED, message="cancelled before it started"
        )
    return _wait_again(run, context, now) if run.status.attempts else _wait_first(run, context, now)


def _wait_first(run: RunRecord, context: DecisionContext, now: float) -> Decision:
    if run.refusal is not None:
        return _fail(run, context, now, run.refusal)
    if must_check(run, context.task):
        return Decision([CheckPayload()]) if now >= run.tracked.check_at else Decision(wake_at=run.tracked.check_at)
    clearance = clear(run, context.find, has_dependents=context.has_dependents, now=now)
    if (ended := clearance.ended) is not None:
        phase = Phase.FAILED if ended.reason == Reason.DEPENDENCY_CYCLE else Phase.SKIPPED
        return finish(run, context, now, phase=phase, reason=ended.reason, message=ended.message)
    if clearance.held is not None:
        decision = _hold(run, now, clearance.held, queued_at=None)
        decision.wake(clearance.wake_at)
        return decision
    queued_at = clearance.queued_at
    latest = queued_at + run.start_deadline if run.start_deadline is not None else None
    if latest is not None and now >= latest:
        message = f"not started within {run.start_deadline} s"
        return finish(run, context, now, phase=Phase.EXPIRED, reason=Reason.START_DEADLINE_EXCEEDED, message=message)
    if run.task_ref is not None and context.task is None:
        given_up = queued_at + TASK_NOT_FOUND_SECONDS
        missing = Cause(Reason.TASK_NOT_FOUND, f"there is no Task {run.task_ref} in namespace {run.namespace}")
        if now >= given_up:
            return _fail(run, context, now, missing)
        decision = _hold(run, now, missing, queued_at=queued_at)
        decision.wake(given_up)
    else:
        decision = _queue(run, context, now, queued_at=queued_at, place_at=queued_at)
    decision.wake(latest)
    return decision


def _wait_again(run: RunRecord, context: DecisionContext, now: float) -> Decision:
    """Between attempts."""
    deadline = run_deadline(run, context)
    if deadline is not None and now >= deadline:
        return _fail(run, context, now, Cause(Reason.DEADLINE_EXCEEDED, _over_deadline(run)))
    after = run.status.next_attempt_at or 0.0
    queued_at = parse_time(run.status.queued_at)
    if run.suspend:
        held = Cause(Reason.SUSPENDED, "its next attempt starts once spec.suspend is false")
        decision = _hold(run, now, held, queued_at=queued_at) if now >= after else Decision(wake_at=after)
    elif now < after:
        decision = Decision(wake_at=after)
    else:
        decision = _queue(run, context, now, queued_at=queued_at, place_at=max(after, run.tracked.released))
    decision.wake(deadline)
    return decision


def _queue(
    run: RunRecord, context: DecisionContext, now: float, *, queued_at: float | None, place_at: float
) -> Decision:
    """Nothing but the queue holds it, and what the cluster refused a moment ago."""
    if run.tracked.refused is not None and now < run.tracked.retry_at:
        decision = _hold(run, now, run.tracked.refused, queued_at=queued_at)
        decision.wake(run.tracked.retry_at)
        return decision
    numbers = [a["number"] for a in run.status.attempts]
    if context.attempt is not None:
        numbers.append(context.attempt.number)
    number = max(numbers, default=0) + 1
    queue = queue_name(run, context.task)
    if context.queue_cause is None:
        decision = Decision(wake_at=now + PENDING_LASTS)  # if it still waits then, that is written
    else:
        decision = _hold(run, now, context.queue_cause, queued_at=queued_at, queue=queue)
    decision.entry = QueueEntry(
        uid=run.uid,
        name=run.name,
        namespace=run.namespace,
        queue=queue,
        key=run.concurrency_key,
        priority=run.priority,
        queued_at=place_at,
        number=number,
        first=number == 1,
        pool=pool_name(run, context.task),
    )
    return decision


def _hold(run: RunRecord, now: float, why: Cause, *, queued_at: float | None, queue: str | None = None) -> Decision:
    """Report what holds the run, once it has for a moment."""
    phase = Phase.RETRYING if run.status.attempts else Phase.PENDING
    written = run.status.reason
    if run.status.phase is phase and (
        written == why.reason or (written in LINE_REASONS and why.reason in LINE_REASONS)
    ):
        return Decision()
    lasted = max(run.seen, run.tracked.in_line_since) + PENDING_LASTS
    if now < lasted:
        return Decision(wake_at=lasted)
    status = build_status(
        run, phase=phase, reason=why.reason, message=why.message, queued_at=queued_at, queue=queue, now=now
    )
    return Decision([WriteStatus(status, run.version, lazy=True)])


def _fail(run: RunRecord, context: DecisionContext, now: float, why: Cause) -> Decision:
    return finish(run, context, now, phase=Phase.FAILED, reason=why.reason, message=why.message)


def _over_deadline(run: RunRecord) -> str:
    seconds = run.plan.deadline if run.plan is not None else None
    return f"not done within {seconds} s of its first attempt's Job"
