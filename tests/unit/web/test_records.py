"""From TaskRuns to rows."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tidegate_web.shared.times import parse_time
from tidegate_web.store.records import clean, run_record


def resource(**more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": "u",
            "name": "n",
            "namespace": "p",
            "resourceVersion": "12",
            "creationTimestamp": "2026-11-24T10:00:00Z",
        }
        | more.pop("metadata", {}),
        "spec": more.pop("spec", {}),
        "status": more.pop("status", {}),
    }


def test_a_run_that_was_just_made() -> None:
    record = run_record(resource(spec={"taskRef": {"name": "t"}, "tags": ["a"]}), default_ttl_seconds=60)
    assert record.phase == "Pending"
    assert record.task == "t"
    assert record.tags == ["a"]
    assert record.attempt == 0
    assert record.resource_version == 12
    assert record.expires_at is None
    assert not record.terminal


def test_a_finished_run_expires_by_the_spec_then_the_status_then_the_default() -> None:
    done = {"phase": "Succeeded", "finishedAt": "2026-11-24T11:00:00Z"}

    def expires(spec: dict[str, Any], status: dict[str, Any]) -> datetime | None:
        return run_record(resource(spec=spec, status=done | status), default_ttl_seconds=60).expires_at

    assert expires({}, {}) == datetime(2026, 11, 24, 11, 1, tzinfo=UTC)
    assert expires({}, {"ttlSecondsAfterFinished": 120}) == datetime(2026, 11, 24, 11, 2, tzinfo=UTC)
    assert expires({"ttlSecondsAfterFinished": 0}, {"ttlSecondsAfterFinished": 120}) == datetime(
        2026, 11, 24, 11, 0, tzinfo=UTC
    )


def test_a_finished_run_expires_so_long_after_the_operator_saw_its_end() -> None:
    """By ``finishedAt`` alone, which is by the node's clock, it would have expired an hour before it ended."""
    finished = {"type": "Finished", "status": "True", "lastTransitionTime": "2026-11-24T12:00:00Z"}
    status = {"phase": "Succeeded", "finishedAt": "2026-11-24T11:00:00Z", "conditions": [finished]}
    record = run_record(resource(status=status), default_ttl_seconds=60)
    assert record.expires_at == datetime(2026, 11, 24, 12, 1, tzinfo=UTC)


def test_the_queue_is_the_one_it_waits_in() -> None:
    inline = {"task": {"queue": "c"}}
    assert run_record(resource(spec=inline), default_ttl_seconds=0).queue == "c"
    assert run_record(resource(spec=inline | {"queue": "b"}), default_ttl_seconds=0).queue == "b"
    both = resource(spec=inline | {"queue": "b"}, status={"queue": "a"})
    assert run_record(both, default_ttl_seconds=0).queue == "a"


def test_the_last_attempt_counts() -> None:
    status = {"attempts": [{"number": 1}, {"number": 3}, {"number": 2}]}
    assert run_record(resource(status=status), default_ttl_seconds=0).attempt == 3


def test_nul_is_taken_out_everywhere() -> None:
    assert clean({"a\x00": ["x\x00", {"b": "\x00"}], "n": 1}) == {"a\ufffd": ["x\ufffd", {"b": "\ufffd"}], "n": 1}


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-24T10:00:00", None, 5])
def test_no_times(text: object) -> None:
    assert parse_time(text) is None


def test_an_object_without_a_creation_time_is_refused() -> None:
    with pytest.raises(ValueError, match="creationTimestamp"):
        run_record(resource(metadata={"creationTimestamp": None}), default_ttl_seconds=0)


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("a\x00b", "a\ufffdb"),
        ({"k\x00": ["\x00", 1, None]}, {"k\ufffd": ["\ufffd", 1, None]}),
        ("written \\u0000", "written \\u0000"),
        ({"ü": [1.5, True, "x"]}, {"ü": [1.5, True, "x"]}),
    ],
)
def test_nul_characters_are_replaced_wherever_they_are(value: object, cleaned: object) -> None:
    assert clean(value) == cleaned


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-26t12:00:00z", datetime(2026, 11, 26, 12, tzinfo=UTC)),
        ("2026-11-26T12:00:00.123456789+01:30", datetime(2026, 11, 26, 10, 30, 0, 123456, tzinfo=UTC)),
        ("2026-11-26T23:59:60Z", datetime(2026, 11, 27, tzinfo=UTC)),
        ("2026-11-26T12:00:00+99:99", datetime(2026, 11, 22, 7, 21, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:59", datetime(1970, 1, 1, tzinfo=UTC)),
        ("0000-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59-23:59", datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-02-30T00:00:00Z", None),
        ("2026-11-26T12:00:00", None),
        ("", None),
        (12, None),
    ],
)
def test_a_time_in_any_spelling(text: object, time: datetime | None) -> None:
    assert parse_time(text) == time


def test_a_ttl_of_ten_thousand_years_ends_at_the_last_time_there_is() -> None:
    done = {"phase": "Succeeded", "finishedAt": "2026-11-24T11:00:00Z"}
    for ttl in (2**63 - 1, 10_000 * 365 * 86_400):
        record = run_record(resource(spec={"ttlSecondsAfterFinished": ttl}, status=done), default_ttl_seconds=60)
        assert record.phase == "Succeeded"
        assert record.expires_at == datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_an_end_before_the_creation_is_no_reason_to_delete_a_run() -> None:
    status = {"phase": "Failed", "finishedAt": "0001-01-01T00:00:00Z"}
    assert run_record(resource(status=status), default_ttl_seconds=60).expires_at == datetime(
        2026, 11, 24, 10, 1, tzinfo=UTC
    )


def test_half_a_character_is_replaced_and_a_whole_one_is_not() -> None:
    assert clean("a\ud83db\ude00c\U0001f600 \\ud83d \\\x00") == "a\ufffdb\ufffdc\U0001f600 \\ud83d \\\ufffd"
