"""cache: what is seen comes in once, and never in the wrong order."""

from typing import Any

from support.builders import a_run, a_task
from support.caches import a_cache, listed_whole, lost, saw, touched
from support.jobs import a_job
from tidegate_api.bodies import TaskRunStatusBody
from tidegate_operator.state.cache import Cache

NOW = 1_000_000.0
CREATED = "1970-01-12T13:46:40Z"


def seen(manifest: Any, *, version: int, uid: str = "run-1", **more: Any) -> Any:
    meta = {**manifest["metadata"], "uid": uid, "resourceVersion": str(version), "creationTimestamp": CREATED}
    return {**manifest, "metadata": meta, **more}


def job_of(run: Any, *, number: int = 1, version: int = 50) -> Any:
    job = a_job(run, {"image": "x"}, number=number)
    meta = {"uid": f"job-{number}", "resourceVersion": str(version), "creationTimestamp": CREATED}
    return {**job["metadata"], **meta}


def pod_of(job: Any, *, version: int, phase: str, uid: str = "pod-1", **meta: Any) -> Any:
    owner = {"kind": "Job", "name": job["name"], "uid": job["uid"], "controller": True}
    return {
        "metadata": {
            "name": "p",
            "namespace": "default",
            "uid": uid,
            "resourceVersion": str(version),
            "creationTimestamp": CREATED,
            "labels": job["labels"],
            "ownerReferences": [owner],
            **meta,
        },
        "spec": {"nodeName": "n", "containers": [{}]},
        "status": {"phase": phase},
    }


def made(cache: Cache, job: Any) -> tuple[str, ...]:
    """We have made a Job ourselves."""
    return touched(cache, lambda: cache.under_way.put_job(job, spec={"image": "x"}))


def missing(cache: Cache, listed: list[str], *, version: int) -> tuple[str, ...]:
    return touched(cache, lambda: cache.missing_pods(listed, version=version))


def filled() -> tuple[Cache, Any, Any]:
    cache = a_cache(now=NOW)
    run = seen(a_run("r").built, version=10)
    job = job_of(run)
    saw(cache, "taskruns", run)
    made(cache, job)
    return cache, run, job


def test_an_older_version_changes_nothing() -> None:
    cache = a_cache(now=NOW)
    assert saw(cache, "taskruns", seen(a_run("r").spec(cancel=True).built, version=11)) == ("run-1",)
    assert saw(cache, "taskruns", seen(a_run("r").built, version=10)) == ()
    assert cache.runs["run-1"].cancel


def test_a_status_of_our_own_is_known_without_its_echo() -> None:
    cache, run, job = filled()
    saw(cache, "pods", pod_of(job, version=11, phase="Succeeded"))
    record = cache.runs["run-1"]
    ended: TaskRunStatusBody = {"phase": "Succeeded", "attempts": [{"number": 1, "outcome": "Succeeded"}]}
    meta: Any = {**run["metadata"], "resourceVersion": "12"}
    assert "run-1" in touched(cache, lambda: cache.wrote_status(record, meta, ended, written_on=10))
    assert (record.version, record.status.phase) == (12, "Succeeded")
    assert cache.attempts.latest("run-1") is None  # it is done with


def test_a_status_of_our_own_never_replaces_what_a_faster_watch_delivered() -> None:
    cache, run, _ = filled()
    record = cache.runs["run-1"]
    saw(cache, "taskruns", seen(a_run("r").spec(cancel=True).built, version=13, status={"phase": "Running"}))
    meta: Any = {**run["metadata"], "resourceVersion": "12"}
    assert touched(cache, lambda: cache.wrote_status(record, meta, {"phase": "Starting"}, written_on=10)) == ()
    assert (record.version, record.status.phase, record.cancel) == (13, "Running", True)


