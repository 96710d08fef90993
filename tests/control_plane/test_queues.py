"""Queues on a real apiserver: limits, keys, rates, pauses, and a slot that is free only when its last pod has ended."""

import json
from typing import Any

import pytest
from support.builders import RunBuilder, a_queue, a_run, a_task
from support.operator import OperatorProcess, Runs
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("operator")


def held(name: str, queue: str, **spec: Any) -> RunBuilder:
    """A run whose pod goes on until it is asked to end."""
    return a_run(name).pod(hold="1").spec(queue=queue, **spec)


def end(plane: ControlPlane, runs: Runs, name: str) -> None:
    """Have the newest held pod of a run succeed."""
    job: str = runs.jobs(name)[-1]["metadata"]["name"]
    wait_until(lambda: bool(runs.listed("pods", f"job-name={job}")), what=f"the pod of {job}")
    plane.kubectl("annotate", "pod", "-l", f"job-name={job}", "fake.tidegate.dev/exit-code=0")


def started(runs: Runs, *names: str) -> list[str]:
    """Those of the runs that have a Job."""
    jobs = {j["metadata"]["labels"]["tidegate.dev/run"] for j in runs.listed("jobs", "tidegate.dev/run")}
    return [name for name in names if name in jobs]


def queue_status(runs: Runs, name: str) -> dict[str, Any]:
    status: dict[str, Any] = runs.get(name, kind="queues.tidegate.dev").get("status") or {}
    return status


def settled(runs: Runs, queue: str, *, running: int, pending: int) -> None:
    """Until the Queue's status says so."""
    wait_until(
        lambda: [queue_status(runs, queue).get(k) for k in ("running", "pending")] == [running, pending],
        what=f"Queue {queue} to run {running} and hold {pending}",
    )


@pytest.mark.quick
def test_a_limit_holds_the_rest_in_order_and_says_so(plane: ControlPlane, runs: Runs) -> None:
    runs.create(a_queue("two", concurrencyLimit=2))
    for i in range(4):
        runs.create(held(f"two-{i}", "two").built)
    settled(runs, "two", running=2, pending=2)
    assert started(runs, "two-0", "two-1", "two-2", "two-3") == ["two-0", "two-1"]
    status = runs.wait("two-2", "Pending", reason="ConcurrencyLimit")
    assert status["queue"] == "two"
    assert "queuedAt" in status
    assert "Queue two runs 2 of 2 at once" in status["message"]
    end(plane, runs, "two-0")
    runs.wait("two-0", "Succeeded")
    runs.wait("two-2", "Running")
    assert started(runs, "two-3") == []
    for name in ("two-1", "two-2", "two-3"):
        runs.patch_spec(name, cancel=True)
        runs.wait(name, "Cancelled")
    settled(runs, "two", running=0, pending=0)
    condition = queue_status(runs, "two")["conditions"][0]
    assert (condition["type"], condition["status"]) == ("Ready", "True")


def test_a_queue_takes_its_limit_from_the_task(runs: Runs) -> None:
    runs.create(a_queue("by-task", concurrencyLimit=0))
    runs.create(a_task("queued-task", queue="by-task"))
    runs.create(a_run("queued-by-task").task_ref("queued-task").built)
    assert runs.wait("queued-by-task", "Pending", reason="ConcurrencyLimit")["queue"] == "by-task"
    runs.create(a_run("own-queue").task_ref("queued-task").spec(queue="default").built)
    runs.wait("own-queue", "Succeeded")


def test_priority_goes_first_and_can_change_while_a_run_waits(plane: ControlPlane, runs: Runs) -> None:
    runs.create(a_queue("ranked", concurrencyLimit=0))
    for name, priority in (("low", -5), ("plain", 0), ("high", 7), ("raised", 0)):
        runs.create(held(f"ranked-{name}", "ranked", priority=priority).built)
    settled(runs, "ranked", running=0, pending=4)
    runs.patch_spec("ranked-raised", priority=100)
    wait_until(lambda: runs.get("ranked-raised")["spec"]["priority"] == 100, what="the change")
    patch(plane, "ranked", concurrencyLimit=1)
    order: list[str] = []
    for _ in range(4):
        wait_until(
            lambda: len(started(runs, *[f"ranked-{n}" for n in ("low", "plain", "high", "raised")])) > len(order),
            what="the next to start",
        )
        (new,) = set(started(runs, "ranked-low", "ranked-plain", "ranked-high", "ranked-raised")) - set(order)
        order.append(new)
        end(plane, runs, new)
    assert order == ["ranked-raised", "ranked-high", "ranked-plain", "ranked-low"]


