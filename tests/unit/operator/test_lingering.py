"""policies/lingering: what is left of a run that is over is looked for, less and less often."""

from support.records import NOW, an_attempt
from tidegate_operator.attempt_records import AttemptRecord
from tidegate_operator.policies.decision import Decision, InspectAttempt
from tidegate_operator.policies.lingering import linger


def lingered(*attempts: AttemptRecord, now: float = NOW) -> Decision:
    decision = Decision()
    linger(attempts, decision, now)
    return decision


def left_behind(*, looks: int, number: int = 1) -> AttemptRecord:
    attempt = an_attempt(number=number).built
    attempt.looks, attempt.looked_at = looks, NOW
    return attempt


def test_looks_come_further_apart_up_to_half_a_minute() -> None:
    for looks, pause in ((0, 1), (1, 2), (4, 16), (5, 30), (2_000, 30)):
        attempt = left_behind(looks=looks)
        early = lingered(attempt, now=NOW + pause - 0.1)
        assert (early.actions, early.wake_at) == ([], NOW + pause)
        assert lingered(attempt, now=NOW + pause).actions == [InspectAttempt(attempt)]


def test_what_is_over_is_not_looked_for_and_hides_nothing_behind_it() -> None:
    over = an_attempt(number=1).pod(phase="Failed", exit_code=1).built
    over.job_gone = True
    left = left_behind(looks=0, number=2)
    assert lingered(over, left, now=NOW + 1).actions == [InspectAttempt(left)]
    assert lingered(over) == Decision()
