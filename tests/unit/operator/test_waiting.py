"""policies/waiting and suspension: what holds a run, in which order, and since when it is queued."""

from typing import Any

import pytest
from support.records import NOW, a_run_record, an_attempt
from tidegate_api.bodies import AttemptBody, TaskRunStatusBody
from tidegate_api.names import Phase
from tidegate_api.times import format_time
from tidegate_operator.policies.decide import decide
from tidegate_operator.policies.decision import CheckPayload, Decision, DecisionContext, WriteStatus
from tidegate_operator.policies.why import explain
from tidegate_operator.records.definitions import TaskRecord
from tidegate_operator.records.run import Cause, Plan, RunRecord, StatusRecord

FULL = Cause("ConcurrencyLimit", "Queue q runs 1 of 1 at once")


def reported(decision: Decision) -> TaskRunStatusBody:
    (action,) = decision.actions
    assert isinstance(action, WriteStatus)
    return action.status


def queued_since(run: RunRecord, **context: Any) -> float:
    entry = decide(run, DecisionContext(**context), NOW).entry
    assert entry is not None
    return entry.queued_at


def test_a_delayed_run_says_until_when_and_is_asked_again_then() -> None:
    decision = decide(a_run_record(start_after=NOW + 60), DecisionContext(), NOW)
    assert decision.wake_at == NOW + 60
    status = reported(decision)
    assert (status["phase"], status["reason"], "queuedAt" in status) == ("Pending", "Delayed", False)


def test_suspend_comes_before_everything_else_that_holds() -> None:
    run = a_run_record(suspend=True, start_after=NOW + 60, depends_on=(("x", True),))
    assert reported(decide(run, DecisionContext(), NOW))["reason"] == "Suspended"


def test_queued_is_the_latest_of_creation_start_after_release_and_dependencies() -> None:
    assert queued_since(a_run_record()) == NOW - 200
    assert queued_since(a_run_record(start_after=NOW - 50)) == NOW - 50
    assert queued_since(a_run_record(start_after=NOW - 50, released=NOW - 20)) == NOW - 20
    up = a_run_record(uid="up", name="up", phase=Phase.SUCCEEDED, finished_at=format_time(NOW - 10))
    assert queued_since(a_run_record(depends_on=(("up", True),)), find={"up": up}.get) == NOW - 10


def test_a_release_that_an_earlier_operator_saw_is_kept() -> None:
    run = a_run_record(reason="Queued")
    run.status.queued_at = format_time(NOW - 30)
    assert queued_since(run) == NOW - 30


def test_of_the_queues_own_reasons_only_the_first_is_written() -> None:
    fresh = a_run_record(seen=NOW - 5, in_line_since=NOW - 5)
    assert reported(decide(fresh, DecisionContext(queue_cause=FULL), NOW))["reason"] == "ConcurrencyLimit"
    known = a_run_record(seen=NOW - 5, reason="RateLimit")
    decision = decide(known, DecisionContext(queue_cause=FULL), NOW)
    assert (decision.actions, decision.entry is not None) == ([], True)
    missing = Cause("QueueNotFound", "there is no Queue q in namespace default")
    assert reported(decide(known, DecisionContext(queue_cause=missing), NOW))["reason"] == "QueueNotFound"


def test_a_short_wait_is_not_written() -> None:
    run = a_run_record(in_line_since=NOW)
    decision = decide(run, DecisionContext(queue_cause=FULL), NOW + 0.9)
    assert (decision.actions, decision.wake_at) == ([], NOW + 1)


def test_what_only_reports_where_a_run_stands_may_wait() -> None:
    assert decide(a_run_record(suspend=True), DecisionContext(), NOW).lazy
    assert not decide(a_run_record(cancel=True), DecisionContext(), NOW).lazy


