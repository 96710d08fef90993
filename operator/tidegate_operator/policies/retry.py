"""When a failed attempt is followed by another, and after how long."""

import hashlib

from tidegate_api.bodies import AttemptBody
from tidegate_api.names import Outcome, Reason

from tidegate_operator.records.run import Plan

FAILED_OUTCOMES = frozenset({Outcome.FAILED, Outcome.TIMEOUT})


def failures(attempts: list[AttemptBody]) -> int:
    """Attempts that count against `maxAttempts`: a disruption isn't the task's fault."""
    return sum(a.get("outcome") in FAILED_OUTCOMES for a in attempts)


def ran_out_of_memory(attempts: list[AttemptBody]) -> bool:
    """Whether an attempt was ended for its memory: those after it get the resources of `retry.outOfMemory`."""
    return any(a.get("reason") == Reason.OOM_KILLED for a in attempts)


def delay(plan: Plan, *, run_uid: str, failed: int, retry_after: int | None = None) -> float:
    """Seconds from the failure number `failed` (from 1) to the next attempt.

    min(max, initial · factor^(n-1)), shortened by a factor in [0.5, 1] when jitter is on. The seed is the run's uid and n,
    so that a restarted operator comes to the same moment. `retry_after` is the task's own word (exit code 65).
    """
    if retry_after is not None:
        return float(retry_after)
    full = float(min(plan.max_delay, plan.initial_delay * plan.factor ** (failed - 1)))
    if not plan.jitter:
        return full
    seed = hashlib.sha256(f"{run_uid}/{failed}".encode()).digest()
    return full * (0.5 + int.from_bytes(seed[:4], "big") / 2**33)


def workers_out_of_memory(attempts: list[AttemptBody]) -> int:
    """Workers that were ended for their memory while an attempt of the run was there."""
    return sum(a.get("outcome") == Outcome.DISRUPTED and a.get("reason") == Reason.OOM_KILLED for a in attempts)


def is_first_not_started(attempts: list[AttemptBody]) -> bool:
    """Whether the last attempt never reached its worker, and the one before did: it is made again at once."""
    reasons = [a.get("reason") for a in attempts[-2:]]
    return reasons[-1:] == [Reason.NOT_STARTED] and reasons[:-1] != [Reason.NOT_STARTED]
