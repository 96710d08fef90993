"""What is shown of a worker pod, and of the workers of a pool together with their runs."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tidegate_web.definitions.pool_workers import SHOWN, FoundPods, put_together
from tidegate_web.definitions.worker_pods import MESSAGE_CHARACTERS, Worker, WorkerState, worker_of
from tidegate_web.runs import pool_runs
from tidegate_web.runs.pool_runs import RunsOfPool, by_pod
from tidegate_web.store.queries.pool_runs import WorkerRunRow

Json = dict[str, Any]


def pod(*containers: Json, name: str = "w-1", **parts: Any) -> Any:
    """A pod with these containers; parts of its metadata, its spec and its status."""
    metadata = {"name": name, "creationTimestamp": "2026-11-28T10:00:00Z", **parts.pop("metadata", {})}
    return {
        "metadata": metadata,
        "spec": {"nodeName": "n-1", **parts.pop("spec", {})},
        "status": {"phase": "Running", "containerStatuses": list(containers), **parts},
    }


def container(state: Json | None = None, **fields: Any) -> Json:
    return {"name": "worker", "ready": False, "restartCount": 0, "state": state or {}, **fields}


def condition(kind: str, status: str, **fields: str) -> Json:
    return {"type": kind, "status": status, **fields}


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def ended(**fields: Any) -> Json:
    return {"terminated": {"reason": "Error", "exitCode": 1, **fields}}


RUNNING = {"running": {"startedAt": "2026-11-28T10:00:00Z"}}
READY = [condition("Ready", "True"), condition("ContainersReady", "True")]
DELETED: Json = {"metadata": {"deletionTimestamp": "2026-11-28T10:10:40Z"}}


@pytest.mark.parametrize(
    ("found", "state", "reason", "message"),
    [
        (pod(container(RUNNING, ready=True), conditions=READY), "ready", "", ""),
        (pod(), "starting", "", ""),
        (pod(container(waiting("ContainerCreating"))), "starting", "", ""),
        (pod(container(RUNNING, started=False)), "starting", "", ""),
        (pod(container(waiting("ImagePullBackOff", "no such image"))), "not ready", "ImagePullBackOff", "no such image"),
        (pod(container(RUNNING, started=True)), "not ready", "", "Its container runs"),
        (
            pod(container(waiting("CrashLoopBackOff", "back-off 10s"), lastState=ended(message="No module\nnamed app"))),
            "not ready", "CrashLoopBackOff", "exit 1: No module named app",
        ),
        (pod(container(ended(reason="OOMKilled", exitCode=137))), "not ready", "OOMKilled", "exit 137"),
        (
            pod(container(RUNNING, started=False, restartCount=3, lastState=ended(message="ImportError"))),
            "starting", "Error", "exit 1: ImportError",
        ),
        (
            pod(container(waiting("PodInitializing")), initContainerStatuses=[
                container(waiting("ErrImagePull", "denied"), name="fetch")
            ]),
            "not ready", "ErrImagePull", "container fetch: denied",
        ),
        (
            pod(container(waiting("PodInitializing")), initContainerStatuses=[
                container(ended(reason="Completed", exitCode=0), name="fetch", ready=True)
            ]),
            "starting", "", "",
        ),
        (
            pod(phase="Pending", conditions=[condition("PodScheduled", "False", reason="Unschedulable", message="no node")]),
            "not scheduled", "Unschedulable", "no node",
        ),
        (
            pod(container(RUNNING), conditions=[condition("Ready", "False"), condition("ContainersReady", "True")]),
            "node does not answer", "", "Its node",
        ),
        (pod(container(RUNNING, ready=True), conditions=READY, **DELETED), "draining", "", ""),
        (pod(container(ended()), **DELETED), "terminating", "", ""),
        (pod(container(waiting("ErrImagePull")), **DELETED), "terminating", "", ""),
        (pod(phase="Failed", reason="Evicted", message="disk pressure"), "ended", "Evicted", "disk pressure"),
        (pod(container(ended(reason="Completed")), phase="Succeeded"), "ended", "Completed", ""),
    ],
)  # fmt: skip
def test_the_state_of_a_worker_is_said_in_words(found: Any, state: str, reason: str, message: str) -> None:
    worker = worker_of(found)
    assert (worker.state.value, worker.reason) == (state, reason)
    assert worker.message.startswith(message)
    assert bool(worker.message) == bool(message)


def test_what_else_is_shown_of_a_worker() -> None:
    side = container(RUNNING, name="proxy", restartCount=1)
    own = container(RUNNING, restartCount=2, lastState=ended(reason="OOMKilled"), ready=True)
    assert worker_of(pod(side, own, conditions=READY, **DELETED)) == Worker(
        name="w-1",
        state=WorkerState.DRAINING,
        node="n-1",
        restarts=3,
        last_end="OOMKilled",
        created=datetime(2026, 11, 28, 10, 0, tzinfo=UTC),
        until=datetime(2026, 11, 28, 10, 10, 40, tzinfo=UTC),
    )


def test_a_long_message_is_cut_and_of_what_a_worker_said_last_the_end_is_kept() -> None:
    long = "a" * 2_000 + "b"
    assert len(worker_of(pod(container(waiting("ErrImagePull", long)))).message) == MESSAGE_CHARACTERS
    assert worker_of(pod(container(ended(message=long)))).message.endswith("ab")


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"metadata": {"name": 7, "deletionTimestamp": "soon", "creationTimestamp": 3}, "status": []},
        pod(status=7, conditions="x", containerStatuses={"worker": 1}, initContainerStatuses=[None, 3]),
        pod(container("running", restartCount="9", lastState=[])),  # type: ignore[arg-type]
        pod({"name": None, "state": {"waiting": ["x"], "terminated": None}}),
        pod(conditions=[{"type": ["Ready"]}, {"status": "True"}, None]),
    ],
)
def test_an_odd_pod_is_shown_with_what_it_has(odd: Any) -> None:
    worker = worker_of(odd)
    assert worker.state is WorkerState.STARTING
    assert worker.name in ("w-1", "")
    assert (worker.restarts, worker.until) == (0, None)


def runs(*rows: tuple[str, str]) -> RunsOfPool:
    return RunsOfPool(by_pod=by_pod(WorkerRunRow(f"uid-{run}", run, name) for run, name in rows), truncated=False)


def workers(**states: WorkerState) -> FoundPods:
    return FoundPods(workers=[Worker(name=name, state=state) for name, state in states.items()])


def test_workers_in_trouble_come_first_each_with_its_runs() -> None:
    found = put_together(
        workers(a=WorkerState.READY, b=WorkerState.STARTING, d=WorkerState.NOT_READY, c=WorkerState.NOT_READY),
        runs(("one", "a"), ("two", "a")),
    )
    assert [row.worker.name for row in found.rows] == ["c", "d", "b", "a"]
    assert [0 if row.runs is None else row.runs.count for row in found.rows] == [0, 0, 0, 2]
    assert found.rows[-1].runs is not None
    assert [run.name for run in found.rows[-1].runs.first] == ["one", "two"]


@pytest.mark.parametrize(
    ("pods", "state"),
    [
        (workers(), WorkerState.GONE),
        (FoundPods(workers=[], problem="Kubernetes doesn't answer."), WorkerState.UNKNOWN),
        (FoundPods(workers=[], truncated=True), WorkerState.UNKNOWN),
    ],
)
def test_a_worker_that_only_its_runs_name_is_shown(pods: FoundPods, state: WorkerState) -> None:
    (row,) = put_together(pods, runs(("one", "away"))).rows
    assert (row.worker, row.runs and row.runs.count) == (Worker(name="away", state=state), 1)


def test_workers_and_runs_are_shown_up_to_a_number() -> None:
    many = workers(**{f"w-{number:04d}": WorkerState.READY for number in range(1_000)})
    found = put_together(many, runs(*((f"run-{number}", "w-0000") for number in range(9))))
    assert (len(found.rows), found.more) == (SHOWN, 1_000 - SHOWN)
    first = found.rows[0].runs
    assert first is not None
    assert (first.count, len(first.first), first.more) == (9, pool_runs.SHOWN, 9 - pool_runs.SHOWN)


def test_without_the_runs_the_workers_are_shown() -> None:
    (row,) = put_together(workers(a=WorkerState.READY), None).rows
    assert row.runs is None
