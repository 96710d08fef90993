"""Runs in warm workers: a real apiserver, a real operator, real workers as processes; the node is the test's."""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.builders import a_pool, a_queue, a_run
from support.kube import HTTPError
from support.operator import OperatorProcess, OwnRuns
from support.pools import Node, PoolProcess, node_of, pooled_operator, with_secret
from support.proxy import FaultyProxy
from support.servers import free_port, wait_until
from tidegate_cluster.control_plane import ControlPlane

TASKS = """
import json, os, pathlib, signal, sys, time
from tidegate import AbortRun, RetryAfter, current_run

def double(number): return number * 2
def fail(): raise ValueError("no good")
def abort(): raise AbortRun("for good")
def die(): os.kill(os.getpid(), signal.SIGKILL)
def sleep(seconds): time.sleep(seconds)
def big(size): return "x" * size
def who(): return {k: v for k, v in os.environ.items() if k.startswith("TIDEGATE_") or k in ("A", "B")}
def log_line(path, line):
    with open(path, "a") as file:
        file.write(line + "\\n")
def attempt(path):
    log_line(path, os.environ["TIDEGATE_ATTEMPT"])
    if os.environ["TIDEGATE_ATTEMPT"] == "1":
        raise ValueError("first")
    return os.environ["TIDEGATE_ATTEMPT"]
def wait_for(path, mark):
    log_line(mark, "begin")
    while not os.path.exists(path):
        time.sleep(0.02)
    log_line(mark, "end")
    return "seen"
"""


@pytest.fixture(scope="module")
def pooled(plane: ControlPlane) -> OwnRuns:
    made = OwnRuns(plane, "pooled")
    with_secret(made)
    return made


