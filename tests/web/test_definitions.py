"""Tasks, Queues, Schedules and WorkerPools over HTTP: in the cluster alone, written whole, and never over another user's change."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.callers import SignedIn
from support.web import EMAIL, Parts, Stack

TASK = {"image": "busybox", "command": ["true"]}
SCHEDULE: dict[str, Any] = {
    "cron": "0 3 * * *",
    "template": {"spec": {"taskRef": {"name": "resize"}, "payload": {"n": 1}}},
}
SPECS: dict[str, dict[str, Any]] = {
    "tasks": TASK,
    "queues": {"concurrencyLimit": 3},
    "schedules": SCHEDULE,
    "pools": {"image": "runner", "slots": 2, "preload": ["app.models"]},
}
PLURALS = {"pools": "workerpools"}
"""Where the cluster has another name than the API."""
REQUESTED_BY = "tidegate.dev/requested-by"


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.quick
def test_one_is_made_read_replaced_and_deleted(stack: Stack, me: SignedIn, kind: str) -> None:
    path, spec = f"{kind}/mine", SPECS[kind]
    made = me.call("PUT", path, {"spec": spec, "labels": {"team": "a"}})
    assert made.status_code == 201, made.text
    assert made.json is not None
    assert made.json["name"] == "mine"
    assert made.json["labels"] == {"team": "a"}
    assert made.json["requestedBy"] == EMAIL
    reported = made.json["spec"]
    if kind == "schedules":  # what the template leaves out has its defaults
        assert spec["cron"] == reported["cron"]
        assert spec["template"]["spec"].items() <= reported["template"]["spec"].items()
    else:
        assert spec.items() <= reported.items()
    assert made.headers["ETag"] == f'"{made.json["resourceVersion"]}"'
    assert me.get(path).json == made.json
    resource = f"{PLURALS.get(kind, kind)}.tidegate.dev"
    stack.runs.kube.annotate(resource, "mine", {"note": "kept"})
    again = me.call("PUT", path, {"spec": spec, "labels": {}})
    assert again.status_code == 200, again.text
    assert again.json is not None
    assert (again.json["uid"], again.json["labels"]) == (made.json["uid"], {})
    assert stack.runs.kube.get(resource, "mine")["metadata"]["annotations"]["note"] == "kept"
    assert me.call("DELETE", path).status_code == 204
    assert me.call("DELETE", path).status_code == 404
    assert me.get(path).status_code == 404


def test_the_spec_is_replaced_as_a_whole(me: SignedIn) -> None:
    me.call("PUT", "queues/q", {"spec": {"concurrencyLimit": 3, "paused": True}, "labels": {"team": "a"}})
    answer: Any = me.call("PUT", "queues/q", {"spec": {"maxPending": 5}}).json
    assert answer["spec"].get("concurrencyLimit") is None
    assert not answer["spec"].get("paused")
    assert answer["labels"] == {"team": "a"}  # not sent: as they were


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("tasks/x", {"spec": {"image": "busybox", "nonsense": 1}}, "nonsense"),
        ("tasks/x", {"spec": {}}, "image"),
        ("queues/x", {"spec": {"concurrencyLimit": -1}}, "concurrencyLimit"),
        ("schedules/x", {"spec": {"cron": "0 3 * * *"}}, "template"),
        ("schedules/" + "x" * 49, {"spec": SCHEDULE}, "48"),
        ("tasks/x", {"spec": []}, "spec"),
        ("tasks/x", {}, "spec"),
        ("tasks/x", {"spec": TASK, "status": {}}, "status"),
        ("tasks/x", {"spec": TASK, "labels": {"tidegate.dev/x": "y"}}, "labels"),
        ("tasks/No_Label", {"spec": TASK}, "DNS label"),
    ],
)
def test_what_is_wrong_is_reported_in_the_apiservers_words(
    shared_me: SignedIn, path: str, body: object, words: str
) -> None:
    answer = shared_me.call("PUT", path, body)
    assert answer.status_code == 422, answer.text
    assert answer.content_type == "application/problem+json"
    assert words in answer.text


def test_no_change_is_overwritten_unseen(stack: Stack, me: SignedIn) -> None:
    made = me.call("PUT", "queues/q", {"spec": {"concurrencyLimit": 1}}, headers={"If-None-Match": "*"})
    assert made.status_code == 201
    etag = made.headers["ETag"]
    stack.runs.kube.patch("queues.tidegate.dev", "q", {"spec": {"concurrencyLimit": 2}})
    for headers in ({"If-Match": etag}, {"If-None-Match": "*"}, {"If-Match": '"no-version"'}):
        assert me.call("PUT", "queues/q", {"spec": {}}, headers=headers).status_code == 412, headers
    assert me.call("DELETE", "queues/q", headers={"If-Match": etag}).status_code == 412
    assert me.call("PUT", "queues/none", {"spec": {}}, headers={"If-Match": etag}).status_code == 412
    now = me.get("queues/q").headers["ETag"]
    assert me.call("PUT", "queues/q", {"spec": {}}, headers={"If-Match": now}).status_code == 200
    now = me.get("queues/q").headers["ETag"]
    assert me.call("DELETE", "queues/q", headers={"If-Match": now}).status_code == 204


@pytest.mark.parametrize(
    "headers", [{"If-Match": ""}, {"If-Match": '"1", "2"'}, {"If-None-Match": '"1"'}, {"If-None-Match": ""}]
)
def test_a_condition_that_cant_be_read_is_never_left_out(me: SignedIn, headers: dict[str, str]) -> None:
    assert me.call("PUT", "queues/q", {"spec": {}}, headers=headers).status_code == 400


def test_two_who_put_at_once_both_succeed(parts: Parts) -> None:
    people = [parts.sign_in() for _ in range(4)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(lambda one: one.call("PUT", "queues/q", {"spec": {"concurrencyLimit": 1}}), people))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]


def test_a_list_is_read_in_pieces(me: SignedIn) -> None:
    for number in range(5):
        me.call("PUT", f"queues/q-{number}", {"spec": {}})
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page: Any = me.get(f"queues?limit=2&after={after}").json
        seen += [item["name"] for item in page["items"]]
        after = page["after"]
    assert seen == [f"q-{number}" for number in range(5)]
    assert me.get("queues?after=nonsense").status_code == 422
    assert me.get("queues?after=%00").status_code == 422
    assert me.get("queues?limit=0").status_code == 422


def test_a_queue_is_paused_by_operators(stack: Stack, parts: Parts) -> None:
    stack.runs.queue("q", concurrencyLimit=3)
    operator, limited = parts.key("operator"), parts.key("developer", tasks=["resize"])
    paused: Any = operator.post("queues/q:pause").json
    assert paused["spec"] == {"concurrencyLimit": 3, "paused": True}
    annotations = stack.runs.kube.get("queues.tidegate.dev", "q")["metadata"]["annotations"]
    assert annotations[REQUESTED_BY].startswith("api-key:tg_")
    resumed: Any = operator.post("queues/q:resume").json
    assert resumed["spec"]["paused"] is False
    assert operator.post("queues/none:pause").status_code == 404
    assert limited.post("queues/q:pause").status_code == 403
    assert limited.call("PUT", "queues/q", {"spec": {}}).status_code == 403
    assert limited.get("queues/q").status_code == 200


def test_a_schedule_is_suspended_by_developers(stack: Stack, parts: Parts) -> None:
    stack.runs.schedule("nightly")
    assert parts.key("operator").post("schedules/nightly:suspend").status_code == 403
    developer = parts.key("developer")
    assert developer.post("schedules/nightly:suspend").json["spec"]["suspend"] is True  # type: ignore[index]
    assert developer.post("schedules/nightly:resume").json["spec"]["suspend"] is False  # type: ignore[index]


def test_a_schedule_is_triggered_by_hand(stack: Stack, parts: Parts, me: SignedIn) -> None:
    metadata = {"labels": {"team": "a"}, "annotations": {"note": "b"}}
    spec = SCHEDULE | {"template": SCHEDULE["template"] | {"metadata": metadata}}
    assert me.call("PUT", "schedules/nightly", {"spec": spec}).status_code == 201
    operator = parts.key("operator")
    answer = operator.post("schedules/nightly:trigger")
    assert answer.status_code == 201, answer.text
    run: Any = answer.json
    assert run["name"].startswith("nightly-m")
    assert run["schedule"] == "nightly"
    assert run["labels"] == {"team": "a", "tidegate.dev/schedule": "nightly"}
    assert run["spec"]["payload"] == {"n": 1}
    assert stack.runs.get(run["name"])["metadata"]["annotations"]["note"] == "b"
    again: Any = operator.post("schedules/nightly:trigger", {"payload": {"n": 2}}).json
    assert again["spec"]["payload"] == {"n": 2}
    assert again["name"] != run["name"]
    assert operator.post("schedules/nightly:trigger", {"queue": "q"}).status_code == 422
    assert operator.post("schedules/none:trigger").status_code == 404
    assert parts.key("operator", tasks=["resize"]).post("schedules/nightly:trigger").status_code == 201
    assert parts.key("operator", tasks=["other"]).post("schedules/nightly:trigger").status_code == 403
    rows = parts.rows("SELECT target, outcome FROM audit WHERE action = 'schedule.trigger' AND outcome = 'done'")
    assert [row.target for row in rows] == ["nightly"] * 3


def test_writes_of_definitions_are_in_the_audit_log(parts: Parts, me: SignedIn) -> None:
    me.call("PUT", "queues/q", {"spec": {}})
    me.call("PUT", "queues/q", {"spec": {"nonsense": 1}})
    me.post("queues/q:pause")
    me.call("DELETE", "queues/q")
    rows = parts.rows("SELECT action, target, outcome FROM audit WHERE action LIKE 'queue.%' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("queue.put", "q", "done"),
        ("queue.put", "q", "refused 422"),
        ("queue.pause", "q", "done"),
        ("queue.delete", "q", "done"),
    ]


def test_what_a_former_project_has_in_the_cluster_is_not_shown(stack: Stack, me: SignedIn, parts: Parts) -> None:
    me.post("runs", {"task": TASK, "name": "before"})
    stack.runs.label_namespace({"tidegate.dev/project": None})
    parts.services.projects.directory.forget()
    assert me.get("tasks").status_code == 404
