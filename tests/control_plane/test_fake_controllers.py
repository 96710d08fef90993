"""The Job controller and the garbage collector in memory, on which the property stage stands, do as the real ones do.

The scheduler and the kubelet are the test itself, on both sides. A real controller does things when it gets round to them: each
step waits until it has.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

import pytest
from support.builders import a_run
from support.fake_cluster import FakeCluster, is_live
from support.jobs import a_job
from support.operator import install_crds
from support.servers import wait_until
from support.two_apiservers import MERGE, FakeSide, Json, RealSide, Side
from support.virtual_loop import Clocks
from tidegate_api.names import RUN_UID_LABEL
from tidegate_api.objects import JobBody, ObjectMeta
from tidegate_api.ownership import controller_uid
from tidegate_cluster.control_plane import ControlPlane
from tidegate_operator.records.parsing import job_ended

RUNS = "/apis/tidegate.dev/v1alpha1/namespaces/default/taskruns"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODS = "/api/v1/namespaces/default/pods"
NODE = "node-1"
COUNTED = "batch.kubernetes.io/job-tracking"
Notes = list[Any]


class DecisionContext(Protocol):
    """A side with controllers."""

    side: Side

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Let the controllers work until it is so."""

    def bind(self, pod: str) -> None:
        """The scheduler gives it a node."""

    def start(self, pod: str) -> None:
        """The kubelet starts its container."""

    def end(self, pod: str, code: int) -> None:
        """Its container ends, and the kubelet says so; and that it is gone, if it was deleted."""

    def disrupt(self, pod: str) -> None:
        """It is evicted."""

    def controllers_have_seen_deletion(self, job: str) -> None:
        """The Job controller knows that a pod of the Job is being deleted, and has done what it wants to do about it."""


class FakeWorld:
    def __init__(self) -> None:
        self.cluster = FakeCluster(Clocks())
        self.side: Side = FakeSide(server=self.cluster)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(5):
            self._work()
        assert condition(), what

    def bind(self, pod: str) -> None:
        self.cluster.bind(self._pod(pod))

    def start(self, pod: str) -> None:
        self.cluster.run_pod(self._pod(pod))

    def end(self, pod: str, code: int) -> None:
        self.cluster.end_pod(self._pod(pod), code)

    def disrupt(self, pod: str) -> None:
        self.cluster.disrupt(self._pod(pod))

    def controllers_have_seen_deletion(self, job: str) -> None:
        self._work()

    def _work(self) -> None:
        self.cluster.control_jobs()
        self.cluster.collect()
        self.cluster.kubelets()

    def _pod(self, name: str) -> Json:
        return self.cluster.objects["pods"]["default", name]


class RealWorld:
    def __init__(self, plane: ControlPlane) -> None:
        self.side: Side = RealSide(plane=plane)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, what=what)

    def bind(self, pod: str) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        bound = self.side.ask("POST", f"{PODS}/{pod}/binding", body={"metadata": {"name": pod}, "target": target})
        assert bound.code == 201, bound

    def start(self, pod: str) -> None:
        if not self.side.ask("GET", f"{PODS}/{pod}").body["spec"].get("nodeName"):
            self.bind(pod)
        self._report_state(pod, phase="Running", state={"running": {"startedAt": now()}})

    def end(self, pod: str, code: int) -> None:
        ended = {"exitCode": code, "startedAt": now(), "finishedAt": now()}
        self._report_state(pod, phase="Failed" if code else "Succeeded", state={"terminated": ended})
        if "deletionTimestamp" in self.side.ask("GET", f"{PODS}/{pod}").meta:
            self.side.ask("DELETE", f"{PODS}/{pod}", body={"gracePeriodSeconds": 0})

    def disrupt(self, pod: str) -> None:
        mark = {"type": "DisruptionTarget", "status": "True", "reason": "Evicted", "lastTransitionTime": now()}
        self._patch(pod, {"conditions": [mark]})
        self.side.ask("DELETE", f"{PODS}/{pod}")

    def controllers_have_seen_deletion(self, job: str) -> None:
        def seen() -> bool:
            return bool(self.side.ask("GET", f"{JOBS}/{job}").body["status"].get("terminating"))

        self.until(seen, f"the Job controller to see a deletion in {job}")

    def _report_state(self, pod: str, *, phase: str, state: Json) -> None:
        self._patch(pod, {"phase": phase, "containerStatuses": [{**CONTAINER, "state": state}]})

    def _patch(self, pod: str, status: Json) -> None:
        patched = self.side.ask("PATCH", f"{PODS}/{pod}/status", body={"status": status}, content=MERGE)
        assert patched.code == 200, patched


