"""policies/deadlines: how long an attempt may take to start and to run, and what stands still meanwhile."""

from typing import Any

import pytest
from support.records import NOW, a_run_record, an_attempt
from tidegate_api.names import Reason
from tidegate_operator.policies.deadlines import run_deadline, started_at, stop_for_deadline
from tidegate_operator.policies.decision import DecisionContext
from tidegate_operator.records.run import Cause, Plan


def test_without_a_pod_the_clock_counts_from_the_jobs_creation() -> None:
    attempt = an_attempt(created=NOW, start_timeout=30).built
    assert stop_for_deadline(attempt, NOW + 29, deadline=None) == (None, NOW + 30)
    stop, _ = stop_for_deadline(attempt, NOW + 30, deadline=None)
    assert stop is not None
    assert stop.reason == Reason.START_TIMEOUT


def test_after_a_pod_has_ended_it_counts_from_that_end() -> None:
    attempt = an_attempt(created=NOW - 500, start_timeout=30).pod(phase="Failed", disrupted=True, received=NOW).built
    assert stop_for_deadline(attempt, NOW + 29, deadline=None) == (None, NOW + 30)
    assert stop_for_deadline(attempt, NOW + 30, deadline=None)[0] is not None


def test_a_new_pod_has_its_own_clock() -> None:
    attempt = an_attempt(created=NOW - 500, start_timeout=30).pod(phase="Pending", created=NOW, node=None).built
    assert stop_for_deadline(attempt, NOW + 29, deadline=None) == (None, NOW + 30)
    assert stop_for_deadline(attempt, NOW + 30, deadline=None)[0] is not None


def test_while_a_quota_or_another_controller_holds_the_job_back_the_clock_stands_still() -> None:
    attempt = an_attempt(created=NOW, start_timeout=30).built
    attempt.hold = Cause(Reason.QUOTA_EXCEEDED, "exceeded quota")
    assert stop_for_deadline(attempt, NOW + 9_999, deadline=None) == (None, None)
    attempt.hold, attempt.hold_until = None, NOW + 9_999
    assert stop_for_deadline(attempt, NOW + 10_000, deadline=None) == (None, NOW + 10_029)


def test_a_task_that_runs_in_a_pod_that_is_still_pending_has_started() -> None:
    pod = an_attempt(created=NOW - 50, start_timeout=30, timeout=60).pod(
        phase="Pending", created=NOW - 50, started=NOW - 20, received=NOW - 20
    )
    assert stop_for_deadline(pod.built, NOW, deadline=None) == (None, NOW + 40)


def test_once_the_task_has_ended_the_others_get_the_grace_period_whatever_the_timeout() -> None:
    attempt = an_attempt(created=NOW - 50, timeout=1).pod(
        phase="Running", started=NOW - 40, finished=NOW, exit_code=0, received=NOW, grace=7
    )
    assert stop_for_deadline(attempt.built, NOW + 6, deadline=None) == (None, NOW + 7)
    stop, _ = stop_for_deadline(attempt.built, NOW + 7, deadline=None)
    assert stop is not None
    assert stop.reason == "TaskEnded"


def test_the_deadline_of_the_run_stops_what_its_own_limits_dont() -> None:
    attempt = an_attempt(created=NOW, timeout=0, deadline=20).pod(phase="Running", started=NOW, received=NOW).built
    assert stop_for_deadline(attempt, NOW + 19, deadline=NOW + 20) == (None, NOW + 20)
    stop, _ = stop_for_deadline(attempt, NOW + 20, deadline=NOW + 20)
    assert stop is not None
    assert stop.reason == Reason.DEADLINE_EXCEEDED
    assert stop.message == "not done within 20 s of its first attempt's Job"


def test_a_pod_is_not_created_after_it_was_seen() -> None:
    attempt = an_attempt(created=NOW, start_timeout=30).pod(phase="Pending", created=NOW + 600, received=NOW + 2).built
    assert stop_for_deadline(attempt, NOW + 2, deadline=None) == (None, NOW + 32)


