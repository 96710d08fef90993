"""policies/outcome: the end of an attempt as a whole, for each way in which a pod can end."""

from typing import Any

import pytest
from support.records import NOW, an_attempt
from tidegate_api.names import SECONDS_MAX, Outcome
from tidegate_operator.policies.outcome import End, end_of, is_over
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.run import Cause

LATER = NOW + 50
NO_NODE = Cause("StartTimeout", "no node took it")
BAD_IMAGE = Cause("InvalidImageName", "the image has no name")
STOPPED: dict[str, Any] = {"phase": "Failed", "reason": "DeadlineExceeded", "exit_code": 143, "started": NOW - 9}


def end(attempt: AttemptRecord, *, cancelled: bool = False, overdue: bool = False) -> End | None:
    return end_of(attempt, cancelled=cancelled, overdue=overdue, now=LATER)


def end_of_pod(*, stop: Cause | None = None, cancelled: bool = False, overdue: bool = False, **pod: Any) -> End | None:
    """Of an attempt with this one pod, of which was heard at NOW. Its Job is gone."""
    attempt = an_attempt(deadline=600, timeout=9).pod(**{"phase": "Failed", **pod}).built
    attempt.job_gone, attempt.stop = True, stop
    return end(attempt, cancelled=cancelled, overdue=overdue)


def an_end(outcome: Outcome, reason: str | None = None, message: str | None = None, **fields: Any) -> End:
    """Of a pod that says no times of its container: it ended when that was heard."""
    return End(outcome=outcome, reason=reason, message=message, **{"finished": NOW, "received": NOW, **fields})


@pytest.mark.parametrize(
    ("stop", "cancelled", "outcome", "reason", "message", "final"),
    [
        (NO_NODE, True, Outcome.CANCELLED, "Cancelled", None, False),
        (NO_NODE, False, Outcome.FAILED, "StartTimeout", "no node took it", False),
        (BAD_IMAGE, False, Outcome.FAILED, "InvalidImageName", "the image has no name", True),
        (None, False, Outcome.FAILED, "PodDeleted", "the Job was deleted before its pod ended", False),
    ],
)
def test_a_job_that_is_gone_without_a_pod_ends_when_that_is_seen(
    stop: Cause | None, cancelled: bool, outcome: Outcome, reason: str, message: str | None, final: bool
) -> None:
    attempt = an_attempt().built
    attempt.job_gone, attempt.stop = True, stop
    expected = an_end(outcome, reason, message, final=final, finished=LATER, received=LATER)
    assert end(attempt, cancelled=cancelled) == expected


@pytest.mark.parametrize(
    ("stop", "cancelled", "outcome", "reason", "message", "final"),
    [
        (None, False, Outcome.FAILED, "PodDeleted", "the pod was deleted before it ended", False),
        (None, True, Outcome.CANCELLED, "Cancelled", None, False),
        (BAD_IMAGE, False, Outcome.FAILED, "InvalidImageName", "the image has no name", True),
        (BAD_IMAGE, True, Outcome.CANCELLED, "Cancelled", None, False),
    ],
)
def test_a_pod_that_is_gone_while_it_ran_was_deleted_or_stopped(
    stop: Cause | None, cancelled: bool, outcome: Outcome, reason: str, message: str | None, final: bool
) -> None:
    found = end_of_pod(phase="Running", gone=True, stop=stop, cancelled=cancelled)
    assert found == an_end(outcome, reason, message, final=final)


def test_a_task_that_ended_keeps_its_end_though_its_pod_is_gone_while_others_ran() -> None:
    found = end_of_pod(phase="Running", gone=True, exit_code=0, started=NOW - 9, finished=NOW - 5)
    assert found == an_end(Outcome.SUCCEEDED, exit_code=0, started=NOW - 9, finished=NOW - 5)


def test_a_pod_that_is_gone_after_it_failed_has_failed() -> None:
    assert end_of_pod(gone=True) == an_end(Outcome.FAILED, "Error", "the pod failed")


@pytest.mark.parametrize(
    ("asked", "cancelled", "outcome", "reason", "message"),
    [
        (NOW - 4, False, Outcome.FAILED, "Error", "exit code 1"),
        (NOW - 5, False, Outcome.FAILED, "PodDeleted", "the pod was deleted before it ended"),
        (None, False, Outcome.FAILED, "PodDeleted", "the pod was deleted before it ended"),
        (NOW - 5, True, Outcome.CANCELLED, "Cancelled", None),
    ],
)
def test_a_deleted_pod_keeps_its_own_end_where_that_came_before(
    asked: float | None, cancelled: bool, outcome: Outcome, reason: str, message: str | None
) -> None:
    found = end_of_pod(
        exit_code=1, started=NOW - 9, finished=NOW - 5, deleting=True, stop_asked=asked, cancelled=cancelled
    )
    assert found == an_end(outcome, reason, message, exit_code=1, started=NOW - 9, finished=NOW - 5)


