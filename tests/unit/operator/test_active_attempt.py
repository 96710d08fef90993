"""policies/following: what is written, inspected and stopped while an attempt is under way, and what follows from its end."""

from dataclasses import replace
from typing import Any

import pytest
from support.records import NOW, a_run_record, an_attempt
from tidegate_api.bodies import AttemptBody, TaskRunStatusBody
from tidegate_api.names import Phase
from tidegate_api.times import format_time
from tidegate_operator.policies.decide import decide
from tidegate_operator.policies.decision import (
    Decision,
    DecisionContext,
    DeleteJob,
    InspectAttempt,
    StopAttempt,
    WriteStatus,
)
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.run import Cause, Plan, RunRecord

FAILED: AttemptBody = {"number": 1, "outcome": "Failed"}


def written(decision: Decision) -> TaskRunStatusBody:
    (action,) = [a for a in decision.actions if isinstance(a, WriteStatus)]
    return action.status


def inspections(decision: Decision) -> list[InspectAttempt]:
    return [a for a in decision.actions if isinstance(a, InspectAttempt)]


def reported(attempt: AttemptRecord, *, now: float = NOW, **run: Any) -> TaskRunStatusBody:
    return written(decide(a_run_record(**run), DecisionContext(attempt=attempt), now))


def a_running_attempt(**pod: Any) -> AttemptRecord:
    return an_attempt().pod(**{"phase": "Running", "received": NOW - 9, "started": NOW - 9, **pod}).built


def test_a_deadline_before_the_first_attempt_counts_by_the_plan_of_the_attempt_under_way() -> None:
    attempt = an_attempt(deadline=60, timeout=0).pod(phase="Running", received=NOW - 9, started=NOW - 9).built
    run = a_run_record(phase=Phase.RUNNING, attempts=[{"number": 1}], plan=Plan(deadline=10))
    assert decide(run, DecisionContext(attempt=attempt, first_job=NOW - 20), NOW).wake_at == NOW + 40


@pytest.mark.parametrize(
    ("cancel", "phase", "reason"), [(False, "Retrying", "BackOff"), (True, "Cancelled", "Cancelled")]
)
def test_a_pod_that_was_deleted_is_the_end_once_its_job_was_looked_at(cancel: bool, phase: str, reason: str) -> None:
    attempt = an_attempt().pod(phase="Running", gone=True).built
    run = a_run_record(phase=Phase.RUNNING, attempts=[{"number": 1}], cancel=cancel)
    attempt.inspected_at = NOW - 1
    if not cancel:  # suspended, its Job would make another pod
        assert decide(run, DecisionContext(attempt=attempt), NOW).actions == [InspectAttempt(attempt)]
    attempt.inspected_at = NOW
    status = written(decide(run, DecisionContext(attempt=attempt), NOW))
    assert (status["phase"], status["reason"]) == (phase, reason)


def test_a_pod_that_was_deleted_with_its_job_is_the_end_at_once() -> None:
    attempt = an_attempt().pod(phase="Running", gone=True).built
    attempt.job_gone = True
    assert reported(attempt)["phase"] == "Retrying"


def test_a_job_that_could_replace_a_disrupted_pod_is_deleted_once_a_second() -> None:
    attempt = an_attempt().pod(phase="Failed", disrupted=True, exit_code=137).built
    run = a_run_record(phase=Phase.RUNNING, cancel=True, attempts=[{"number": 1}])
    attempt.inspected_at = NOW
    early = decide(run, DecisionContext(attempt=attempt), NOW + 0.9)
    assert (early.actions, early.wake_at) == ([], NOW + 1)
    assert decide(run, DecisionContext(attempt=attempt), NOW + 1).actions == [DeleteJob(attempt)]


