"""Queues on a real apiserver: limits, keys, rates, pauses, and a slot that is free only when its last pod has ended."""

from typing import Any

import pytest
from support.builders import RunBuilder, a_queue, a_run, a_task
from support.operator import OperatorProcess, Runs
from support.servers import wait_until

pytestmark = pytest.mark.usefixtures("operator")

Json = dict[str, Any]


def held(name: str, queue: str, **spec: Any) -> RunBuilder:
    """A run whose pod goes on until it is asked to end."""
    return a_run(name).pod(hold="1").spec(queue=queue, **spec)


def end(runs: Runs, name: str) -> None:
    """Have the newest held pod of a run succeed."""
    job: str = runs.jobs(name)[-1]["metadata"]["name"]
    wait_until(lambda: bool(runs.listed("pods", f"job-name={job}")), what=f"the pod of {job}")
    runs.kube.annotate_all("pods", f"job-name={job}", {"fake.tidegate.dev/exit-code": "0"})


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
def test_a_limit_holds_the_rest_in_order_and_says_so(runs: Runs) -> None:
    runs.create(a_queue("two", concurrencyLimit=2))
    for i in range(4):
        runs.create(held(f"two-{i}", "two").built)
    settled(runs, "two", running=2, pending=2)
    assert started(runs, "two-0", "two-1", "two-2", "two-3") == ["two-0", "two-1"]
    status = runs.wait("two-2", "Pending", reason="ConcurrencyLimit")
    assert status["queue"] == "two"
    assert "queuedAt" in status
    assert "Queue two runs 2 of 2 at once" in status["message"]
    end(runs, "two-0")
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


def test_priority_goes_first_and_can_change_while_a_run_waits(runs: Runs) -> None:
    runs.create(a_queue("ranked", concurrencyLimit=0))
    for name, priority in (("low", -5), ("plain", 0), ("high", 7), ("raised", 0)):
        runs.create(held(f"ranked-{name}", "ranked", priority=priority).built)
    settled(runs, "ranked", running=0, pending=4)
    runs.patch_spec("ranked-raised", priority=100)
    wait_until(lambda: runs.get("ranked-raised")["spec"]["priority"] == 100, what="the change")
    patch(runs, "ranked", concurrencyLimit=1)
    order: list[str] = []
    for _ in range(4):
        wait_until(
            lambda: len(started(runs, *[f"ranked-{n}" for n in ("low", "plain", "high", "raised")])) > len(order),
            what="the next to start",
        )
        (new,) = set(started(runs, "ranked-low", "ranked-plain", "ranked-high", "ranked-raised")) - set(order)
        order.append(new)
        end(runs, new)
    assert order == ["ranked-raised", "ranked-high", "ranked-plain", "ranked-low"]


def test_keys_have_their_own_limit_and_take_turns(runs: Runs) -> None:
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
    end(runs, "keyed-a0")
    runs.wait("keyed-a1", "Running")


def test_keys_take_turns_though_one_has_many_runs_before_the_other(runs: Runs) -> None:
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
        end(runs, new)
    keys = [name[len("turns-")] for name in order]
    assert keys == ["f", "a", "b", "a", "b", "a"]


def test_a_paused_queue_lets_running_ones_go_on_and_holds_retries(runs: Runs) -> None:
    runs.create(a_queue("halted"))
    retry = {"maxAttempts": 2, "initialDelaySeconds": 0}
    runs.create(held("halted-goes-on", "halted").built)
    runs.create(held("halted-retries", "halted").task(retry=retry).built)
    for name in ("halted-goes-on", "halted-retries"):
        runs.wait(name, "Running")
    patch(runs, "halted", paused=True)
    runs.create(held("halted-waits", "halted").built)
    runs.wait("halted-waits", "Pending", reason="QueuePaused")
    (job,) = runs.jobs("halted-retries")
    runs.kube.annotate_all("pods", f"job-name={job['metadata']['name']}", {"fake.tidegate.dev/exit-code": "1"})
    runs.wait("halted-retries", "Retrying", reason="QueuePaused")
    end(runs, "halted-goes-on")
    runs.wait("halted-goes-on", "Succeeded")
    assert started(runs, "halted-waits") == []
    patch(runs, "halted", paused=False)
    for name in ("halted-waits", "halted-retries"):
        runs.wait(name, "Running")
        end(runs, name)
        runs.wait(name, "Succeeded")


