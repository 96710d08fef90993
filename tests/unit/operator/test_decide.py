"""policies/decide: what to do about one run now."""

import math
from typing import Any

import pytest
from support.records import NOW, a_run_record, an_attempt
from tidegate_api.bodies import AttemptBody, TaskRunStatusBody
from tidegate_api.names import Phase
from tidegate_api.times import format_time
from tidegate_operator.policies.decide import decide
from tidegate_operator.policies.decision import (
    Action,
    CheckPayload,
    Decision,
    DecisionContext,
    DeleteJob,
    DeleteRun,
    FindAttempt,
    InspectAttempt,
    RecoverAttempt,
    StartAttempt,
    StopAttempt,
    WriteStatus,
)
from tidegate_operator.queueing.fair_queue import QueueEntry
from tidegate_operator.records.attempt import AttemptRecord
from tidegate_operator.records.definitions import TaskRecord
from tidegate_operator.records.run import NOT_LOOKED, Cause


def written(actions: list[Action]) -> TaskRunStatusBody:
    (action,) = actions
    assert isinstance(action, WriteStatus)
    return action.status


def entry(decision: Decision) -> QueueEntry:
    assert decision.actions == []
    assert decision.entry is not None
    return decision.entry


def failed(number: int, outcome: str = "Failed") -> AttemptBody:
    return {"number": number, "outcome": outcome}


def context(attempt: AttemptRecord | None = None, **fields: Any) -> DecisionContext:
    return DecisionContext(attempt=attempt, **fields)


def test_a_run_that_nothing_holds_waits_for_its_turn() -> None:
    decision = decide(a_run_record(queue="mail", priority=3, concurrency_key="anna"), context(), NOW)
    assert decision.actions == []
    assert decision.entry == QueueEntry(
        uid="run-uid",
        name="run",
        namespace="default",
        queue="mail",
        key="anna",
        priority=3,
        queued_at=NOW - 200,
        number=1,
        first=True,
    )


def test_a_run_whose_turn_has_come_is_started_until_its_job_is_seen() -> None:
    assert decide(a_run_record(starting=1), context(), NOW).actions == [StartAttempt(1)]
    # Sent and not answered: the same name can be sent again.
    assert decide(a_run_record(starting=1, posted_at=NOW - 9), context(), NOW).actions == [StartAttempt(1)]


def test_an_attempt_whose_job_was_not_seen_is_inspected_before_it_is_judged() -> None:
    attempt = an_attempt().pod(phase="Failed", exit_code=1).built
    attempt.plan_known = False
    assert decide(a_run_record(), context(attempt), NOW).actions == [InspectAttempt(attempt)]


def test_a_pod_that_is_seen_before_its_job_is_known_has_the_job_looked_for() -> None:
    run = a_run_record(starting=1, posted_at=NOW - 1)
    assert decide(run, context(has_orphan_pod=True), NOW).actions == [FindAttempt(1)]


def test_a_cancelled_run_whose_post_was_not_answered_ends_once_its_job_was_looked_for() -> None:
    run = a_run_record(starting=1, posted_at=NOW, cancel=True)
    assert decide(run, context(), NOW + 1).wake_at == NOW + 5
    assert decide(run, context(), NOW + 5).actions == [FindAttempt(1)]


def test_a_run_of_a_missing_task_waits_and_then_fails() -> None:
    run = a_run_record(task_ref="resize", created=NOW - 10, seen=NOW - 10)
    decision = decide(run, context(), NOW)
    assert written(decision.actions)["reason"] == "TaskNotFound"
    assert decision.wake_at == NOW + 50
    status = written(decide(run, context(), NOW + 50).actions)
    assert (status["phase"], status["reason"]) == ("Failed", "TaskNotFound")


def test_a_state_is_written_once_it_has_lasted() -> None:
    run = a_run_record(task_ref="resize", created=NOW, seen=NOW)
    assert decide(run, context(), NOW + 0.9).actions == []
    assert decide(run, context(), NOW + 0.9).wake_at == NOW + 1
    assert written(decide(run, context(), NOW + 1).actions)["phase"] == "Pending"
    known = a_run_record(task_ref="resize", created=NOW, seen=NOW, reason="TaskNotFound")
    assert decide(known, context(), NOW + 2).actions == []


