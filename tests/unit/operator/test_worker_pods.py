"""records/pool_parsing, policies/worker_pods and policies/pool_status: what the cluster says about workers."""

from typing import Any, cast

import pytest
from support.records import NOW
from tidegate_api.bodies import WorkerPoolSpecBody
from tidegate_api.objects import Condition
from tidegate_api.times import format_time
from tidegate_operator.policies.pool_status import pool_status
from tidegate_operator.policies.worker_pods import ended_by, instance_is_over, is_same_instance, pool_trouble
from tidegate_operator.queueing.pool_slots import PoolCount
from tidegate_operator.records.pool import PoolRecord, WorkerPodRecord
from tidegate_operator.records.pool_parsing import handover_of, instance_of, parse_deployment, parse_worker_pod
from tidegate_operator.records.run import Cause


def a_worker_pod(container: dict[str, Any] | None = None, **status: Any) -> WorkerPodRecord:
    meta = {
        "uid": "pod",
        "name": "warm-1",
        "namespace": "team",
        "resourceVersion": "5",
        "labels": {"tidegate.dev/pool": "warm"},
    }
    containers = [{"name": "worker", **container}] if container is not None else []
    return parse_worker_pod({"metadata": meta, "status": {"containerStatuses": containers, **status}})  # type: ignore[typeddict-item]


def running(ident: str = "containerd://0123456789abcdef", at: float = NOW) -> dict[str, Any]:
    return {"containerID": ident, "state": {"running": {"startedAt": format_time(at)}}}


def test_an_instance_is_the_beginning_of_its_containers_id() -> None:
    assert instance_of("containerd://0123456789abcdef") == "0123456789ab"
    assert instance_of("") is None is instance_of(None)
    assert a_worker_pod(running()).container == "0123456789ab"


@pytest.mark.parametrize(
    ("pod", "over"),
    [
        (a_worker_pod(running(), phase="Running"), False),
        (a_worker_pod(running("containerd://ffffffffffffffff"), phase="Running"), True),
        (a_worker_pod({"state": {"waiting": {"reason": "CrashLoopBackOff"}}}, phase="Running"), True),
        (
            a_worker_pod({"state": {"terminated": {"containerID": "containerd://0123456789abcdef"}}}, phase="Running"),
            True,
        ),
        (a_worker_pod(running(), phase="Failed"), True),
    ],
)
def test_an_instance_is_over_when_the_pods_status_has_another_or_none(pod: WorkerPodRecord, over: bool) -> None:
    assert instance_is_over(pod, "0123456789ab") is over


def test_a_process_is_the_container_that_began_with_it() -> None:
    pod = a_worker_pod(running(at=NOW), phase="Running")
    assert is_same_instance(pod, started=NOW - 0.3)
    assert is_same_instance(pod, started=NOW + 0.9)  # the node reports whole seconds
    assert not is_same_instance(pod, started=NOW + 2)  # the status is of the container before
    assert not is_same_instance(pod, started=NOW - 60)
    assert not is_same_instance(a_worker_pod({"state": {"waiting": {}}}), started=NOW)


