"""status: the whole status as it is written."""

from typing import Any

import pytest
from support.records import NOW, a_handover_attempt, a_run_record, an_attempt
from tidegate_api.bodies import AttemptBody, TaskRunStatusBody
from tidegate_api.names import Phase
from tidegate_api.taskrun import TaskRunStatus
from tidegate_api.times import format_time
from tidegate_operator.policies.outcome import end_of
from tidegate_operator.policies.status import (
    MESSAGE_MAX,
    REASON_MAX,
    attempt_entry,
    build_status,
    failed_by_fault,
    with_attempt,
)
from tidegate_operator.records.run import Plan
from tidegate_operator.records.usage import Usage


def test_the_first_start_is_set_once_and_never_by_a_later_attempt() -> None:
    first = build_status(a_run_record(), phase=Phase.RUNNING, started=NOW - 50, now=NOW)
    assert first["startedAt"] == format_time(NOW - 50)
    known = a_run_record(started_at=format_time(NOW - 50))
    later = build_status(known, phase=Phase.RUNNING, started=NOW - 5, now=NOW)
    assert later["startedAt"] == format_time(NOW - 50)


def test_an_end_has_its_duration_from_the_first_start() -> None:
    run = a_run_record(started_at=format_time(NOW - 75))
    status = build_status(run, phase=Phase.SUCCEEDED, started=NOW - 5, finished=NOW, now=NOW)
    assert (status["finishedAt"], status["duration"]) == (format_time(NOW), "1m15s")


def test_a_run_that_never_started_has_an_end_and_no_duration() -> None:
    status = build_status(a_run_record(), phase=Phase.CANCELLED, finished=NOW, now=NOW)
    assert status["finishedAt"] == format_time(NOW)
    assert "duration" not in status
    assert "startedAt" not in status


def test_an_end_is_never_before_its_start() -> None:
    run = a_run_record(started_at=format_time(NOW))
    status = build_status(run, phase=Phase.FAILED, finished=NOW - 30, now=NOW)
    assert (status["finishedAt"], status["duration"]) == (format_time(NOW), "0s")


def test_words_of_others_are_cut_to_what_the_crd_takes() -> None:
    status = build_status(a_run_record(), phase=Phase.FAILED, reason="R" * 9999, message="m" * 99_999, now=NOW)
    assert (len(status["reason"]), len(status["message"])) == (REASON_MAX, MESSAGE_MAX)
    assert all(len(c["reason"]) <= REASON_MAX and len(c["message"]) <= MESSAGE_MAX for c in status["conditions"])


def test_an_attempt_records_which_image_and_which_spec_ran() -> None:
    attempt = an_attempt().pod(phase="Succeeded", exit_code=0, image="busybox:1", image_id="busybox@sha256:ab").built
    attempt.spec_hash = "c0ffee"
    entry = attempt_entry(attempt, end=end_of(attempt, cancelled=False, now=NOW), started=NOW)
    assert (entry["image"], entry["imageID"], entry["specHash"]) == ("busybox:1", "busybox@sha256:ab", "c0ffee")


def test_the_last_hundred_attempts_are_kept() -> None:
    history: list[AttemptBody] = [{"number": n, "outcome": "Failed"} for n in range(1, 101)]
    kept = with_attempt(history, {"number": 101, "outcome": "Failed"})
    assert [a["number"] for a in kept] == list(range(2, 102))
    again: AttemptBody = {"number": 101, "outcome": "Timeout"}
    assert with_attempt(kept, again) == [*kept[:-1], again]


@pytest.mark.parametrize(
    ("phase", "finished", "succeeded"),
    [
        (Phase.PENDING, "False", "Unknown"),
        (Phase.RUNNING, "False", "Unknown"),
        (Phase.RETRYING, "False", "Unknown"),
        (Phase.SUCCEEDED, "True", "True"),
        (Phase.FAILED, "True", "False"),
        (Phase.CANCELLED, "True", "False"),
        (Phase.EXPIRED, "True", "False"),
        (Phase.SKIPPED, "True", "False"),
    ],
)
def test_two_conditions_say_whether_it_has_finished_and_how(phase: Phase, finished: str, succeeded: str) -> None:
    status = build_status(a_run_record(), phase=phase, now=NOW)
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Finished": finished, "Succeeded": succeeded}


def conditions(phase: str, *, at: float, finished: str, succeeded: str, **message: str) -> list[dict[str, str]]:
    since = {"reason": phase, "lastTransitionTime": format_time(at), **message}
    return [{"type": "Finished", "status": finished, **since}, {"type": "Succeeded", "status": succeeded, **since}]


def test_the_status_of_a_run_that_waits() -> None:
    assert build_status(a_run_record(), phase=Phase.PENDING, now=NOW, queued_at=None) == {
        "phase": "Pending",
        "observedGeneration": 1,
        "queue": "default",
        "conditions": conditions("Pending", at=NOW - 200, finished="False", succeeded="Unknown"),
    }


def test_the_status_of_a_run_that_ended() -> None:
    run = a_run_record(attempts=[{"number": 1}], disruptions=2, generation=4)
    status = build_status(
        run,
        phase=Phase.FAILED,
        reason="Error",
        message="no",
        started=NOW - 9,
        finished=NOW - 4,
        ttl=60,
        queued_at=NOW - 20,
        now=NOW,
    )
    assert status == {
        "phase": "Failed",
        "reason": "Error",
        "message": "no",
        "observedGeneration": 4,
        "queuedAt": format_time(NOW - 20),
        "startedAt": format_time(NOW - 9),
        "finishedAt": format_time(NOW - 4),
        "duration": "5s",
        "queue": "default",
        "attempts": [{"number": 1}],
        "disruptions": 2,
        "ttlSecondsAfterFinished": 60,
        "conditions": conditions("Error", at=NOW, finished="True", succeeded="False", message="no"),
    }


