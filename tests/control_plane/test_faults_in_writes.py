"""Writes that are refused, late, or carried out with the answer lost: on a real apiserver, through a proxy that does so."""

from collections.abc import Callable, Iterator

import pytest
from support.builders import a_queue, a_run
from support.faults import QUICK_LEASE, end, held, live_pods, reported, started
from support.operator import OperatorProcess, Runs
from support.proxy import FaultyProxy
from support.rules import Rule
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

Fault = Callable[[Rule], Rule]
REFUSALS: dict[str, Fault] = {
    "refused with Retry-After": lambda rule: rule.answer(429, retry_after=1).times(2),
    "failed": lambda rule: rule.answer(500).times(2),
    "lost on the way": lambda rule: rule.drop().times(2),
    "answer lost": lambda rule: rule.forward_then_drop().times(1),
}
FAULTS: dict[str, Fault] = {**REFUSALS, "late": lambda rule: rule.delay(4.5).times(1)}
"""`late` is later than the operator waits for an answer."""


@pytest.fixture(scope="module")
def operator(way: FaultyProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator behind the proxy."""
    log = tmp_path_factory.mktemp("operator") / "log"
    with OperatorProcess(way, log=log, **QUICK_LEASE) as made:
        yield made.wait_leading()


@pytest.fixture(autouse=True)
def same_process(operator: OperatorProcess) -> Iterator[None]:
    """No fault ends the operator."""
    yield
    assert operator.exit_code is None


def gone(runs: Runs, *names: str) -> None:
    """Have the runs end."""
    for name in names:
        runs.patch_spec(name, cancel=True)
        runs.wait(name, "Cancelled")


@pytest.mark.parametrize("what", FAULTS)
def test_a_job_whose_creation_meets_a_fault_is_made_once_and_its_slot_not_lent_twice(
    runs: Runs, proxy: FaultyProxy, what: str
) -> None:
    name = f"post-{what.lower().replace(' ', '-')}"
    runs.create(a_queue(name, concurrencyLimit=1))
    with FAULTS[what](proxy.on(method="POST", path="/jobs$", body=f"{name}-1-")) as rule:
        runs.create(held(f"{name}-1", queue=name).built)
        rule.wait_hits()
        runs.create(held(f"{name}-2", queue=name).built)
        rule.wait_done()
        runs.wait(f"{name}-1", "Running")
    assert started(runs, f"{name}-2") == []
    end(runs, f"{name}-1")
    status = runs.wait(f"{name}-1", "Succeeded")
    assert [a["number"] for a in status["attempts"]] == [1]
    assert len(runs.jobs(f"{name}-1")) == 1
    runs.wait(f"{name}-2", "Running")
    gone(runs, f"{name}-2")


def test_a_run_cancelled_while_the_answer_to_its_post_is_lost_ends_without_a_pod(
    runs: Runs, proxy: FaultyProxy
) -> None:
    with proxy.on(method="POST", path="/jobs$", body="cancel-lost").forward_then_hold().times(1) as rule:
        runs.create(held("cancel-lost").built)
        rule.wait_hits()
        runs.patch_spec("cancel-lost", cancel=True)
        with proxy.on(method="POST", path="/jobs$", body="cancel-lost").drop():
            wait_until(lambda: bool(runs.jobs("cancel-lost")), what="the Job")
            runs.wait("cancel-lost", "Cancelled")
    assert live_pods(runs, "tidegate.dev/run=cancel-lost") == []
    assert len(runs.jobs("cancel-lost")) == 1


def test_a_run_cancelled_while_its_post_never_arrives_ends_without_a_job(runs: Runs, proxy: FaultyProxy) -> None:
    with proxy.on(method="POST", path="/jobs$", body="cancel-never").drop() as rule:
        runs.create(held("cancel-never").built)
        rule.wait_hits()
        runs.patch_spec("cancel-never", cancel=True)
        runs.wait("cancel-never", "Cancelled")
    assert runs.jobs("cancel-never") == []


@pytest.mark.parametrize("lost", [True, False], ids=["answer lost", "answer late"])
def test_a_run_deleted_while_its_job_is_being_made_keeps_its_slot_until_nothing_of_it_can_run(
    runs: Runs, proxy: FaultyProxy, lost: bool
) -> None:
    name = f"deleted-{lost:d}"
    runs.create(a_queue(name, concurrencyLimit=1))
    # The pod stays until the test lets it go: no other clean-up hides a slot that was given on too early.
    first = held(f"{name}-1", queue=name).task(podTemplate={"metadata": {"finalizers": ["tidegate.dev/test"]}})
    rule = proxy.on(method="POST", path="/jobs$", body=f"{name}-1")
    with (
        rule.forward_then_drop() if lost else rule.forward_then_hold(),
        proxy.on(method="GET", path=f"/jobs/{name}-1-").hold() as asked,
    ):
        runs.create(first.built)
        asked.wait_hits() if lost else rule.wait_hits()
        runs.create(held(f"{name}-2", queue=name).built)
        wait_until(lambda: bool(live_pods(runs, f"tidegate.dev/run={name}-1")), what="its pod")
        runs.kube.delete("taskruns.tidegate.dev", f"{name}-1")
        # As the garbage collector does, which knows a kind only half a minute after its CRD was made.
        runs.kube.delete_all("jobs", f"tidegate.dev/run={name}-1")
        reported(runs, name, running=1, pending=1)
        (asked if lost else rule).release().wait_done()
        # What follows from that is decided before the next run is counted.
        runs.create(a_run(f"{name}-3").spec(queue=name).built)
        reported(runs, name, running=1, pending=2)
        assert started(runs, f"{name}-2") == []
    for pod in live_pods(runs, f"tidegate.dev/run={name}-1"):
        runs.kube.patch("pods", pod, {"metadata": {"finalizers": None}})
    runs.wait(f"{name}-2", "Running")
    end(runs, f"{name}-2")
    runs.wait(f"{name}-3", "Succeeded")


def test_a_run_made_again_while_the_job_of_the_old_one_is_under_way_runs_once_and_alone(
    runs: Runs, proxy: FaultyProxy
) -> None:
    runs.create(a_queue("again", concurrencyLimit=1))
    with proxy.on(method="POST", path="/jobs$", body='"again-1').hold().times(1) as rule:
        old = runs.create(held("again-1", queue="again").built)["metadata"]["uid"]
        rule.wait_hits()
        runs.kube.delete("taskruns.tidegate.dev", "again-1")
        new = runs.create(a_run("again-1").spec(queue="again").built)["metadata"]["uid"]
        rule.release()
    runs.wait("again-1", "Succeeded")
    wait_until(
        lambda: [j["metadata"]["labels"]["tidegate.dev/run-uid"] for j in runs.jobs("again-1")] == [new],
        seconds=45,
        what="the old one's Job to go",
    )
    wait_until(lambda: live_pods(runs, f"tidegate.dev/run-uid={old}") == [], what="the old one's pod to go")


@pytest.mark.parametrize("what", REFUSALS)
@pytest.mark.parametrize("pods", [{}, {"hold": "1"}], ids=["end", "progress"])
def test_a_status_whose_write_meets_a_fault_is_written_in_the_end(
    runs: Runs, proxy: FaultyProxy, what: str, pods: dict[str, str]
) -> None:
    name = f"patch-{len(pods)}-{what.lower().replace(' ', '-')}"
    with REFUSALS[what](proxy.on(method="PATCH", path=f"/taskruns/{name}/status$")) as rule:
        runs.create(a_run(name).pod(**pods).built)
        rule.wait_done()
        if pods:
            runs.wait(name, "Running")
            end(runs, name)
        status = runs.wait(name, "Succeeded")
    assert [a["outcome"] for a in status["attempts"]] == ["Succeeded"]
    assert len(runs.jobs(name)) == 1


def test_a_status_written_after_anothers_write_is_decided_again(runs: Runs, proxy: FaultyProxy) -> None:
    def label() -> None:
        runs.kube.label("taskruns.tidegate.dev", "conflicting", {"by": "another"})

    with proxy.on(method="PATCH", path="/taskruns/conflicting/status$").after(label).times(1) as rule:
        runs.create(a_run("conflicting").built)
        rule.wait_done()
        status = runs.wait("conflicting", "Succeeded")
    assert len(status["attempts"]) == 1
    assert runs.get("conflicting")["metadata"]["labels"] == {"by": "another"}


def test_a_job_refused_after_one_was_made_without_an_answer_is_not_taken_for_none(
    plane: ControlPlane, runs: Runs, proxy: FaultyProxy
) -> None:
    # The quota has room for one Job: with the first try it is full, and the second is refused for it.
    kube = runs.kube.create_namespace("filled")
    kube.create_quota("one", {"count/jobs.batch": 1})
    with proxy.on(method="POST", path="/jobs$", body="in-quota").forward_then_drop().times(1) as rule:
        kube.create(held("in-quota").namespace("filled").built)
        rule.wait_done()
        rule.lift()
        kube.wait_phase("in-quota", "Running")
    reasons = [e for e in plane.requests("operator") if e.what == "patch taskruns/status" and e.namespace == "filled"]
    assert len(reasons) == 1


def test_a_conflicting_write_is_decided_again_on_what_is_there(
    runs: Runs, operator: OperatorProcess, proxy: FaultyProxy
) -> None:
    def cancelled_first() -> None:
        runs.patch_spec("contended", cancel=True)

    conflicts = 'tidegate_kube_requests_total{code="409",resource="taskruns/status",verb="patch"}'
    before = operator.metric(conflicts)
    # The status that says Running was decided on a version that is the last no longer when it comes.
    with proxy.on(method="PATCH", path="/taskruns/contended/status", body="Running").after(cancelled_first).times(1):
        runs.create(held("contended").built)
        status = runs.wait("contended", "Cancelled")
    assert operator.metric(conflicts) == before + 1
    assert len(runs.jobs("contended")) == 1
    assert [attempt["outcome"] for attempt in status["attempts"]] == ["Cancelled"]