CONTAINER: Json = {"name": "task", "image": "x", "imageID": "", "ready": False, "restartCount": 0}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@pytest.fixture(scope="module")
def real() -> Iterator[RealWorld]:
    with ControlPlane(controllers=True) as plane:
        install_crds(plane)
        context = RealWorld(plane)
        context.side.ask("POST", "/api/v1/nodes", body={"metadata": {"name": NODE}})
        yield context


@pytest.fixture(scope="module")
def fake() -> FakeWorld:
    return FakeWorld()


def start_attempt(context: DecisionContext, name: str) -> tuple[str, str]:
    """A run, and the Job that the operator makes for it: the names of the Job and its pod."""
    run = context.side.ask("POST", RUNS, body=a_run(name).built)
    job = a_job(run.body, {"image": "x", "command": ["x"]})
    made = context.side.ask("POST", JOBS, body=job, fieldValidation="Strict")
    assert made.code == 201, made
    job_name = made.meta["name"]
    return job_name, wait_for_pod(context, job_name)


def pods_of(context: DecisionContext, job: str) -> list[Json]:
    listed = context.side.ask("GET", PODS, labelSelector=f"tidegate.dev/run={job[: job.rindex('-', 0, -2)]}").body[
        "items"
    ]
    return [pod for pod in listed if pod["metadata"]["ownerReferences"][0]["name"] == job]


def wait_for_pod(context: DecisionContext, job: str) -> str:
    """A pod that waits."""

    def waiting() -> list[str]:
        return [p["metadata"]["name"] for p in pods_of(context, job) if p["status"]["phase"] == "Pending"]

    context.until(lambda: bool(waiting()), f"a pod of {job}")
    return waiting()[0]


def is_there(context: DecisionContext, path: str) -> bool:
    return context.side.ask("GET", path).code == 200


def wait_for_end(context: DecisionContext, job: str) -> list[str]:
    """Until the Job has ended and its pods are counted; how it ended."""

    def body() -> Any:
        return context.side.ask("GET", f"{JOBS}/{job}").body

    def counted() -> bool:
        return not any(COUNTED in pod["metadata"].get("finalizers", ()) for pod in pods_of(context, job))

    context.until(lambda: job_ended(body()) and counted(), f"{job} to end")
    return sorted(c["type"] for c in body()["status"]["conditions"] if c["type"] in ("Complete", "Failed"))


def a_job_makes_a_pod(context: DecisionContext) -> Notes:
    job, pod = start_attempt(context, "makes")
    uid = context.side.ask("GET", f"{JOBS}/{job}").meta["uid"]
    made = context.side.ask("GET", f"{PODS}/{pod}")
    owner = made.meta["ownerReferences"][0]
    return [
        made.meta["labels"]["batch.kubernetes.io/controller-uid"] == uid,
        (
            controller_uid(cast("ObjectMeta", made.meta), kind="Job") == uid,
            owner["blockOwnerDeletion"],
            owner["name"] == job,
        ),
        (made.meta["finalizers"], made.meta["name"].startswith(f"{job}-"), made.body["status"]["phase"]),
        (RUN_UID_LABEL in made.meta["labels"], made.body["spec"]["activeDeadlineSeconds"]),
        [
            p["metadata"]["name"] == pod
            for p in context.side.ask("GET", PODS, labelSelector=selector(uid)).body["items"]
        ],
    ]


def selector(uid: str) -> str:
    return f"batch.kubernetes.io/controller-uid={uid}"


def pods_that_end_by_themselves(context: DecisionContext) -> Notes:
    notes: Notes = []
    for name, code in (("good", 0), ("bad", 1)):
        job, pod = start_attempt(context, name)
        context.start(pod)
        context.end(pod, code)
        notes.append((wait_for_end(context, job), len(pods_of(context, job)), is_there(context, f"{PODS}/{pod}")))
    return notes


