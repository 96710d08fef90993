"""What is left of a run that has ended or was deleted: its slot is held until nothing of it can run any more.

Its Job is for the cluster to collect, or for whatever left it behind; here it is only watched. A pod that doesn't run yet
isn't in the watch, so it is looked for.
"""

from collections.abc import Iterable

from tidegate_operator.policies.decision import Decision, InspectAttempt
from tidegate_operator.policies.outcome import is_over
from tidegate_operator.records.attempt import AttemptRecord

FIRST_LOOK_SECONDS = 1.0
LONGEST_LOOK_SECONDS = 30.0


def decide_leftovers(attempts: Iterable[AttemptRecord], decision: Decision, now: float) -> None:
    """Look into what has not ended, less and less often; events report running pods."""
    for attempt in attempts:
        if is_over(attempt):
            continue
        pause = min(LONGEST_LOOK_SECONDS, FIRST_LOOK_SECONDS * 2.0 ** min(attempt.inspections, 10))
        look_at = attempt.inspected_at + pause
        if now >= look_at:
            decision.actions.append(InspectAttempt(attempt))
        else:
            decision.wake(look_at)
