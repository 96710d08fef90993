"""The mirror against a real apiserver: nothing lost, nothing twice, whatever goes away in the middle."""

import uuid
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from support.runs import now
from support.servers import wait_until
from support.web import MirrorThread, Parts, Stack, finish, row, until
from tidegate_api.job_names import job_name
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.runs.lookup import remember
from tidegate_web.store.queries import retention, runs
from tidegate_web.store.queries.logs import Chunk, End, Place, add_chunk, add_end
from tidegate_web.store.records import RunRecord, run_record


@pytest.mark.quick
def test_a_run_from_beginning_to_end(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    run = stack.runs.create("first", taskRef={"name": "t"}, tags=["x"], payload={"n": None})
    found = until(parts, "first", lambda row: True)
    assert str(found.uid) == run["metadata"]["uid"]
    assert found.phase == "Pending"
    assert found.spec["payload"] == {"n": None}
    stack.runs.status("first", phase="Running", startedAt=now(), attempts=[{"number": 1, "jobName": "j"}])
    assert until(parts, "first", lambda row: row.phase == "Running").attempt == 1
    stack.runs.status("first", phase="Failed", reason="Error", message="no", finishedAt=now())
    found = until(parts, "first", lambda row: row.phase == "Failed")
    assert (found.reason, found.message) == ("Error", "no")
    # Every event was published, in the order it was written.
    wait_until(lambda: parts.rows("SELECT * FROM outbox") == [], what="an empty outbox")
    published = parts.services.events.after(stack.project, parts.services.events.last(stack.project) - 2)
    assert published is not None
    assert ["Running" in event for _, event in published] == [True, False]


def test_what_was_there_before_and_what_went_while_no_watch_was_open(stack: Stack, parts: Parts) -> None:
    stack.runs.create("stays")
    stack.runs.create("goes")
    stack.runs.create("done")
    finish(stack, "done")
    first = stack.mirror()
    until(parts, "stays", lambda row: True)
    until(parts, "goes", lambda row: True)
    until(parts, "done", lambda row: row.phase == "Succeeded")
    first.end()
    stack.runs.delete("goes")
    stack.runs.delete("done")
    stack.runs.create("comes")
    stack.runs.status("stays", phase="Running")
    stack.mirror()
    until(parts, "comes", lambda row: True)
    until(parts, "stays", lambda row: row.phase == "Running")
    gone = until(parts, "goes", lambda row: row.deleted_at is not None)
    assert (gone.phase, gone.reason) == ("Cancelled", "Deleted")
    assert until(parts, "done", lambda row: row.deleted_at is not None).phase == "Succeeded"
    assert row(parts, "stays").deleted_at is None


def test_a_run_deleted_before_its_end_is_cancelled(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    stack.runs.create("cut")
    stack.runs.status("cut", phase="Running", startedAt=now())
    until(parts, "cut", lambda row: row.phase == "Running")
    stack.runs.delete("cut")
    found = until(parts, "cut", lambda row: row.deleted_at is not None)
    assert (found.phase, found.reason) == ("Cancelled", "Deleted")


def test_a_name_used_again_is_another_run(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    first = stack.runs.create("again")
    until(parts, "again", lambda row: True)
    stack.runs.delete("again")
    second = stack.runs.create("again")
    until(parts, "again", lambda row: str(row.uid) == second["metadata"]["uid"])
    me = parts.sign_in()
    newest: Any = me.get("runs/again").json
    assert newest["uid"] == second["metadata"]["uid"]
    older: Any = me.get(f"runs/{first['metadata']['uid']}").json
    assert older["reason"] == "Deleted"


def test_postgres_restarted_in_the_middle(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    stack.runs.create("before")
    until(parts, "before", lambda row: True)
    stack.postgres.stop()
    stack.runs.create("during")
    stack.runs.delete("before")
    stack.postgres.start()
    until(parts, "during", lambda row: True)
    until(parts, "before", lambda row: row.deleted_at is not None)
    stack.runs.create("after")
    until(parts, "after", lambda row: True)


def test_redis_restarted_in_the_middle(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    stack.runs.create("before")
    until(parts, "before", lambda row: True)
    wait_until(lambda: parts.services.events.last(stack.project) > 0, what="an event")
    stack.redis.stop()
    stack.runs.create("during")
    until(parts, "during", lambda row: True)
    stack.redis.start()
    wait_until(lambda: parts.rows("SELECT * FROM outbox") == [], what="an empty outbox")
    wait_until(lambda: parts.services.events.last(stack.project) > 0, what="an event")


def test_the_apiserver_restarted_and_its_history_gone(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    stack.runs.create("before")
    until(parts, "before", lambda row: True)
    stack.plane.stop_apiserver(hard=True)
    stack.plane.start_apiserver()
    stack.runs.delete("before")
    stack.runs.create("meanwhile")
    stack.plane.compact()
    until(parts, "meanwhile", lambda row: True)
    until(parts, "before", lambda row: row.deleted_at is not None)


def test_an_older_version_never_replaces_a_newer(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    old = stack.runs.create("guarded")
    stack.runs.status("guarded", phase="Running")
    until(parts, "guarded", lambda row: row.phase == "Running")
    assert remember(parts.services, cast("KubeObject", old))
    assert row(parts, "guarded").phase == "Running"


@pytest.mark.quick
def test_a_finished_run_goes_after_its_ttl_and_stays_in_the_archive(
    stack: Stack, parts: Parts, mirror: MirrorThread
) -> None:
    stack.runs.create("short", taskRef={"name": "t"})
    stack.runs.create("long", taskRef={"name": "t"})
    finish(stack, "long")
    finish(stack, "short", ttl=0)
    found = until(parts, "short", lambda row: row.deleted_at is not None)
    assert found.phase == "Succeeded"
    assert not stack.runs.exists("short")
    assert stack.runs.exists("long")
    archived: Any = parts.sign_in().get("runs/short").json
    assert archived["phase"] == "Succeeded"
    assert archived["deletedAt"]


def test_a_run_that_another_waits_for_is_kept(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    stack.runs.create("needed")
    stack.runs.create("waits", taskRef={"name": "t"}, dependsOn=[{"name": "needed", "when": "Finished"}])
    stack.runs.create("other")
    until(parts, "waits", lambda row: True)
    finish(stack, "needed", ttl=0)
    until(parts, "needed", lambda row: row.phase == "Succeeded")
    finish(stack, "other", ttl=0)
    until(parts, "other", lambda row: row.deleted_at is not None)
    assert stack.runs.exists("needed")
    finish(stack, "waits")
    until(parts, "needed", lambda row: row.deleted_at is not None)


def test_beyond_the_limit_of_a_namespace_the_oldest_go(stack: Stack, parts: Parts) -> None:
    stack.mirror(max_finished_runs=2)
    for number in range(4):
        stack.runs.create(f"run-{number}")
        stack.runs.status(
            f"run-{number}", phase="Succeeded", finishedAt=f"2026-01-01T00:0{number}:00Z", ttlSecondsAfterFinished=10**9
        )
    for number in (0, 1):
        until(parts, f"run-{number}", lambda row: row.deleted_at is not None)
    assert stack.runs.exists("run-2")
    assert stack.runs.exists("run-3")


def test_a_namespace_has_its_limit_whatever_others_have(stack: Stack, parts: Parts) -> None:
    times = [datetime(2026, 1, 1, 0, number, tzinfo=UTC) for number in range(3)]
    with parts.engine.begin() as connection:
        for project in ("one", "two"):
            made = [a_finished_record(project=project, finished_at=time) for time in times]
            runs.upsert(connection, made)
        found = retention.surplus(connection, keep=2, project=None, limit=10, offset=0)
    assert sorted((row.project, row.finished_at) for row in found) == [("one", times[0]), ("two", times[0])]


def a_finished_record(*, project: str, finished_at: datetime) -> RunRecord:
    """What the mirror writes of a run that has ended."""
    uid = str(uuid.uuid4())
    metadata = {"name": f"run-{uid[:8]}", "namespace": project, "uid": uid, "resourceVersion": "5"}
    at = finished_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    item = {
        "metadata": metadata | {"creationTimestamp": at},
        "spec": {"taskRef": {"name": "t"}},
        "status": {"phase": "Succeeded", "finishedAt": at},
    }
    return run_record(item, default_ttl_seconds=86_400)


def test_jobs_of_finished_runs_go_earlier_than_the_run(stack: Stack, parts: Parts) -> None:
    run = stack.runs.create("kept")
    other = stack.runs.create("other")
    mine = stack.runs.job(run)
    foreign = stack.runs.job(other, name="foreign")
    attempts = [
        {"number": 1, "jobName": mine["metadata"]["name"], "podName": "gone", "startedAt": now()},
        {"number": 2, "jobName": foreign["metadata"]["name"], "podName": "never-started"},
    ]
    finish(stack, "kept", attempts=attempts)
    stack.mirror(keep_pods_seconds=0)
    wait_until(lambda: not stack.runs.job_exists(mine["metadata"]["name"]), what="the Job's end")
    assert stack.runs.job_exists("foreign")  # another run's, whatever the status says
    assert stack.runs.exists("kept")
    wait_until(lambda: bool(row(parts, "kept").pods_removed_at), what="the note of it")
    ends = parts.rows("SELECT attempt, mark, reason FROM log_ends ORDER BY attempt")
    assert [tuple(end) for end in ends] == [
        (1, "lost", "The pod was gone before its log could be read."),
        (2, "complete", "The container never started."),
    ]


def test_logs_that_are_not_stored_hold_back_the_deletion(stack: Stack, parts: Parts) -> None:
    run = stack.runs.create("logged")
    job = stack.runs.job(run)
    name = job_name("logged", run["metadata"]["uid"], 1)
    uid = run["metadata"]["uid"]
    pod = stack.runs.pod(f"{name}-abcde", owner=job, run_uid=uid)
    forged = stack.runs.pod("forged", owner=None, run_uid=uid)
    stack.runs.create("sentinel")
    finish(stack, "logged", ttl=0)
    finish(stack, "sentinel", ttl=0)
    stack.mirror()
    until(parts, "sentinel", lambda row: row.deleted_at is not None)
    assert stack.runs.exists("logged")
    with parts.engine.begin() as connection:
        values: Any = {
            "run_uid": uid,
            "project": stack.project,
            "attempt": 1,
            "pod_uid": pod["metadata"]["uid"],
            "pod_name": pod["metadata"]["name"],
        }
        created = row(parts, "logged").created
        add_chunk(connection, Chunk(**values, run_created=created, place=Place(position=6), data=b"hello\n"))
        add_end(connection, End(**values, mark="complete"))
    until(parts, "logged", lambda row: row.deleted_at is not None)  # the forged pod holds nothing back
    assert forged["metadata"]["uid"] not in {end.pod_uid for end in parts.rows("SELECT pod_uid FROM log_ends")}


def test_two_mirrors_one_leads(stack: Stack, parts: Parts) -> None:
    first = stack.mirror()
    until_led(parts)
    second = stack.mirror()
    assert second.is_alive()
    first.end()
    stack.runs.create("taken-over")
    until(parts, "taken-over", lambda row: True)


def until_led(parts: Parts) -> None:
    def led() -> bool:
        return bool(parts.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"))

    wait_until(led, what="a leader")
