"""cache: the one door. What can't be parsed becomes a record that says so, and what is stored is read liberally."""

from typing import Any

import pytest
from support.builders import a_queue, a_run, a_schedule, a_task
from support.caches import a_cache, saw, touched
from support.jobs import a_job
from tidegate_api.names import COUNT_MAX, SECONDS_MAX, TTL_SECONDS_MAX, Phase
from tidegate_operator.records.run import Plan
from tidegate_operator.state.cache import Cache

NOW = 1_000_000.0
CREATED = "1970-01-12T13:46:40Z"
HUGE = 2**63 - 1
DEEP = '{"image": "x", "a": ' + '{"a":' * 600 + "1" + "}" * 601


def stored(body: Any, *, uid: str, version: int = 10, **more: Any) -> Any:
    meta = {**body["metadata"], "uid": uid, "resourceVersion": str(version), "creationTimestamp": CREATED}
    return {**body, "metadata": meta, **more}


def set_aside(cache: Cache, kind: str, uid: str) -> str:
    fault = cache.quarantine.find(kind, uid)
    return fault.message if fault is not None else ""


def test_a_run_that_cant_be_parsed_is_kept_and_says_so() -> None:
    cache = a_cache(now=NOW)
    odd = a_run("odd").spec(startAfter="soon").built
    assert saw(cache, "taskruns", stored(odd, uid="odd")) == ("odd",)
    run = cache.runs["odd"]
    assert run.fault is not None
    assert "reading it broke: ValueError: 'soon' is not an RFC 3339 time" in run.fault.message
    assert set_aside(cache, "taskruns", "odd") == run.fault.message
    assert cache.find_run("default", "odd") is run


def test_it_is_an_ordinary_run_again_once_it_can_be_parsed() -> None:
    cache = a_cache(now=NOW)
    saw(cache, "taskruns", stored(a_run("odd").spec(startAfter="soon").built, uid="odd"))
    saw(cache, "taskruns", stored(a_run("odd").built, uid="odd", version=11))
    assert cache.runs["odd"].fault is None
    assert set_aside(cache, "taskruns", "odd") == ""


def test_a_finished_run_that_cant_be_parsed_needs_nothing() -> None:
    cache = a_cache(now=NOW)
    odd = stored(a_run("odd").spec(startAfter="soon").built, uid="odd", status={"phase": "Succeeded"})
    saw(cache, "taskruns", odd)
    assert cache.runs["odd"].status.phase is Phase.SUCCEEDED
    assert cache.quarantine.size == 0


def test_a_known_run_that_cant_be_parsed_any_more_keeps_its_slot_while_its_pod_lives() -> None:
    cache = a_cache(now=NOW, at_once=True)
    run = stored(a_run("r").built, uid="r")
    saw(cache, "taskruns", run)
    job: Any = a_job(run, {"image": "x"})["metadata"]
    job |= {"uid": "job", "creationTimestamp": CREATED}
    cache.under_way.put_job(job, spec={"image": "x"})
    odd = stored(a_run("r").spec(startAfter="soon").built, uid="r", version=11, status={"phase": "Running"})
    saw(cache, "taskruns", odd)
    assert cache.runs["r"].fault is not None
    assert cache.admission.holds("r")


@pytest.mark.parametrize("kind", ["taskruns", "tasks", "queues", "schedules", "jobs", "pods"])
@pytest.mark.parametrize("body", [{}, {"metadata": {}}, {"metadata": {"uid": "u", "resourceVersion": "x"}}])
def test_no_object_breaks_the_door(kind: str, body: Any) -> None:
    cache = a_cache(now=NOW)
    cache.upserted(kind, body)
    cache.deleted(kind, body)


def test_a_queue_that_cant_be_judged_holds_its_runs_and_no_others() -> None:
    cache = a_cache(now=NOW, at_once=True)
    saw(cache, "queues", stored(a_queue("odd", rateLimit=["no object"]), uid="q"))
    assert "reading it broke" in set_aside(cache, "queues", "q")
    state = cache.admission.queue("default", "odd")
    assert state is not None
    assert "set aside" in (state.closed.message if state.closed is not None else "")
    saw(cache, "queues", stored(a_queue("odd"), uid="q", version=11))
    assert cache.admission.why("nobody", NOW) is None
    assert not state.fault
    assert set_aside(cache, "queues", "q") == ""


def test_a_schedule_that_cant_be_parsed_says_so() -> None:
    cache = a_cache(now=NOW)
    odd = stored(a_schedule("odd"), uid="s", status={"lastScheduleTime": "soon"})
    assert touched(cache, lambda: cache.upserted("schedules", odd), kind="schedules") == ("default/odd",)
    assert cache.schedules.records[("default", "odd")].fault is not None


