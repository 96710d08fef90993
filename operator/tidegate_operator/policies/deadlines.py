"""How long an attempt may take to start and to run.

The kubelet holds the same limits by itself (the pod's activeDeadlineSeconds is the sum of both), so that a task ends in
time even if no supervisor lives.
"""

from tidegate_api.names import Reason

from tidegate_operator.records import AttemptRecord, PodRecord, Refusal
from tidegate_operator.timestamps import clamp

CONFIG_ERROR_SECONDS = 10.0
"""A CreateContainerConfigError that stays the same for this long isn't a Secret about to appear."""

HOPELESS = frozenset({Reason.INVALID_IMAGE_NAME, Reason.POD_REJECTED})
"""Troubles that no waiting mends."""


def started_at(attempt: AttemptRecord, pod: PodRecord) -> float:
    """Start of the task's container, held between the Job's creation and the moment we heard of it."""
    return clamp(pod.started, low=min(attempt.created, pod.received), high=pod.received)


def stop_for_deadline(attempt: AttemptRecord, now: float) -> tuple[Refusal | None, float | None]:
    """(why the attempt has to be stopped, when to look again)."""
    pod, plan = attempt.pod, attempt.plan
    if pod is not None and pod.running:
        if not plan.timeout:
            return None, None
        end = started_at(attempt, pod) + plan.timeout
        if now >= end:
            return Refusal(Reason.TIMEOUT, f"timed out after {plan.timeout} s"), None
        return None, end
    trouble = attempt.trouble
    if trouble is not None and trouble.reason in HOPELESS:
        return trouble, None
    if trouble is not None and trouble.reason == Reason.CREATE_CONTAINER_CONFIG_ERROR:
        if now >= attempt.trouble_since + CONFIG_ERROR_SECONDS:
            return trouble, None
        return None, attempt.trouble_since + CONFIG_ERROR_SECONDS
    begin = attempt.created if pod is None or pod.terminal else max(attempt.created, pod.created)
    end = begin + plan.start_timeout
    if now < end:
        return None, end
    why = f": {trouble.reason}: {trouble.message}" if trouble else ""
    return Refusal(Reason.START_TIMEOUT, f"no container ran within {plan.start_timeout} s{why}"), None
