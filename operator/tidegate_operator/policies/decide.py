"""What to do about one run now: the policies, composed.

`decide` sees one run, its newest attempt and what it refers to, and answers with actions and the moment to ask again. It
can be called at any time, any number of times: it derives everything from what is written in the cluster.
"""

from dataclasses import dataclass, field

from tidegate_api.names import Outcome, Phase, Reason

from tidegate_operator.policies import retry
from tidegate_operator.policies.cancellation import stop_for_cancel
from tidegate_operator.policies.deadlines import started_at, stop_for_deadline
from tidegate_operator.policies.outcome import End, end_of
from tidegate_operator.policies.support import refuse_queue, refuse_task
from tidegate_operator.records import (
    NOT_LOOKED,
    VAGUE,
    AttemptRecord,
    Json,
    NamedRecord,
    Refusal,
    RunRecord,
    TaskRecord,
)
from tidegate_operator.status import attempt_entry, build_status, with_attempt
from tidegate_operator.timestamps import parse_time

PENDING_LASTS = 1.0
STARTING_LASTS = 5.0
RUNNING_LASTS = 0.3
"""A state is written once it has lasted so long; a terminal one at once."""

TASK_NOT_FOUND_SECONDS = 60.0
DISRUPTION_DELAY = 1.0
STOP_LOOK_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 60.0
"""A thousand pods that no node takes must not cost two hundred lists a second."""


@dataclass(frozen=True, slots=True)
class StartAttempt:
    """Create the Job of attempt `number`."""

    number: int


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Write the whole status."""

    status: Json


@dataclass(frozen=True, slots=True)
class StopAttempt:
    """End the attempt's pod, gracefully, or its Job when no kubelet has it yet."""

    attempt: AttemptRecord
    why: Refusal


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete the attempt's Job, so that it can't replace its pod."""

    attempt: AttemptRecord


@dataclass(frozen=True, slots=True)
class LookInto:
    """Ask the cluster why the attempt has no running pod."""

    attempt: AttemptRecord


@dataclass(frozen=True, slots=True)
class RecoverAttempt:
    """The status tells of an attempt whose Job is gone: read what is needed to judge it."""

    number: int


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """The finished run is past its TTL."""


Action = StartAttempt | WriteStatus | StopAttempt | DeleteJob | LookInto | RecoverAttempt | DeleteRun


@dataclass(slots=True)
class Decision:
    """What to do now, and when to ask again if nothing happens before."""

    actions: list[Action] = field(default_factory=list)
    wake_at: float | None = None

    def wake(self, at: float | None) -> None:
        """Ask again at `at` at the latest."""
        if at is not None and (self.wake_at is None or at < self.wake_at):
            self.wake_at = at


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a decision may look at beside the run."""

    attempt: AttemptRecord | None = None
    task: TaskRecord | None = None
    queue: NamedRecord | None = None
    stray: bool = False
    """A pod of the run lives although its Job is gone."""
    max_disruptions: int = 10
    default_ttl: int = 86_400
    look_seconds: float = 5.0
    deletes_finished: bool = True
    """Whether the supervisor is the one that deletes finished runs (the mirror does, where there is one)."""


def decide(run: RunRecord, world: World, now: float) -> Decision:
    """What to do about `run` at `now` (seconds since the epoch)."""
    if run.status.phase.terminal:
        return _retain(run, world, now)
    attempt = world.attempt
    if attempt is not None and not run.status.ended(attempt.number):
        return _follow(run, attempt, world, now)
    open_number = _open_attempt(run)
    if open_number is not None and (attempt is None or attempt.number < open_number):
        return Decision([RecoverAttempt(open_number)]) if now >= run.recover_at else Decision(wake_at=run.recover_at)
    return _wait(run, world, now)


def _open_attempt(run: RunRecord) -> int | None:
    last = run.status.attempts[-1] if run.status.attempts else None
    return last["number"] if last and not last.get("outcome") else None


