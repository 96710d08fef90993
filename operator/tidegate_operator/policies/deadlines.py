"""How long an attempt may take to start and to run.

The kubelet holds the same limits by itself (the pod's activeDeadlineSeconds is the sum of both), so that a task ends in
time even if no operator lives.
"""

from tidegate_api.names import Reason
from tidegate_api.times import clamp

from tidegate_operator.policies.decision import DecisionContext
from tidegate_operator.records.attempt import TASK_ENDED, AttemptRecord, PodRecord
from tidegate_operator.records.run import Cause, RunRecord

CONFIG_ERROR_SECONDS = 10.0
"""A CreateContainerConfigError that stays the same for this long isn't a Secret about to appear."""

HOPELESS = frozenset({Reason.INVALID_IMAGE_NAME, Reason.POD_REJECTED})
"""Troubles that no waiting mends."""


def started_at(attempt: AttemptRecord, pod: PodRecord) -> float:
    """Start of the task's container.

    Where its node reports a time at which it can't have started, the node's clock is off: then what was recorded counts, or
    the moment we heard of it, so that no timeout is cut short or prolonged.
    """
    low, high = _not_started_at(attempt, pod), pod.received
    recorded = attempt.recorded_start
    if attempt.handover is None and recorded is not None and max(low, _created(pod)) <= recorded <= high:
        return recorded  # an earlier leader may have seen a later moment without a container
    if pod.started is not None and low <= pod.started <= high:
        return pod.started
    ran = max(0.0, pod.finished - pod.started) if pod.started is not None and pod.finished is not None else 0.0
    return clamp(high - ran if recorded is None else recorded, low=low, high=high)


def stop_other_containers(pod: PodRecord, now: float) -> tuple[Cause | None, float | None]:
    """Once `task` has ended, other ordinary containers get the grace period; then the pod is stopped. Answers as
    `stop_for_deadline` does.

    It counts from the moment that this process saw the end: the node's clock may be off.
    """
    end = pod.received + pod.grace
    return (TASK_ENDED, None) if now >= end else (None, end)


def _created(pod: PodRecord) -> float:
    """When the pod was created: not after it was seen, whatever the apiserver's clock said then."""
    return min(pod.created, pod.received)


def _not_started_at(attempt: AttemptRecord, pod: PodRecord) -> float:
    """The latest moment known at which no container ran yet."""
    known = max(attempt.created, pod.scheduled or 0.0)
    if pod.running and attempt.inspected_at < pod.received:
        known = max(known, attempt.inspected_at)
    return min(known, pod.received)


def run_deadline(run: RunRecord, context: DecisionContext) -> float | None:
    """When the run as a whole has to be done: `deadlineSeconds` from the first attempt's Job."""
    plan = context.attempt.plan if context.attempt is not None else run.plan
    if plan is None or plan.deadline is None or context.first_job is None:
        return None
    return context.first_job + plan.deadline


def stop_for_deadline(
    attempt: AttemptRecord, now: float, *, deadline: float | None
) -> tuple[Cause | None, float | None]:
    """(why the attempt has to be stopped, when to look again). `deadline`: the run's own."""
    stop, wake = _stop_for_own_limits(attempt, now)
    if stop is not None or deadline is None:
        return stop, wake
    if now >= deadline:
        message = f"not done within {attempt.plan.deadline} s of its first attempt's Job"
        return Cause(Reason.DEADLINE_EXCEEDED, message), None
    return None, deadline if wake is None else min(wake, deadline)


def _stop_for_own_limits(attempt: AttemptRecord, now: float) -> tuple[Cause | None, float | None]:
    pod, plan = attempt.pod, attempt.plan
    if pod is not None and pod.task_ended:
        return stop_other_containers(pod, now)
    if pod is not None and pod.running:
        if not plan.timeout:
            return None, None
        end = started_at(attempt, pod) + plan.timeout
        if now >= end:
            return Cause(Reason.TIMEOUT, f"timed out after {plan.timeout} s"), None
        return None, end
    trouble = attempt.trouble
    if trouble is not None and trouble.reason in HOPELESS:
        return trouble, None
    if trouble is not None and trouble.reason == Reason.CREATE_CONTAINER_CONFIG_ERROR:
        if now >= attempt.trouble_since + CONFIG_ERROR_SECONDS:
            return trouble, None
        return None, attempt.trouble_since + CONFIG_ERROR_SECONDS
    if attempt.hold is not None:
        return None, None  # the clock stands still, and the next inspection finds when it goes on
    if pod is not None and not pod.terminal:
        begin = max(attempt.created, _created(pod))
    else:
        # No pod: from the Job's creation, its last pod's end, or the moment from which nothing held the Job back.
        begin = max(attempt.created, attempt.hold_until, pod.received if pod is not None else 0.0)
    end = begin + plan.start_timeout
    if now < end:
        return None, end
    why = f": {trouble.reason}: {trouble.message}" if trouble else ""
    return Cause(Reason.START_TIMEOUT, f"no container ran within {plan.start_timeout} s{why}"), None