def test_keys_have_their_own_limit_and_take_turns(plane: ControlPlane, runs: Runs) -> None:
    runs.create(a_queue("keyed", concurrencyLimitPerKey=1))
    for name, key in (("a0", "a"), ("a1", "a"), ("b0", "b")):
        runs.create(held(f"keyed-{name}", "keyed", concurrencyKey=key).built)
    settled(runs, "keyed", running=2, pending=1)
    assert started(runs, "keyed-a0", "keyed-a1", "keyed-b0") == ["keyed-a0", "keyed-b0"]
    assert (
        "key 'a' of Queue keyed runs 1 of 1" in runs.wait("keyed-a1", "Pending", reason="ConcurrencyLimit")["message"]
    )
    (job,) = runs.jobs("keyed-a0")
    assert job["metadata"]["annotations"]["tidegate.dev/concurrency-key"] == "a"
    end(plane, runs, "keyed-a0")
    runs.wait("keyed-a1", "Running")


def test_keys_take_turns_though_one_has_many_runs_before_the_other(plane: ControlPlane, runs: Runs) -> None:
    runs.create(a_queue("turns", concurrencyLimit=1))
    names = [f"turns-{name}" for name in ("first", "a1", "a2", "a3", "b1", "b2")]
    for name in names:
        runs.create(held(name, "turns", concurrencyKey=name[len("turns-")]).built)
    settled(runs, "turns", running=1, pending=5)
    order: list[str] = []
    for _ in names:
        wait_until(lambda: len(started(runs, *names)) > len(order), what="the next to start")
        (new,) = set(started(runs, *names)) - set(order)
        order.append(new)
        end(plane, runs, new)
    keys = [name[len("turns-")] for name in order]
    assert keys == ["f", "a", "b", "a", "b", "a"]


def test_a_paused_queue_lets_running_ones_go_on_and_holds_retries(plane: ControlPlane, runs: Runs) -> None:
    runs.create(a_queue("halted"))
    retry = {"maxAttempts": 2, "initialDelaySeconds": 0}
    runs.create(held("halted-goes-on", "halted").built)
    runs.create(held("halted-retries", "halted").task(retry=retry).built)
    for name in ("halted-goes-on", "halted-retries"):
        runs.wait(name, "Running")
    patch(plane, "halted", paused=True)
    runs.create(held("halted-waits", "halted").built)
    runs.wait("halted-waits", "Pending", reason="QueuePaused")
    (job,) = runs.jobs("halted-retries")
    plane.kubectl("annotate", "pod", "-l", f"job-name={job['metadata']['name']}", "fake.tidegate.dev/exit-code=1")
    runs.wait("halted-retries", "Retrying", reason="QueuePaused")
    end(plane, runs, "halted-goes-on")
    runs.wait("halted-goes-on", "Succeeded")
    assert started(runs, "halted-waits") == []
    patch(plane, "halted", paused=False)
    for name in ("halted-waits", "halted-retries"):
        runs.wait(name, "Running")
        end(plane, runs, name)
        runs.wait(name, "Succeeded")


def test_a_queue_that_is_not_there_holds_its_runs_until_it_is(plane: ControlPlane, runs: Runs) -> None:
    runs.create(a_run("orphan").spec(queue="made-later").built)
    assert "no Queue made-later" in runs.wait("orphan", "Pending", reason="QueueNotFound")["message"]
    runs.create(a_queue("made-later", concurrencyLimit=0))
    runs.wait("orphan", "Pending", reason="ConcurrencyLimit")
    plane.kubectl("delete", "queues.tidegate.dev", "made-later")
    runs.wait("orphan", "Pending", reason="QueueNotFound")
    runs.create(a_queue("made-later"))
    runs.wait("orphan", "Succeeded")


def test_a_rate_spends_its_burst_and_then_waits_for_tokens(runs: Runs) -> None:
    runs.create(a_queue("slow", rateLimit={"runs": 1, "perSeconds": 3600, "burst": 2}))
    for i in range(3):
        runs.create(a_run(f"slow-{i}").spec(queue="slow").built)
    runs.wait("slow-2", "Pending", reason="RateLimit")
    for name in ("slow-0", "slow-1"):
        runs.wait(name, "Succeeded")
    assert started(runs, "slow-2") == []
    wait_until(lambda: queue_status(runs, "slow").get("rateBucket", {}).get("tokens") == "0.000", what="the bucket")


def test_a_slot_is_free_only_when_the_pod_is_gone_also_if_its_run_was_deleted(plane: ControlPlane, runs: Runs) -> None:
    runs.create(a_queue("strict", concurrencyLimit=1))
    runs.create(held("strict-first", "strict").built)
    runs.wait("strict-first", "Running")
    runs.create(held("strict-next", "strict").built)
    # A finalizer stands for a node that takes its time to end the pod.
    (job,) = runs.jobs("strict-first")
    (pod,) = runs.listed("pods", f"job-name={job['metadata']['name']}")
    plane.kubectl("patch", "pod", pod["metadata"]["name"], "--type=merge", "-p", HOLD)
    plane.kubectl("delete", "taskruns.tidegate.dev", "strict-first")
    # The garbage collector knows a kind only half a minute after its CRD was made.
    wait_until(lambda: not runs.jobs("strict-first"), seconds=60, what="the Job to be collected")
    runs.wait("strict-next", "Pending", reason="ConcurrencyLimit")
    settled(runs, "strict", running=1, pending=1)
    plane.kubectl("patch", "pod", pod["metadata"]["name"], "--type=merge", "-p", RELEASE)
    runs.wait("strict-next", "Running")
    runs.patch_spec("strict-next", cancel=True)