def test_a_cancelled_run_that_waits_ends_at_once() -> None:
    status = written(decide(a_run_record(cancel=True), context(), NOW).actions)
    assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled")
    assert status["message"] == "cancelled before it started"


def test_a_refused_run_ends_before_any_pod() -> None:
    run = a_run_record(refusal=Cause("InvalidPayload", "too large"))
    (only,) = decide(run, context(), NOW).actions
    assert written([only])["reason"] == "InvalidPayload"


def test_a_payload_is_checked_before_anything_else_holds_the_run() -> None:
    task = TaskRecord("t", "default", "resize", 5, {"image": "x", "payloadSchema": {"type": "object"}})
    run = a_run_record(task_ref="resize", refused=Cause("QuotaExceeded", "exceeded quota"), retry_at=NOW + 5)
    assert decide(run, context(task=task), NOW).actions == [CheckPayload()]
    run.tracked.check_at = NOW + 1
    decision = decide(run, context(task=task), NOW)
    assert (decision.actions, decision.wake_at) == ([], NOW + 1)
    run.tracked.checked_for = "t/5"
    assert written(decide(run, context(task=task), NOW).actions)["reason"] == "QuotaExceeded"
    assert entry(decide(run, context(task=task), NOW + 5)).number == 1


def test_once_attempt_1_has_started_its_payload_is_checked_no_more() -> None:
    assert decide(a_run_record(has_schema=True), context(), NOW).actions == [CheckPayload()]
    run = a_run_record(has_schema=True, phase=Phase.RETRYING, attempts=[failed(1)])
    assert entry(decide(run, context(), NOW)).number == 2
    cancelled = decide(a_run_record(has_schema=True, cancel=True), context(), NOW)
    assert written(cancelled.actions)["phase"] == "Cancelled"


def test_a_job_that_the_cluster_refused_is_tried_again_later() -> None:
    run = a_run_record(refused=Cause("QuotaExceeded", "exceeded quota"), retry_at=NOW + 5)
    decision = decide(run, context(), NOW)
    assert written(decision.actions)["reason"] == "QuotaExceeded"
    assert decision.wake_at == NOW + 5
    assert entry(decide(run, context(), NOW + 5)).number == 1


def test_a_starting_attempt_is_reported_after_five_seconds_and_inspected() -> None:
    attempt = an_attempt(created=NOW).built
    assert decide(a_run_record(), context(attempt), NOW + 1).actions == []
    decision = decide(a_run_record(), context(attempt), NOW + 5)
    assert [type(a) for a in decision.actions] == [InspectAttempt, WriteStatus]


def test_what_a_look_has_found_replaces_words_that_say_nothing() -> None:
    attempt = an_attempt(created=NOW).pod(phase="Pending", node=None).built
    attempt.inspected_at = NOW + 5
    run = a_run_record(phase=Phase.STARTING, reason="Scheduling", attempts=[{"number": 1}])
    run.status.message = NOT_LOOKED
    assert decide(run, context(attempt), NOW + 6).actions == []
    attempt.trouble = Cause("Scheduling", "0/1 nodes are available")
    status = written(decide(run, context(attempt), NOW + 6).actions)
    assert status["message"] == "0/1 nodes are available"
    run.status.message = status["message"]
    attempt.trouble = Cause("Scheduling", "0/2 nodes are available")
    assert decide(run, context(attempt), NOW + 7).actions == []


def test_a_running_attempt_is_reported_after_a_moment() -> None:
    attempt = an_attempt().pod(phase="Running", received=NOW, started=NOW).built
    decision = decide(a_run_record(), context(attempt), NOW + 0.2)
    assert decision.actions == []
    assert decision.wake_at == NOW + 0.3
    status = written(decide(a_run_record(), context(attempt), NOW + 0.3).actions)
    assert (status["phase"], "reason" in status, status["startedAt"]) == ("Running", False, format_time(NOW))


def test_nothing_is_written_when_nothing_has_changed() -> None:
    attempt = an_attempt().pod(phase="Running", received=NOW, started=NOW).built
    run = a_run_record(phase=Phase.RUNNING, attempts=[{"number": 1}])
    decision = decide(run, context(attempt), NOW + 60)
    assert decision.actions == []
    assert decision.wake_at == NOW + 3600