def test_a_status_of_a_run_that_is_gone_is_forgotten() -> None:
    cache, run, _ = filled()
    record = cache.runs["run-1"]
    cache.drop_run("run-1")
    assert (
        touched(cache, lambda: cache.wrote_status(record, run["metadata"], {"phase": "Running"}, written_on=10)) == ()
    )
    assert "run-1" not in cache.runs


def test_a_name_used_again_is_another_run() -> None:
    cache = a_cache(now=NOW)
    saw(cache, "taskruns", seen(a_run("r").built, version=10, uid="old"))
    saw(cache, "taskruns", seen(a_run("r").built, version=20, uid="new"))
    assert set(cache.runs) == {"new"}
    saw(cache, "taskruns", seen(a_run("r").built, version=15, uid="old"))
    assert set(cache.runs) == {"new"}


def test_a_pod_belongs_to_its_jobs_run_whatever_its_labels_say() -> None:
    cache, _, job = filled()
    assert saw(cache, "pods", pod_of(job, version=60, phase="Running")) == ("run-1",)
    stranger = {**job, "uid": "another-job"}
    saw(cache, "pods", pod_of(stranger, version=61, phase="Running", uid="pod-2"))
    other_name = {**job, "uid": "another-job", "name": "somebody-elses"}
    assert saw(cache, "pods", pod_of(other_name, version=62, phase="Running", uid="pod-3")) == ()
    attempt = cache.attempts.latest("run-1")
    assert attempt is not None
    assert set(attempt.pods) == {"pod-1"}


def test_a_pod_stays_its_runs_when_its_owner_is_gone() -> None:
    cache, _, job = filled()
    saw(cache, "pods", pod_of(job, version=60, phase="Running"))
    assert saw(cache, "pods", pod_of(job, version=61, phase="Succeeded", ownerReferences=[])) == ("run-1",)


def test_a_pod_seen_before_the_answer_to_our_own_post_is_not_lost() -> None:
    cache = a_cache(now=NOW)
    run = seen(a_run("r").built, version=10)
    job = job_of(run)
    saw(cache, "taskruns", run)
    saw(cache, "pods", pod_of(job, version=60, phase="Succeeded"))
    assert made(cache, job) == ("run-1",)
    attempt = cache.attempts.latest("run-1")
    assert attempt is not None
    assert attempt.pods["pod-1"].phase == "Succeeded"


def test_a_living_pod_whose_job_is_gone_is_an_attempt_once_all_is_listed() -> None:
    cache = a_cache(now=NOW)
    run = seen(a_run("r").built, version=10)
    job = job_of(run)
    saw(cache, "pods", pod_of(job, version=60, phase="Running"))  # listed before its run was
    saw(cache, "taskruns", run)
    assert cache.attempts.latest("run-1") is None
    assert cache.admission.holds("run-1")
    listed_whole(cache)
    attempt = cache.attempts.latest("run-1")
    assert attempt is not None
    assert (attempt.number, attempt.inspected_at, set(attempt.pods)) == (1, float("-inf"), {"pod-1"})
    assert cache.admission.holds("run-1")


def test_a_slot_is_held_until_the_pod_is_gone_also_when_its_run_was_deleted() -> None:
    cache, _, job = filled()
    listed_whole(cache)
    saw(cache, "pods", pod_of(job, version=60, phase="Running"))
    cache.drop_run("run-1")
    assert cache.admission.holds("run-1")
    lost(cache, "pods", pod_of(job, version=61, phase="Running", deletionTimestamp=CREATED))
    assert not cache.admission.holds("run-1")
    assert cache.attempts.latest("run-1") is None


def test_after_a_restart_a_pod_of_a_deleted_run_holds_its_slot_by_queue_and_key() -> None:
    cache = a_cache(now=NOW)
    run = seen(a_run("r").spec(queue="mail", concurrencyKey="anna").built, version=10)
    job = a_job(run, {"image": "x", "queue": "mail"})["metadata"]
    meta = {**job, "uid": "job-1", "resourceVersion": "50", "creationTimestamp": CREATED}
    pod = pod_of(meta, version=60, phase="Running", annotations=job["annotations"])
    saw(cache, "pods", pod)
    listed_whole(cache)
    (queue,) = (q for q in cache.admission.queues if q.key == ("default", "mail"))
    assert queue.holders == {"run-1": "anna"}