def test_of_two_limits_the_nearer_one_is_waited_for() -> None:
    attempt = an_attempt(created=NOW, timeout=60).pod(phase="Running", started=NOW, received=NOW).built
    assert stop_for_deadline(attempt, NOW, deadline=NOW + 90) == (None, NOW + 60)
    assert stop_for_deadline(attempt, NOW, deadline=NOW + 30) == (None, NOW + 30)


def test_a_start_timeout_says_what_the_cluster_says_of_the_pod() -> None:
    attempt = an_attempt(created=NOW, start_timeout=30).built
    words = "no container ran within 30 s"
    assert stop_for_deadline(attempt, NOW + 30, deadline=None) == (Cause("StartTimeout", words), None)
    attempt.trouble = Cause("Unschedulable", "0/3 nodes are available")
    reported = Cause("StartTimeout", f"{words}: Unschedulable: 0/3 nodes are available")
    assert stop_for_deadline(attempt, NOW + 30, deadline=None) == (reported, None)


def test_a_secret_that_is_missing_is_asked_for_again_after_ten_seconds() -> None:
    attempt = an_attempt(created=NOW).pod(phase="Pending").built
    attempt.trouble, attempt.trouble_since = Cause("CreateContainerConfigError", "no secret"), NOW + 4
    assert stop_for_deadline(attempt, NOW + 13, deadline=None) == (None, NOW + 14)
    assert stop_for_deadline(attempt, NOW + 14, deadline=None) == (attempt.trouble, None)


@pytest.mark.parametrize(
    ("pod", "attempt", "start"),
    [
        # What its node says, wherever that can be true: from the Job on, until it was heard of.
        ({"started": NOW - 50}, {}, NOW - 50),
        ({"started": NOW - 100}, {}, NOW - 100),
        ({"started": NOW, "finished": NOW + 5, "phase": "Failed"}, {}, NOW),
        # A look that found it not running yet; one after it ended, or at the moment it was heard of, says nothing of that.
        ({"started": NOW - 50}, {"inspected_at": NOW - 30}, NOW),
        ({"started": NOW - 50}, {"inspected_at": NOW}, NOW - 50),
        ({"started": NOW - 50, "finished": NOW - 20, "phase": "Failed"}, {"inspected_at": NOW - 10}, NOW - 50),
        ({"started": NOW - 50, "scheduled": NOW - 40}, {}, NOW),
        # What is recorded, where that can be true: whoever recorded it may have seen until when it didn't run. That of a pod
        # before this one can't.
        ({"started": NOW - 50}, {"recorded_start": NOW - 10}, NOW - 10),
        ({"started": NOW - 50, "created": NOW - 60}, {"recorded_start": NOW - 70}, NOW - 50),
        # A clock that is off: what the status says already, else so long before it was heard of as it ran.
        ({"started": NOW + 900}, {}, NOW),
        ({"started": NOW + 900}, {"recorded_start": NOW - 30}, NOW - 30),
        ({"started": NOW + 900}, {"recorded_start": NOW - 300}, NOW - 100),
        ({"started": NOW + 900, "finished": NOW + 912, "phase": "Failed"}, {}, NOW - 12),
        ({"started": NOW - 900, "finished": NOW - 888, "phase": "Failed"}, {}, NOW - 12),
        ({"started": NOW + 900, "finished": NOW + 890, "phase": "Failed"}, {}, NOW),
        ({"finished": NOW - 5, "phase": "Failed"}, {}, NOW),
    ],
)
def test_a_start_is_taken_from_its_node_where_that_can_be_true(
    pod: dict[str, Any], attempt: dict[str, Any], start: float
) -> None:
    made = an_attempt(created=NOW - 100).pod(**{"phase": "Running", "received": NOW, **pod}).built
    for name, value in attempt.items():
        setattr(made, name, value)
    assert made.pod is not None
    assert started_at(made, made.pod) == start


def test_a_run_has_a_deadline_once_its_first_job_is_there_and_its_plan_has_one() -> None:
    run = a_run_record(plan=Plan(deadline=60))
    assert run_deadline(run, DecisionContext(first_job=NOW)) == NOW + 60
    assert run_deadline(run, DecisionContext()) is None
    assert run_deadline(a_run_record(plan=Plan()), DecisionContext(first_job=NOW)) is None
    assert run_deadline(a_run_record(), DecisionContext(first_job=NOW)) is None
