"""The status as it is written: pure builders of the JSON that people and programs read."""

import math
from collections.abc import Mapping
from typing import Final, cast

from pydantic.alias_generators import to_camel
from tidegate_api.bodies import AttemptBody, QueueStatusBody, ResultRefBody, TaskRunStatusBody
from tidegate_api.names import ATTEMPTS_KEPT, DEFAULT_QUEUE, Phase, Reason
from tidegate_api.objects import Condition
from tidegate_api.taskrun import TaskRunStatus
from tidegate_api.times import format_duration, format_time, parse_time

from tidegate_operator.policies.outcome import ABSENT, Absent, End
from tidegate_operator.queueing.queue_state import QueueState
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.definitions import QueueRecord
from tidegate_operator.records.pool import Handover
from tidegate_operator.records.run import RunRecord

STATUS_FIELDS: Final = tuple(to_camel(name) for name in TaskRunStatus.model_fields)
REASON_MAX: Final = 256
MESSAGE_MAX: Final = 1024


def attempt_entry(attempt: AttemptRecord, *, end: End | None, started: float | None) -> AttemptBody:
    """The attempt's line in `status.attempts`."""
    pod = attempt.pod
    fields: dict[str, object] = {
        "number": attempt.number,
        **(_handed_over(attempt.handover) if attempt.handover else _by_job(attempt)),
        **({"podName": pod.name, "nodeName": pod.node} if pod else {}),
        "image": pod.image if pod else None,
        "imageID": pod.image_id if pod else None,
        "specHash": attempt.spec_hash,
        "startedAt": format_time(started) if started is not None else None,
    }
    if end is not None:
        fields |= {
            "outcome": str(end.outcome),
            "reason": end.reason[:REASON_MAX] if end.reason else None,
            "message": end.message[:MESSAGE_MAX] if end.message else None,
            "exitCode": end.exit_code,
            "finishedAt": format_time(end.finished),
            "usage": end.usage.body if end.usage is not None else None,
        }
    return cast("AttemptBody", _present(fields))


def handover_entry(handover: Handover, *, number: int, spec_hash: str | None, at: float) -> AttemptBody:
    """The line of an attempt that is about to be given to a worker, written before it is."""
    fields = {**_handed_over(handover), "number": number, "specHash": spec_hash, "startedAt": format_time(at)}
    return cast("AttemptBody", _present(fields))


def _handed_over(handover: Handover) -> dict[str, object]:
    return {
        "pool": handover.pool,
        "podName": handover.pod_name,
        "podUid": handover.pod_uid,
        "nodeName": handover.node,
        "handover": handover.ident,
    }


def _by_job(attempt: AttemptRecord) -> dict[str, object]:
    """What the cluster did until the container started: a handed-over attempt starts at once in a pod that is there."""
    pod = attempt.pod
    return {
        "jobName": attempt.job_name,
        "createdAt": format_time(attempt.created),
        "scheduledAt": format_time(pod.scheduled) if pod is not None and pod.scheduled is not None else None,
    }


def _present(fields: Mapping[str, object]) -> dict[str, object]:
    """Without fields that have no value: an absent field and a null are not the same to the apiserver."""
    return {name: value for name, value in fields.items() if value is not None}


def with_attempt(attempts: list[AttemptBody], entry: AttemptBody) -> list[AttemptBody]:
    """The history with one line added or replaced; the last 100 are kept."""
    return [*(a for a in attempts if a["number"] != entry["number"]), entry][-ATTEMPTS_KEPT:]