def test_an_attempt_over_its_time_is_stopped_once() -> None:
    attempt = an_attempt(timeout=10).pod(phase="Running", received=NOW, started=NOW).built
    run = a_run_record(phase=Phase.RUNNING, attempts=[{"number": 1}])
    (stop,) = decide(run, context(attempt), NOW + 10).actions
    assert isinstance(stop, StopAttempt)
    assert stop.why.reason == "Timeout"
    attempt.stop, attempt.stopped_pod = stop.why, "pod-1"
    assert decide(run, context(attempt), NOW + 11).actions == []


def test_a_pod_that_came_after_the_stop_is_stopped_too() -> None:
    attempt = an_attempt().pod(phase="Failed", disrupted=True).pod(phase="Running").built
    attempt.stop, attempt.stopped_pod = Cause("Timeout", "timed out"), "pod-1"
    actions = decide(a_run_record(phase=Phase.RUNNING, attempts=[{"number": 1}]), context(attempt), NOW).actions
    assert any(isinstance(a, StopAttempt) for a in actions)


def test_a_cancelled_run_stops_its_attempt() -> None:
    attempt = an_attempt().pod(phase="Running").built
    actions = decide(a_run_record(cancel=True, phase=Phase.RUNNING), context(attempt), NOW).actions
    assert any(isinstance(a, StopAttempt) and a.why.reason == "Cancelled" for a in actions)


def test_a_success_ends_the_run_also_when_it_is_cancelled_meanwhile() -> None:
    attempt = an_attempt().pod(phase="Succeeded", exit_code=0, termination_message="null").built
    status = written(decide(a_run_record(cancel=True), context(attempt), NOW).actions)
    assert status["phase"] == "Succeeded"
    assert status["result"] is None
    assert status["ttlSecondsAfterFinished"] == 86_400


def test_a_result_that_the_store_holds_is_referred_to() -> None:
    text = '{"tidegate.dev/resultRef": {"bytes": 9000, "sha256": "' + "ab" * 32 + '"}}'
    attempt = an_attempt().pod(phase="Succeeded", exit_code=0, termination_message=text).built
    status = written(decide(a_run_record(), context(attempt), NOW).actions)
    assert (status["resultRef"], "result" in status) == ({"bytes": 9000, "sha256": "ab" * 32}, False)


def test_a_failure_is_retried_after_its_delay() -> None:
    attempt = an_attempt(jitter=False, initial_delay=4).pod(phase="Failed", exit_code=1, received=NOW).built
    status = written(decide(a_run_record(), context(attempt), NOW + 1).actions)
    assert (status["phase"], status["reason"], status["nextAttemptAt"]) == ("Retrying", "BackOff", format_time(NOW + 4))
    run = a_run_record(phase=Phase.RETRYING, reason="BackOff", attempts=[failed(1)], next_attempt_at=NOW + 4)
    assert decide(run, context(attempt), NOW + 3).wake_at == NOW + 4
    place = entry(decide(run, context(attempt), NOW + 4))
    assert (place.number, place.first, place.queued_at) == (2, False, NOW + 4)


def test_the_last_failure_ends_the_run() -> None:
    attempt = an_attempt(number=3).pod(phase="Failed", exit_code=1).built
    run = a_run_record(attempts=[failed(1), failed(2, "Timeout")])
    status = written(decide(run, context(attempt), NOW).actions)
    assert (status["phase"], [a["number"] for a in status["attempts"]]) == ("Failed", [1, 2, 3])


def test_disruptions_use_no_attempt_and_have_a_limit_of_their_own() -> None:
    turned_away = an_attempt(number=5, max_attempts=1).pod(phase="Failed", reason="OutOfcpu").built
    history = [failed(n, "Disrupted") for n in range(1, 5)]
    status = written(decide(a_run_record(attempts=history, disruptions=4), context(turned_away), NOW).actions)
    assert (status["phase"], status["disruptions"]) == ("Retrying", 5)
    status = written(
        decide(a_run_record(attempts=history, disruptions=4), context(turned_away, max_disruptions=4), NOW).actions
    )
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")


