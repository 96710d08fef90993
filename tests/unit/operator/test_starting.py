"""policies/decide: an attempt whose turn has come and whose Job hasn't been seen yet."""

import pytest
from support.records import NOW, a_run_record
from tidegate_operator.policies.decide import decide
from tidegate_operator.policies.decision import Decision, FindAttempt, StartAttempt, World
from tidegate_operator.records import Refusal


def test_a_start_waits_until_it_may_be_tried_again() -> None:
    run = a_run_record(starting=2, recover_at=NOW + 3)
    assert decide(run, World(), NOW) == Decision(wake_at=NOW + 3)
    assert decide(run, World(), NOW + 3) == Decision([StartAttempt(2)])


def test_a_job_that_was_refused_and_perhaps_made_is_looked_for_when_that_may_be_asked() -> None:
    run = a_run_record(starting=2, posted_at=NOW - 9, refused=Refusal("CreateRefused", "timeout"), recover_at=NOW + 3)
    assert decide(run, World(), NOW) == Decision(wake_at=NOW + 3)
    assert decide(run, World(), NOW + 3) == Decision([FindAttempt(2)])


@pytest.mark.parametrize("held", ["cancel", "suspend", "deleting"])
def test_a_run_that_is_to_start_no_more_knows_first_whether_its_job_was_made(held: str) -> None:
    sent = a_run_record(starting=2, posted_at=NOW - 5)
    setattr(sent, held, True)
    assert decide(sent, World(), NOW - 1) == Decision(wake_at=NOW)
    assert decide(sent, World(), NOW) == Decision([FindAttempt(2)])
