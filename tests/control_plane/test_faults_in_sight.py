"""What the operator can't see, sees late or sees wrong: lost events, slow lists, clocks that are off."""

import time
from collections.abc import Iterator

import pytest
from support.builders import a_queue, a_run
from support.faults import QUICK_LEASE, end, held, job_of, live_pods, reported, started
from support.operator import OperatorProcess, Runs
from support.proxy import FaultyProxy
from support.servers import wait_until
from tidegate_api.times import format_time, parse_time

CORRECTIONS = 'tidegate_sweep_corrections_total{{kind="{}"}}'
SWEEPS = 'tidegate_sweeps_total{outcome="ok"}'
LISTS = {
    "tasks": r"^/apis/.*/tasks$",
    "queues": r"^/apis/.*/queues$",
    "schedules": r"^/apis/.*/schedules$",
    "taskruns": r"^/apis/.*/taskruns$",
    "jobs": r"/jobs$",
    "pods": r"/pods$",
}


@pytest.fixture(scope="module")
def operator(way: FaultyProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator behind the proxy that sweeps every second."""
    log = tmp_path_factory.mktemp("operator") / "log"
    with OperatorProcess(way, log=log, sweep_seconds="1", identity="same", **QUICK_LEASE) as made:
        yield made.wait_leading()


def test_the_end_of_a_pod_that_no_event_reported_is_found_and_its_slot_given_on(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy
) -> None:
    runs.create(a_queue("unseen", concurrencyLimit=1))
    runs.create(held("unseen-1", queue="unseen").built)
    runs.wait("unseen-1", "Running")
    runs.create(held("unseen-2", queue="unseen").built)
    proxy.wait_watched("pods")
    proxy.swallow_events("pods")
    end(runs, "unseen-1")
    status = runs.wait("unseen-1", "Succeeded")
    assert [a["outcome"] for a in status["attempts"]] == ["Succeeded"]
    wait_until(lambda: started(runs, "unseen-2") == ["unseen-2"], what="the next to start")
    # Its start isn't reported either; a request for it shows it.
    runs.wait("unseen-2", "Running")
    assert proxy.swallowed("pods") > 0
    proxy.deliver_events("pods")
    end(runs, "unseen-2")
    runs.wait("unseen-2", "Succeeded")


def test_runs_and_queues_whose_deletion_no_event_reported_are_found_to_be_gone(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy
) -> None:
    runs.create(a_queue("vanishing", concurrencyLimit=1))
    runs.create(held("vanishing-1", queue="vanishing").built)
    runs.wait("vanishing-1", "Running")
    runs.create(a_run("vanishing-2").spec(queue="vanishing").built)
    missed = operator.metric(CORRECTIONS.format("queues"))
    proxy.swallow_events("taskruns")
    runs.kube.delete("taskruns.tidegate.dev", "vanishing-1")
    runs.kube.delete_all("jobs", "tidegate.dev/run=vanishing-1")
    runs.wait("vanishing-2", "Succeeded")
    proxy.swallow_events("queues")
    runs.kube.delete("queues.tidegate.dev", "vanishing")
    wait_until(lambda: operator.metric(CORRECTIONS.format("queues")) > missed, what="the Queue to be missed")
    proxy.deliver_events("taskruns")
    runs.create(a_run("vanishing-3").spec(queue="vanishing").built)
    runs.wait("vanishing-3", "Pending", reason="QueueNotFound")


def test_a_job_made_while_the_jobs_are_being_listed_is_not_taken_for_missing(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy
) -> None:
    with proxy.on(method="GET", path=LISTS["jobs"], query={"limit": "500"}).forward_then_hold().times(1) as rule:
        rule.wait_hits()
        runs.create(held("meanwhile").built)
        runs.wait("meanwhile", "Running")
        sweeps = operator.metric(SWEEPS)
        rule.release()
        wait_until(lambda: operator.metric(SWEEPS) > sweeps + 1, what="the sweep and one more")
    runs.patch_spec("meanwhile", cancel=True)
    status = runs.wait("meanwhile", "Cancelled")
    assert len(runs.jobs("meanwhile")) == len(status["attempts"]) == 1


@pytest.mark.parametrize("kind", LISTS)
def test_nothing_starts_after_a_restart_before_every_list_is_through(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy, kind: str
) -> None:
    queue = f"full-{kind}"
    runs.create(a_queue(queue, concurrencyLimit=2))
    names = [f"{queue}-{i}" for i in range(5)]
    for name in names:
        runs.create(held(name, queue=queue).built)
    reported(runs, queue, running=2, pending=3)
    # A slot is taken before its Job is there.
    wait_until(lambda: len(started(runs, *names)) == 2, what="two Jobs")
    operator.kill()
    # One ends while no watch is open: its slot is free, but nothing is decided on that before all lists are through.
    ended, other = started(runs, *names)
    end(runs, ended)
    wait_until(lambda: len(live_pods(runs, f"tidegate.dev/queue={queue}")) == 1, what="its end")
    with (
        proxy.on(method="GET", path=LISTS[kind], watch=False).hold() as lists,
        proxy.on(method="POST", path="/jobs$") as posts,
        proxy.on(method="PATCH", path="/status$") as patches,
    ):
        operator.start()
        lists.wait_hits()
        wait_until(lambda: operator.page("readyz")[0] == 503, what="it to be reading")
        assert (posts.hits, patches.hits) == (0, 0)
        lists.release()
        wait_until(lambda: len(started(runs, *names)) == 3, what="the third to start")
    operator.wait_ready()
    reported(runs, queue, running=2, pending=2)
    assert len(started(runs, *names)) == 3
    assert other in started(runs, *names)
    runs.kube.patch("queues.tidegate.dev", queue, {"spec": {"paused": True}})


@pytest.mark.parametrize("minutes", [-10, 10], ids=["slow", "fast"])
def test_a_nodes_clock_that_is_off_changes_no_duration_and_no_timeout(
    runs: Runs, operator: OperatorProcess, minutes: int
) -> None:
    off, name = minutes * 60.0, f"clock{minutes}"
    # No kubelet, real or not, knows this node: the test speaks for it.
    elsewhere = {"spec": {"nodeName": "elsewhere"}}
    task = {"timeoutSeconds": 6, "retry": {"maxAttempts": 1}, "podTemplate": elsewhere}
    runs.create(a_run(name).task(**task).built)
    runs.wait(name, "Starting", reason="PullingImage")
    begun = time.time()
    set_pod(runs, name, phase="Running", state={"running": {"startedAt": format_time(begun + off)}})
    status = runs.wait(name, "Running")
    assert parse_time(status["startedAt"]) == pytest.approx(begun, abs=300)  # not 600
    wait_until(
        lambda: runs.listed("pods", f"job-name={job_of(runs, name)}")[0]["spec"]["activeDeadlineSeconds"] == 1,
        what="its timeout",
    )
    assert time.time() - begun >= 5
    ended = {"startedAt": format_time(begun + off), "finishedAt": format_time(time.time() + off), "exitCode": 143}
    set_pod(runs, name, phase="Failed", reason="DeadlineExceeded", state={"terminated": ended})
    status = runs.wait(name, "Failed", reason="Timeout")
    took = (parse_time(status["finishedAt"]) or 0) - (parse_time(status["startedAt"]) or 0)
    assert 5 <= took < 300  # the clocks are 600 s apart
    assert status["attempts"][0]["startedAt"] <= status["attempts"][0]["finishedAt"]


def set_pod(runs: Runs, run: str, *, phase: str, state: dict[str, object], **status: str) -> None:
    """Be the kubelet of the run's pod."""
    (pod,) = runs.listed("pods", f"job-name={job_of(runs, run)}")
    container = {"name": "task", "image": "busybox", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    body = {"status": {"phase": phase, "containerStatuses": [container], **status}}
    runs.kube.patch("pods", pod["metadata"]["name"], body, subresource="status")
