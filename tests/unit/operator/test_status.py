"""status: the whole status as it is written."""

import pytest
from support.records import NOW, a_run_record, an_attempt
from tidegate_api.names import Phase
from tidegate_api.times import format_time
from tidegate_operator.policies.outcome import end_of
from tidegate_operator.policies.status import MESSAGE_MAX, REASON_MAX, attempt_entry, build_status, with_attempt


def test_the_first_start_is_set_once_and_never_by_a_later_attempt() -> None:
    first = build_status(a_run_record(), phase=Phase.RUNNING, started=NOW - 50, now=NOW)
    assert first["startedAt"] == format_time(NOW - 50)
    known = a_run_record(started_at=format_time(NOW - 50))
    later = build_status(known, phase=Phase.RUNNING, started=NOW - 5, now=NOW)
    assert later["startedAt"] == format_time(NOW - 50)


def test_an_end_tells_its_duration_from_the_first_start() -> None:
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


def test_an_attempt_tells_which_image_and_which_spec_ran() -> None:
    attempt = an_attempt().pod(phase="Succeeded", exit_code=0, image="busybox:1", image_id="busybox@sha256:ab").built
    attempt.spec_hash = "c0ffee"
    entry = attempt_entry(attempt, end=end_of(attempt, cancelled=False, now=NOW), started=NOW)
    assert (entry["image"], entry["imageID"], entry["specHash"]) == ("busybox:1", "busybox@sha256:ab", "c0ffee")


def test_the_last_hundred_attempts_are_kept() -> None:
    history = [{"number": n, "outcome": "Failed"} for n in range(1, 101)]
    kept = with_attempt(history, {"number": 101, "outcome": "Failed"})
    assert [a["number"] for a in kept] == list(range(2, 102))
    again = {"number": 101, "outcome": "Timeout"}
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
