"""From TaskRuns to rows."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tidegate_web.store.records import clean, parse_time, run_record


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