def test_a_pod_that_succeeded_while_it_was_evicted_is_no_disruption() -> None:
    attempt = an_attempt().pod(phase="Succeeded", disrupted=True).pod(phase="Failed", disrupted=True)
    run = a_run_record(phase=Phase.RUNNING, disruptions=4, attempts=[{"number": 1}])
    attempt.built.inspected_at = NOW - 60
    assert (
        DeleteJob(attempt.built)
        not in decide(run, DecisionContext(attempt=attempt.built, max_disruptions=5), NOW).actions
    )
    attempt.built.job_gone = True
    ended = written(decide(run, DecisionContext(attempt=attempt.built), NOW))
    assert (ended["phase"], ended["disruptions"]) == ("Retrying", 5)


def test_pods_that_failed_by_themselves_are_no_disruptions() -> None:
    attempt = an_attempt().pod(phase="Failed", exit_code=1).built
    assert "disruptions" not in reported(attempt)
    run = a_run_record(phase=Phase.RUNNING, cancel=True, attempts=[{"number": 1}])
    waits = an_attempt().pod(phase="Failed", exit_code=1).pod(phase="Pending", node=None).built
    assert DeleteJob(waits) not in decide(run, DecisionContext(attempt=waits), NOW).actions


def test_a_disruption_that_ended_in_nothing_counts_as_one() -> None:
    turned_away = an_attempt().pod(phase="Failed", reason="OutOfcpu").built
    assert reported(turned_away)["disruptions"] == 1
    at_the_limit = decide(a_run_record(disruptions=9), DecisionContext(attempt=turned_away, max_disruptions=10), NOW)
    assert written(at_the_limit)["phase"] == "Retrying"
    beyond = written(
        decide(a_run_record(disruptions=10), DecisionContext(attempt=turned_away, max_disruptions=10), NOW)
    )
    assert (beyond["phase"], beyond["disruptions"]) == ("Failed", 11)
    assert beyond["message"] == "its pods were disrupted 11 times; last: OutOfcpu"


def test_an_attempt_over_its_time_is_the_one_that_is_stopped() -> None:
    attempt = an_attempt(timeout=9).pod(phase="Running", received=NOW - 9, started=NOW - 9).built
    run = a_run_record(phase=Phase.RUNNING, attempts=[{"number": 1}])
    why = Cause("Timeout", "timed out after 9 s")
    assert decide(run, DecisionContext(attempt=attempt), NOW).actions == [StopAttempt(attempt, why)]


@pytest.mark.parametrize(
    ("pod", "unwatched", "lazy"),
    [
        ({"phase": "Pending", "node": None}, False, True),
        ({"phase": "Pending", "node": None}, True, False),
        ({"phase": "Pending", "started": NOW - 9}, False, True),
        ({"phase": "Running", "started": NOW - 9}, True, False),
    ],
)
def test_what_no_event_reports_is_inspected_and_what_is_only_late_may_wait(
    pod: dict[str, Any], unwatched: bool, lazy: bool
) -> None:
    attempt = an_attempt().pod(**pod).built
    attempt.inspected_at, attempt.unwatched = NOW - 60, unwatched
    assert inspections(decide(a_run_record(), DecisionContext(attempt=attempt), NOW)) == [
        InspectAttempt(attempt, lazy=lazy)
    ]


def test_an_attempt_that_was_never_looked_at_is_not_kept_waiting() -> None:
    attempt = an_attempt().built
    attempt.inspected_at = float("-inf")
    assert inspections(decide(a_run_record(), DecisionContext(attempt=attempt), NOW)) == [InspectAttempt(attempt)]
    attempt.inspected_at = NOW - 60
    assert inspections(decide(a_run_record(), DecisionContext(attempt=attempt), NOW)) == [
        InspectAttempt(attempt, lazy=True)
    ]


def test_a_pod_that_runs_and_is_watched_is_not_looked_at() -> None:
    attempt = a_running_attempt()
    attempt.inspected_at = NOW - 900
    assert inspections(decide(a_run_record(), DecisionContext(attempt=attempt), NOW)) == []


