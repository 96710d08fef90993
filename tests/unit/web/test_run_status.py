"""What is read of a TaskRun's status, and the texts and times that the web app has in common."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from tidegate_api import names, times
from tidegate_web.shared.json_types import as_object, as_objects, as_text
from tidegate_web.shared.phases import ACTIVE_PHASES, TERMINAL_PHASES
from tidegate_web.shared.run_status import AttemptStatus, attempts_of
from tidegate_web.shared.times import EARLIEST, LATEST, parse_time, rfc3339_exact, rfc3339_seconds

NOON = datetime(2026, 11, 27, 13, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))


def test_attempts_are_read_field_by_field() -> None:
    first = {"number": 1, "jobName": "a-1", "podName": "a-1-x", "startedAt": "2026-11-27T12:00:00Z"}
    assert attempts_of({"attempts": [first, {"number": 2}]}) == [
        AttemptStatus(number=1, job_name="a-1", pod_name="a-1-x", has_started=True),
        AttemptStatus(number=2, job_name=None, pod_name=None, has_started=False),
    ]


@pytest.mark.parametrize("attempts", [None, "x", 7, {}, [], ["x", None, 3]])
def test_what_are_no_attempts_counts_for_none(attempts: object) -> None:
    assert attempts_of({"attempts": attempts}) == []


def test_a_field_of_another_type_counts_as_missing() -> None:
    odd = {"number": "1", "jobName": 7, "podName": ["a"], "startedAt": None}
    assert attempts_of({"attempts": [odd]}) == [
        AttemptStatus(number=0, job_name=None, pod_name=None, has_started=False)
    ]


def test_json_of_another_type_counts_as_empty() -> None:
    assert as_object({"a": 1}) == {"a": 1}
    assert as_object(["a"]) == as_object("a") == as_object(None) == {}
    assert as_objects([{"a": 1}, "b", None]) == [{"a": 1}]
    assert as_objects({"a": 1}) == []
    assert (as_text("a"), as_text(1)) == ("a", None)


def test_each_phase_is_active_or_terminal() -> None:
    assert (*ACTIVE_PHASES, *TERMINAL_PHASES) == tuple(phase.value for phase in names.Phase)
    assert set(TERMINAL_PHASES) == names.TERMINAL_PHASES
    assert all(type(phase) is str for phase in (*ACTIVE_PHASES, *TERMINAL_PHASES))


def test_times_go_out_in_utc() -> None:
    assert rfc3339_seconds(NOON) == "2026-11-27T12:00:00Z"
    assert rfc3339_exact(NOON) == "2026-11-27T12:00:00.123456Z"
    assert parse_time(rfc3339_exact(NOON)) == NOON


def test_the_bounds_of_times_are_the_contracts() -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) == EARLIEST
    assert datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC) == LATEST
    assert LATEST.timestamp() == times.LATEST
