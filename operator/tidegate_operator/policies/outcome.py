"""How an attempt ended, read from its pod: exit code, termination message, and who ended it.

The pod's own end counts, not the Job's: the Job controller marks a Job about a second after its pod has ended.
"""

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from tidegate_api.bodies import ResultRefBody
from tidegate_api.names import POOL_RESULT_MAX_BYTES, SECONDS_MAX, ExitCode, Outcome, Reason
from tidegate_api.times import clamp

from tidegate_operator.policies.deadlines import started_at
from tidegate_operator.policies.result import RESULT_REF, is_result_ref, read_result, refused_result
from tidegate_operator.records.attempt import TASK_ENDED, AttemptRecord, PodRecord
from tidegate_operator.records.usage import Usage, split_usage


class Absent(Enum):
    """The type of ABSENT."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""No value, which isn't the same as the value `null`."""

UNKNOWN: Final = "Unknown"
"""Phase of a pod that an event or a list leaves in doubt, until it is looked at."""

FINAL_REASONS: Final = frozenset(
    {Reason.INVALID_IMAGE_NAME, Reason.CREATE_CONTAINER_CONFIG_ERROR, Reason.POD_REJECTED, Reason.DEADLINE_EXCEEDED}
)
MESSAGE_MAX: Final = 1024
WHOLE_SECOND: Final = 1.0
"""Times of objects have whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The end of an attempt."""

    outcome: Outcome
    finished: float
    reason: str | None = None
    message: str | None = None
    final: bool = False
    """No further attempt, whatever is left."""
    exit_code: int | None = None
    retry_after: int | None = None
    result: object = ABSENT
    result_ref: ResultRefBody | None = None
    started: float | None = None
    received: float = 0.0
    """When this process heard of it; back-off counts from here."""
    usage: Usage | None = None


