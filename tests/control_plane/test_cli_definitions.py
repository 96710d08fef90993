"""The command `tidegate` by a kubeconfig alone: Queues, Schedules and Tasks."""

import json
from pathlib import Path

import pytest
import yaml
from support.builders import a_queue, a_run, a_schedule, a_task
from support.command import Command
from support.operator import OwnRuns
from tidegate_cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("operator")

FAR_AWAY = "0 0 29 2 *"


@pytest.fixture(scope="module")
def runs(plane: ControlPlane) -> OwnRuns:
    """A namespace of these tests alone."""
    return OwnRuns(plane, "cli-definitions")


@pytest.fixture
def tidegate(plane: ControlPlane, runs: OwnRuns, tmp_path: Path) -> Command:
    """The command of a cluster's admin, who works there."""
    return Command(tmp_path, KUBECONFIG=str(plane.kubeconfig()), TIDEGATE_PROJECT=runs.namespace)


def test_a_paused_queue_holds_its_runs_until_it_is_resumed(tidegate: Command, runs: OwnRuns) -> None:
    runs.create(a_queue("gate", concurrencyLimit=2))
    runs.create(a_task("gated", queue="gate"))
    assert tidegate.ok("queues", "pause", "gate").out == "gate paused\n"
    row = next(line for line in tidegate.ok("queues", "ls").out.splitlines() if line.startswith("gate "))
    assert row.split()[:4] == ["gate", "yes", "0", "2"]
    tidegate.ok("run", "gated", "--name", "held")
    runs.wait("held", "Pending", reason="QueuePaused")
    assert "Waits for: QueuePaused" in tidegate.ok("show", "held").out
    assert tidegate.ok("queues", "resume", "gate", "-o", "json").json["spec"]["paused"] is False
    tidegate.ok("wait", "held", "--timeout", "20s")
    assert "there is no Queue none in namespace cli-definitions" in tidegate("queues", "pause", "none").fault


def test_a_schedule_is_triggered_by_hand_under_a_name_that_no_tick_has(tidegate: Command, runs: OwnRuns) -> None:
    template = a_run("nightly").payload(a=1).labels({"team": "blue"})
    runs.create(a_schedule("nightly", run=template, cron=FAR_AWAY))
    made = tidegate.ok("schedules", "trigger", "nightly", "-p", "a=2", "--watch", "-o", "json").json
    assert made["name"].startswith("nightly-m")
    assert (made["phase"], made["schedule"], made["spec"]["payload"]) == ("Succeeded", "nightly", {"a": 2})
    assert made["labels"] == {"team": "blue", "tidegate.dev/schedule": "nightly"}
    assert tidegate.ok("ls", "--schedule", "nightly", "-o", "name").out == f"{made['name']}\n"


def test_a_schedule_is_suspended_and_resumed(tidegate: Command, runs: OwnRuns) -> None:
    runs.create(a_schedule("yearly", cron=FAR_AWAY))
    assert tidegate.ok("schedules", "suspend", "yearly").out == "yearly suspended\n"
    assert runs.get("yearly", kind="schedules.tidegate.dev")["spec"]["suspend"] is True
    row = next(line for line in tidegate.ok("schedules", "ls").out.splitlines() if line.startswith("yearly "))
    assert "yes" in row.split()
    tidegate.ok("schedules", "resume", "yearly")
    assert runs.get("yearly", kind="schedules.tidegate.dev")["spec"]["suspend"] is False
    assert "there is no Schedule none" in tidegate("schedules", "trigger", "none").fault


def test_tasks_are_created_and_replaced_from_files(tidegate: Command, runs: OwnRuns, tmp_path: Path) -> None:
    file = tmp_path / "tasks.yaml"
    one, two = runs.placed(a_task("one", description="first")), runs.placed(a_task("two"))
    file.write_text(yaml.safe_dump_all([one, two]))
    assert tidegate.ok("tasks", "apply", "-f", str(file)).out == "one created\ntwo created\n"
    one["spec"] = {"image": "other", "entrypoint": "m:f"}
    assert tidegate.ok("tasks", "apply", "-f", "-", stdin=json.dumps(one)).out == "one replaced\n"
    listed = {task["name"]: task for task in tidegate.ok("tasks", "ls", "-o", "json").json["items"]}
    assert {name: listed["one"]["spec"].get(name) for name in ("image", "entrypoint", "description", "command")} == {
        "image": "other", "entrypoint": "m:f", "description": None, "command": None,
    }  # fmt: skip
    assert tidegate.ok("run", "two", "--watch").code == 0


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", 2, "has no Task"),
        ("a: [", 2, "is not YAML"),
        ("kind: Pod", 2, "only Tasks of tidegate.dev/v1alpha1"),
        ("7", 2, "only Tasks of tidegate.dev/v1alpha1"),
        ("{apiVersion: tidegate.dev/v1alpha1, kind: Task}", 2, "no metadata.name"),
        ("{apiVersion: tidegate.dev/v1alpha1, kind: Task, metadata: {name: x}}", 2, "has no spec"),
        ("{apiVersion: tidegate.dev/v1alpha1, kind: Task, metadata: {name: x, namespace: y}, spec: {}}", 2, "use -n"),
        ("{apiVersion: tidegate.dev/v1alpha1, kind: Task, metadata: {name: x}, spec: {imag: y}}", 3, "spec.imag"),
        (
            "{apiVersion: tidegate.dev/v1alpha1, kind: Task, metadata: {name: X}, spec: {image: y}}",
            2,
            "can't be a name",
        ),
    ],
)
def test_what_is_no_task_is_one_line(tidegate: Command, text: str, code: int, said: str) -> None:
    ended = tidegate("tasks", "apply", "-f", "-", stdin=text)
    assert said in ended.fault
    assert ended.code == code