def test_a_slot_given_for_a_start_is_held_until_the_start_is_refused() -> None:
    cache = a_cache(now=NOW)
    saw(cache, "taskruns", seen(a_run("r").built, version=10))
    run = cache.runs["run-1"]
    cache.track.starts(run, 1)
    cache.settle("run-1")
    saw(cache, "taskruns", seen(a_run("r").labels({"a": "b"}).built, version=11))
    assert cache.admission.holds("run-1")
    cache.track.not_started(run, 1)
    assert not cache.admission.holds("run-1")


def test_who_depends_on_a_run_is_marked_when_it_appears_and_when_it_ends() -> None:
    cache = a_cache(now=NOW)
    waiting = a_run("r").spec(dependsOn=[{"name": "up"}]).built
    saw(cache, "taskruns", seen(waiting, version=10))
    assert saw(cache, "taskruns", seen(a_run("up").built, version=11, uid="up-1")) == ("up-1", "run-1")
    assert cache.has_dependents(cache.runs["up-1"])
    done = {**seen(a_run("up").built, version=12, uid="up-1"), "status": {"phase": "Succeeded"}}
    assert set(saw(cache, "taskruns", done)) == {"up-1", "run-1"}
    # Its own end lets go what it needed.
    ended = {**seen(waiting, version=13), "status": {"phase": "Skipped"}}
    assert set(saw(cache, "taskruns", ended)) == {"run-1", "up-1"}
    assert not cache.has_dependents(cache.runs["up-1"])


def test_a_pod_that_only_left_the_selector_is_looked_at_not_given_up() -> None:
    cache, _, job = filled()
    saw(cache, "pods", pod_of(job, version=60, phase="Running"))
    lost(cache, "pods", pod_of(job, version=61, phase="Running"))
    attempt = cache.attempts.latest("run-1")
    assert attempt is not None
    assert not attempt.pods["pod-1"].terminal
    assert attempt.inspected_at == float("-inf")
    lost(cache, "pods", pod_of(job, version=62, phase="Running", deletionTimestamp=CREATED))
    assert attempt.pods["pod-1"].gone


def test_a_pod_that_is_read_again_unchanged_asks_for_no_decision() -> None:
    """Else a stop that fails after its look at the pod would be repeated at once, for as long as it fails."""
    cache, run, job = filled()
    orphan = {**job_of(run, number=2), "uid": "job-of-nobody"}

    for pod in (pod_of(job, version=60, phase="Running"), pod_of(orphan, version=61, phase="Running", uid="pod-2")):
        assert saw(cache, "pods", pod) == ("run-1",)
        assert saw(cache, "pods", pod) == ()
        moved = {**pod, "metadata": {**pod["metadata"], "resourceVersion": "70", "deletionTimestamp": CREATED}}
        assert saw(cache, "pods", moved) == ("run-1",)


def test_after_a_restart_an_ended_attempt_whose_pod_is_gone_holds_no_slot() -> None:
    """Its Job is still there: the run would wait for its own slot for ever."""
    ended: TaskRunStatusBody = {"phase": "Retrying", "attempts": [{"number": 1, "outcome": "Failed"}]}
    for status, slots in (({"phase": "Starting", "attempts": [{"number": 1}]}, ["run-1"]), (ended, [])):
        cache = a_cache(now=NOW)
        run = seen(a_run("r").built, version=10, status=status)
        saw(cache, "taskruns", run)
        saw(cache, "jobs", {"metadata": job_of(run)})
        listed_whole(cache)
        assert [uid for queue in cache.admission.queues for uid in queue.holders] == slots


