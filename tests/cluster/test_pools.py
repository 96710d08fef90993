"""Warm workers in real pods: by the example, by a kubectl that kills, scales and rolls out, and by operators that go."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.builders import EXAMPLES as IMAGE
from support.builders import a_run
from support.cluster import SECONDS, ClusterRuns
from support.cluster_pools import POOL, has_slots, pool_status, workers
from support.kube import Kube
from support.outside import EXAMPLES
from support.servers import wait_until
from tidegate_demo.install import wait_ready
from tidegate_demo.kubectl import Kubectl

Json = dict[str, Any]


def inside(runs: ClusterRuns, pod: str, script: str) -> str:
    """What a shell in a worker prints."""
    return runs.kubectl("exec", pod, "-c", "worker", "--", "python", "-c", script)


@pytest.fixture(scope="module")
def moods(runs: ClusterRuns) -> Iterator[ClusterRuns]:
    runs.kubectl("apply", "-f", str(EXAMPLES / "mood"))
    has_slots(runs, "moods", 2)
    yield runs
    runs.kubectl("delete", "-f", str(EXAMPLES / "mood"), "--wait=false")


def test_the_example_answers_from_a_worker(moods: ClusterRuns) -> None:
    status = moods.wait("letter", "Succeeded")
    assert status["result"]["mood"] == "good"
    (attempt,) = status["attempts"]
    assert attempt["pool"] == "moods"
    assert attempt["podName"] == workers(moods, "moods")[0]["metadata"]["name"]
    assert moods.jobs("letter") == []


def a_mood(name: str, **fields: Any) -> Any:
    return a_run(name).task_ref("mood").payload(text="great work").spec(**fields)


def test_many_runs_end_right_while_operators_go(kubectl: Kubectl, release: Kube, moods: ClusterRuns) -> None:
    names = [f"many-{number:03}" for number in range(200)]
    items = [a_mood(name).namespace(moods.namespace).built for name in names]
    moods.kube.create_all(items)
    for _ in range(2):
        release.delete_all("pods", "app.kubernetes.io/component=operator", grace=0)
        wait_ready(kubectl)
    for name in names:
        status = moods.wait(name, "Succeeded")
        assert status["result"]["mood"] == "good"
        assert [a["outcome"] for a in status["attempts"]][-1:] == ["Succeeded"]


def test_a_worker_whose_main_process_is_killed_comes_back_and_its_runs_too(moods: ClusterRuns) -> None:
    (pod,) = workers(moods, "moods")
    name = pod["metadata"]["name"]
    # From the inside nothing can kill it: the kernel spares the first process of a container.
    inside(moods, name, "import os; os.kill(1, 9)")
    assert moods.end(a_mood("spared"), "Succeeded")["result"]["mood"] == "good"
    restarts = pod["status"]["containerStatuses"][0]["restartCount"]
    # Its zygote can be killed; without it the worker starts anew.
    zygote = "import os; [os.kill(int(p), 9) for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid()) and b'zygote' in open(f'/proc/{p}/cmdline','rb').read()]"
    inside(moods, name, zygote)

    def is_back() -> bool:
        found = moods.get(name, kind="pods")["status"]["containerStatuses"][0]
        return bool(found["restartCount"] > restarts and found["ready"])

    wait_until(is_back, seconds=SECONDS, what="the worker's container to be started again")
    has_slots(moods, "moods", 2)
    assert moods.end(a_mood("after"), "Succeeded")["result"]["mood"] == "good"


def test_a_pool_is_scaled_to_zero_and_back(moods: ClusterRuns) -> None:
    moods.kubectl("scale", f"{POOL}/moods", "--replicas=0")
    wait_until(lambda: workers(moods, "moods") == [], seconds=SECONDS, what="no worker")
    moods.start(a_mood("waits"))
    moods.wait("waits", "Pending", reason="PoolNotReady")
    moods.kubectl("scale", f"{POOL}/moods", "--replicas=2")
    moods.wait("waits", "Succeeded")
    has_slots(moods, "moods", 4)
    moods.kubectl("scale", f"{POOL}/moods", "--replicas=1")
    has_slots(moods, "moods", 2)


def test_a_new_spec_is_rolled_out_without_losing_a_run(moods: ClusterRuns) -> None:
    (before,) = workers(moods, "moods")
    for number in range(20):
        moods.start(a_mood(f"rollout-{number}"))
    moods.kube.patch(POOL, "moods", {"spec": {"env": [{"name": "ROUND", "value": "2"}]}})
    for number in range(20, 60):
        moods.start(a_mood(f"rollout-{number}"))
        time.sleep(0.05)

    def is_replaced() -> bool:
        found = workers(moods, "moods")
        return [pod["metadata"]["uid"] for pod in found] not in ([before["metadata"]["uid"]], []) and len(found) == 1

    wait_until(is_replaced, seconds=SECONDS, what="another worker")
    for number in range(60):
        status = moods.wait(f"rollout-{number}", "Succeeded")
        assert len(status["attempts"]) == 1, status


def test_a_module_that_cannot_be_imported_is_named_where_one_looks(moods: ClusterRuns) -> None:
    spec = {"image": IMAGE, "preload": ["no_such_module"]}
    pool = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": "broken"}, "spec": spec}
    moods.kube.create(pool)
    try:

        def is_said() -> bool:
            conditions = pool_status(moods, "broken").get("conditions", [])
            return any("no_such_module" in c.get("message", "") for c in conditions)

        wait_until(is_said, seconds=SECONDS, what="the module's name in the pool's condition")
        run = a_run("needs-broken").warm("mood:mood", pool="broken").payload(text="x")
        moods.start(run)
        status = moods.wait("needs-broken", "Pending", reason="PoolNotReady")
        assert "no_such_module" in status["message"]
    finally:
        moods.kube.delete(POOL, "broken")


def test_the_log_of_a_run_is_in_the_workers_log(moods: ClusterRuns) -> None:
    run = a_run("speaks").warm("this:nothing", pool="moods").retry(maxAttempts=1)
    status = moods.end(run, "Failed")
    assert "nothing" in status["message"]
    pod = status["attempts"][0]["podName"]

    def mine() -> list[Json]:
        return [json.loads(line) for line in moods.log(pod).splitlines() if '"run": "speaks"' in line]

    # The outcome is reported before the log is written out.
    wait_until(lambda: any(entry.get("end") for entry in mine()), seconds=SECONDS, what="the last line of the run")
    assert "The Zen of Python, by Tim Peters" in [entry.get("line") for entry in mine()]