def test_an_attempt_that_is_being_stopped_is_looked_at_every_second() -> None:
    attempt = an_attempt().pod(phase="Pending", node=None).built
    attempt.stop, attempt.stopped_pod, attempt.inspections, attempt.inspected_at = (
        Cause("Timeout", "x"),
        "pod-1",
        5,
        NOW,
    )
    run = a_run_record(phase=Phase.STARTING, reason="Scheduling", attempts=[{"number": 1}])
    early = decide(run, DecisionContext(attempt=attempt), NOW + 0.9)
    assert (early.actions, early.wake_at) == ([], NOW + 1)
    assert decide(run, DecisionContext(attempt=attempt), NOW + 1).actions == [InspectAttempt(attempt)]


def test_a_running_attempt_is_reported_with_its_line_and_that_may_wait() -> None:
    run = a_run_record(phase=Phase.RETRYING, attempts=[FAILED])
    attempt = an_attempt(number=2).pod(phase="Running", received=NOW - 9, started=NOW - 9).built
    decision = decide(run, DecisionContext(attempt=attempt), NOW)
    assert decision.lazy
    first, second = written(decision)["attempts"]
    assert first == FAILED
    assert (second["number"], second["startedAt"], second["podName"]) == (2, format_time(NOW - 9), "run-abcd-2-1")
    since = {c["lastTransitionTime"] for c in written(decision)["conditions"]}
    assert since == {format_time(NOW - 200)}


def test_a_run_that_is_being_cancelled_says_so_while_its_pod_runs() -> None:
    attempt = a_running_attempt(unreachable=True)
    attempt.stop, attempt.stopped_pod = Cause("Cancelled", "cancelled"), "pod-1"
    status = reported(attempt, cancel=True)
    assert (status["phase"], status["reason"]) == ("Running", "Cancelling")
    starting = an_attempt().built
    starting.stop, starting.stopped_pod = Cause("Cancelled", "cancelled"), ""
    status = reported(starting, cancel=True)
    assert (status["phase"], status["reason"]) == ("Starting", "Cancelling")


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        (
            {"others": "proxy", "exit_code": 0, "finished": NOW - 9},
            "the container task has ended; its pod waits for proxy",
        ),
        ({"others": "proxy", "phase": "Pending"}, "the container task runs; its pod waits for proxy"),
        ({"others": "proxy"}, None),
        ({"phase": "Pending"}, None),
        ({"exit_code": 0, "finished": NOW - 9}, None),
    ],
)
def test_what_a_pod_waits_for_beside_its_task_is_reported(pod: dict[str, Any], message: str | None) -> None:
    assert reported(a_running_attempt(**pod)).get("message") == message


def ended(
    run: RunRecord | None = None,
    *,
    context: DecisionContext | None = None,
    plan: dict[str, Any] | None = None,
    **pod: Any,
) -> Any:
    """The status after an attempt with such a pod has ended."""
    attempt = an_attempt(**(plan or {})).pod(**{"phase": "Failed", "received": NOW - 2, **pod}).built
    return written(decide(run or a_run_record(), replace(context or DecisionContext(), attempt=attempt), NOW))


def test_an_end_is_reported_with_its_words_and_its_times() -> None:
    times: dict[str, Any] = {"started": NOW - 40, "finished": NOW - 10, "exit_code": 1}
    last = ended(plan={"max_attempts": 1}, termination_message="no route", **times)
    assert (last["phase"], last["reason"], last["message"]) == ("Failed", "Error", "no route")
    assert (last["startedAt"], last["finishedAt"]) == (format_time(NOW - 40), format_time(NOW - 10))
    assert last["attempts"][0]["startedAt"] == format_time(NOW - 40)
    again = ended(termination_message="no route", **times)
    assert (again["message"], again["startedAt"]) == ("no route", format_time(NOW - 40))
    assert again["conditions"][0]["lastTransitionTime"] == format_time(NOW - 200)
    done = ended(phase="Succeeded", started=NOW - 40, finished=NOW - 10, exit_code=0, termination_message="all done")
    assert (done["phase"], done["message"], "reason" in done) == ("Succeeded", "all done", False)


