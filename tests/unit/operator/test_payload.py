"""policies/payload: which payloads may run, and when they have to be checked."""

from support.records import a_run_record
from tidegate_operator.policies.payload import must_check, refuse_payload, schema_version
from tidegate_operator.records.definitions import TaskRecord

WITH = TaskRecord("t", "default", "resize", 5, {"image": "x", "payloadSchema": {"type": "object"}})
WITHOUT = TaskRecord("t", "default", "resize", 5, {"image": "x", "payloadSchema": {}})


def test_a_payload_has_a_size() -> None:
    assert refuse_payload({"x": "y" * 131_064}) is None
    refusal = refuse_payload({"x": "y" * 131_065})
    assert refusal is not None
    assert refusal.reason == "InvalidPayload"


def test_only_where_there_is_a_schema_is_a_payload_checked() -> None:
    assert schema_version(a_run_record(), None) is None
    assert schema_version(a_run_record(task_ref="resize"), None) is None
    assert schema_version(a_run_record(task_ref="resize"), WITHOUT) is None
    assert not must_check(a_run_record(task_ref="resize"), WITHOUT)


def test_a_check_holds_for_one_version_of_the_task() -> None:
    run = a_run_record(task_ref="resize")
    assert must_check(run, WITH)
    run.tracked.checked_for = schema_version(run, WITH)
    assert not must_check(run, WITH)
    assert must_check(run, TaskRecord("t", "default", "resize", 6, WITH.spec))
    assert must_check(run, TaskRecord("u", "default", "resize", 5, WITH.spec))


def test_an_inline_schema_is_checked_once() -> None:
    run = a_run_record(has_schema=True)
    assert must_check(run, None)
    run.tracked.checked_for = schema_version(run, None)
    assert not must_check(run, None)
