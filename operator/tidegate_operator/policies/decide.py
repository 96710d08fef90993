"""What to do about one run now: the policies, composed.

`decide` sees one run, its newest attempt and what it refers to, and answers with actions and the moment to ask again. It
can be called at any time, any number of times: it derives everything from what is written in the cluster.
"""

from tidegate_operator.policies.active_attempt import follow
from tidegate_operator.policies.decision import Decision, DecisionContext, FindAttempt, RecoverAttempt, StartAttempt
from tidegate_operator.policies.retention import retain
from tidegate_operator.policies.waiting import wait
from tidegate_operator.records.run import LATE_WRITE_SECONDS, RunRecord


def decide(run: RunRecord, context: DecisionContext, now: float) -> Decision:
    """What to do about `run` at `now` (seconds since the epoch)."""
    if run.status.phase.terminal:
        return retain(run, context, now)
    attempt = context.attempt
    if attempt is not None and not run.status.ended(attempt.number):
        return follow(run, attempt, context, now)
    if run.tracked.starting:
        return _start(run, context, now)
    if run.deleting:
        return Decision()  # a finalizer keeps it: nothing new starts
    open_number = _open_attempt(run)
    if open_number is not None and (attempt is None or attempt.number < open_number):
        return (
            Decision([RecoverAttempt(open_number)])
            if now >= run.tracked.recover_at
            else Decision(wake_at=run.tracked.recover_at)
        )
    return wait(run, context, now)


def _start(run: RunRecord, context: DecisionContext, now: float) -> Decision:
    """Its turn has come, and the attempt isn't there yet.

    The POST can be repeated whatever became of the first: the name is the same. But a run that is to end must know first.
    """
    if context.has_orphan_pod and run.tracked.posted_at:
        return Decision([FindAttempt(run.tracked.starting)])  # it was made; if it is gone again, its pod isn't
    if run.tracked.posted_at and run.tracked.refused is not None:
        # Refused, and perhaps made all the same: once that is known the slot is free.
        return (
            Decision(wake_at=run.tracked.recover_at)
            if now < run.tracked.recover_at
            else Decision([FindAttempt(run.tracked.starting)])
        )
    if not (run.cancel or run.suspend or run.deleting) or not run.tracked.posted_at:
        late = now < run.tracked.recover_at
        return Decision(wake_at=run.tracked.recover_at) if late else Decision([StartAttempt(run.tracked.starting)])
    sure = run.tracked.posted_at + LATE_WRITE_SECONDS
    return Decision([FindAttempt(run.tracked.starting)]) if now >= sure else Decision(wake_at=sure)


def _open_attempt(run: RunRecord) -> int | None:
    last = run.status.attempts[-1] if run.status.attempts else None
    return last["number"] if last and not last.get("outcome") else None