def test_a_retry_gives_its_slot_back(runs: Runs) -> None:
    runs.create(a_queue("single", concurrencyLimit=1))
    retry = {"maxAttempts": 2, "initialDelaySeconds": 600, "maxDelaySeconds": 600}
    runs.create(a_run("single-retries").pod(exit_code="1").spec(queue="single").task(retry=retry).built)
    runs.wait("single-retries", "Retrying", reason="BackOff")
    runs.create(a_run("single-next").spec(queue="single").built)
    runs.wait("single-next", "Succeeded")
    assert runs.get("single-retries")["status"]["phase"] == "Retrying"
    runs.patch_spec("single-retries", cancel=True)


HOLD = json.dumps({"metadata": {"finalizers": ["test.tidegate.dev/hold"]}})
RELEASE = json.dumps({"metadata": {"finalizers": []}})


def test_a_quota_on_pods_holds_the_slot_and_the_clock_of_the_start(plane: ControlPlane) -> None:
    """The Job controller asks again after 1, 2, 4, 8 and more seconds: the clock begins again with each refusal."""
    plane.kubectl("create", "namespace", "full-up")
    try:
        plane.kubectl("create", "quota", "pods", "-n", "full-up", "--hard=pods=0")
        limited = a_queue("one", concurrencyLimit=1)
        limited["metadata"]["namespace"] = "full-up"
        plane.kubectl("create", "-f", "-", stdin=json.dumps(limited))
        for name, seconds in (("podless", 12), ("behind", 300)):
            run = a_run(name).namespace("full-up").spec(queue="one")
            run.task(startTimeoutSeconds=seconds, retry={"maxAttempts": 1})
            plane.kubectl("create", "-f", "-", stdin=json.dumps(run.built))

        def stands(run: str, words: str) -> bool:
            path = "jsonpath={.status.phase} {.status.reason}"
            return plane.kubectl("get", "-n", "full-up", "tgr", run, "-o", path) == words

        def refusals() -> int:
            listed = plane.kubectl(
                "get", "events", "-n", "full-up", "--field-selector=reason=FailedCreate", "-o", "json"
            )
            return sum(event.get("count") or 1 for event in json.loads(listed)["items"])

        wait_until(lambda: refusals() >= 5, seconds=60, what="a refusal after 15 s")
        assert stands("podless", "Starting QuotaExceeded")
        assert stands("behind", "Pending ConcurrencyLimit")
        plane.kubectl("patch", "-n", "full-up", "tgr", "podless", "--type=merge", "-p", '{"spec":{"cancel":true}}')
        wait_until(lambda: stands("behind", "Starting QuotaExceeded"), seconds=30, what="the slot to be free")
        plane.kubectl("delete", "quota", "pods", "-n", "full-up")
        plane.kubectl("wait", "-n", "full-up", "--for=condition=Succeeded", "tgr/behind", "--timeout=90s")
    finally:
        plane.kubectl("delete", "namespace", "full-up", "--wait=false")


def test_limits_hold_across_kills_of_the_operator(plane: ControlPlane, runs: Runs, operator: OperatorProcess) -> None:
    runs.create(a_queue("steady", concurrencyLimit=3))
    names = [f"steady-{i:02}" for i in range(12)]
    manifests = [a_run(n).pod(duration="1s").spec(queue="steady").built for n in names]
    plane.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))
    most = 0
    for turn in range(4):
        wait_until(lambda: len(started(runs, *names)) > 3 * turn, seconds=40, what="more Jobs")  # noqa: B023
        operator.kill()
        most = max(most, alive(runs, "steady"))
        operator.start().wait_ready()
        most = max(most, alive(runs, "steady"))
    for name in names:
        runs.wait(name, "Succeeded", seconds=60)
        assert len(runs.jobs(name)) == 1
    assert most <= 3


def alive(runs: Runs, queue: str) -> int:
    """Pods of a queue that may run."""
    pods = runs.listed("pods", f"tidegate.dev/queue={queue}")
    return sum(p["status"].get("phase") not in ("Succeeded", "Failed") for p in pods)


def patch(plane: ControlPlane, queue: str, **spec: Any) -> None:
    plane.kubectl("patch", "queues.tidegate.dev", queue, "--type=merge", "-p", json.dumps({"spec": spec}))