def result_limit(containers: int) -> int:
    """Bytes of a termination message that the kubelet keeps, for a pod of so many containers."""
    return min(4096, 12288 // containers)


def is_over(attempt: AttemptRecord) -> bool:
    """Whether no pod of the attempt runs or will: only then is its slot free."""
    pod, last = attempt.pod, attempt.job_gone or attempt.job_ended
    if any(not p.terminal for p in attempt.pods.values()):
        return False
    if pod is None:
        return last
    if attempt.suspended and not last and (pod.deleting or pod.gone) and not _ended_by_itself(pod):
        return False  # the Job is suspended, so its pod is deleted; once resumed, the Job creates another pod
    # A disrupted pod is replaced by its Job: the attempt goes on.
    return last or not pod.disrupted or pod.phase == "Succeeded"


def end_of(attempt: AttemptRecord, *, cancelled: bool, overdue: bool = False, now: float) -> End | None:
    """How the attempt ended, or None while it goes on. `overdue`: the deadline of the run as a whole has passed."""
    if not is_over(attempt):
        return None
    pod = attempt.pod
    if pod is None:
        return _without_pod(attempt, cancelled=cancelled, now=now)
    started, finished = _times(attempt, pod)
    end = _of_pod(attempt, pod, cancelled=cancelled, overdue=overdue)
    usage = pod.usage or _reported(pod)[0]
    return replace(end, finished=finished, started=started, received=pod.received, exit_code=pod.exit_code, usage=usage)


def _times(attempt: AttemptRecord, pod: PodRecord) -> tuple[float | None, float]:
    """Start and end of the container: where its node's clock is off, both are moved together."""
    if pod.started is None:
        return None, clamp(pod.finished, low=min(attempt.created, pod.received), high=pod.received)
    started = started_at(attempt, pod)
    finished = pod.finished + started - pod.started if pod.finished is not None else None
    return started, clamp(finished, low=started, high=pod.received)


def _without_pod(attempt: AttemptRecord, *, cancelled: bool, now: float) -> End:
    stop = attempt.stop
    if cancelled:
        return End(outcome=Outcome.CANCELLED, reason=Reason.CANCELLED, finished=now, received=now)
    if stop is not None:
        return End(
            outcome=Outcome.FAILED,
            reason=stop.reason,
            message=stop.message,
            final=stop.reason in FINAL_REASONS,
            finished=now,
            received=now,
        )
    message = (
        "the Job was deleted before its pod ended"
        if attempt.job_gone
        else "the pod was deleted before its end was seen"
    )
    return End(
        outcome=Outcome.FAILED,
        reason=Reason.POD_DELETED,
        message=message,
        finished=now,
        received=now,
    )


def _of_pod(attempt: AttemptRecord, pod: PodRecord, *, cancelled: bool, overdue: bool) -> End:
    at = pod.received
    if pod.exit_code is not None and _ended_by_itself(pod):
        return _success(pod) if pod.exit_code == 0 else _failure(pod)
    if pod.disrupted:
        return End(outcome=Outcome.DISRUPTED, reason=pod.reason or "Disrupted", message=_line(pod.message), finished=at)
    if pod.phase == "Failed" and pod.reason == "DeadlineExceeded":
        return _stopped(attempt, pod, cancelled=cancelled, overdue=overdue)
    if pod.gone and pod.phase != "Failed":
        return (
            _without_pod(attempt, cancelled=cancelled, now=at) if attempt.stop else _deleted(cancelled=cancelled, at=at)
        )
    if pod.deleting:
        return _deleted(cancelled=cancelled, at=at)
    if pod.phase == "Succeeded":
        return _success(pod)
    if pod.reason and pod.exit_code is None and pod.reason != "Evicted":
        # Turned away by the kubelet (OutOfcpu, NodeAffinity, …): not the task's fault.
        return End(outcome=Outcome.DISRUPTED, reason=pod.reason, message=_line(pod.message), finished=at)
    return _failure(pod)


def _ended_by_itself(pod: PodRecord) -> bool:
    """Whether `task` had ended before anything ended its pod: else its exit code says nothing.

    Where a deletion was asked for in the second in which the container ended, the container is taken for stopped: a program
    that ends at once on SIGTERM must not pass for one that has done its work.
    """
    if pod.stop_reason == TASK_ENDED.reason:
        return True
    if pod.exit_code is None and pod.phase not in ("Succeeded", "Failed"):
        return False  # it is gone, and was last seen before its end
    if pod.reason == "DeadlineExceeded":
        if not pod.stop_reason:
            return _before(pod.finished, pod.deadline_at)
        # The kubelet posts no status while it pulls another container's image: the end of `task` can be older than the stop that
        # was made because nothing of it was known. The node reports its times in whole seconds.
        return pod.finished is not None and _before(pod.finished + 1.0, pod.stop_floor)
    if pod.deleting or pod.disrupted:
        return _before_stop_asked(pod)
    return pod.reason != "Evicted"


def _before_stop_asked(pod: PodRecord) -> bool:
    """Whether `task` had ended when the deletion or disruption was asked for. One is a time of the node's clock, the other of the
    apiserver's: where what is known of the pod shows that the two differ, the earliest time counts that the node's can have shown."""
    if pod.finished is None or pod.stop_asked is None:
        return False
    # So far the node's clock is ahead, at least and at most: it wrote `accepted` after the scheduler had chosen the node, and each
    # time before it was seen here.
    least = max(
        pod.accepted - pod.accepted_seen if pod.accepted is not None and pod.accepted_seen is not None else -math.inf,
        pod.finished - pod.received,
    )
    most = pod.accepted - pod.scheduled if pod.accepted is not None and pod.scheduled is not None else math.inf
    if least <= WHOLE_SECOND and most >= -WHOLE_SECOND:
        return pod.finished < pod.stop_asked
    return pod.finished + WHOLE_SECOND < pod.stop_asked + least - WHOLE_SECOND


def _before(finished: float | None, at: float | None) -> bool:
    return finished is not None and at is not None and finished < at


def _reported(pod: PodRecord) -> tuple[Usage | None, str]:
    """What the termination message says of usage, and the rest of it. A worker reports the usage itself."""
    return split_usage(pod.termination_message) if pod.containers else (None, pod.termination_message)


def _success(pod: PodRecord) -> End:
    text, at = _reported(pod)[1], pod.received
    if pod.result_too_large:
        return _too_large(POOL_RESULT_MAX_BYTES, at=at)
    if not text.strip():
        return End(outcome=Outcome.SUCCEEDED, finished=at)
    try:
        value = read_result(text)
    except ValueError:
        whole = len(pod.termination_message.encode("utf-8", "replace"))
        if pod.containers and whole >= result_limit(pod.containers):
            return _too_large(result_limit(pod.containers), at=at)
        return End(outcome=Outcome.SUCCEEDED, message=_line(text), finished=at)
    if isinstance(value, dict) and set(value) == {RESULT_REF} and is_result_ref(value[RESULT_REF]):
        return End(outcome=Outcome.SUCCEEDED, result_ref=value[RESULT_REF], finished=at)
    return End(outcome=Outcome.SUCCEEDED, result=value, finished=at)


def _too_large(limit: int, *, at: float) -> End:
    return End(
        outcome=Outcome.FAILED,
        reason=Reason.RESULT_TOO_LARGE,
        final=True,
        finished=at,
        message=f"the result is larger than {limit} bytes",
    )


def _stopped(attempt: AttemptRecord, pod: PodRecord, *, cancelled: bool, overdue: bool) -> End:
    at = pod.received
    if cancelled:
        return End(outcome=Outcome.CANCELLED, reason=Reason.CANCELLED, finished=at)
    if overdue:
        message = f"not done within {attempt.plan.deadline} s of its first attempt's Job"
        return End(outcome=Outcome.TIMEOUT, reason=Reason.DEADLINE_EXCEEDED, message=message, final=True, finished=at)
    reason = pod.stop_reason or (attempt.stop.reason if attempt.stop else None)
    if reason in FINAL_REASONS or reason == Reason.START_TIMEOUT or (reason is None and pod.started is None):
        message = attempt.stop.message if attempt.stop else "no container ran in time"
        reason = reason or Reason.START_TIMEOUT
        return End(outcome=Outcome.FAILED, reason=reason, message=message, final=reason in FINAL_REASONS, finished=at)
    message = attempt.stop.message if attempt.stop else f"timed out after {attempt.plan.timeout} s"
    return End(outcome=Outcome.TIMEOUT, reason=Reason.TIMEOUT, message=message, finished=at)


def _deleted(*, cancelled: bool, at: float) -> End:
    if cancelled:
        return End(outcome=Outcome.CANCELLED, reason=Reason.CANCELLED, finished=at)
    return End(
        outcome=Outcome.FAILED, reason=Reason.POD_DELETED, message="the pod was deleted before it ended", finished=at
    )


def _failure(pod: PodRecord) -> End:
    code, at = pod.exit_code, pod.received
    if pod.termination_reason == "OOMKilled":
        message = "the container used more memory than its limit"
        return End(outcome=Outcome.FAILED, reason=Reason.OOM_KILLED, message=message, finished=at)
    if pod.reason == "Evicted":
        return End(outcome=Outcome.FAILED, reason=Reason.EVICTED, message=_line(pod.message), finished=at)
    text, retry_after = _reported(pod)[1], None
    if code == ExitCode.ABORT and (refused := refused_result(text)) is not None:
        message = _line(refused) or "the result is too large"
        return End(outcome=Outcome.FAILED, reason=Reason.RESULT_TOO_LARGE, message=message, final=True, finished=at)
    if code == ExitCode.RETRY_AFTER:
        text, retry_after = _retry_after(text)
    message = (
        _line(pod.failed_before)
        or _line(text)
        or _line(pod.message)
        or (f"exit code {code}" if code is not None else "the pod failed")
    )
    return End(
        outcome=Outcome.FAILED,
        reason=Reason.ERROR,
        message=message,
        finished=at,
        retry_after=retry_after,
        # 64 means never retried, whatever the list says.
        final=code == ExitCode.ABORT,
    )


def _retry_after(text: str) -> tuple[str, int | None]:
    """The message of a task that exited with 65, and after how many seconds it asks to be tried again, if it does so validly."""
    try:
        asked = read_result(text)
    except ValueError:
        return text, None
    if not isinstance(asked, dict) or "retryAfterSeconds" not in asked:
        return text, None
    seconds = asked["retryAfterSeconds"]
    said = asked["message"] if isinstance(asked.get("message"), str) else ""
    if isinstance(seconds, float) and seconds.is_integer():
        seconds = int(seconds)
    if type(seconds) is not int or not 0 <= seconds <= SECONDS_MAX:
        wrong = f"retryAfterSeconds is {str(seconds)[:32]}, not a whole number from 0 to {SECONDS_MAX}"
        return f"{said} ({wrong})" if said else wrong, None
    return said, seconds


def _line(text: str | None) -> str | None:
    """The last line that says something: of a log's tail, that is where the error stands."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1][:MESSAGE_MAX] if lines else None