def test_a_run_cancelled_while_its_pod_is_being_replaced_loses_its_job_first() -> None:
    attempt = an_attempt().pod(phase="Failed", disrupted=True).built
    (action,) = decide(a_run_record(cancel=True), context(attempt), NOW).actions
    assert isinstance(action, DeleteJob)
    attempt.inspected_at, attempt.job_gone = NOW, True
    assert written(decide(a_run_record(cancel=True), context(attempt), NOW).actions)["phase"] == "Cancelled"


def test_an_attempt_that_only_the_status_knows_is_looked_for() -> None:
    run = a_run_record(phase=Phase.RUNNING, attempts=[{"number": 2}])
    assert decide(run, context(), NOW).actions == [RecoverAttempt(2)]
    run.tracked.recover_at = NOW + 2
    decision = decide(run, context(), NOW)
    assert (decision.actions, decision.wake_at) == ([], NOW + 2)
    assert decide(run, context(), NOW + 2).actions == [RecoverAttempt(2)]


def test_a_number_is_never_used_twice() -> None:
    run = a_run_record(phase=Phase.RETRYING, attempts=[failed(3)])
    assert entry(decide(run, context(an_attempt(number=1).built), NOW)).number == 4


def test_a_finished_run_is_deleted_after_its_ttl_by_who_is_in_charge() -> None:
    run = a_run_record(phase=Phase.SUCCEEDED, kept_since=format_time(NOW), ttl=60)
    assert decide(run, context(), NOW + 59).wake_at == NOW + 60
    assert decide(run, context(), NOW + 60).actions == [DeleteRun()]
    assert decide(run, context(deletes_due_by=-math.inf), NOW + 60).actions == []
    assert decide(run, context(held=True), NOW + 60).actions == []


def test_a_run_of_a_namespace_that_may_be_a_project_since_it_was_due_stays_until_that_is_known() -> None:
    run = a_run_record(phase=Phase.SUCCEEDED, kept_since=format_time(NOW), ttl=60)
    assert decide(run, context(deletes_due_by=NOW + 59), NOW + 90) == Decision()
    assert decide(run, context(deletes_due_by=NOW + 60), NOW + 90).actions == [DeleteRun()]


@pytest.mark.parametrize("reason", ["InvalidImageName", "PodRejected"])
def test_a_hopeless_start_is_stopped_at_once(reason: str) -> None:
    attempt = an_attempt(created=NOW).pod(phase="Pending").built
    attempt.trouble, attempt.inspected_at = Cause(reason, "no"), NOW
    actions = decide(a_run_record(), context(attempt), NOW + 1).actions
    assert [a.why.reason for a in actions if isinstance(a, StopAttempt)] == [reason]


def test_a_missing_secret_is_given_ten_seconds() -> None:
    attempt = an_attempt(created=NOW).pod(phase="Pending").built
    attempt.trouble, attempt.trouble_since, attempt.inspected_at = (
        Cause("CreateContainerConfigError", "no secret"),
        NOW,
        NOW,
    )
    assert not any(isinstance(a, StopAttempt) for a in decide(a_run_record(), context(attempt), NOW + 9).actions)
    assert any(isinstance(a, StopAttempt) for a in decide(a_run_record(), context(attempt), NOW + 10).actions)


def test_start_timeout_counts_from_the_current_pod() -> None:
    attempt = (
        an_attempt(created=NOW, start_timeout=30).pod(phase="Pending", created=NOW + 100, received=NOW + 100).built
    )
    attempt.inspected_at = NOW + 120
    assert not any(isinstance(a, StopAttempt) for a in decide(a_run_record(), context(attempt), NOW + 129).actions)
    stops = [a for a in decide(a_run_record(), context(attempt), NOW + 130).actions if isinstance(a, StopAttempt)]
    assert [s.why.reason for s in stops] == ["StartTimeout"]