def build_status(
    run: RunRecord,
    *,
    phase: Phase,
    now: float,
    reason: str | None = None,
    message: str | None = None,
    attempts: list[AttemptBody] | None = None,
    started: float | None = None,
    finished: float | None = None,
    disruptions: int | None = None,
    next_attempt: float | None = None,
    ttl: int | None = None,
    result: object = ABSENT,
    result_ref: ResultRefBody | None = None,
    queued_at: float | Absent | None = ABSENT,
    queue: str | None = None,
) -> TaskRunStatusBody:
    """The whole status. What is set once (startedAt; queuedAt unless given) is taken over from the run.

    `queued_at`: None for a run that something else than its queue holds.
    """
    before = run.status
    first_start = before.started_at or (format_time(started) if started is not None else None)
    fields: dict[str, object] = {
        "phase": str(phase),
        "reason": str(reason)[:REASON_MAX] if reason else None,
        "message": message[:MESSAGE_MAX] if message else None,
        "observedGeneration": run.generation,
        "queuedAt": _queued_at(run, queued_at),
        "startedAt": first_start,
        "queue": queue or (run.plan.queue if run.plan else run.queue or DEFAULT_QUEUE),
        "attempts": (before.attempts if attempts is None else attempts) or None,
        "disruptions": (before.disruptions if disruptions is None else disruptions) or None,
        "nextAttemptAt": format_time(next_attempt) if next_attempt is not None else None,
        "resultRef": result_ref,
    }
    if finished is not None:
        begun = parse_time(first_start)
        fields |= {
            "finishedAt": format_time(max(finished, begun or 0.0)),
            "duration": format_duration(finished - begun) if begun is not None else None,
            "ttlSecondsAfterFinished": ttl,
        }
    status = cast("TaskRunStatusBody", _present(fields))
    if result is not ABSENT:
        status["result"] = result
    status["conditions"] = _conditions(run, phase=phase, reason=reason, message=message, now=now)
    return status


def failed_by_fault(run: RunRecord, *, message: str, ttl: int | None, now: float) -> TaskRunStatusBody:
    """The end of a run that is set aside: no more than can be said of a record that can't be relied on."""
    status: TaskRunStatusBody = {
        "phase": str(Phase.FAILED),
        "reason": str(Reason.INTERNAL_ERROR),
        "message": message[:MESSAGE_MAX],
        "finishedAt": format_time(now),
        "conditions": _conditions(run, phase=Phase.FAILED, reason=Reason.INTERNAL_ERROR, message=message, now=now),
    }
    if ttl is not None:
        status["ttlSecondsAfterFinished"] = ttl
    return status


def queue_status(queue: QueueRecord, state: QueueState, *, now: float) -> QueueStatusBody:
    """The status of a Queue, built on what stands there."""
    ready: Condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "its limits are kept",
        "observedGeneration": queue.generation,
    }
    before = next((c for c in queue.status.get("conditions") or () if c["type"] == "Ready"), Condition())
    since = before.get("lastTransitionTime") if before.get("status") == "True" else None
    status: QueueStatusBody = {
        "observedGeneration": queue.generation,
        "pending": len(state.waiting),
        "running": len(state.holders),
        "conditions": [{**ready, "lastTransitionTime": since or format_time(now)}],
    }
    if (oldest := state.waiting.oldest) is not None:
        status["oldestPendingAt"] = format_time(oldest)
    if (bucket := state.bucket) is not None:
        # Rounded down: read back after a restart, it must never say that more is left.
        tokens = math.floor(bucket.tokens * 1000) / 1000
        status["rateBucket"] = {"tokens": f"{tokens:.3f}", "at": format_time(bucket.at)}
    return status


def _queued_at(run: RunRecord, given: float | Absent | None) -> str | None:
    if given is None:
        return None
    if given is not ABSENT:
        return format_time(given)
    if run.status.queued_at is not None:
        return run.status.queued_at
    if run.tracked.queued_at is None and run.plan is None:
        return None  # it never came so far
    return format_time(
        run.tracked.queued_at if run.tracked.queued_at is not None else max(run.created, run.start_after or 0.0)
    )


def _conditions(
    run: RunRecord, *, phase: Phase, reason: str | None, message: str | None, now: float
) -> list[Condition]:
    # A run's conditions change once: from what they were at its creation to what they are at its end.
    since = format_time(now if phase.terminal else run.created)
    succeeded = ("True" if phase is Phase.SUCCEEDED else "False") if phase.terminal else "Unknown"

    def condition(kind: str, state: str) -> Condition:
        why = str(reason or phase)[:REASON_MAX]
        made: Condition = {"type": kind, "status": state, "reason": why, "lastTransitionTime": since}
        if message:
            made["message"] = message[:MESSAGE_MAX]
        return made

    return [condition("Finished", "True" if phase.terminal else "False"), condition("Succeeded", succeeded)]