def test_a_queue_that_is_not_there_holds_its_runs_until_it_is(runs: Runs) -> None:
    runs.create(a_run("orphan").spec(queue="made-later").built)
    assert "no Queue made-later" in runs.wait("orphan", "Pending", reason="QueueNotFound")["message"]
    runs.create(a_queue("made-later", concurrencyLimit=0))
    runs.wait("orphan", "Pending", reason="ConcurrencyLimit")
    runs.kube.delete("queues.tidegate.dev", "made-later")
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


def test_a_slot_is_free_only_when_the_pod_is_gone_also_if_its_run_was_deleted(runs: Runs) -> None:
    runs.create(a_queue("strict", concurrencyLimit=1))
    runs.create(held("strict-first", "strict").built)
    runs.wait("strict-first", "Running")
    runs.create(held("strict-next", "strict").built)
    # A finalizer stands for a node that takes its time to end the pod.
    (job,) = runs.jobs("strict-first")
    (pod,) = runs.listed("pods", f"job-name={job['metadata']['name']}")
    runs.kube.patch("pods", pod["metadata"]["name"], HOLD)
    runs.kube.delete("taskruns.tidegate.dev", "strict-first")
    # The garbage collector knows a kind only half a minute after its CRD was made.
    wait_until(lambda: not runs.jobs("strict-first"), what="the Job to be collected")
    runs.wait("strict-next", "Pending", reason="ConcurrencyLimit")
    settled(runs, "strict", running=1, pending=1)
    runs.kube.patch("pods", pod["metadata"]["name"], RELEASE)
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


HOLD: Json = {"metadata": {"finalizers": ["test.tidegate.dev/hold"]}}
RELEASE: Json = {"metadata": {"finalizers": []}}


def test_a_quota_on_pods_holds_the_slot_and_the_clock_of_the_start(runs: Runs) -> None:
    """The Job controller asks again after 1, 2, 4, 8 and more seconds: the clock begins again with each refusal."""
    kube = runs.kube.create_namespace("full-up")
    try:
        kube.create_quota("pods", {"pods": 0})
        limited = a_queue("one", concurrencyLimit=1)
        limited["metadata"]["namespace"] = "full-up"
        kube.create(limited)
        for name, seconds in (("podless", 12), ("behind", 300)):
            run = a_run(name).namespace("full-up").spec(queue="one")
            run.task(startTimeoutSeconds=seconds, retry={"maxAttempts": 1})
            kube.create(run.built)

        def stands(run: str, words: str) -> bool:
            status = kube.get("taskruns.tidegate.dev", run)["status"]
            return f"{status['phase']} {status.get('reason')}" == words

        def refusals() -> int:
            return sum(event.get("count") or 1 for event in kube.listed("events", fields="reason=FailedCreate"))

        wait_until(lambda: refusals() >= 5, what="a refusal after 15 s")
        assert stands("podless", "Starting QuotaExceeded")
        assert stands("behind", "Pending ConcurrencyLimit")
        kube.patch("taskruns.tidegate.dev", "podless", {"spec": {"cancel": True}})
        wait_until(lambda: stands("behind", "Starting QuotaExceeded"), what="the slot to be free")
        kube.delete("resourcequotas", "pods")
        kube.wait_condition("taskruns.tidegate.dev", "behind", "Succeeded")
    finally:
        kube.delete("namespaces", "full-up", wait=False)


def test_limits_hold_across_kills_of_the_operator(runs: Runs, operator: OperatorProcess) -> None:
    runs.create(a_queue("steady", concurrencyLimit=3))
    names = [f"steady-{i:02}" for i in range(12)]
    manifests = [a_run(n).pod(duration="1s").spec(queue="steady").built for n in names]
    runs.kube.create_all(manifests)
    most = 0
    for turn in range(4):
        wait_until(lambda: len(started(runs, *names)) > 3 * turn, what="more Jobs")  # noqa: B023
        operator.kill()
        most = max(most, alive(runs, "steady"))
        operator.start().wait_ready()
        most = max(most, alive(runs, "steady"))
    for name in names:
        runs.wait(name, "Succeeded")
        assert len(runs.jobs(name)) == 1
    assert most <= 3


def alive(runs: Runs, queue: str) -> int:
    """Pods of a queue that may run."""
    pods = runs.listed("pods", f"tidegate.dev/queue={queue}")
    return sum(p["status"].get("phase") not in ("Succeeded", "Failed") for p in pods)


def patch(runs: Runs, queue: str, **spec: Any) -> None:
    runs.kube.patch("queues.tidegate.dev", queue, {"spec": spec})
