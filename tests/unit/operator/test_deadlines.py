"""policies/deadlines: how long an attempt may take to start and to run, and what stands still meanwhile."""

from support.records import NOW, an_attempt
from tidegate_api.names import Reason
from tidegate_operator.policies.deadlines import stop_for_deadline
from tidegate_operator.records.run import Cause


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
