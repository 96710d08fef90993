"""A run with no attempt under way: what holds it, and its place in its queue's line once only that does."""

from tidegate_api.names import Phase, Reason

from tidegate_operator.policies.deadlines import run_deadline
from tidegate_operator.policies.decision import CheckPayload, Decision, World, WriteStatus, queue_name
from tidegate_operator.policies.ending import finish
from tidegate_operator.policies.payload import must_check
from tidegate_operator.policies.suspension import clear
from tidegate_operator.policies.turns import Ticket
from tidegate_operator.records import Refusal, RunRecord
from tidegate_operator.status import build_status
from tidegate_operator.timestamps import parse_time

PENDING_LASTS = 1.0
"""A state is written once it has lasted so long."""

TASK_NOT_FOUND_SECONDS = 60.0
LINE_REASONS = frozenset({Reason.QUEUED, Reason.CONCURRENCY_LIMIT, Reason.RATE_LIMIT, Reason.QUEUE_PAUSED})
"""Of these only the first is written: they change with every run that starts or ends."""


def wait(run: RunRecord, world: World, now: float) -> Decision:
    """Hold the run, end it, or have it wait for its turn."""
    if run.cancel:
        return finish(
            run, world, now, phase=Phase.CANCELLED, reason=Reason.CANCELLED, message="cancelled before it started"
        )
    return _wait_again(run, world, now) if run.status.attempts else _wait_first(run, world, now)


def _wait_first(run: RunRecord, world: World, now: float) -> Decision:
    if run.refusal is not None:
        return _fail(run, world, now, run.refusal)
    if must_check(run, world.task):
        return Decision([CheckPayload()]) if now >= run.check_at else Decision(wake_at=run.check_at)
    clearance = clear(run, world.find, has_dependents=world.has_dependents, now=now)
    if (ended := clearance.ended) is not None:
        phase = Phase.FAILED if ended.reason == Reason.DEPENDENCY_CYCLE else Phase.SKIPPED
        return finish(run, world, now, phase=phase, reason=ended.reason, message=ended.message)
    if clearance.held is not None:
        decision = _hold(run, now, clearance.held, queued_at=None)
        decision.wake(clearance.wake_at)
        return decision
    queued_at = clearance.queued_at
    latest = queued_at + run.start_deadline if run.start_deadline is not None else None
    if latest is not None and now >= latest:
        message = f"not started within {run.start_deadline} s"
        return finish(run, world, now, phase=Phase.EXPIRED, reason=Reason.START_DEADLINE_EXCEEDED, message=message)
    if run.task_ref is not None and world.task is None:
        given_up = queued_at + TASK_NOT_FOUND_SECONDS
        missing = Refusal(Reason.TASK_NOT_FOUND, f"there is no Task {run.task_ref} in namespace {run.namespace}")
        if now >= given_up:
            return _fail(run, world, now, missing)
        decision = _hold(run, now, missing, queued_at=queued_at)
        decision.wake(given_up)
    else:
        decision = _queue(run, world, now, queued_at=queued_at, place_at=queued_at)
    decision.wake(latest)
    return decision


def _wait_again(run: RunRecord, world: World, now: float) -> Decision:
    """Between attempts."""
    deadline = run_deadline(run, world)
    if deadline is not None and now >= deadline:
        return _fail(run, world, now, Refusal(Reason.DEADLINE_EXCEEDED, _over_deadline(run)))
    after = run.status.next_attempt_at or 0.0
    queued_at = parse_time(run.status.queued_at)
    if run.suspend:
        held = Refusal(Reason.SUSPENDED, "its next attempt starts once spec.suspend is false")
        decision = _hold(run, now, held, queued_at=queued_at) if now >= after else Decision(wake_at=after)
    elif now < after:
        decision = Decision(wake_at=after)
    else:
        decision = _queue(run, world, now, queued_at=queued_at, place_at=max(after, run.released))
    decision.wake(deadline)
    return decision


def _queue(run: RunRecord, world: World, now: float, *, queued_at: float | None, place_at: float) -> Decision:
    """Nothing but the queue holds it, and what the cluster refused a moment ago."""
    if run.refused is not None and now < run.retry_at:
        decision = _hold(run, now, run.refused, queued_at=queued_at)
        decision.wake(run.retry_at)
        return decision
    numbers = [a["number"] for a in run.status.attempts]
    if world.attempt is not None:
        numbers.append(world.attempt.number)
    number = max(numbers, default=0) + 1
    queue = queue_name(run, world.task)
    if world.line is None:
        decision = Decision(wake_at=now + PENDING_LASTS)  # if it still waits then, that is told
    else:
        decision = _hold(run, now, world.line, queued_at=queued_at, queue=queue)
    decision.ticket = Ticket(
        uid=run.uid,
        name=run.name,
        namespace=run.namespace,
        queue=queue,
        key=run.concurrency_key,
        priority=run.priority,
        queued_at=place_at,
        number=number,
        first=number == 1,
    )
    return decision


def _hold(run: RunRecord, now: float, why: Refusal, *, queued_at: float | None, queue: str | None = None) -> Decision:
    """Tell what holds the run, once it has for a moment."""
    phase = Phase.RETRYING if run.status.attempts else Phase.PENDING
    told = run.status.reason
    if run.status.phase is phase and (told == why.reason or (told in LINE_REASONS and why.reason in LINE_REASONS)):
        return Decision()
    lasted = max(run.seen, run.held_since) + PENDING_LASTS
    if now < lasted:
        return Decision(wake_at=lasted)
    status = build_status(
        run, phase=phase, reason=why.reason, message=why.message, queued_at=queued_at, queue=queue, now=now
    )
    return Decision([WriteStatus(status, run.version, lazy=True)])


def _fail(run: RunRecord, world: World, now: float, why: Refusal) -> Decision:
    return finish(run, world, now, phase=Phase.FAILED, reason=why.reason, message=why.message)


def _over_deadline(run: RunRecord) -> str:
    seconds = run.plan.deadline if run.plan is not None else None
    return f"not done within {seconds} s of its first attempt's Job"
