"""policies/resolution: a Task's spec under a run's overrides."""

from typing import Any

from tidegate_api.bodies import EnvVarBody, TaskRunSpecBody, TaskSpecBody
from tidegate_operator.policies.resolution import resolve

TASK: Any = {
    "image": "img",
    "queue": "default",
    "timeoutSeconds": 3600,
    "retry": {"maxAttempts": 3, "factor": 2},
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}],
    "payloadSchema": {"type": "object"},
}


def test_without_overrides_the_task_stands_but_for_its_schema() -> None:
    assert resolve(TASK, {"payload": {}}) == {k: v for k, v in TASK.items() if k != "payloadSchema"}


def test_scalars_are_replaced_also_by_zero() -> None:
    assert resolve(TASK, {"timeoutSeconds": 0})["timeoutSeconds"] == 0
    null: Any = {"timeoutSeconds": None}
    assert resolve(TASK, null)["timeoutSeconds"] == 3600


def test_retry_and_resources_are_overridden_field_by_field() -> None:
    resolved = resolve(TASK, {"retry": {"maxAttempts": 9}, "resources": {"requests": {"cpu": "2"}}})
    assert resolved["retry"] == {"maxAttempts": 9, "factor": 2}
    assert resolved["resources"] == {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


def test_resources_after_an_oom_kill_are_overridden_field_by_field() -> None:
    task: Any = {**TASK, "retry": {"outOfMemory": {"resources": {"limits": {"memory": "4Gi", "cpu": "2"}}}}}
    run: TaskRunSpecBody = {
        "retry": {"outOfMemory": {"resources": {"limits": {"memory": "8Gi"}, "requests": {"memory": "8Gi"}}}}
    }
    merged = {"limits": {"memory": "8Gi", "cpu": "2"}, "requests": {"memory": "8Gi"}}
    assert resolve(task, run)["retry"] == {"outOfMemory": {"resources": merged}}
    assert resolve(task, {"retry": {"factor": 3}})["retry"] == {**task["retry"], "factor": 3}
    assert resolve(TASK, run)["retry"]["outOfMemory"] == run["retry"]["outOfMemory"]


def test_env_is_overridden_by_name_in_the_tasks_order() -> None:
    resolved = resolve(TASK, {"env": [{"name": "C", "value": "3"}, {"name": "A", "value": "9"}]})
    assert [(e["name"], e["value"]) for e in resolved["env"]] == [("A", "9"), ("B", "$(A)"), ("C", "3")]


def test_each_number_of_a_run_replaces_the_tasks() -> None:
    task: TaskSpecBody = {
        "image": "x",
        "startTimeoutSeconds": 1,
        "deadlineSeconds": 2,
        "ttlSecondsAfterFinished": 3,
        "queue": "a",
    }
    run: TaskRunSpecBody = {
        "startTimeoutSeconds": 10,
        "deadlineSeconds": 20,
        "ttlSecondsAfterFinished": 30,
        "queue": "b",
    }
    assert resolve(task, run) == {"image": "x", **run}
    assert resolve({"image": "x"}, run) == {"image": "x", **run}


def env_of(task: list[tuple[str, str]], run: list[tuple[str, str]]) -> list[str]:
    def made(pairs: list[tuple[str, str]]) -> list[EnvVarBody]:
        return [{"name": name, "value": value} for name, value in pairs]

    return [e["name"] for e in resolve({"image": "x", "env": made(task)}, {"env": made(run)})["env"]]


def test_a_runs_variable_moves_before_the_tasks_that_refer_to_it() -> None:
    assert env_of([("A", "1"), ("URL", "http://$(HOST)/")], [("HOST", "db")]) == ["A", "HOST", "URL"]
    assert env_of([("URL", "$(HOST)"), ("HOST", "x")], [("HOST", "db")]) == ["HOST", "URL"]
    assert env_of([("A", "$(B)")], [("B", "$(C)"), ("C", "3")]) == ["C", "B", "A"]


def test_what_the_task_alone_gives_keeps_its_place() -> None:
    assert env_of([("A", "$(B)"), ("B", "2")], [("C", "3")]) == ["A", "B", "C"]
    assert env_of([("A", "$$(C)")], [("C", "3")]) == ["A", "C"]
    assert env_of([("A", "1")], [("B", "$(A)")]) == ["A", "B"]


def test_variables_that_refer_to_each_other_are_all_there() -> None:
    assert sorted(env_of([("A", "$(B)")], [("B", "$(A)"), ("A", "$(B)")])) == ["A", "B"]


def test_a_variable_that_is_read_from_elsewhere_refers_to_none() -> None:
    secret: EnvVarBody = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    resolved = resolve({"image": "x", "env": [secret]}, {"env": [{"name": "A", "value": "1"}]})
    assert resolved["env"] == [secret, {"name": "A", "value": "1"}]