def _wait(run: RunRecord, world: World, now: float) -> Decision:
    """No attempt is under way: start one, or say what holds it."""
    if world.stray:
        return Decision()  # its end is an event: two pods of a run never run at once
    if run.cancel:
        return _finish(
            run, world, now, phase=Phase.CANCELLED, reason=Reason.CANCELLED, message="cancelled before it started"
        )
    if not run.status.attempts:
        refusal = _refuse(run, world, now)
        if refusal is not None:
            return _finish(run, world, now, phase=Phase.FAILED, reason=refusal.reason, message=refusal.message)
        if run.task_ref is not None and world.task is None:
            message = f"there is no Task {run.task_ref} in namespace {run.namespace}"
            decision = _hold(run, now, reason=Reason.TASK_NOT_FOUND, message=message)
            decision.wake(run.created + TASK_NOT_FOUND_SECONDS)
            return decision
    elif run.refusal is not None:
        # Asked for after the first attempt had started (suspend, for one): it holds for the next.
        return _finish(run, world, now, phase=Phase.FAILED, reason=run.refusal.reason, message=run.refusal.message)
    elif run.status.next_attempt_at is not None and now < run.status.next_attempt_at:
        return Decision(wake_at=run.status.next_attempt_at)
    if run.refused is not None and now < run.retry_at:
        decision = _hold(run, now, reason=run.refused.reason, message=run.refused.message)
        decision.wake(run.retry_at)
        return decision
    numbers = [a["number"] for a in run.status.attempts]
    if world.attempt is not None:
        numbers.append(world.attempt.number)
    return Decision([StartAttempt(max(numbers, default=0) + 1)])


def _refuse(run: RunRecord, world: World, now: float) -> Refusal | None:
    if run.refusal is not None:
        return run.refusal
    if world.queue is not None and (refusal := refuse_queue(world.queue.spec, name=world.queue.name)):
        return refusal
    if run.task_ref is None:
        return None
    if world.task is not None:
        return refuse_task(world.task.spec, where=f"spec of Task {world.task.name}:")
    if now >= run.created + TASK_NOT_FOUND_SECONDS:
        return Refusal(Reason.TASK_NOT_FOUND, f"there is no Task {run.task_ref} in namespace {run.namespace}")
    return None


def _hold(run: RunRecord, now: float, *, reason: str, message: str) -> Decision:
    phase = Phase.RETRYING if run.status.attempts else Phase.PENDING
    if run.status.phase is phase and run.status.reason == reason:
        return Decision()
    lasted = run.seen + PENDING_LASTS
    if now < lasted:
        return Decision(wake_at=lasted)
    return Decision([WriteStatus(build_status(run, phase=phase, reason=reason, message=message, now=now))])


def _follow(run: RunRecord, attempt: AttemptRecord, world: World, now: float) -> Decision:
    """An attempt is under way: judge its end, hold it to its limits, tell where it stands."""
    end = end_of(attempt, cancelled=run.cancel, now=now)
    if end is not None:
        return _conclude(run, attempt, end, world, now)
    decision = Decision()
    lost = sum(p.disrupted and p.phase != "Succeeded" for p in attempt.pods.values())
    over = run.cancel or run.status.disruptions + lost > world.max_disruptions
    if lost and over and all(p.terminal for p in attempt.pods.values()):
        # Its Job could still replace the pod: the run ends once the Job is gone.
        again = attempt.looked_at + STOP_LOOK_SECONDS
        return Decision([DeleteJob(attempt)]) if now >= again else Decision(wake_at=again)
    _hold_to_limits(run, attempt, world, now, decision)
    _tell(run, attempt, now, decision)
    return decision


def _hold_to_limits(run: RunRecord, attempt: AttemptRecord, world: World, now: float, decision: Decision) -> None:
    pod = attempt.pod
    stop = stop_for_cancel(run, attempt)
    if stop is None and attempt.stop is None:
        stop, wake = stop_for_deadline(attempt, now)
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
    if pod is None or not pod.running or attempt.unwatched:
        patience = min(LONGEST_LOOK_SECONDS, world.look_seconds * 2.0 ** min(attempt.looks, 10))
        pause = STOP_LOOK_SECONDS if attempt.stop is not None else patience
        look_at = max(attempt.created, attempt.looked_at) + pause
        if now >= look_at:
            decision.actions.append(LookInto(attempt))
        else:
            decision.wake(look_at)


