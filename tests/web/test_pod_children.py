"""Runs that a run makes: its own project, an operator's rights, and marked as its children whatever the pod says."""

from typing import Any

import pytest
from support.pods import Pod
from support.web import MirrorThread, Parts, Stack, finish, until
from tidegate_api.run_names import name_of_key

CHILD = {"taskRef": {"name": "resize"}}


@pytest.fixture
def pod(stack: Stack, parts: Parts) -> Pod:
    return Pod(stack, parts)


def test_a_child_is_made_in_the_runs_project_and_is_its_child(stack: Stack, parts: Parts, pod: Pod) -> None:
    answer = pod.call("POST", "children", json=CHILD | {"name": "small", "payload": {"n": 1}, "tags": ["x"]})
    assert answer.status_code == 201, answer.text
    made: Any = answer.json
    assert (made["name"], made["project"], made["parent"]) == ("small", stack.project, "works")
    assert made["requestedBy"] == {"name": "run works", "verified": True}
    assert made["spec"]["payload"] == {"n": 1}
    me = parts.sign_in()
    listed: Any = me.get("runs?parent=works").json
    assert [run["name"] for run in listed["items"]] == ["small"]
    assert me.get("runs?parent=other").json == {"items": [], "after": None}
    audited = parts.rows("SELECT actor, target, outcome FROM audit WHERE action = 'run.create'")
    assert [tuple(row) for row in audited] == [("run works", "small", "done")]


def test_without_a_name_it_gets_its_tasks(pod: Pod) -> None:
    made: Any = pod.call("POST", "children", json=CHILD).json
    assert made["name"].startswith("resize-")


@pytest.mark.parametrize(
    "field",
    [
        {"task": {"image": "busybox"}},
        {"env": [{"name": "A", "value": "b"}]},
        {"resources": {}},
        {"retry": {"maxAttempts": 9}},
        {"parentRun": "another"},
        {"labels": {"a": "b"}},
        {"ttlSecondsAfterFinished": 1},
        {"nonsense": 1},
    ],
)
def test_more_than_an_operator_may_send_is_refused(parts: Parts, pod: Pod, field: dict[str, Any]) -> None:
    answer = pod.call("POST", "children", json=CHILD | field)
    assert answer.status_code == 403
    assert answer.json is not None
    assert [error["field"] for error in answer.json["errors"]] == list(field)
    assert parts.rows("SELECT * FROM audit WHERE action = 'run.create'") == []


@pytest.mark.parametrize("archived", [False, True])
def test_a_key_meets_the_run_that_somebody_else_has_made(
    stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod, archived: bool
) -> None:
    name = name_of_key(stack.project, "resize", "a")
    made = stack.runs.create(name, idempotencyKey="a", **CHILD, payload={"n": 1})
    if archived:
        until(parts, name, lambda row: True)
    answer = pod.call("POST", "children", json=CHILD | {"idempotencyKey": "a", "payload": {"n": 1}})
    assert answer.status_code == 201, answer.text
    met: Any = answer.json
    assert (met["uid"], met["parent"]) == (made["metadata"]["uid"], None)


def test_what_the_apiserver_refuses_is_told(pod: Pod) -> None:
    assert pod.call("POST", "children", json={"payload": {}}).status_code == 422
    assert pod.call("POST", "children", json=CHILD | {"priority": 5000}).status_code == 422
    assert pod.call("POST", "children", json=CHILD | {"name": "once"}).status_code == 201
    assert pod.call("POST", "children", json=CHILD | {"name": "once"}).status_code == 409
    assert pod.call("POST", "children", json=[]).status_code == 422


def test_a_pod_that_is_gone_makes_none(stack: Stack, parts: Parts, pod: Pod) -> None:
    assert pod.call("POST", "children", json=CHILD).status_code == 201  # its token is remembered now
    stack.runs.delete_pod(pod.name)
    assert pod.call("POST", "children", json=CHILD | {"name": "late"}).status_code == 403
    assert not stack.runs.exists("late")


def test_a_run_can_wait_for_its_children(stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod) -> None:
    for name in ("one", "two"):
        assert pod.call("POST", "children", json=CHILD | {"name": name}).status_code == 201
    stack.runs.create("stranger", **CHILD, parentRun="other")
    stack.runs.status("one", phase="Succeeded", finishedAt="2026-11-24T12:00:00Z", result={"n": 1})
    finish(stack, "two", phase="Failed")
    until(parts, "one", lambda row: row.phase == "Succeeded")
    until(parts, "two", lambda row: row.phase == "Failed")
    found: Any = pod.call("GET", "children").json
    assert {item["name"]: (item["phase"], item["result"]) for item in found["items"]} == {
        "one": ("Succeeded", {"n": 1}),
        "two": ("Failed", None),
    }
    first: Any = pod.call("GET", "children?limit=1").json
    second: Any = pod.call("GET", f"children?limit=1&after={first['after']}").json
    assert {first["items"][0]["name"], second["items"][0]["name"]} == {"one", "two"}
    assert second["after"] is None
    assert pod.call("GET", "children?after=nonsense").status_code == 422
    assert pod.call("GET", "children?limit=0").status_code == 422


def test_redis_away_holds_no_child_up_and_postgres_away_none(stack: Stack, parts: Parts, pod: Pod) -> None:
    stack.redis.stop()
    assert pod.call("POST", "children", json=CHILD | {"name": "a"}).status_code == 201
    stack.postgres.stop()
    assert pod.call("POST", "children", json=CHILD | {"name": "b"}).status_code == 201
    stack.postgres.start()
    stack.redis.start()
    assert stack.runs.exists("b")
