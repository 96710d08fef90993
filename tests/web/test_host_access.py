"""Over HTTP no one gets a node: what would reach it is answered 422 with the field, where the project doesn't allow it."""

from typing import Any

import pytest
from support.callers import SignedIn, WithKey
from support.costs import CostMeter
from support.web import Parts, Stack

Json = dict[str, Any]
PRIVILEGED: Json = {"spec": {"containers": [{"name": "task", "securityContext": {"privileged": True}}]}}
FIELD = "podTemplate.spec.containers[0].securityContext.privileged"
TASK: Json = {"image": "busybox", "podTemplate": PRIVILEGED}
SCHEDULE: Json = {"cron": "0 3 * * *", "template": {"spec": {"task": TASK}}}


@pytest.fixture
def developer(parts: Parts) -> WithKey:
    return parts.key("developer")


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


def allow(stack: Stack) -> None:
    stack.runs.label_namespace({"tidegate.dev/allow-host-access": "true"})


def fields(answer: Any) -> list[str]:
    """Which fields a 422 names."""
    assert answer.status_code == 422, answer.text
    assert "tidegate.dev/allow-host-access=true" in answer.json["detail"]
    return [error["field"] for error in answer.json["errors"]]


def test_a_developer_gets_the_node_where_baseline_is_not_required(stack: Stack) -> None:
    parts = stack.parts("web", require_baseline=False)
    answer = parts.key("developer").post("runs", {"task": TASK})
    assert answer.status_code == 201, answer.text
    assert (answer.json or {})["spec"]["task"]["podTemplate"] == PRIVILEGED


def test_an_inline_task_is_refused_with_its_field(stack: Stack, developer: WithKey) -> None:
    assert fields(developer.post("runs", {"task": TASK})) == [f"task.{FIELD}"]
    assert stack.runs.kube.names("taskruns.tidegate.dev") == []


def test_one_of_a_batch_is_refused_before_any_is_made(stack: Stack, developer: WithKey) -> None:
    answer = developer.post("runs:batch", {"runs": [{"task": {"image": "busybox"}}, {"task": TASK}]})
    assert fields(answer) == [f"runs.1.task.{FIELD}"]
    assert stack.runs.kube.names("taskruns.tidegate.dev") == []


def test_a_run_of_such_a_task_is_refused_also_where_a_cluster_admin_made_the_task(stack: Stack, parts: Parts) -> None:
    stack.runs.task("root", **TASK)
    answer = parts.key("operator").post("runs", {"taskRef": {"name": "root"}})
    assert fields(answer) == ["taskRef"]
    assert FIELD in (answer.json or {})["detail"]


@pytest.mark.parametrize(
    ("path", "spec", "field"),
    [
        ("tasks/root", TASK, f"spec.{FIELD}"),
        ("pools/root", {"image": "x", "podTemplate": TASK["podTemplate"]}, f"spec.{FIELD}"),
        ("schedules/root", SCHEDULE, f"spec.template.spec.task.{FIELD}"),
    ],
)
def test_a_definition_is_refused_until_the_project_is_allowed(
    stack: Stack, me: SignedIn, path: str, spec: Json, field: str
) -> None:
    assert fields(me.call("PUT", path, {"spec": spec})) == [field]
    assert me.get(path).status_code == 404
    allow(stack)
    assert me.call("PUT", path, {"spec": spec}).status_code == 201


def test_a_schedule_of_such_a_task_is_not_triggered(stack: Stack, me: SignedIn) -> None:
    stack.runs.schedule("nightly", template={"spec": {"task": TASK}})
    assert fields(me.call("POST", "schedules/nightly:trigger")) == [f"task.{FIELD}"]
    allow(stack)
    assert me.call("POST", "schedules/nightly:trigger").status_code == 201


def test_a_run_from_when_it_was_allowed_is_not_replayed(stack: Stack, me: SignedIn) -> None:
    allow(stack)
    made = me.call("POST", "runs", {"name": "first", "task": TASK})
    assert made.status_code == 201, made.text
    stack.runs.label_namespace({"tidegate.dev/allow-host-access": None})
    # Another process: this one remembers for a moment that it was allowed.
    again = stack.parts("web").sign_in()
    assert fields(again.call("POST", "runs/first:replay")) == [f"task.{FIELD}"]


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_where_the_namespace_enforces_it_the_apiserver_decides(stack: Stack, developer: WithKey, level: str) -> None:
    stack.runs.label_namespace({"pod-security.kubernetes.io/enforce": level})
    assert developer.post("runs", {"task": TASK}).status_code == 201


def test_what_baseline_allows_is_taken(developer: WithKey) -> None:
    template = {"spec": {"securityContext": {"runAsUser": 0}, "serviceAccountName": "any"}}
    assert developer.post("runs", {"task": {"image": "busybox", "podTemplate": template}}).status_code == 201


def test_the_namespace_is_read_for_such_tasks_alone_and_once_for_many(
    stack: Stack, parts: Parts, developer: WithKey
) -> None:
    allow(stack)
    meter = CostMeter(stack, parts, actor="web")
    with meter.measured() as costs:
        assert developer.post("runs", {"task": {"image": "busybox"}}).status_code == 201
    assert costs.apiserver.count("get namespaces") == 0
    with meter.measured() as costs:
        answer = developer.post("runs:batch", {"runs": [{"task": TASK}] * 20})
    assert [item["status"] for item in (answer.json or {})["items"]] == [201] * 20
    assert costs.apiserver.count("get namespaces") == 1