@pytest.mark.parametrize(
    ("ahead", "finished", "before"),
    [
        # The deletion came at NOW - 5 by the apiserver's clock; the node took the pod on at NOW - 20, which was seen a second later.
        (0.0, NOW - 6, True),
        (0.0, NOW - 5, False),
        (600.0, NOW - 12, True),
        (600.0, NOW - 4, False),
        (-600.0, NOW - 12, True),
        (-600.0, NOW - 4, False),
        (-600.0, NOW - 6, False),  # it may have been before
        (-20.0, NOW - 4, False),
        (20.0, NOW - 12, True),
    ],
)
def test_the_end_of_a_deleted_pod_and_its_deletion_are_compared_by_one_clock(
    ahead: float, finished: float, before: bool
) -> None:
    found = end_of_pod(
        phase="Succeeded",
        exit_code=0,
        scheduled=NOW - 20,
        accepted=NOW - 20 + ahead,
        accepted_seen=NOW - 19,
        started=NOW - 19 + ahead,
        finished=finished + ahead,
        deleting=True,
        stop_asked=NOW - 5,
    )
    assert found is not None
    assert (found.outcome is Outcome.SUCCEEDED) is before


def test_a_deleted_pod_whose_nodes_clock_is_off_by_nobody_knows_how_much_was_stopped() -> None:
    found = end_of_pod(phase="Succeeded", exit_code=0, started=NOW, finished=NOW + 5, deleting=True, stop_asked=NOW - 1)
    assert found is not None
    assert found.reason == "PodDeleted"


def test_a_disruption_has_the_clusters_words() -> None:
    assert end_of_pod(disrupted=True, exit_code=137) == an_end(Outcome.DISRUPTED, "Disrupted", exit_code=137)
    found = end_of_pod(disrupted=True, reason="Preempted", message="\nby a pod of higher priority\n")
    assert found == an_end(Outcome.DISRUPTED, "Preempted", "by a pod of higher priority")
    turned_away = end_of_pod(reason="OutOfcpu", message="no cpu left")
    assert turned_away == an_end(Outcome.DISRUPTED, "OutOfcpu", "no cpu left")


@pytest.mark.parametrize("code", [None, 0, 137])
def test_the_exit_code_of_an_evicted_pod_says_nothing(code: int | None) -> None:
    found = end_of_pod(reason="Evicted", message="the node was low on memory", exit_code=code)
    assert found == an_end(Outcome.FAILED, "Evicted", "the node was low on memory", exit_code=code)


def test_a_task_that_ended_keeps_its_end_though_its_pod_was_stopped_for_the_others() -> None:
    fields: dict[str, Any] = {**STOPPED, "exit_code": 0, "finished": NOW - 5}
    times: dict[str, Any] = {"exit_code": 0, "started": NOW - 9, "finished": NOW - 5}
    assert end_of_pod(**fields, stop_reason="TaskEnded") == an_end(Outcome.SUCCEEDED, **times)
    assert end_of_pod(**fields, deadline_at=NOW - 4) == an_end(Outcome.SUCCEEDED, **times)
    timed_out = an_end(Outcome.TIMEOUT, "Timeout", "timed out after 9 s", **times)
    assert end_of_pod(**fields, deadline_at=NOW - 5) == timed_out


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"cancelled": True, "overdue": True}, (Outcome.CANCELLED, "Cancelled", None, False)),
        (
            {"overdue": True, "stop": NO_NODE},
            (Outcome.TIMEOUT, "DeadlineExceeded", "not done within 600 s of its first attempt's Job", True),
        ),
        ({"stop": Cause("Timeout", "as it was told")}, (Outcome.TIMEOUT, "Timeout", "as it was told", False)),
        ({}, (Outcome.TIMEOUT, "Timeout", "timed out after 9 s", False)),
        ({"stop": NO_NODE}, (Outcome.FAILED, "StartTimeout", "no node took it", False)),
        ({"stop": BAD_IMAGE}, (Outcome.FAILED, "InvalidImageName", "the image has no name", True)),
        ({"stop_reason": "StartTimeout"}, (Outcome.FAILED, "StartTimeout", "no container ran in time", False)),
    ],
)
def test_a_pod_that_was_stopped_ends_for_the_reason_of_the_stop(
    fields: dict[str, Any], expected: tuple[Outcome, str, str | None, bool]
) -> None:
    outcome, reason, message, final = expected
    found = end_of_pod(**STOPPED, **fields)
    assert found == an_end(outcome, reason, message, final=final, exit_code=143, started=NOW - 9)


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        ({"termination_reason": "OOMKilled"}, "OOMKilled", "the container used more memory than its limit"),
        ({"failed_before": "container fetch ended", "termination_message": "x"}, "Error", "container fetch ended"),
        ({"termination_message": "Traceback\nValueError: no\n"}, "Error", "ValueError: no"),
        ({"message": "the node says why"}, "Error", "the node says why"),
        ({}, "Error", "exit code 137"),
    ],
)
def test_a_failure_has_the_most_telling_words(fields: dict[str, Any], reason: str, message: str) -> None:
    assert end_of_pod(exit_code=137, **fields) == an_end(Outcome.FAILED, reason, message, exit_code=137)