def _tell(run: RunRecord, attempt: AttemptRecord, now: float, decision: Decision) -> None:
    pod = attempt.pod
    reason: str | None = Reason.CANCELLING if run.cancel else None
    message: str | None = None
    if pod is not None and pod.running:
        phase, lasted = Phase.RUNNING, pod.received + RUNNING_LASTS
        started: float | None = started_at(attempt, pod)
    else:
        phase, lasted, started = Phase.STARTING, attempt.created + STARTING_LASTS, None
        trouble = attempt.trouble or Refusal(Reason.SCHEDULING, NOT_LOOKED)
        if not run.cancel:
            reason, message = trouble.reason, trouble.message
    known = any(a["number"] == attempt.number for a in run.status.attempts)
    vague = run.status.message in VAGUE and message not in VAGUE
    if known and run.status.phase is phase and run.status.reason == reason and not vague:
        return
    if now < lasted:
        decision.wake(lasted)
        return
    attempts = with_attempt(run.status.attempts, attempt_entry(attempt, end=None, started=started))
    status = build_status(run, phase=phase, reason=reason, message=message, attempts=attempts, started=started, now=now)
    decision.actions.append(WriteStatus(status))


def _conclude(run: RunRecord, attempt: AttemptRecord, end: End, world: World, now: float) -> Decision:
    """The attempt has ended: the run ends with it, or waits for the next."""
    attempts = with_attempt(run.status.attempts, attempt_entry(attempt, end=end, started=end.started))
    lost = sum(p.disrupted and p.phase != "Succeeded" for p in attempt.pods.values())
    if end.outcome is Outcome.DISRUPTED:
        lost = max(1, lost)
    disruptions = run.status.disruptions + lost

    def finish(phase: Phase, reason: str | None, message: str | None) -> Decision:
        return _finish(
            run,
            world,
            now,
            phase=phase,
            reason=reason,
            message=message,
            attempts=attempts,
            end=end,
            disruptions=disruptions,
        )

    if end.outcome is Outcome.SUCCEEDED:
        return finish(Phase.SUCCEEDED, None, end.message)
    if run.cancel:
        return finish(Phase.CANCELLED, Reason.CANCELLED, "cancelled")
    failed = retry.failures(attempts)
    if end.outcome is Outcome.DISRUPTED:
        if disruptions > world.max_disruptions:
            return finish(
                Phase.FAILED, Reason.EVICTED, f"its pods were disrupted {disruptions} times; last: {end.reason}"
            )
        pause = DISRUPTION_DELAY
    elif end.final or end.exit_code in attempt.plan.non_retryable or failed >= attempt.plan.max_attempts:
        return finish(Phase.FAILED, end.reason, end.message)
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
    return Decision([WriteStatus(status)])


def _finish(
    run: RunRecord,
    world: World,
    now: float,
    *,
    phase: Phase,
    reason: str | None,
    message: str | None,
    attempts: list[Json] | None = None,
    end: End | None = None,
    disruptions: int | None = None,
) -> Decision:
    plan = world.attempt.plan if world.attempt is not None else run.plan
    task_ttl = plan.ttl if plan is not None else None
    ttl = next((t for t in (run.ttl, task_ttl) if t is not None), world.default_ttl)
    result = (
        {"result": end.result, "result_ref": end.result_ref} if end is not None and phase is Phase.SUCCEEDED else {}
    )
    status = build_status(
        run,
        phase=phase,
        reason=reason,
        message=message,
        attempts=attempts,
        started=end.started if end is not None else None,
        finished=end.finished if end is not None else now,
        disruptions=disruptions,
        ttl=ttl,
        now=now,
        **result,
    )
    return Decision([WriteStatus(status)])


def _retain(run: RunRecord, world: World, now: float) -> Decision:
    if not world.deletes_finished:
        return Decision()
    finished = parse_time(run.status.finished_at) or run.created
    ttl = next((t for t in (run.ttl, run.status.ttl) if t is not None), world.default_ttl)
    return Decision([DeleteRun()]) if now >= finished + ttl else Decision(wake_at=finished + ttl)