def test_numbers_beyond_their_bounds_count_as_the_bounds() -> None:
    spec: Any = {"retry": {"maxAttempts": HUGE, "factor": HUGE, "initialDelaySeconds": -5}, "timeoutSeconds": HUGE}
    spec |= {"ttlSecondsAfterFinished": HUGE, "deadlineSeconds": HUGE, "startTimeoutSeconds": 0}
    plan = Plan.of(spec)
    assert (plan.max_attempts, plan.factor, plan.initial_delay) == (100, 100, 0)
    assert (plan.timeout, plan.start_timeout, plan.deadline, plan.ttl) == (SECONDS_MAX, 1, SECONDS_MAX, TTL_SECONDS_MAX)
    cache = a_cache(now=NOW)
    saw(cache, "taskruns", stored(a_run("r").spec(ttlSecondsAfterFinished=HUGE, priority=HUGE).built, uid="r"))
    assert (cache.runs["r"].ttl, cache.runs["r"].priority) == (TTL_SECONDS_MAX, 1000)


@pytest.mark.parametrize("spec", [{}, {"retry": 5}, {"retry": {"maxAttempts": "x", "nonRetryableExitCodes": 7}}])
def test_a_spec_that_was_edited_into_nonsense_counts_as_the_defaults(spec: Any) -> None:
    assert Plan.of(spec) == Plan()


def test_a_rate_in_nanoseconds_is_a_year_at_most() -> None:
    cache = a_cache(now=NOW, at_once=True)
    limit = {"runs": HUGE, "perSeconds": 300_000_000_000, "burst": HUGE}
    bucket = {"tokens": "NaN", "at": "9999-12-31T23:59:59Z"}
    saw(cache, "queues", stored(a_queue("slow", rateLimit=limit), uid="q", status={"rateBucket": bucket}))
    state = cache.admission.queue("default", "slow")
    assert state is not None
    assert state.bucket is not None
    assert (state.bucket.runs, state.bucket.per_seconds, state.bucket.tokens) == (COUNT_MAX, SECONDS_MAX, COUNT_MAX)


@pytest.mark.parametrize("text", ["{", "[]", '{"image": 5}', "[" * 100_000, DEEP])
def test_a_job_whose_task_spec_was_edited_is_an_attempt_with_default_limits(text: str) -> None:
    cache = a_cache(now=NOW, at_once=True)
    run = stored(a_run("r").built, uid="r")
    saw(cache, "taskruns", run)
    job = a_job(run, {"image": "x", "queue": "mail"}, number=3)
    meta = {**job["metadata"], "uid": "job", "creationTimestamp": CREATED, "resourceVersion": "12"}
    meta["annotations"] = {"tidegate.dev/task-spec": text}
    meta["labels"] = {**meta["labels"], "tidegate.dev/attempt": "x"}
    saw(cache, "jobs", {"metadata": meta})
    attempt = cache.attempts.latest("r")
    assert attempt is not None
    assert (attempt.number, attempt.plan.queue, attempt.plan.timeout) == (3, "mail", 3600)


def test_a_pod_that_cant_be_parsed_holds_its_slot_until_it_has_ended() -> None:
    cache = a_cache(now=NOW, at_once=True)
    run = stored(a_run("r").built, uid="r")
    saw(cache, "taskruns", run)
    job: Any = a_job(run, {"image": "x"})["metadata"]
    job |= {"uid": "job", "creationTimestamp": CREATED}
    cache.under_way.put_job(job, spec={"image": "x"})
    owner = {"kind": "Job", "name": job["name"], "uid": "job", "controller": True}
    pod: dict[str, Any] = {
        "metadata": {"name": "p", "namespace": "default", "labels": job["labels"], "ownerReferences": [owner]},
        "status": {"phase": "Running", "containerStatuses": "no list"},
    }
    saw(cache, "pods", stored(pod, uid="pod", version=20))
    assert "reading it broke" in set_aside(cache, "pods", "pod")
    assert cache.admission.holds("r")
    saw(cache, "pods", {**stored(pod, uid="pod", version=21), "status": {"phase": "Failed", "containerStatuses": 5}})
    attempt = cache.attempts.latest("r")
    assert attempt is not None
    assert attempt.pods["pod"].terminal


def test_a_task_is_read_as_it_is() -> None:
    cache = a_cache(now=NOW)
    saw(cache, "tasks", stored(a_task("t", timeoutSeconds=HUGE), uid="t"))
    assert cache.quarantine.size == 0