def test_a_result_is_written_as_it_is() -> None:
    assert build_status(a_run_record(), phase=Phase.SUCCEEDED, result={"a": [1]}, now=NOW)["result"] == {"a": [1]}


def test_the_queue_is_that_of_its_line_then_of_its_plan_then_its_own() -> None:
    run = a_run_record(queue="own")
    planned = a_run_record(queue="own", plan=Plan(queue="planned"))
    assert build_status(run, phase=Phase.PENDING, now=NOW)["queue"] == "own"
    assert build_status(planned, phase=Phase.RUNNING, now=NOW)["queue"] == "planned"
    assert build_status(planned, phase=Phase.PENDING, queue="line", now=NOW)["queue"] == "line"


def test_since_when_it_is_queued_is_what_is_known_best() -> None:
    def queued(**fields: Any) -> object:
        return build_status(a_run_record(**fields), phase=Phase.RUNNING, now=NOW).get("queuedAt")

    assert queued() is None  # it never came so far
    assert queued(queued_at=NOW - 50) == format_time(NOW - 50)
    assert queued(queued_at=NOW - 50, plan=Plan()) == format_time(NOW - 50)
    assert queued(plan=Plan()) == format_time(NOW - 200)
    assert queued(plan=Plan(), start_after=NOW - 80) == format_time(NOW - 80)
    known = a_run_record(queued_at=NOW - 50)
    known.status.queued_at = format_time(NOW - 70)
    assert build_status(known, phase=Phase.RUNNING, now=NOW)["queuedAt"] == format_time(NOW - 70)
    assert build_status(known, phase=Phase.RUNNING, queued_at=NOW - 9, now=NOW)["queuedAt"] == format_time(NOW - 9)


def test_the_line_of_an_attempt() -> None:
    attempt = an_attempt(number=2).pod(phase="Failed", exit_code=3, termination_message="no", scheduled=NOW - 70).built
    line = {
        "number": 2,
        "jobName": "run-abcd-2",
        "createdAt": format_time(NOW - 100),
        "scheduledAt": format_time(NOW - 70),
        "podName": "run-abcd-2-1",
        "nodeName": "node-1",
        "startedAt": format_time(NOW - 9),
    }
    assert attempt_entry(attempt, end=None, started=NOW - 9) == line
    assert attempt_entry(attempt, end=end_of(attempt, cancelled=False, now=NOW), started=NOW - 9) == {
        **line,
        "outcome": "Failed",
        "reason": "Error",
        "message": "no",
        "exitCode": 3,
        "finishedAt": format_time(NOW),
    }
    without_pod = {"number": 1, "jobName": "run-abcd-1", "createdAt": format_time(NOW - 100)}
    assert attempt_entry(an_attempt().built, end=None, started=None) == without_pod


def test_the_end_of_a_run_that_is_set_aside() -> None:
    status = failed_by_fault(a_run_record(), message="m" * 9999, ttl=60, now=NOW)
    words = "m" * MESSAGE_MAX
    assert status == {
        "phase": "Failed",
        "reason": "InternalError",
        "message": words,
        "finishedAt": format_time(NOW),
        "ttlSecondsAfterFinished": 60,
        "conditions": conditions("InternalError", at=NOW, finished="True", succeeded="False", message=words),
    }
    assert "ttlSecondsAfterFinished" not in failed_by_fault(a_run_record(), message="m", ttl=None, now=NOW)


def test_a_status_with_all_that_can_be_written_has_the_fields_of_the_crd() -> None:
    used = Usage(cpu_milliseconds=1, memory_peak_bytes=2)
    ran = {"image": "x", "image_id": "x@sha256:ab", "scheduled": NOW - 70, "usage": used}
    attempt = an_attempt().pod(phase="Failed", started=NOW - 9, exit_code=1, **ran).built
    attempt.spec_hash = "ab" * 32
    entry = attempt_entry(attempt, end=end_of(attempt, cancelled=False, now=NOW), started=NOW - 9)
    whole = build_status(
        a_run_record(queue="mail"),
        phase=Phase.FAILED,
        reason="Error",
        message="no",
        attempts=[entry],
        started=NOW - 9,
        finished=NOW,
        disruptions=1,
        next_attempt=NOW + 9,
        ttl=60,
        result={"a": 1},
        result_ref={"bytes": 1, "sha256": "ab" * 32},
        queued_at=NOW - 20,
        now=NOW,
    )
    handed_over = {"pool", "podUid", "handover"}
    assert set(whole) == set(TaskRunStatusBody.__annotations__) - {"resolvedTask"}  # written with the first hand-over
    assert set(entry) == set(AttemptBody.__annotations__) - handed_over
    given = attempt_entry(a_handover_attempt(), end=None, started=None)
    assert handed_over <= set(given)
    assert not {"jobName", "createdAt", "scheduledAt"} & set(given)
    TaskRunStatus.model_validate(whole)
    TaskRunStatus.model_validate(failed_by_fault(a_run_record(), message="no", ttl=1, now=NOW))
