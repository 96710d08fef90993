"""policies/suspension: what holds a run before its queue does, and when to ask again."""

from typing import Any

from support.records import NOW, a_run_record
from tidegate_api.names import Phase
from tidegate_operator.policies.decide import decide
from tidegate_operator.policies.decision import World, WriteStatus
from tidegate_operator.policies.suspension import Clearance, clear
from tidegate_operator.records import Refusal, RunRecord
from tidegate_operator.timestamps import format_time

MISSING = Refusal("WaitingForDependencies", "waits for run up (not there yet)")


def cleared(run: RunRecord, now: float = NOW, *, has_dependents: bool = False, **others: RunRecord) -> Clearance:
    return clear(run, others.get, has_dependents=has_dependents, now=now)


def a_dependent(**fields: Any) -> RunRecord:
    """One that waits for a run which isn't there, for five minutes from its creation."""
    return a_run_record(depends_on=(("up", True),), dependency_timeout=300, **fields)


def test_suspend_says_what_ends_it_and_has_no_end_by_itself() -> None:
    held = Refusal("Suspended", "it starts once spec.suspend is false")
    assert cleared(a_run_record(suspend=True, start_after=NOW + 9)) == Clearance(held=held)


def test_a_dependency_that_is_missing_is_waited_for_until_it_is_given_up() -> None:
    assert cleared(a_dependent()) == Clearance(held=MISSING, wake_at=NOW + 100)
    given_up = cleared(a_dependent(), NOW + 100)
    assert given_up.held is None
    assert given_up.ended == Refusal("DependencyFailed", "run up was not there within 300 s")


def test_before_its_time_a_run_says_until_when_and_wakes_for_what_comes_first() -> None:
    for start_after, wake_at in ((NOW + 40, NOW + 40), (NOW + 160, NOW + 100)):
        held = Refusal("Delayed", f"starts after {format_time(start_after)}")
        assert cleared(a_dependent(start_after=start_after)) == Clearance(held=held, wake_at=wake_at)
    assert cleared(a_run_record(start_after=NOW + 40)).wake_at == NOW + 40


def test_the_moment_of_start_after_is_no_longer_before_it() -> None:
    assert cleared(a_run_record(start_after=NOW)) == Clearance(queued_at=NOW)
    assert cleared(a_dependent(start_after=NOW)).held == MISSING


def test_a_cycle_is_found_by_the_new_run_that_others_depend_on_and_by_no_other() -> None:
    run = a_run_record(depends_on=(("other", True),))
    other = a_run_record(uid="other-uid", name="other", depends_on=(("run", True),))
    found = cleared(run, has_dependents=True, other=other).ended
    assert found == Refusal("DependencyCycle", "dependsOn leads back to this run: run → other → run")
    assert cleared(run, other=other).ended is None


def test_a_run_in_a_cycle_has_failed_and_one_whose_dependency_failed_is_skipped() -> None:
    other = a_run_record(uid="other-uid", name="other", depends_on=(("run", True),))
    over = a_run_record(uid="other-uid", name="other", phase=Phase.FAILED, reason="Error", finished_at=format_time(NOW))
    run = a_run_record(depends_on=(("other", True),))
    for depends_on, phase, reason, words in (
        (other, "Failed", "DependencyCycle", "dependsOn leads back to this run: run → other → run"),
        (over, "Skipped", "DependencyFailed", "run other ended as Failed/Error and had to succeed"),
    ):
        world = World(find={"other": depends_on}.get, has_dependents=True, default_ttl=77)
        (action,) = decide(run, world, NOW + 3).actions
        assert isinstance(action, WriteStatus)
        status = action.status
        assert (status["phase"], status["reason"], status["message"]) == (phase, reason, words)
        assert (status["finishedAt"], status["ttlSecondsAfterFinished"]) == (format_time(NOW + 3), 77)