def test_a_run_not_started_in_time_expires() -> None:
    run = a_run_record(start_deadline=250)
    assert decide(run, DecisionContext(queue_cause=FULL), NOW).wake_at == NOW + 50
    status = reported(decide(run, DecisionContext(queue_cause=FULL), NOW + 50))
    assert (status["phase"], status["reason"]) == ("Expired", "StartDeadlineExceeded")


def test_a_run_whose_first_job_was_made_expires_no_more() -> None:
    failed: list[AttemptBody] = [{"number": 1, "outcome": "Failed"}]
    run = a_run_record(phase=Phase.RETRYING, attempts=failed, next_attempt_at=NOW - 1, start_deadline=1)
    decision = decide(run, DecisionContext(), NOW)
    assert (decision.actions, decision.entry is not None) == ([], True)


def test_a_task_is_missed_from_the_moment_the_run_was_queued() -> None:
    run = a_run_record(task_ref="resize", start_after=NOW - 59, status=StatusRecord(reason="TaskNotFound"))
    assert decide(run, DecisionContext(), NOW).wake_at == NOW + 1
    assert reported(decide(run, DecisionContext(), NOW + 1))["reason"] == "TaskNotFound"
    assert reported(decide(run, DecisionContext(), NOW + 1))["phase"] == "Failed"
    task = TaskRecord("t", "default", "resize", 1, {"image": "x", "queue": "mail"})
    entry = decide(run, DecisionContext(task=task), NOW + 1).entry
    assert entry is not None
    assert entry.queue == "mail"


def test_the_deadline_of_the_run_ends_it_between_attempts() -> None:
    run = a_run_record(
        phase=Phase.RETRYING,
        attempts=[{"number": 1, "outcome": "Failed"}],
        next_attempt_at=NOW + 500,
        plan=Plan(deadline=60),
    )
    assert decide(run, DecisionContext(first_job=NOW - 50), NOW).wake_at == NOW + 10
    status = reported(decide(run, DecisionContext(first_job=NOW - 60), NOW))
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


def test_the_deadline_of_the_run_stops_its_attempt_and_then_fails_it() -> None:
    running = an_attempt(deadline=60).pod(phase="Running", received=NOW - 90, started=NOW - 90).built
    run = a_run_record(phase=Phase.RUNNING, attempts=[{"number": 1}])
    (stop,) = decide(run, DecisionContext(attempt=running, first_job=NOW - 60), NOW).actions
    assert stop.why.reason == "DeadlineExceeded"  # type: ignore[union-attr]
    killed = an_attempt(deadline=60).pod(phase="Failed", reason="DeadlineExceeded", exit_code=143).built
    status = reported(decide(run, DecisionContext(attempt=killed, first_job=NOW - 60), NOW))
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    own = an_attempt(deadline=60).pod(phase="Failed", exit_code=1).built
    assert reported(decide(run, DecisionContext(attempt=own, first_job=NOW - 60), NOW))["reason"] != "DeadlineExceeded"


def test_a_node_that_does_not_answer_is_reported_and_nothing_else_is_done() -> None:
    attempt = an_attempt().pod(phase="Running", received=NOW - 9, started=NOW - 9, unreachable=True).built
    run = a_run_record(phase=Phase.RUNNING, attempts=[{"number": 1}])
    status = reported(decide(run, DecisionContext(attempt=attempt), NOW))
    assert (status["phase"], status["reason"]) == ("Running", "NodeUnreachable")
    back = an_attempt().pod(phase="Running", received=NOW - 9, started=NOW - 9).built
    run.status.reason = "NodeUnreachable"
    assert "reason" not in reported(decide(run, DecisionContext(attempt=back), NOW))