@pytest.mark.parametrize(
    ("text", "seconds", "message"),
    [
        ('{"retryAfterSeconds": 0}', 0, "exit code 65"),
        ('{"retryAfterSeconds": 7.0, "message": "busy"}', 7, "busy"),
        (f'{{"retryAfterSeconds": {SECONDS_MAX}}}', SECONDS_MAX, "exit code 65"),
        ('["retryAfterSeconds"]', None, '["retryAfterSeconds"]'),
        ('{"after": 7}', None, '{"after": 7}'),
        (
            '{"retryAfterSeconds": 7.5}',
            None,
            f"retryAfterSeconds is 7.5, not a whole number from 0 to {SECONDS_MAX}",
        ),
        (
            '{"retryAfterSeconds": -1, "message": "busy"}',
            None,
            f"busy (retryAfterSeconds is -1, not a whole number from 0 to {SECONDS_MAX})",
        ),
    ],
)
def test_exit_65_says_after_how_many_seconds_and_why(text: str, seconds: int | None, message: str) -> None:
    found = end_of_pod(exit_code=65, termination_message=text)
    assert found == an_end(Outcome.FAILED, "Error", message, retry_after=seconds, exit_code=65)


def test_a_result_that_is_too_large_says_how_large_it_may_be() -> None:
    found = end_of_pod(phase="Succeeded", exit_code=0, termination_message='"' + "x" * 4095)
    message = "the result is larger than 4096 bytes"
    assert found == an_end(Outcome.FAILED, "ResultTooLarge", message, final=True, exit_code=0)


@pytest.mark.parametrize(
    ("pod", "started", "finished"),
    [
        ({"started": NOW - 50, "finished": NOW - 20}, NOW - 50, NOW - 20),
        ({"started": NOW - 50}, NOW - 50, NOW),
        # The node's clock is ten minutes ahead, or behind: both times are moved together.
        ({"started": NOW + 592, "finished": NOW + 598}, NOW - 6, NOW),
        ({"started": NOW - 608, "finished": NOW - 602}, NOW - 6, NOW),
        # It never started: the end that was reported, as far as it can be true.
        ({"finished": NOW - 20}, None, NOW - 20),
        ({"finished": NOW - 900}, None, NOW - 100),
        ({"finished": NOW + 900}, None, NOW),
        ({"finished": NOW - 200, "received": NOW - 150}, None, NOW - 150),
    ],
)
def test_the_times_of_an_end_are_those_of_its_node_as_far_as_they_can_be_true(
    pod: dict[str, Any], started: float | None, finished: float
) -> None:
    found = end_of_pod(exit_code=1, **pod)
    assert found is not None
    assert (found.started, found.finished) == (started, finished)


@pytest.mark.parametrize(
    ("pod", "over"),
    [
        ({"phase": "Failed", "deleting": True, "exit_code": 143, "stop_asked": NOW - 9, "finished": NOW - 5}, False),
        ({"phase": "Running", "gone": True}, False),
        # It had ended before it was deleted.
        ({"phase": "Failed", "deleting": True, "exit_code": 1, "stop_asked": NOW - 5, "finished": NOW - 9}, True),
        ({"phase": "Failed", "exit_code": 1}, True),
        ({"phase": "Failed", "gone": True}, True),
        ({"phase": "Succeeded", "gone": True}, True),
    ],
)
def test_a_job_that_is_suspended_makes_another_pod_for_one_that_was_deleted(pod: dict[str, Any], over: bool) -> None:
    attempt = an_attempt().pod(**pod).built
    assert is_over(attempt)
    attempt.suspended = True
    assert is_over(attempt) == over
    attempt.job_gone = True
    assert is_over(attempt)
