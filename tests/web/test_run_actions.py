"""What is done to a run: replayed, put off, deleted for good; and its Events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from support.callers import SignedIn
from support.proxy import FaultyProxy
from support.servers import wait_until
from support.web import MirrorThread, Parts, Stack, finish, row, until
from tidegate_api.job_names import job_name

TASK = {"image": "busybox", "command": ["true"]}
ATTEMPT = {"number": 1, "outcome": "Failed", "reason": "Error", "podName": "pod-of-x"}


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


def make(me: SignedIn, name: str, **body: Any) -> dict[str, Any]:
    answer = me.post("runs", {"name": name} | ({"task": TASK} if "taskRef" not in body else {}) | body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json  # type: ignore[assignment]
    return made


def test_a_replay_is_a_new_run_of_the_same_spec(stack: Stack, me: SignedIn) -> None:
    old = make(
        me,
        "old",
        payload={"n": None},
        tags=["x"],
        suspend=True,
        startAfter="2030-01-01T00:00:00Z",
        labels={"team": "a"},
    )
    me.post("runs/old:cancel")
    answer = me.post("runs/old:replay")
    assert answer.status_code == 201, answer.text
    new: Any = answer.json
    assert new["uid"] != old["uid"]
    assert answer.headers["Location"].endswith(new["uid"])
    assert new["spec"]["payload"] == {"n": None}
    assert new["spec"]["tags"] == ["x"]
    assert new["labels"] == {"team": "a"}
    assert (new["spec"]["suspend"], new["spec"]["cancel"]) == (False, False)
    assert "startAfter" not in new["spec"]
    assert stack.runs.get("old")["spec"]["startAfter"] == "2030-01-01T00:00:00Z"


def test_a_replay_may_have_another_name_and_payload_and_nothing_else(me: SignedIn) -> None:
    make(me, "old", payload={"n": 1})
    new: Any = me.post("runs/old:replay", {"name": "again", "payload": {"n": 2}}).json
    assert (new["name"], new["spec"]["payload"]) == ("again", {"n": 2})
    refused: list[dict[str, Any]] = [
        {"queue": "other"}, {"payload": []}, {"name": "No Label"}, {"payload": {"x": "x" * 140_000}},
    ]  # fmt: skip
    for body in refused:
        assert me.post("runs/old:replay", body).status_code in (413, 422), body
    assert me.post("runs/never:replay").status_code == 404
    assert me.post("runs/old:replay", {"name": "again"}).status_code == 409


def test_an_operator_replays_what_they_could_not_make(parts: Parts, me: SignedIn) -> None:
    make(me, "inline")
    operator, limited = parts.key("operator"), parts.key("operator", tasks=["resize"])
    assert operator.post("runs/inline:replay").status_code == 201
    assert limited.post("runs/inline:replay").status_code == 403
    make(me, "mine", taskRef={"name": "resize"})
    assert limited.post("runs/mine:replay", {"payload": {"n": 3}}).status_code == 201


def test_an_archived_run_is_replayed(stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread) -> None:
    assert mirror.is_alive()
    make(me, "old", labels={"team": "a"})
    stack.runs.delete("old")
    until(parts, "old", lambda found: found.deleted_at is not None)
    assert me.post("runs/old:replay", {"name": "old"}).status_code == 201


def test_a_run_is_put_off_and_brought_forward_until_it_has_begun(stack: Stack, me: SignedIn) -> None:
    run = make(me, "later")
    answer = me.post("runs/later:reschedule", {"startAfter": "2030-01-01T00:00:00Z"})
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    assert answer.json["spec"]["startAfter"] == "2030-01-01T00:00:00Z"
    now: Any = me.post("runs/later:reschedule", {"startAfter": None}).json
    assert "startAfter" not in now["spec"]
    stack.runs.job({"apiVersion": "tidegate.dev/v1alpha1", "kind": "TaskRun", "metadata": run}, 1)
    answer = me.post("runs/later:reschedule", {"startAfter": "2030-01-01T00:00:00Z"})
    assert answer.status_code == 409
    make(me, "ended")
    finish(stack, "ended")
    assert me.post("runs/ended:reschedule", {"startAfter": None}).status_code == 409


def suspended(stack: Stack, name: str) -> bool:
    return bool(stack.runs.get(name)["spec"]["suspend"])


def test_a_suspended_run_is_released_and_held_again_as_often_as_it_is_asked_for(
    stack: Stack, parts: Parts, me: SignedIn
) -> None:
    make(me, "deploy", suspend=True)
    for act, holds in (("resume", False), ("resume", False), ("suspend", True), ("suspend", True)):
        answer = me.post(f"runs/deploy:{act}")
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        assert answer.json["spec"]["suspend"] is suspended(stack, "deploy") is holds
        assert me.get("runs/deploy").json["spec"]["suspend"] is holds  # type: ignore[index]
    written = parts.rows("SELECT action, target, outcome FROM audit WHERE target = 'deploy' ORDER BY id")
    acts = ("create", "resume", "resume", "suspend", "suspend")
    assert [tuple(row) for row in written] == [(f"run.{act}", "deploy", "done") for act in acts]


def test_what_kubectl_has_suspended_is_released_before_the_mirror_has_seen_it(stack: Stack, me: SignedIn) -> None:
    make(me, "deploy")
    stack.runs.kube.patch("taskruns.tidegate.dev", "deploy", {"spec": {"suspend": True}})
    assert me.post("runs/deploy:resume").status_code == 200
    assert not suspended(stack, "deploy")


@pytest.mark.parametrize("act", ["suspend", "resume"])
def test_what_has_ended_or_is_gone_is_neither_held_nor_released(
    stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread, act: str
) -> None:
    assert mirror.is_alive()
    make(me, "ended")
    make(me, "gone")
    finish(stack, "ended")
    until(parts, "ended", lambda found: found.phase == "Succeeded")
    stack.runs.delete("gone")
    until(parts, "gone", lambda found: found.deleted_at is not None)
    assert [me.post(f"runs/{name}:{act}").status_code for name in ("ended", "gone", "never")] == [409, 409, 404]


def test_an_operator_releases_and_a_key_of_other_tasks_does_not(parts: Parts, me: SignedIn) -> None:
    make(me, "deploy", taskRef={"name": "deploy"}, suspend=True)
    assert parts.key("viewer").post("runs/deploy:resume").status_code == 403
    assert parts.key("operator", tasks=["resize"]).post("runs/deploy:resume").status_code == 403
    assert parts.key("operator", tasks=["deploy"]).post("runs/deploy:resume").status_code == 200


@pytest.mark.parametrize("body", [{}, {"startAfter": "tomorrow"}, {"startAfter": 7}, {"startAfter": None, "x": 1}])
def test_what_is_no_time_is_refused(me: SignedIn, body: object) -> None:
    make(me, "later")
    assert me.post("runs/later:reschedule", body).status_code == 422


def test_a_deleted_run_is_gone_from_everywhere_and_stays_away(
    stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread
) -> None:
    assert mirror.is_alive()
    made = make(me, "secret", payload={"password": "x"})
    make(me, "other")
    with parts.engine.begin() as connection:
        for statement in (
            "INSERT INTO log_ends (run_uid, attempt, pod_uid, pod_name, mark) VALUES (:uid, 1, 'p', 'p', 'complete')",
            "INSERT INTO attempt_progress (run_uid, attempt, progress, at) VALUES (:uid, 1, 0.5, now())",
        ):
            connection.execute(text(statement), {"uid": made["uid"]})
    assert me.call("DELETE", "runs/secret").status_code == 204
    assert not stack.runs.exists("secret")
    # What comes after in the mirror's one line of changes has been written: so had the deletion.
    finish(stack, "other")
    until(parts, "other", lambda found: found.phase == "Succeeded")
    # But for a transaction of the mirror that was under way: what that has written is removed a moment later.
    wait_until(lambda: row(parts, "secret") is None, what="the run to be gone")
    for reference in ("secret", made["uid"]):
        assert me.get(f"runs/{reference}").status_code == 404
        assert me.call("DELETE", f"runs/{reference}").status_code == 404
    assert parts.rows("SELECT 1 FROM log_ends") == parts.rows("SELECT 1 FROM attempt_progress") == []
    (entry,) = parts.rows("SELECT target, outcome FROM audit WHERE action = 'run.delete' AND outcome = 'done'")
    assert entry.target == "secret"


def test_what_was_being_written_while_a_run_was_deleted_goes_as_well(
    parts: Parts, me: SignedIn, mirror: MirrorThread
) -> None:
    assert mirror.is_alive()
    made = make(me, "secret")
    assert me.call("DELETE", "runs/secret").status_code == 204
    with parts.engine.begin() as connection:
        connection.execute(
            text("INSERT INTO log_ends (run_uid, attempt, pod_uid, pod_name, mark) VALUES (:uid, 1, 'p', 'p', 'lost')"),
            {"uid": made["uid"]},
        )
    wait_until(lambda: parts.rows("SELECT 1 FROM log_ends") == [], what="the late line to go")


def test_an_archived_run_is_deleted_and_its_successor_of_the_name_is_not(
    stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread
) -> None:
    assert mirror.is_alive()
    old = make(me, "again")
    stack.runs.delete("again")
    until(parts, "again", lambda found: found.deleted_at is not None)
    new = make(me, "again")
    assert me.call("DELETE", f"runs/{old['uid']}").status_code == 204
    assert me.get(f"runs/{old['uid']}").status_code == 404
    assert me.get("runs/again").json["uid"] == new["uid"]  # type: ignore[index]
    assert stack.runs.exists("again")


def test_a_run_that_others_need_is_not_deleted(stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread) -> None:
    assert mirror.is_alive()
    make(me, "first")
    finish(stack, "first")
    until(parts, "first", lambda found: found.phase == "Succeeded")
    make(me, "second", dependsOn=[{"name": "first"}])
    assert me.call("DELETE", "runs/first").status_code == 409
    assert stack.runs.exists("first")


def test_a_schedules_run_that_it_would_make_again_is_not_deleted(stack: Stack, me: SignedIn) -> None:
    stack.runs.schedule("nightly")
    tick = datetime.now(UTC) + timedelta(minutes=2)
    name = f"nightly-{int(tick.timestamp() // 60)}"
    stack.runs.create(name, labels={"tidegate.dev/schedule": "nightly"})
    assert me.call("DELETE", f"runs/{name}").status_code == 409
    stack.runs.schedule_status("nightly", lastScheduleTime=tick.isoformat(timespec="seconds"))
    assert me.call("DELETE", f"runs/{name}").status_code == 204


def test_a_dependency_that_only_the_archive_has_is_settled(
    stack: Stack, parts: Parts, me: SignedIn, mirror: MirrorThread
) -> None:
    assert mirror.is_alive()
    for name, phase in (("good", "Succeeded"), ("bad", "Failed")):
        make(me, name)
        finish(stack, name, phase=phase)
        until(parts, name, lambda found: bool(found.phase in ("Succeeded", "Failed")))
        stack.runs.delete(name)
        until(parts, name, lambda found: found.deleted_at is not None)
    run = make(me, "after", dependsOn=[{"name": "good"}, {"name": "bad", "when": "Finished"}, {"name": "not-yet"}])
    assert [one["name"] for one in run["spec"]["dependsOn"]] == ["not-yet"]
    assert "dependsOn" not in make(me, "alone", dependsOn=[{"name": "good"}])["spec"]
    answer = me.post("runs", {"task": TASK, "dependsOn": [{"name": "bad"}]})
    assert answer.status_code == 422
    assert answer.json is not None
    assert "bad has ended as Failed" in answer.json["detail"]


def test_the_events_of_a_run_its_jobs_and_its_pods(stack: Stack, me: SignedIn) -> None:
    run = stack.runs.create("eventful")
    stack.runs.status("eventful", phase="Failed", attempts=[ATTEMPT])
    job = job_name("eventful", run["metadata"]["uid"], 1)

    def report(name: str, kind: str, of: str, message: str, uid: str | None = None) -> None:
        about = {"kind": kind, "name": of, "namespace": stack.project} | ({"uid": uid} if uid else {})
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name},
            "involvedObject": about,
            "reason": "R",
            "message": message,
            "type": "Warning",
        }
        stack.runs.kube.create(body | {"lastTimestamp": f"2026-01-01T00:00:0{len(message)}Z"})

    report("a", "TaskRun", "eventful", "x", run["metadata"]["uid"])
    report("b", "TaskRun", "eventful", "xx", "of-another")
    report("c", "Job", job, "xxx")
    report("d", "Pod", "pod-of-x", "xxxx")
    report("e", "Pod", "pod-of-z", "xxxxx")
    answer: Any = me.get("runs/eventful/events").json
    assert [(event["object"]["kind"], event["message"]) for event in answer["items"]] == [
        ("TaskRun", "x"),
        ("Job", "xxx"),
        ("Pod", "xxxx"),
    ]
    stack.runs.create("quiet")
    assert me.get("runs/quiet/events").json == {"items": []}


def test_without_kubernetes_there_are_no_events_to_show(stack: Stack, proxy: FaultyProxy) -> None:
    me = stack.parts("web", kubeconfig=proxy.kubeconfig("web")).sign_in()
    make(me, "eventful")
    assert me.get("runs/eventful/events").status_code == 200
    with proxy.on(path="/events").drop():
        assert me.get("runs/eventful/events").status_code == 503