@pytest.mark.parametrize(
    ("fields", "context", "reason"),
    [
        ({"suspend": True}, {}, "Suspended"),
        ({"start_after": NOW + 9}, {}, "Delayed"),
        ({"task_ref": "gone"}, {}, "TaskNotFound"),
        ({}, {"queue_cause": FULL}, "ConcurrencyLimit"),
        ({"refused": Cause("QuotaExceeded", "full"), "retry_at": NOW + 1}, {}, "QuotaExceeded"),
        ({"phase": Phase.RETRYING, "attempts": [{"number": 1, "outcome": "Failed"}]}, {}, "BackOff"),
        ({"phase": Phase.FAILED, "reason": "Error"}, {}, "Error"),
        ({}, {"attempt": an_attempt().pod(phase="Running").built}, "Running"),
        ({}, {"attempt": an_attempt().built}, "Scheduling"),
    ],
)
def test_why_says_what_holds_a_run_right_now(fields: dict[str, Any], context: dict[str, Any], reason: str) -> None:
    assert explain(a_run_record(**fields), DecisionContext(**context), NOW).reason == reason


def test_why_has_the_clusters_words_too() -> None:
    said = a_run_record(phase=Phase.FAILED, reason="Error", status=StatusRecord(Phase.FAILED, "Error", "exit code 1"))
    assert explain(said, DecisionContext(), NOW) == Cause("Error", "exit code 1")
    assert explain(a_run_record(), DecisionContext(), NOW) == Cause("Pending", "")
    starting = Cause("Scheduling", "its turn has come: it is being started")
    assert explain(a_run_record(starting=1), DecisionContext(), NOW) == starting
    not_yet = Cause("Scheduling", "its pod has not started yet")
    assert explain(a_run_record(), DecisionContext(attempt=an_attempt().built), NOW) == not_yet
    missing = Cause("TaskNotFound", "there is no Task gone in namespace default")
    assert explain(a_run_record(task_ref="gone"), DecisionContext(), NOW) == missing
    trouble = Cause("ImagePullError", "no such image")
    attempt = an_attempt().built
    attempt.trouble = trouble
    assert explain(a_run_record(), DecisionContext(attempt=attempt), NOW) == trouble


def test_why_names_a_node_that_does_not_answer() -> None:
    attempt = an_attempt().pod(phase="Running", unreachable=True).built
    run = a_run_record(phase=Phase.RUNNING, attempts=[{"number": 1}])
    run.status.message = "node node-1 does not answer"
    assert explain(run, DecisionContext(attempt=attempt), NOW) == Cause(
        "NodeUnreachable", "node node-1 does not answer"
    )


def test_why_names_the_attempt_that_comes_once_the_one_before_has_ended() -> None:
    ended = a_run_record(
        phase=Phase.RETRYING, attempts=[{"number": 1, "outcome": "Failed"}], next_attempt_at=NOW + 7, suspend=False
    )
    over = an_attempt().pod(phase="Failed", exit_code=1).built
    at = format_time(NOW + 7)
    assert explain(ended, DecisionContext(attempt=over), NOW) == Cause("BackOff", f"its next attempt starts at {at}")
    ended.suspend = True
    suspended = Cause("Suspended", "its next attempt starts once spec.suspend is false")
    assert explain(ended, DecisionContext(attempt=over), NOW) == suspended


def test_why_forgets_a_refusal_whose_time_is_over() -> None:
    run = a_run_record(refused=Cause("QuotaExceeded", "full"), retry_at=NOW)
    assert explain(run, DecisionContext(), NOW).reason == "Pending"
    run.tracked.refused, run.tracked.retry_at = None, NOW + 9
    assert explain(run, DecisionContext(), NOW).reason == "Pending"


def test_why_names_what_a_run_depends_on() -> None:
    up = a_run_record(uid="up", name="up")
    run = a_run_record(depends_on=(("up", True),), task_ref="gone")
    assert explain(run, DecisionContext(find={"up": up}.get), NOW) == Cause(
        "WaitingForDependencies", "waits for run up"
    )
    assert (
        explain(a_run_record(depends_on=(("up", True),)), DecisionContext(find={"up": up}.get), NOW).reason
        != "TaskNotFound"
    )
    in_a_circle = a_run_record(uid="up", name="up", depends_on=(("run", True),))
    context = DecisionContext(find={"up": in_a_circle}.get, has_dependents=True)
    assert explain(a_run_record(depends_on=(("up", True),)), context, NOW).reason == "Pending"