def test_pods_that_a_new_list_lacks_are_looked_for() -> None:
    cache, _, job = filled()
    saw(cache, "pods", pod_of(job, version=60, phase="Running"))
    assert missing(cache, [], version=59) == ()  # seen after the list was made
    assert missing(cache, ["pod-1"], version=70) == ()
    assert missing(cache, [], version=70) == ("run-1",)


def test_a_task_that_appears_wakes_the_runs_that_wait_for_it() -> None:
    cache = a_cache(now=NOW)
    saw(cache, "taskruns", seen(a_run("r").task_ref("resize").built, version=10))
    saw(cache, "taskruns", seen(a_run("other").task_ref("else").built, version=11, uid="run-2"))
    assert saw(cache, "tasks", seen(a_task("resize"), version=12, uid="t")) == ("run-1",)
    cache.forget("tasks", namespace="default", name="resize", uid="another")
    assert cache.task_of(cache.runs["run-1"]) is not None
    cache.forget("tasks", namespace="default", name="resize", uid="t")
    assert cache.task_of(cache.runs["run-1"]) is None


def test_a_finished_run_keeps_nothing_of_its_attempts() -> None:
    cache, run, job = filled()
    saw(cache, "pods", pod_of(job, version=60, phase="Succeeded"))
    done = {**seen(run, version=70), "status": {"phase": "Succeeded", "attempts": [{"number": 1}]}}
    saw(cache, "taskruns", done)
    assert cache.attempts.latest("run-1") is None
    assert cache.runs["run-1"].status.attempts == []
    assert saw(cache, "jobs", {"metadata": job}) == ()
    assert saw(cache, "pods", pod_of(job, version=80, phase="Succeeded")) == ()


def test_a_body_is_kept_as_json_during_the_first_lists_and_only_until_the_first_attempt() -> None:
    cache = a_cache(now=NOW)
    early = seen(a_run("early").built, version=9, uid="run-0")
    saw(cache, "taskruns", early)
    assert cache.bodies.waiting_bytes > 0
    assert cache.bodies.find("run-0") == early
    listed_whole(cache)
    run = seen(a_run("r").built, version=10)
    saw(cache, "taskruns", run)
    assert cache.bodies.find("run-1") is run
    made(cache, job_of(run))
    assert cache.bodies.find("run-1") is None


def test_a_body_follows_its_run_and_goes_with_it() -> None:
    cache, _, _ = filled()
    saw(cache, "taskruns", seen(a_run("other").built, version=11, uid="run-2"))
    cache.bodies.pack("run-2")
    saw(cache, "taskruns", seen(a_run("other").spec(priority=7).built, version=12, uid="run-2"))
    changed = cache.bodies.find("run-2")
    assert changed is not None
    assert changed["spec"].get("priority") == 7
    cache.drop_run("run-2")
    assert cache.bodies.find("run-2") is None
    assert cache.bodies.waiting_bytes == 0


def test_a_frozen_spec_makes_the_plan_after_a_restart() -> None:
    cache = a_cache(now=NOW)
    run = seen(a_run("r").built, version=10)
    saw(cache, "taskruns", run)
    job = a_job(run, {"image": "x", "timeoutSeconds": 7})["metadata"]
    saw(cache, "jobs", {"metadata": {**job, "uid": "job-1", "creationTimestamp": CREATED}})
    attempt = cache.attempts.latest("run-1")
    assert attempt is not None
    assert attempt.plan.timeout == 7


def test_the_first_job_is_that_of_attempt_1_whatever_came_after() -> None:
    cache = a_cache(now=NOW)
    run = seen(a_run("r").built, version=10)
    saw(cache, "taskruns", run)
    made(cache, {**job_of(run), "creationTimestamp": "1970-01-12T13:43:20Z"})
    saw(cache, "jobs", {"metadata": job_of(run, number=2)})
    latest = cache.attempts.latest("run-1")
    assert latest is not None
    assert (latest.number, latest.created) == (2, NOW)
    assert cache.under_way.first_began(cache.runs["run-1"]) == NOW - 200