@pytest.fixture(scope="module")
def leader(plane: ControlPlane, pooled: OwnRuns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    log: Path = tmp_path_factory.mktemp("operator") / "log"
    with pooled_operator(plane, log=log, port=free_port(), identity="operator") as made:
        yield made.wait_leading()


@pytest.fixture(scope="module")
def node(leader: OperatorProcess, pooled: OwnRuns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node_of(pooled, tmp_path_factory.mktemp("node"), tasks=TASKS) as made:
        pooled.create(a_pool("warm", preload=["tasks"], slots=2))
        made.run_all("warm")
        yield made


def worker_of(node: Node) -> PoolProcess:
    (worker,) = node.workers.values()
    return worker


def pool_status(runs: OwnRuns, name: str = "warm") -> dict[str, Any]:
    status: dict[str, Any] = runs.get(name, kind="workerpools.tidegate.dev").get("status") or {}
    return status


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
    before = Counter(e.what for e in plane.requests("operator") if e.namespace == "pooled")
    for i in range(20):
        pooled.create(a_run(f"cheap-{i}").warm("tasks:double").payload(number=i).built)
    for i in range(20):
        assert pooled.wait(f"cheap-{i}", "Succeeded")["result"] == 2 * i
    spent = Counter(e.what for e in plane.requests("operator") if e.namespace == "pooled") - before
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


# Ends that nobody wanted


def test_a_run_that_is_deleted_is_stopped_and_holds_its_slot_until_then(node: Node, pooled: OwnRuns) -> None:
    pooled.create(a_run("deleted").warm("tasks:sleep").payload(seconds=600).built)
    pooled.wait("deleted", "Running")
    wait_until(lambda: pool_status(pooled)["busy"] == 1, what="a busy slot")
    pooled.kube.delete("taskruns.tidegate.dev", "deleted", wait=False)
    wait_until(lambda: pool_status(pooled)["busy"] == 0, what="an idle pool")
    assert '"run": "deleted"' in worker_of(node).output.rsplit('"end": true', 1)[0].rsplit("\n", 1)[-1]


def test_what_a_worker_ran_when_it_ended_is_disrupted_and_made_again(
    node: Node, pooled: OwnRuns, tmp_path: Path
) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_run("lost").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
    pooled.wait("lost", "Running")
    wait_until(mark.exists, what="the function to start")
    worker = worker_of(node)
    node.kill(worker)
    status = pooled.wait("lost", "Retrying")
    assert status["attempts"][0]["outcome"] == "Disrupted"
    assert status["attempts"][0]["reason"] == "WorkerEnded"
    assert status["disruptions"] == 1
    node.start(worker.pod)
    go.touch()
    status = pooled.wait("lost", "Succeeded")
    assert [a["outcome"] for a in status["attempts"]] == ["Disrupted", "Succeeded"]


def test_the_third_worker_that_runs_out_of_memory_fails_the_run(node: Node, pooled: OwnRuns, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    pooled.create(a_run("greedy").warm("tasks:wait_for").payload(path="/nowhere", mark=str(mark)).built)
    for lives in range(1, 4):
        wait_until(
            lambda n=lives: mark.exists() and mark.read_text().count("begin") == n,  # type: ignore[misc]
            what=f"attempt {lives}",
        )
        worker = worker_of(node)
        node.kill(worker, reason="OOMKilled")
        wait_until(lambda: pooled.get("greedy")["status"]["phase"] in ("Retrying", "Failed"), what="its end")
        node.start(worker.pod)
    status = pooled.wait("greedy", "Failed")
    assert status["reason"] == "OOMKilled"
    assert [a["reason"] for a in status["attempts"]] == ["OOMKilled"] * 3


# Leaders that change


def test_an_outcome_is_kept_until_a_leader_has_written_it(
    node: Node, pooled: OwnRuns, leader: OperatorProcess, tmp_path: Path
) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_run("kept").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
    pooled.wait("kept", "Running")
    wait_until(mark.exists, what="the function to start")
    leader.kill()
    go.touch()
    wait_until(lambda: "end" in mark.read_text().split(), what="the function to end")
    leader.start().wait_leading()
    status = pooled.wait("kept", "Succeeded")
    assert status["result"] == "seen"
    assert len(status["attempts"]) == 1


def test_a_run_goes_on_while_leaders_change(
    node: Node, pooled: OwnRuns, leader: OperatorProcess, tmp_path: Path
) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_run("goes-on").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
    wait_until(mark.exists, what="the function to start")
    leader.kill()
    leader.start().wait_leading()
    wait_until(lambda: pool_status(pooled)["busy"] == 1, what="its slot to be held")
    go.touch()
    assert len(pooled.wait("goes-on", "Succeeded")["attempts"]) == 1
    assert mark.read_text().split() == ["begin", "end"]


def test_a_leader_hears_workers_only_once_it_knows_all_runs(
    node: Node, pooled: OwnRuns, leader: OperatorProcess, proxy: FaultyProxy, tmp_path: Path
) -> None:
    """What a worker says of a run that isn't known would be taken for one that is gone."""
    go, late, early = tmp_path / "go", tmp_path / "late", tmp_path / "early"
    for name, mark, path in (("known-late", late, go), ("ended-early", early, early)):
        pooled.create(a_run(name).warm("tasks:wait_for").payload(path=str(path), mark=str(mark)).built)
        wait_until(mark.exists, what=f"{name} to start")
    leader.kill()
    wait_until(lambda: "end" in early.read_text().split(), what="the end of one")
    # Workers try again more often than that.
    with proxy.on(method="GET", path="/taskruns$", watch=False).delay(3):
        leader.start(through=proxy).wait_leading()
    assert len(pooled.wait("ended-early", "Succeeded")["attempts"]) == 1
    go.touch()
    assert len(pooled.wait("known-late", "Succeeded")["attempts"]) == 1
    assert late.read_text().split() == ["begin", "end"]
    leader.kill()
    leader.start().wait_leading()


def test_a_hand_over_that_the_worker_never_had_is_made_again(
    plane: ControlPlane, node: Node, pooled: OwnRuns, leader: OperatorProcess, tmp_path: Path
) -> None:
    """As after a leader that died between the write and the hand-over: the status names one that no worker has."""
    pod = worker_of(node).pod
    pooled.create(a_run("never").warm("tasks:double").payload(number=4).spec(suspend=True).built)
    instance = node.container_of(pod).rpartition("//")[2][:12]
    leader.kill()
    entry: dict[str, Any] = {
        "number": 1,
        "pool": "warm",
        "podName": pod["metadata"]["name"],
        "podUid": pod["metadata"]["uid"],
    }
    status: dict[str, Any] = {
        "phase": "Running",
        "attempts": [{**entry, "handover": f"{instance}-abc"}],
        "resolvedTask": {"pool": "warm", "entrypoint": "tasks:double"},
    }
    pooled.kube.patch("taskruns.tidegate.dev", "never", {"status": status}, subresource="status")
    pooled.patch_spec("never", suspend=False)
    leader.start().wait_leading()
    status = pooled.wait("never", "Succeeded")
    assert [(a["outcome"], a.get("reason")) for a in status["attempts"]] == [
        ("Disrupted", "NotStarted"),
        ("Succeeded", None),
    ]
    assert "disruptions" not in status


def test_a_worker_that_does_not_answer_keeps_its_run(node: Node, pooled: OwnRuns, tmp_path: Path) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_run("frozen").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
    wait_until(mark.exists, what="the function to start")
    worker = worker_of(node)
    worker.signal(signal.SIGSTOP)
    go.touch()
    status = pooled.wait("frozen", "Running", reason="WorkerUnreachable", seconds=60)
    assert worker.name in status["message"]
    worker.signal(signal.SIGCONT)
    status = pooled.wait("frozen", "Succeeded")
    assert len(status["attempts"]) == 1


def test_a_worker_that_has_to_go_lets_its_run_end_and_gets_no_other(
    node: Node, pooled: OwnRuns, tmp_path: Path
) -> None:
    go, mark = tmp_path / "go", tmp_path / "mark"
    pooled.create(a_run("drained").warm("tasks:wait_for").payload(path=str(go), mark=str(mark)).built)
    wait_until(mark.exists, what="the function to start")
    worker = worker_of(node)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: pool_status(pooled)["slots"] == 0, what="no slot")
    pooled.create(a_run("next").warm("tasks:double").payload(number=1).built)
    pooled.wait("next", "Pending", reason="PoolNotReady")
    go.touch()
    assert len(pooled.wait("drained", "Succeeded")["attempts"]) == 1
    assert worker.process is not None
    assert worker.process.wait(20) == 0
    node.start(worker.pod)
    pooled.wait("next", "Succeeded")