def test_what_holds_a_run_is_written_with_its_words_its_queue_and_since_when() -> None:
    since = {"queuedAt": format_time(NOW - 200)}
    run = a_run_record(queue="q", seen=NOW - 5, in_line_since=NOW - 5)
    status = reported(decide(run, DecisionContext(queue_cause=FULL), NOW))
    assert (status["message"], status["queue"], status["queuedAt"]) == (FULL.message, "q", since["queuedAt"])
    task = TaskRecord("t", "default", "resize", 1, {"image": "x", "queue": "mail"})
    by_task = a_run_record(task_ref="resize", seen=NOW - 5, in_line_since=NOW - 5)
    assert reported(decide(by_task, DecisionContext(task=task, queue_cause=FULL), NOW))["queue"] == "mail"
    missing = reported(decide(a_run_record(task_ref="resize"), DecisionContext(), NOW - 150))
    assert (missing["message"], missing["queuedAt"]) == (
        "there is no Task resize in namespace default",
        since["queuedAt"],
    )
    refused = a_run_record(refused=Cause("QuotaExceeded", "full"), retry_at=NOW + 5)
    status = reported(decide(refused, DecisionContext(), NOW))
    assert (status["message"], status["queuedAt"]) == ("full", since["queuedAt"])
    suspended = reported(decide(a_run_record(suspend=True), DecisionContext(), NOW))
    assert suspended["message"] == "it starts once spec.suspend is false"
    assert suspended["conditions"][0]["lastTransitionTime"] == format_time(NOW - 200)


def test_an_end_without_a_start_is_written_with_its_words() -> None:
    expired = reported(decide(a_run_record(start_deadline=100), DecisionContext(), NOW))
    assert expired["message"] == "not started within 100 s"
    refused = reported(decide(a_run_record(refusal=Cause("InvalidPayload", "too large")), DecisionContext(), NOW))
    assert refused["message"] == "too large"
    between = a_run_record(
        phase=Phase.RETRYING, attempts=[{"number": 1, "outcome": "Failed"}], plan=Plan(deadline=60), next_attempt_at=NOW
    )
    over = reported(decide(between, DecisionContext(first_job=NOW - 60), NOW))
    assert over["message"] == "not done within 60 s of its first attempt's Job"


def test_a_check_of_the_payload_is_due_at_its_moment() -> None:
    assert decide(a_run_record(has_schema=True, check_at=NOW), DecisionContext(), NOW).actions == [CheckPayload()]


def test_between_attempts_a_run_keeps_since_when_it_is_queued() -> None:
    queued_at = format_time(NOW - 150)

    def between(**fields: Any) -> RunRecord:
        run = a_run_record(phase=Phase.RETRYING, attempts=[{"number": 1, "outcome": "Failed"}], **fields)
        run.status.queued_at = queued_at
        return run

    full = reported(decide(between(next_attempt_at=NOW), DecisionContext(queue_cause=FULL), NOW))
    assert (full["phase"], full["reason"], full["queuedAt"]) == ("Retrying", "ConcurrencyLimit", queued_at)
    suspended = reported(decide(between(next_attempt_at=NOW, suspend=True), DecisionContext(), NOW))
    assert (suspended["reason"], suspended["queuedAt"]) == ("Suspended", queued_at)
    assert suspended["message"] == "its next attempt starts once spec.suspend is false"
    early = decide(between(next_attempt_at=NOW + 5, suspend=True), DecisionContext(), NOW)
    assert (early.actions, early.wake_at) == ([], NOW + 5)


def test_a_run_that_waits_for_its_turn_and_does_not_know_why_asks_again_in_a_second() -> None:
    assert decide(a_run_record(), DecisionContext(), NOW).wake_at == NOW + 1