def test_suspend_holds_the_next_attempt_and_its_release_is_the_new_place_in_line() -> None:
    running = an_attempt().pod(phase="Running", received=NOW, started=NOW).built
    known = a_run_record(phase=Phase.RUNNING, attempts=[{"number": 1}], suspend=True)
    assert decide(known, context(running), NOW).actions == []
    retrying = a_run_record(phase=Phase.RETRYING, attempts=[failed(1)], next_attempt_at=NOW, suspend=True)
    status = written(decide(retrying, context(an_attempt().built), NOW).actions)
    assert (status["phase"], status["reason"]) == ("Retrying", "Suspended")
    retrying.suspend, retrying.tracked.released = False, NOW + 9
    assert entry(decide(retrying, context(an_attempt().built), NOW + 10)).queued_at == NOW + 9


def test_looks_that_find_nothing_back_off() -> None:
    attempt = an_attempt(created=NOW).pod(phase="Pending", created=NOW).built
    run = a_run_record(phase=Phase.STARTING, reason="Scheduling", attempts=[{"number": 1}])
    wakes = []
    for inspections in (1, 2, 3, 4, 5):
        attempt.inspections, attempt.inspected_at = inspections, NOW
        wakes.append(decide(run, context(attempt), NOW).wake_at)
    assert wakes == [NOW + 10, NOW + 20, NOW + 40, NOW + 60, NOW + 60]


def test_a_run_that_ends_by_its_disruptions_has_its_job_deleted_first() -> None:
    attempt = an_attempt().pod(phase="Failed", disrupted=True, exit_code=137).built
    attempt.inspected_at = NOW - 60
    over = a_run_record(phase=Phase.RUNNING, disruptions=10, attempts=[{"number": 1}])
    actions = decide(over, context(attempt, max_disruptions=10), NOW).actions
    assert [type(action) for action in actions] == [DeleteJob]
    attempt.inspected_at = NOW
    assert decide(over, context(attempt, max_disruptions=10), NOW).actions == []
    attempt.job_gone = True
    assert written(decide(over, context(attempt, max_disruptions=10), NOW).actions)["reason"] == "Evicted"
    below = a_run_record(phase=Phase.RUNNING, disruptions=9, attempts=[{"number": 1}])
    attempt.job_gone = False
    assert DeleteJob not in [type(a) for a in decide(below, context(attempt, max_disruptions=10), NOW).actions]


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.RETRYING])
def test_nothing_new_starts_of_a_run_that_is_being_deleted(phase: Phase) -> None:
    going = a_run_record(phase=phase, attempts=[failed(1)] if phase is Phase.RETRYING else [], deleting=True)
    assert decide(going, context(), NOW + 9_999) == Decision()


def test_the_exit_code_of_a_container_that_was_stopped_says_nothing() -> None:
    stopped = an_attempt().pod(phase="Failed", reason="DeadlineExceeded", exit_code=64, started=NOW - 9)
    status = written(decide(a_run_record(), context(stopped.built), NOW).actions)
    assert (status["phase"], status["attempts"][0]["outcome"]) == ("Retrying", "Timeout")
    own = an_attempt().pod(phase="Failed", exit_code=64, started=NOW - 9)
    assert written(decide(a_run_record(), context(own.built), NOW).actions)["phase"] == "Failed"


def test_a_program_that_exits_with_0_as_it_is_stopped_has_not_succeeded() -> None:
    asked: dict[str, Any] = {"phase": "Succeeded", "exit_code": 0, "started": NOW - 9, "stop_asked": NOW - 5}
    deleted = an_attempt().pod(**asked, finished=NOW - 4, deleting=True).built
    deleted.inspected_at = NOW + 1
    status = written(decide(a_run_record(), context(deleted), NOW + 1).actions)
    assert status["attempts"][0]["reason"] == "PodDeleted"
    evicted = an_attempt().pod(**asked, finished=NOW - 4, disrupted=True).built
    assert written(decide(a_run_record(), context(evicted), NOW).actions)["attempts"][0]["outcome"] == "Disrupted"
    before = an_attempt().pod(**asked, finished=NOW - 6, deleting=True).built
    assert written(decide(a_run_record(), context(before), NOW).actions)["phase"] == "Succeeded"


def test_a_finished_run_without_a_ttl_has_that_of_the_settings() -> None:
    run = a_run_record(phase=Phase.SUCCEEDED, kept_since=format_time(NOW))
    assert decide(run, context(default_ttl=40), NOW).wake_at == NOW + 40