def test_a_run_that_was_cancelled_ends_as_cancelled_and_counts_its_disruptions() -> None:
    run = a_run_record(cancel=True, disruptions=3)
    status = ended(run, exit_code=143, started=NOW - 9)
    assert (status["phase"], status["reason"], status["message"]) == ("Cancelled", "Cancelled", "cancelled")
    assert status["disruptions"] == 3
    stopped = ended(a_run_record(cancel=True), reason="DeadlineExceeded", exit_code=143, started=NOW - 9)
    assert (stopped["phase"], stopped["attempts"][0]["outcome"]) == ("Cancelled", "Cancelled")


def test_a_run_over_its_deadline_ends_with_these_words() -> None:
    status = ended(
        context=DecisionContext(first_job=NOW - 60),
        plan={"deadline": 60},
        reason="DeadlineExceeded",
        exit_code=143,
        started=NOW - 9,
    )
    words = "not done within 60 s of its first attempt's Job"
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "DeadlineExceeded", words)
    assert status["attempts"][0]["outcome"] == "Timeout"


def test_an_end_that_is_final_or_listed_is_not_retried() -> None:
    assert ended(exit_code=64, plan={"non_retryable": ()})["phase"] == "Failed"
    assert ended(exit_code=3, plan={"non_retryable": (3,)})["phase"] == "Failed"
    assert ended(exit_code=3, plan={"non_retryable": (4,)})["phase"] == "Retrying"
    assert ended(exit_code=65, termination_message='{"retryAfterSeconds": 500}', plan={"non_retryable": (65,)})[
        "phase"
    ] == ("Failed")


def test_the_next_attempt_comes_when_the_task_asks_for_it() -> None:
    status = ended(exit_code=65, termination_message='{"retryAfterSeconds": 500}')
    assert status["nextAttemptAt"] == format_time(NOW - 2 + 500)


def test_the_jitter_is_that_of_the_run() -> None:
    plan = {"initial_delay": 10_000, "max_delay": 10_000}
    nexts = {ended(a_run_record(uid=uid), exit_code=1, plan=plan)["nextAttemptAt"] for uid in ("a", "b", "c")}
    assert len(nexts) == 3


def test_an_end_keeps_the_ttl_of_the_run_then_of_its_attempts_plan_then_of_the_settings() -> None:
    settings = DecisionContext(default_ttl=7)
    assert ended(exit_code=64, context=settings)["ttlSecondsAfterFinished"] == 7
    assert ended(exit_code=64, context=settings, plan={"ttl": 50})["ttlSecondsAfterFinished"] == 50
    assert ended(a_run_record(ttl=0), exit_code=64, context=settings, plan={"ttl": 50})["ttlSecondsAfterFinished"] == 0
    between = a_run_record(cancel=True, attempts=[FAILED], plan=Plan(ttl=30))
    assert written(decide(between, settings, NOW))["ttlSecondsAfterFinished"] == 30


def test_only_a_success_has_a_result() -> None:
    done = ended(phase="Succeeded", exit_code=0, termination_message="[1]")
    assert done["result"] == [1]
    cancelled = a_run_record(cancel=True)
    assert "result" not in ended(cancelled, exit_code=1, termination_message="[1]")


def test_each_pod_that_was_disrupted_counts() -> None:
    attempt = an_attempt().pod(phase="Failed", disrupted=True).pod(phase="Failed", disrupted=True).built
    attempt.job_gone = True
    assert reported(attempt)["disruptions"] == 2


def test_an_attempt_without_a_pod_ends_when_its_job_is_seen_to_be_gone() -> None:
    attempt = an_attempt().built
    attempt.job_gone = True
    assert reported(attempt)["attempts"][0]["finishedAt"] == format_time(NOW)


def test_a_cancelled_run_whose_job_is_suspended_is_stopped_as_any_other() -> None:
    attempt = an_attempt().pod(phase="Failed", deleting=True).built
    attempt.suspended = True
    run = a_run_record(phase=Phase.STARTING, cancel=True, attempts=[{"number": 1}])
    actions = decide(run, DecisionContext(attempt=attempt), NOW).actions
    assert [type(action) for action in actions if not isinstance(action, WriteStatus)] == [StopAttempt]