@pytest.mark.parametrize(
    ("container", "status", "reason"),
    [
        (
            {
                "state": {"waiting": {}},
                "lastState": {"terminated": {"reason": "OOMKilled", "containerID": "c://0123456789ab"}},
            },
            {},
            "OOMKilled",
        ),
        (
            {
                "state": {"waiting": {}},
                "lastState": {"terminated": {"reason": "OOMKilled", "containerID": "c://ffffffffffff"}},
            },
            {},
            "WorkerEnded",
        ),
        (
            {
                "state": {"waiting": {}},
                "lastState": {"terminated": {"reason": "Error", "containerID": "c://0123456789ab"}},
            },
            {},
            "WorkerEnded",
        ),
        (None, {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Evicted"),
        (None, {"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}, "Evicted"),
    ],
)
def test_why_a_container_ended(container: dict[str, Any] | None, status: dict[str, Any], reason: str) -> None:
    assert ended_by(a_worker_pod(container, **status), "0123456789ab").reason == reason


def test_a_pod_that_is_gone_has_ended_too() -> None:
    assert ended_by(None, "0123456789ab") == Cause("WorkerEnded", "its worker pod is gone")


@pytest.mark.parametrize(
    ("container", "status", "words"),
    [
        (None, {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}, "0/1 nodes"),
        ({"state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}, {}, "no such image"),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"message": "preload x: No module named 'x'\n"}},
            },
            {},
            "No module named 'x'",
        ),
        (
            {
                "state": {"running": {"startedAt": "2026-11-28T06:00:00Z"}},
                "ready": False,
                "lastState": {"terminated": {"message": "preload x: No module named 'x'\n"}},
            },
            {},
            "No module named 'x'",
        ),
        (None, {"phase": "Failed", "reason": "OutOfcpu", "message": "node is full"}, "node is full"),
    ],
)
def test_why_no_worker_comes_is_said_in_the_clusters_words(
    container: dict[str, Any] | None, status: dict[str, Any], words: str
) -> None:
    pod = a_worker_pod(container, **status)
    assert pod.trouble is not None
    assert words in pod.trouble.message
    assert "warm-1" in pod.trouble.message


def test_a_container_that_is_being_created_is_no_trouble() -> None:
    assert a_worker_pod({"state": {"waiting": {"reason": "ContainerCreating"}}}).trouble is None


def test_the_end_of_the_start_before_is_no_trouble_of_a_worker_that_is_ready() -> None:
    last = {"terminated": {"message": "preload x: No module named 'x'"}}
    container = {"state": {"running": {}}, "ready": True, "lastState": last}
    assert a_worker_pod(container).trouble is None


def a_pool_record(**spec: Any) -> PoolRecord:
    return PoolRecord(
        uid="u",
        namespace="team",
        name="warm",
        version=1,
        generation=3,
        deleting=False,
        spec=cast("WorkerPoolSpecBody", {"image": "i", **spec}),
        status={},
    )


def test_a_quota_speaks_before_the_pods() -> None:
    meta = {
        "uid": "d",
        "name": "warm-x",
        "namespace": "team",
        "resourceVersion": "1",
        "ownerReferences": [
            {"kind": "WorkerPool", "apiVersion": "tidegate.dev/v1alpha1", "uid": "u", "controller": True}
        ],
    }
    failure: Condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota",
    }
    deployment = parse_deployment({"metadata": meta, "status": {"replicas": 2, "conditions": [failure]}})  # type: ignore[typeddict-item]
    assert deployment is not None
    assert pool_trouble(a_pool_record(), deployment, []) == Cause("FailedCreate", "exceeded quota")
    assert parse_deployment({"metadata": {**meta, "ownerReferences": []}}) is None  # type: ignore[typeddict-item]


def test_zero_replicas_are_no_failure_of_anyone() -> None:
    assert pool_trouble(a_pool_record(replicas=0), None, []) == Cause("PoolNotReady", "it has 0 replicas")


def test_the_status_says_what_the_pool_does() -> None:
    status = pool_status(a_pool_record(replicas=2), None, PoolCount(2, 8, 3), waiting=5, trouble=None, now=NOW)
    assert (status["slots"], status["busy"], status["waiting"], status["observedGeneration"]) == (8, 3, 5, 3)
    assert status["selector"] == "tidegate.dev/pool=warm"
    (ready,) = status["conditions"]
    assert (ready["status"], ready["message"]) == ("True", "2 of 2 workers are connected")
    held = {**status, "conditions": [{**ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    pool = a_pool_record()
    later = pool_status(
        PoolRecord(**{**{f: getattr(pool, f) for f in pool.__slots__}, "status": held}),
        None,
        PoolCount(1, 4, 0),
        waiting=0,
        trouble=None,
        now=NOW,
    )
    assert later["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"


def test_a_pool_without_workers_says_why() -> None:
    trouble = Cause("ErrImagePull", "no such image")
    status = pool_status(a_pool_record(), None, PoolCount(0, 0, 0), waiting=0, trouble=trouble, now=NOW)
    (ready,) = status["conditions"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "ErrImagePull", "no such image")


def test_only_a_whole_hand_over_is_one() -> None:
    whole = {"number": 1, "handover": "h", "pool": "warm", "podUid": "p"}
    assert handover_of(whole) is not None  # type: ignore[arg-type]
    for lacking in ("handover", "pool", "podUid"):
        assert handover_of({k: v for k, v in whole.items() if k != lacking}) is None  # type: ignore[arg-type]
