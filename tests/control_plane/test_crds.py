"""What the apiserver itself holds people to, without any of our processes."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.builders import a_run, a_task
from support.kube import HTTPError
from support.operator import Runs
from tidegate_cluster.control_plane import ControlPlane

CRDS = Path(__file__).resolve().parents[2] / "crds"
Json = dict[str, Any]
BUSY = {"fake.tidegate.dev/hold": "1"}


def refused(runs: Runs, manifest: Json, *, words: str) -> None:
    with pytest.raises(HTTPError, match=words):
        runs.create(manifest)


def set_status(runs: Runs, name: str, status: Json) -> None:
    runs.kube.patch("taskruns.tidegate.dev", name, {"status": status}, subresource="status")


def replace_status(runs: Runs, name: str, operations: list[Json]) -> None:
    runs.kube.patch("taskruns.tidegate.dev", name, operations, subresource="status")


def test_a_new_run_shows_pending_before_anybody_wrote_it(runs: Runs) -> None:
    made = runs.create(a_run("crd-pending").built)
    assert made["status"] == {"phase": "Pending"}


@pytest.mark.quick
def test_a_run_needs_exactly_one_of_task_and_task_ref(runs: Runs) -> None:
    words = "exactly one of taskRef and task"
    refused(runs, a_run("crd-both").spec(taskRef={"name": "x"}).built, words=words)
    neither = a_run("crd-neither").task_ref("x").built
    del neither["spec"]["taskRef"]
    refused(runs, neither, words=words)


def test_entrypoint_and_command_exclude_each_other(runs: Runs) -> None:
    words = "entrypoint and command exclude each other"
    refused(runs, a_run("crd-entry").task(entrypoint="a.b:c").built, words=words)
    refused(runs, a_task("crd-entry", entrypoint="a.b:c"), words=words)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"priority": 1001}, "less than or equal to 1000"),
        ({"concurrencyKey": "x" * 129}, "may not be more than 128"),
        ({"tags": [str(i) for i in range(11)]}, "at most 10 items"),
        ({"dependsOn": [{"name": f"r{i}"} for i in range(65)]}, "at most 64 items"),
        ({"retry": {"maxAttempts": 101}}, "less than or equal to 100"),
        ({"retry": {"nonRetryableExitCodes": [0]}}, "greater than or equal to 1"),
        ({"timeoutSeconds": 31_536_001}, "less than or equal to 31536000"),
        ({"startTimeoutSeconds": 0}, "greater than or equal to 1"),
        ({"queue": "Not_A_Label"}, "should match"),
        ({"startAfter": "tomorrow"}, "date-time"),
        ({"payload": "not an object"}, "must be of type object"),
        ({"nonsense": 1}, 'unknown field "spec.nonsense"'),
    ],
)
def test_values_out_of_bounds_are_refused_with_the_reason(runs: Runs, spec: Json, words: str) -> None:
    refused(runs, a_run("crd-bounds").spec(**spec).built, words=words)


def test_names_are_dns_labels(runs: Runs) -> None:
    refused(runs, a_run("a.dotted.name").built, words="DNS label of at most 63")
    refused(runs, a_run("x" * 64).built, words="DNS label of at most 63")
    schedule = {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "Schedule",
        "metadata": {"name": "s" * 49},
        "spec": {"cron": "0 3 * * *", "template": {"spec": {"taskRef": {"name": "report"}}}},
    }
    refused(runs, schedule, words="DNS label of at most 48")


@pytest.mark.parametrize(
    "change",
    [
        {"queue": "other"},
        {"timeoutSeconds": 5},
        {"concurrencyKey": "b"},
        {"dependsOn": [{"name": "x"}]},
        {"tags": ["b"]},
        {"idempotencyKey": "k"},
        {"retry": {"maxAttempts": 7}},
        {"resources": {"limits": {"cpu": "1"}}},
        {"env": [{"name": "A", "value": "2"}]},
        {"payload": {"y": 999}},
        {"payload": {"x": None}},
        {"task": {"command": ["false"]}},
        {"task": {"podTemplate": {"spec": {"nodeName": "other"}}}},
        {"task": {"payloadSchema": {"type": "object"}}},
    ],
)
def test_a_spec_is_immutable_also_where_a_key_is_missing_on_one_side(
    runs: Runs, request: pytest.FixtureRequest, change: Json
) -> None:
    name = f"crd-fixed-{abs(hash(request.node.name)) % 10**8}"
    runs.create(a_run(name).payload(x=1).spec(concurrencyKey="a", tags=["a"], env=[{"name": "A", "value": "1"}]).built)
    with pytest.raises(HTTPError, match="immutable"):
        runs.patch_spec(name, **change)


def test_what_may_change_in_a_spec_may_change(runs: Runs) -> None:
    runs.create(a_run("crd-mutable").payload(x=1).built)
    changes: Json = {
        "suspend": True,
        "priority": 5,
        "startAfter": "2031-01-01T00:00:00Z",
        "ttlSecondsAfterFinished": 60,
        "cancel": True,
    }
    runs.patch_spec("crd-mutable", **changes)
    assert {k: runs.get("crd-mutable")["spec"][k] for k in changes} == changes


@pytest.mark.quick
def test_cancel_never_goes_back(runs: Runs) -> None:
    runs.create(a_run("crd-cancel").spec(cancel=True).built)
    for value in (False, None):
        with pytest.raises(HTTPError, match="cancel never goes back"):
            runs.patch_spec("crd-cancel", cancel=value)


FINISHED: Json = {
    "phase": "Succeeded",
    "attempts": [{"number": 1, "outcome": "Succeeded"}],
    "result": {"x": 1},
}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/status/phase", "value": "Failed"},
        {"op": "add", "path": "/status/reason", "value": "Error"},
        {"op": "replace", "path": "/status/attempts/0/outcome", "value": "Failed"},
        {"op": "remove", "path": "/status/attempts"},
        {"op": "add", "path": "/status/resultRef", "value": {"bytes": 1, "sha256": "0" * 64}},
        {"op": "replace", "path": "/status/result", "value": {"y": 999}},
        {"op": "remove", "path": "/status/result"},
        {"op": "remove", "path": "/status"},
        {"op": "replace", "path": "/status", "value": {"phase": "Succeeded"}},
    ],
)
def test_a_finished_run_keeps_its_end(runs: Runs, request: pytest.FixtureRequest, operation: Json) -> None:
    name = f"crd-finished-{abs(hash(request.node.name)) % 10**8}"
    runs.create(a_run(name).built)
    set_status(runs, name, FINISHED)
    with pytest.raises(HTTPError, match="a finished run keeps"):
        replace_status(runs, name, [operation])
    assert runs.get(name)["status"] == FINISHED


def test_a_null_result_of_a_finished_run_is_a_result_too(runs: Runs) -> None:
    runs.create(a_run("crd-null").built)
    set_status(runs, "crd-null", {"phase": "Running"})
    replace_status(runs, "crd-null", [{"op": "add", "path": "/status", "value": {**FINISHED, "result": None}}])
    assert runs.get("crd-null")["status"]["result"] is None
    with pytest.raises(HTTPError, match="a finished run keeps"):
        replace_status(runs, "crd-null", [{"op": "replace", "path": "/status/result", "value": 1}])


def test_a_status_is_written_by_its_subresource_alone(runs: Runs) -> None:
    runs.create(a_run("crd-isolated").built)
    runs.kube.patch("taskruns.tidegate.dev", "crd-isolated", {"status": {"phase": "Succeeded"}})
    assert runs.get("crd-isolated")["status"] == {"phase": "Pending"}
    set_status(runs, "crd-isolated", {"phase": "Running"})
    runs.kube.label("taskruns.tidegate.dev", "crd-isolated", {"a": "b"})
    assert runs.get("crd-isolated")["status"]["phase"] == "Running"


def test_every_field_is_explained(plane: ControlPlane) -> None:
    for kind in ("taskruns", "tasks", "queues", "schedules"):
        for part in ("spec", "status"):
            text = plane.kubectl("explain", f"{kind}.tidegate.dev.{part}", "--recursive=false")
            assert "<no description>" not in text, text
    assert "128 KiB" in plane.kubectl("explain", "taskruns.tidegate.dev.spec.payload")


def test_runs_are_selected_by_phase_and_task(runs: Runs) -> None:
    runs.create(a_run("crd-select").task_ref("nowhere").built)
    set_status(runs, "crd-select", {"phase": "Expired"})
    for selector in ("status.phase=Expired", "spec.taskRef.name=nowhere"):
        assert "crd-select" in runs.kube.names("taskruns.tidegate.dev", fields=selector)


def test_the_table_shows_what_matters(plane: ControlPlane, runs: Runs) -> None:
    runs.create(a_run("crd-table").task_ref("resize").built)
    status: Json = {
        "phase": "Failed",
        "reason": "Error",
        "queue": "default",
        "duration": "12.3s",
        "message": "exit code 7",
    }
    set_status(runs, "crd-table", {**status, "attempts": [{"number": 1}, {"number": 2}]})
    head, row = plane.kubectl("get", "tgr", "crd-table", "-o", "wide").splitlines()
    assert head.split() == ["NAME", "TASK", "QUEUE", "PHASE", "REASON", "ATTEMPTS", "DURATION", "AGE", "MESSAGE"]
    assert row.split()[:7] == ["crd-table", "resize", "default", "Failed", "Error", "2", "12.3s"]
    assert row.rstrip().endswith("exit code 7")


def test_short_names_and_the_category_find_our_kinds(plane: ControlPlane) -> None:
    rows = plane.kubectl("api-resources", "--api-group=tidegate.dev", "--no-headers").splitlines()
    assert {tuple(row.split()[:2]) for row in rows} == {
        ("taskruns", "tgr"),
        ("tasks", "tgt"),
        ("queues", "tgq"),
        ("schedules", "tgs"),
        ("workerpools", "tgw"),
    }
    assert "crd-" in plane.kubectl("get", "tidegate", "-o", "name")


def test_the_crds_are_small_enough_for_kubectl_apply(plane: ControlPlane) -> None:
    # `kubectl apply` keeps the whole object in an annotation, of which an object may have 256 KiB.
    for kind in ("taskruns", "tasks", "queues", "schedules"):
        plane.kubectl("apply", "--filename", str(CRDS / f"{kind}.yaml"))
        crd = json.loads(plane.kubectl("get", f"crd/{kind}.tidegate.dev", "-o", "json"))
        applied = crd["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        assert len(applied) < 100_000
