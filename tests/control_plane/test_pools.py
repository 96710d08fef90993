"""Runs in warm workers: a real apiserver, a real operator, real workers as processes; the node is the test's."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.builders import a_pool, a_queue, a_run
from support.host_access import ALLOW, FIELD, label
from support.kube import HTTPError
from support.operator import OwnRuns
from support.pools import Node, pool_status, worker_of
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane


def ready(runs: OwnRuns, name: str = "warm") -> dict[str, Any]:
    found: dict[str, Any] = next((c for c in pool_status(runs, name).get("conditions", []) if c["type"] == "Ready"), {})
    return found


# A run


def test_a_run_goes_to_a_worker_and_its_result_is_in_the_status(node: Node, pooled: OwnRuns) -> None:
    pooled.create(a_run("one").warm("tasks:double").payload(number=21).built)
    status = pooled.wait("one", "Succeeded", "Failed")
    assert status["result"] == 42
    (attempt,) = status["attempts"]
    assert attempt["pool"] == "warm"
    assert attempt["podName"] == worker_of(node).name
    assert attempt["outcome"] == "Succeeded"
    assert "jobName" not in attempt
    assert pooled.jobs("one") == []


def test_it_costs_two_writes_and_no_read(plane: ControlPlane, node: Node, pooled: OwnRuns) -> None:
    before = Counter(e.what for e in plane.requests("operator") if e.namespace == pooled.namespace)
    for i in range(20):
        pooled.create(a_run(f"cheap-{i}").warm("tasks:double").payload(number=i).built)
    for i in range(20):
        assert pooled.wait(f"cheap-{i}", "Succeeded")["result"] == 2 * i
    spent = Counter(e.what for e in plane.requests("operator") if e.namespace == pooled.namespace) - before
    del spent["patch workerpools/status"], spent["patch queues/status"]
    assert spent.pop("patch taskruns/status") <= 20 * 2 + 18  # those that wait for a slot may say so
    assert spent.pop("get taskruns", 0) <= 18
    assert not spent


def test_it_sees_the_variables_of_a_run(node: Node, pooled: OwnRuns) -> None:
    run = (
        a_run("who")
        .warm("tasks:who")
        .task(env=[{"name": "A", "value": "1"}])
        .spec(env=[{"name": "B", "value": "$(A)2"}])
    )
    pooled.create(run.built)
    found = pooled.wait("who", "Succeeded")["result"]
    assert {found["A"], found["B"]} == {"1", "12"}
    assert found["TIDEGATE_RUN"] == "who"
    assert found["TIDEGATE_POOL"] == "warm"
    assert not [name for name in found if "DISPATCH" in name or "SLOTS" in name]


@pytest.mark.parametrize(
    ("entrypoint", "payload", "reason", "message"),
    [
        ("tasks:fail", {}, "Error", "ValueError: no good"),
        ("tasks:abort", {}, "Error", "for good"),
        ("tasks:die", {}, "Error", "ended by SIGKILL"),
        ("tasks:nothing", {}, "Error", "tasks"),
        ("nowhere:nothing", {}, "Error", "nowhere"),
        ("tasks:big", {"size": 200_000}, "ResultTooLarge", "131072"),
    ],
)
def test_a_failure_is_one(
    node: Node, pooled: OwnRuns, entrypoint: str, payload: dict[str, Any], reason: str, message: str
) -> None:
    name = "fails-" + entrypoint.replace(":", "-")
    pooled.create(a_run(name).warm(entrypoint).payload(**payload).retry(maxAttempts=1).built)
    status = pooled.wait(name, "Failed", "Succeeded")
    assert status["reason"] == reason
    assert message in status["message"]


def test_a_large_result_stands_in_the_status(node: Node, pooled: OwnRuns) -> None:
    pooled.create(a_run("large").warm("tasks:big").payload(size=100_000).built)
    assert pooled.wait("large", "Succeeded")["result"] == "x" * 100_000


def test_a_retry_is_another_hand_over_by_the_same_spec(node: Node, pooled: OwnRuns, tmp_path: Path) -> None:
    run = a_run("again").warm("tasks:attempt").payload(path=str(tmp_path / "marks")).retry(initialDelaySeconds=0)
    pooled.create(run.built)
    status = pooled.wait("again", "Succeeded", "Failed")
    assert status["result"] == "2"
    assert [a["outcome"] for a in status["attempts"]] == ["Failed", "Succeeded"]
    assert len({a["handover"] for a in status["attempts"]}) == 2
    assert status["resolvedTask"]["pool"] == "warm"
    assert (tmp_path / "marks").read_text() == "1\n2\n"


# Limits


def test_a_timeout_ends_it(node: Node, pooled: OwnRuns) -> None:
    pooled.create(
        a_run("late").warm("tasks:sleep").payload(seconds=60).spec(timeoutSeconds=1).retry(maxAttempts=1).built
    )
    status = pooled.wait("late", "Failed")
    assert (status["reason"], status["attempts"][0]["outcome"]) == ("Timeout", "Timeout")
    assert "timed out after 1 s" in status["message"]


def test_a_deadline_ends_it(node: Node, pooled: OwnRuns) -> None:
    pooled.create(a_run("overdue").warm("tasks:sleep").payload(seconds=60).spec(deadlineSeconds=1).built)
    assert pooled.wait("overdue", "Failed")["reason"] == "DeadlineExceeded"


def test_cancel_ends_it(node: Node, pooled: OwnRuns) -> None:
    pooled.create(a_run("cancel").warm("tasks:sleep").payload(seconds=60).built)
    pooled.wait("cancel", "Running")
    pooled.patch_spec("cancel", cancel=True)
    status = pooled.wait("cancel", "Cancelled")
    assert status["attempts"][0]["outcome"] == "Cancelled"


def test_a_full_pool_holds_up_nobody_who_does_not_need_it(node: Node, pooled: OwnRuns, tmp_path: Path) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    for i in range(2):
        pooled.create(a_run(f"holds-{i}").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
        pooled.wait(f"holds-{i}", "Running")
    pooled.create(a_run("waits").warm("tasks:double").payload(number=1).spec(priority=1000).built)
    status = pooled.wait("waits", "Pending", reason="PoolFull")
    assert "2 slots" in status["message"]
    pooled.create(a_run("other").built)
    pooled.wait("other", "Succeeded")
    assert pooled.get("waits")["status"]["phase"] == "Pending"
    wait_until(lambda: pool_status(pooled)["busy"] == 2, what="the pool's status")
    assert pool_status(pooled)["waiting"] == 1
    go.touch()
    pooled.wait("waits", "Succeeded")
    wait_until(lambda: (pool_status(pooled)["busy"], pool_status(pooled)["waiting"]) == (0, 0), what="an idle pool")


def test_queues_keep_their_limits_in_a_pool(node: Node, pooled: OwnRuns, tmp_path: Path) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_queue("single", concurrencyLimit=1))
    for i in range(2):
        run = a_run(f"single-{i}").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).spec(queue="single")
        pooled.create(run.built)
    pooled.wait("single-0", "Running")
    pooled.wait("single-1", "Pending", reason="ConcurrencyLimit")
    go.touch()
    pooled.wait("single-1", "Succeeded")
    assert mark.read_text().split() == ["begin", "end", "begin", "end"]


# What isn't there


def test_a_pool_that_is_not_there_is_waited_for(node: Node, pooled: OwnRuns) -> None:
    pooled.create(a_run("nowhere").warm("tasks:double", pool="none").payload(number=1).built)
    status = pooled.wait("nowhere", "Pending", reason="PoolNotFound")
    assert "no WorkerPool none" in status["message"]
    pooled.patch_spec("nowhere", cancel=True)
    pooled.wait("nowhere", "Cancelled")


def test_a_pool_without_workers_says_why(node: Node, pooled: OwnRuns) -> None:
    pooled.create(a_pool("empty", replicas=0))
    wait_until(lambda: ready(pooled, "empty").get("status") == "False", what="the pool to say so")
    assert "0 replicas" in ready(pooled, "empty")["message"]
    pooled.create(a_run("unready").warm("tasks:double", pool="empty").payload(number=1).built)
    assert "0 replicas" in pooled.wait("unready", "Pending", reason="PoolNotReady")["message"]
    pooled.patch_spec("unready", cancel=True)
    pooled.wait("unready", "Cancelled")


@pytest.mark.parametrize(
    ("task", "word"),
    [
        ({"image": "busybox"}, "exactly one of image and pool"),
        ({"resources": {"limits": {"cpu": "1"}}}, "resources"),
        ({"podTemplate": {"spec": {}}}, "podTemplate"),
        ({"command": ["true"], "entrypoint": None}, "entrypoint"),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}, "valueFrom"),
        ({"retry": {"outOfMemory": {"resources": {}}}}, "outOfMemory"),
    ],
)
def test_the_apiserver_refuses_what_a_pool_has_already(pooled: OwnRuns, task: dict[str, Any], word: str) -> None:
    run = a_run("refused").warm("tasks:double").built
    run["spec"]["task"] = {k: v for k, v in {**run["spec"]["task"], **task}.items() if v is not None}
    with pytest.raises(HTTPError, match=word):
        pooled.create(run)


def test_a_run_may_not_lay_resources_over_a_pool(node: Node, pooled: OwnRuns) -> None:
    pooled.create(
        a_run("resources").warm("tasks:double").payload(number=1).spec(resources={"limits": {"cpu": "1"}}).built
    )
    status = pooled.wait("resources", "Failed")
    assert status["reason"] == "InvalidTask"
    assert "resources" in status["message"]


def test_a_pool_that_asks_for_the_hosts_namespaces_is_refused(node: Node, pooled: OwnRuns) -> None:
    pooled.create(a_pool("shared", podTemplate={"spec": {"shareProcessNamespace": True}}))
    wait_until(lambda: "shareProcessNamespace" in ready(pooled, "shared").get("message", ""), what="the refusal")
    assert pooled.listed("deployments", "tidegate.dev/pool=shared") == []


def test_a_pool_that_reaches_its_node_is_refused_until_its_namespace_allows_it(node: Node, pooled: OwnRuns) -> None:
    volumes = [{"name": "node", "hostPath": {"path": "/"}}]
    pooled.create(a_pool("rooted", replicas=0, podTemplate={"spec": {"volumes": volumes}}))
    wait_until(lambda: ready(pooled, "rooted").get("message", "").startswith(FIELD), what="the refusal")
    assert "tidegate.dev/allow-host-access=true" in ready(pooled, "rooted")["message"]
    assert pooled.listed("deployments", "tidegate.dev/pool=rooted") == []
    label(pooled, ALLOW)
    try:
        wait_until(lambda: bool(pooled.listed("deployments", "tidegate.dev/pool=rooted")), what="it")
    finally:
        label(pooled, dict.fromkeys(ALLOW))