def a_disrupted_pod(context: DecisionContext) -> Notes:
    job, pod = start_attempt(context, "disrupted")
    context.start(pod)
    context.disrupt(pod)
    context.controllers_have_seen_deletion(job)
    meanwhile = [is_live(p) for p in pods_of(context, job)]
    context.end(pod, 137)
    other = wait_for_pod(context, job)
    context.until(lambda: not is_there(context, f"{PODS}/{pod}"), "the pod to go")
    ended = job_ended(cast("JobBody", context.side.ask("GET", f"{JOBS}/{job}").body))
    context.start(other)
    context.end(other, 0)
    return [meanwhile, other != pod, ended, wait_for_end(context, job)]


def a_disrupted_pod_that_succeeds(context: DecisionContext) -> Notes:
    job, pod = start_attempt(context, "disrupted-good")
    context.start(pod)
    context.disrupt(pod)
    context.end(pod, 0)
    return [wait_for_end(context, job), len(pods_of(context, job))]


def a_pod_deleted_by_hand(context: DecisionContext) -> Notes:
    job, pod = start_attempt(context, "deleted-pod")
    context.start(pod)
    context.side.ask("DELETE", f"{PODS}/{pod}")
    context.controllers_have_seen_deletion(job)
    meanwhile = [is_live(p) for p in pods_of(context, job)]
    context.end(pod, 143)
    return [meanwhile, wait_for_end(context, job), len(pods_of(context, job))]


def a_waiting_pod_deleted_by_hand(context: DecisionContext) -> Notes:
    job, pod = start_attempt(context, "deleted-early")
    deleted = context.side.ask("DELETE", f"{PODS}/{pod}")
    return [deleted.reported, wait_for_end(context, job), len(pods_of(context, job))]


def a_job_deleted_in_the_foreground(context: DecisionContext) -> Notes:
    job, pod = start_attempt(context, "foreground")
    context.start(pod)
    context.side.ask("DELETE", f"{JOBS}/{job}", body={"propagationPolicy": "Foreground"})
    context.until(lambda: "deletionTimestamp" in context.side.ask("GET", f"{PODS}/{pod}").meta, "the pod's deletion")
    meanwhile = (is_there(context, f"{JOBS}/{job}"), [is_live(p) for p in pods_of(context, job)])
    context.end(pod, 143)
    context.until(lambda: not is_there(context, f"{JOBS}/{job}"), "the Job to go")
    return [meanwhile, is_there(context, f"{PODS}/{pod}")]


def a_job_deleted_in_the_background(context: DecisionContext) -> Notes:
    job, pod = start_attempt(context, "background")
    context.start(pod)
    context.side.ask("DELETE", f"{JOBS}/{job}", body={"propagationPolicy": "Background"})
    at_once = is_there(context, f"{JOBS}/{job}")
    context.until(lambda: "deletionTimestamp" in context.side.ask("GET", f"{PODS}/{pod}").meta, "the pod's deletion")
    meanwhile = [is_live(p) for p in pods_of(context, job)]
    context.end(pod, 143)
    context.until(lambda: not is_there(context, f"{PODS}/{pod}"), "the pod to go")
    return [at_once, meanwhile]


def a_run_that_is_deleted(context: DecisionContext) -> Notes:
    job, pod = start_attempt(context, "owner")
    context.side.ask("DELETE", f"{RUNS}/owner")
    at_once = is_there(context, f"{RUNS}/owner")
    context.until(lambda: not is_there(context, f"{PODS}/{pod}"), "the pod to go")
    return [at_once, is_there(context, f"{JOBS}/{job}")]


TABLE: tuple[Callable[[DecisionContext], Notes], ...] = (
    a_job_makes_a_pod,
    pods_that_end_by_themselves,
    a_disrupted_pod,
    a_disrupted_pod_that_succeeds,
    a_pod_deleted_by_hand,
    a_waiting_pod_deleted_by_hand,
    a_job_deleted_in_the_foreground,
    a_job_deleted_in_the_background,
    a_run_that_is_deleted,
)


@pytest.mark.parametrize("steps", TABLE, ids=lambda steps: steps.__name__)
def test_both_do_alike(real: RealWorld, fake: FakeWorld, steps: Callable[[DecisionContext], Notes]) -> None:
    assert steps(fake) == steps(real)
