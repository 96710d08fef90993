"""Payloads that match their task's schema run, others end before any pod, on a real apiserver."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support.builders import RunBuilder, a_run, a_task
from support.operator import OperatorProcess, Runs
from support.servers import wait_until

pytestmark = pytest.mark.usefixtures("operator")

Json = dict[str, Any]
PICTURES: Json = {
    "type": "object",
    "required": ["pictures"],
    "properties": {"pictures": {"items": {"$ref": "#/$defs/name"}}},
    "$defs": {"name": {"type": "string", "maxLength": 9}},
}


def workers(operator: OperatorProcess) -> list[int]:
    children = Path(f"/proc/{operator.pid}/task/{operator.pid}/children").read_text(encoding="ascii")
    return [int(pid) for pid in children.split()]


def test_a_payload_that_matches_runs(runs: Runs) -> None:
    runs.create(a_task("pictures", payloadSchema=PICTURES))
    runs.create(a_run("matching").task_ref("pictures").payload(pictures=["a.jpg"]).built)
    runs.create(a_run("matching-inline").task(payloadSchema=PICTURES).payload(pictures=["a.jpg"]).built)
    for name in ("matching", "matching-inline"):
        runs.wait(name, "Succeeded")
        (job,) = runs.jobs(name)
        assert "payloadSchema" not in json.loads(job["metadata"]["annotations"]["tidegate.dev/task-spec"])


def test_a_payload_that_does_not_match_ends_before_any_pod(runs: Runs) -> None:
    runs.create(a_task("strict", payloadSchema=PICTURES))
    runs.create(a_run("mismatch").task_ref("strict").payload(pictures=["a.jpg", "x" * 100_000]).built)
    runs.create(a_run("mismatch-inline").task(payloadSchema=PICTURES).built)
    status = runs.wait("mismatch", "Failed", reason="InvalidPayload")
    words = "the payload doesn't match payloadSchema at $.pictures[1]: the value is longer than 9 characters"
    assert status["message"] == words
    assert '"pictures" is a required' in runs.wait("mismatch-inline", "Failed", reason="InvalidPayload")["message"]
    assert [runs.jobs(name) for name in ("mismatch", "mismatch-inline")] == [[], []]


@pytest.mark.parametrize(
    ("slug", "schema", "words"),
    [
        ("remote", {"$ref": "https://example.com/schema.json"}, "https://example.com/schema.json"),
        ("no-type", {"type": "strin"}, "at $.type"),
        ("look-around", {"properties": {"a": {"pattern": "(?=a)"}}}, "no look-around"),
    ],
)
def test_a_schema_that_cannot_be_used_is_the_tasks_fault(runs: Runs, slug: str, schema: Json, words: str) -> None:
    runs.create(a_run(f"schema-{slug}").task(payloadSchema=schema).built)
    assert words in runs.wait(f"schema-{slug}", "Failed", reason="InvalidTask")["message"]
    assert runs.jobs(f"schema-{slug}") == []


def test_the_task_is_checked_against_as_it_is_when_attempt_1_starts(runs: Runs) -> None:
    kube = runs.kube.create_namespace("held")
    kube.create_quota("none", {"count/jobs.batch": 0})
    task = a_task("changing", payloadSchema={"type": "object"})
    task["metadata"]["namespace"] = "held"
    runs.create(task)
    runs.create(a_run("overtaken").namespace("held").task_ref("changing").payload(a=1).built)

    def state() -> str:
        status = kube.get("taskruns.tidegate.dev", "overtaken")["status"]
        return f"{status['phase']}/{status.get('reason')}"

    wait_until(lambda: state() == "Pending/QuotaExceeded", what="the run to be held")
    patch: Json = {"spec": {"payloadSchema": {"properties": {"a": {"type": "string"}}}}}
    kube.patch("tasks.tidegate.dev", "changing", patch)
    wait_until(lambda: state() == "Failed/InvalidPayload", what="the new schema to be held against it")


def test_a_slow_schema_holds_up_no_other_run_and_a_killed_worker_none(runs: Runs, operator: OperatorProcess) -> None:
    defs: Json = {f"d{i}": {"not": {"allOf": [{"not": {"$ref": f"#/$defs/d{i + 1}"}}] * 2}} for i in range(64)}
    slow = {"$defs": {**defs, "d64": {"type": "string"}}, "$ref": "#/$defs/d0"}
    runs.create(a_run("slow-schema").task(payloadSchema=slow).built)
    runs.create(a_run("unchecked").built)
    runs.wait("unchecked", "Succeeded")
    status = runs.wait("slow-schema", "Failed", reason="InvalidPayload")
    assert "took longer than 2 s" in status["message"]
    runs.create(a_run("after-slow").task(payloadSchema=PICTURES).payload(pictures=[]).built)
    runs.wait("after-slow", "Succeeded")
    (worker,) = workers(operator)
    os.kill(worker, signal.SIGKILL)
    runs.create(a_run("after-kill").task(payloadSchema=PICTURES).payload(pictures=[]).built)
    runs.wait("after-kill", "Succeeded")
    assert len(workers(operator)) == 1


def test_more_runs_than_may_be_checked_at_once_are_all_checked(runs: Runs) -> None:
    runs.create(a_task("busy", payloadSchema=PICTURES))
    names = [f"burst-{number}" for number in range(60)]
    items = [
        a_run(name).task_ref("busy").payload(pictures=[number] if number % 2 else []).built
        for number, name in enumerate(names)
    ]
    runs.kube.create_all(items)
    for number, name in enumerate(names):
        runs.wait(name, "Failed" if number % 2 else "Succeeded")


@pytest.mark.parametrize(
    ("slug", "run", "end"),
    [
        ("payload", a_run("deep-payload").payload(x="DEEP"), ("Failed", "InvalidPayload")),
        ("checked", a_run("deep-checked").payload(x="DEEP").task(payloadSchema=PICTURES), ("Failed", "InvalidPayload")),
        ("schema", a_run("deep-schema").task(payloadSchema={"const": "DEEP"}), ("Failed", "InvalidTask")),
        (
            "template",
            a_run("deep-template").task(podTemplate={"spec": {"affinity": "DEEP"}}),
            ("Failed", "InvalidTask"),
        ),
    ],
)
def test_what_is_nested_as_deep_as_the_apiserver_takes_it_ends_only_its_run(
    runs: Runs, operator: OperatorProcess, slug: str, run: RunBuilder, end: tuple[str, str | None]
) -> None:
    text = json.dumps(run.built).replace('"DEEP"', '{"a":' * 9_900 + "1" + "}" * 9_900)
    runs.kube.create_text("taskruns.tidegate.dev", text)

    def state() -> tuple[str, str | None]:
        cells = runs.kube.cells("taskruns.tidegate.dev", f"deep-{slug}")
        return cells["Phase"], cells["Reason"] or None

    wait_until(lambda: state() == end, what=f"{slug} to end")
    runs.kube.delete("taskruns.tidegate.dev", f"deep-{slug}")
    assert operator.exit_code is None
