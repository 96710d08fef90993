"""Runs that a run makes: its own project, an operator's rights, and marked as its children whatever the pod says."""

from typing import Any

import pytest
from support.pods import Pod
from support.runs import now
from support.servers import wait_until
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


def test_the_page_of_a_run_shows_what_it_has_started_as_a_tree(
    stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod
) -> None:
    child = made_by(pod, "small")
    grandchild = stack.runs.create("smaller", **CHILD, parentRun="small")["metadata"]["uid"]
    until(parts, "smaller", lambda row: True)
    me = parts.sign_in()
    page = me.get(f"/projects/{stack.project}/runs/works").text
    assert page.index(f'id="child-{child}"') < page.index(f'id="child-{grandchild}"')
    assert page.count('class="tg-tree"') == 2
    assert "2 runs" in page
    assert f'href="/projects/{stack.project}/runs/works"' in me.get(f"/projects/{stack.project}/runs/small").text
    stack.postgres.stop()
    try:
        wait_until(
            lambda: f'id="child-{grandchild}"' in me.get(f"/projects/{stack.project}/runs/works").text,
            what="the tree of what the cluster has",
        )
    finally:
        stack.postgres.start()


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
def test_a_key_meets_the_run_that_another_client_has_made(
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
    assert pod.call("GET", f"children/{met['uid']}").status_code == 200


def test_a_keyed_run_that_no_key_of_the_run_has_met_can_not_be_read(
    stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod
) -> None:
    name = name_of_key(stack.project, "resize", "a")
    made = stack.runs.create(name, idempotencyKey="a", **CHILD, payload={"n": 1})
    until(parts, name, lambda row: True)
    uid = made["metadata"]["uid"]
    assert pod.call("GET", f"children/{uid}").status_code == 403
    other = Pod(stack, parts, "other")
    assert other.call("POST", "children", json=CHILD | {"idempotencyKey": "a", "payload": {"n": 1}}).status_code == 201
    assert other.call("GET", f"children/{uid}").status_code == 200
    assert pod.call("GET", f"children/{uid}").status_code == 403


def test_what_the_apiserver_refuses_is_reported(pod: Pod) -> None:
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


def made_by(pod: Pod, name: str) -> str:
    """A child's uid."""
    answer = pod.call("POST", "children", json=CHILD | {"name": name})
    assert answer.status_code == 201, answer.text
    return str((answer.json or {})["uid"])


def test_a_run_cancels_its_child(stack: Stack, parts: Parts, pod: Pod) -> None:
    child = made_by(pod, "small")
    answer = pod.call("POST", f"children/{child}:cancel")
    assert answer.status_code == 202, answer.text
    assert answer.json is not None
    assert (answer.json["name"], answer.json["phase"]) == ("small", "Pending")
    assert stack.runs.get("small")["spec"]["cancel"] is True
    audited = parts.rows("SELECT actor, target, outcome FROM audit WHERE action = 'run.cancel'")
    assert [tuple(row) for row in audited] == [("run works", "small", "done")]


def test_a_child_that_has_ended_needs_no_cancelling(stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod) -> None:
    child = made_by(pod, "small")
    finish(stack, "small")
    until(parts, "small", lambda row: row.phase == "Succeeded")
    assert pod.call("POST", f"children/{child}:cancel").status_code == 409


def test_a_run_reads_what_its_child_has_stored(stack: Stack, parts: Parts, mirror: MirrorThread, pod: Pod) -> None:
    child = made_by(pod, "large")
    assert pod.call("GET", f"children/{child}/result").status_code == 404  # it has none yet
    data = b'{"rows": [1, 2.50, null]}'
    sent = Pod(stack, parts, "large", run=stack.runs.get("large")).send("result", data)
    stack.runs.status("large", phase="Succeeded", finishedAt=now(), resultRef=sent.json)
    until(parts, "large", lambda row: row.phase == "Succeeded")
    got = pod.call("GET", f"children/{child}/result")
    assert (got.status_code, got.data, got.mimetype) == (200, data, "application/json")


def refuses(pod: Pod, uid: str, *, token: str | None = None, of: str | None = None) -> bool:
    """Whether a pod may neither cancel that run nor look at it nor read it."""
    calls = (("POST", f"children/{uid}:cancel"), ("GET", f"children/{uid}"), ("GET", f"children/{uid}/result"))
    return {pod.call(*call, uid=of, token=token).status_code for call in calls} == {403}


def test_runs_that_are_not_its_children_are_closed_to_a_run(stack: Stack, parts: Parts, pod: Pod) -> None:
    other = Pod(stack, parts, "other")
    strangers = {
        "of another run": made_by(other, "theirs"),
        "of nobody": stack.runs.create("alone")["metadata"]["uid"],
        "that only says so": stack.runs.create("posing", **CHILD, parentRun="works")["metadata"]["uid"],
        "itself": pod.uid,
        "unknown": "00000000-0000-4000-8000-000000000000",
        "by name": "theirs",
        "no name": "..",
    }
    assert {what for what, uid in strangers.items() if not refuses(pod, uid)} == set()
    mine = made_by(pod, "mine")
    assert refuses(other, mine)
    assert refuses(pod, mine, token=other.token), "with another run's token"
    assert refuses(pod, mine, token=other.token, of=other.uid)
    for name in ("theirs", "alone", "posing", "mine"):
        assert stack.runs.get(name)["spec"]["cancel"] is False


def test_the_children_of_an_older_run_of_its_name_are_not_its_own(stack: Stack, parts: Parts, pod: Pod) -> None:
    child = made_by(pod, "small")
    stack.runs.delete("works")
    # Creation times have whole seconds.
    before = stack.runs.get("small")["metadata"]["creationTimestamp"]
    wait_until(lambda: now() > before, what="another second")
    assert refuses(Pod(stack, parts, attempt=2), child)


def test_while_postgres_is_away_a_child_is_cancelled_and_what_it_stored_is_not_there(
    stack: Stack, parts: Parts, pod: Pod
) -> None:
    stack.postgres.stop()
    try:
        child = made_by(pod, "small")
        posing = stack.runs.create("posing", **CHILD, parentRun="works")["metadata"]["uid"]
        assert pod.call("POST", f"children/{child}:cancel").status_code == 202
        assert pod.call("POST", f"children/{posing}:cancel").status_code == 403
        stack.runs.status("small", phase="Succeeded", resultRef={"bytes": 1, "sha256": "0" * 64})
        wait_until(
            lambda: pod.call("GET", f"children/{child}/result").status_code == 503, what="the result to be missed"
        )
    finally:
        stack.postgres.start()
    assert pod.call("GET", f"children/{child}/result").status_code == 404  # no such document is stored


def test_redis_away_holds_no_child_up_and_postgres_away_none(stack: Stack, parts: Parts, pod: Pod) -> None:
    stack.redis.stop()
    assert pod.call("POST", "children", json=CHILD | {"name": "a"}).status_code == 201
    stack.postgres.stop()
    assert pod.call("POST", "children", json=CHILD | {"name": "b"}).status_code == 201
    stack.postgres.start()
    stack.redis.start()
    assert stack.runs.exists("b")
