"""What must hold when processes die, watches break and the apiserver goes away."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from support.builders import a_run
from support.kube import Kube
from support.operator import OperatorProcess, OwnRuns, Runs, install_crds, wait_served
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

ACTORS = ("admin", "operator", "second")
QUICK_LEASE = {"lease_duration_seconds": "3", "lease_renew_deadline_seconds": "2", "lease_retry_seconds": "0.3"}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """A control plane of this module's own: its apiserver is restarted."""
    with ControlPlane(actors=ACTORS, pods="complete") as made:
        install_crds(made)
        yield made


@pytest.fixture(scope="module")
def runs(plane: ControlPlane) -> Runs:
    """Its runs."""
    return Runs(Kube(plane.kubeconfig()))


@contextmanager
def running_operator(
    plane: ControlPlane, tmp_path: Path, *, actor: str = "operator", **settings: str
) -> Iterator[OperatorProcess]:
    # Under one name, as the container of a pod: killed and started again it leads at once.
    given = {"identity": actor, **QUICK_LEASE, **settings}
    with OperatorProcess(plane, actor=actor, log=tmp_path / f"{actor}.log", **given) as made:
        yield made


def end_pod(runs: Runs, name: str) -> str:
    """Have the held pod of a run succeed; its Job's name."""
    (job,) = runs.jobs(name)
    made: str = job["metadata"]["name"]
    runs.kube.annotate_all("pods", f"job-name={made}", {"fake.tidegate.dev/exit-code": "0"})
    return made


def test_runs_made_while_no_operator_lived_are_run_when_one_comes(
    plane: ControlPlane, runs: Runs, tmp_path: Path
) -> None:
    runs.create(a_run("patient").built)
    with running_operator(plane, tmp_path):
        runs.wait("patient", "Succeeded")


def test_an_operator_killed_in_the_middle_changes_only_the_time_it_takes(
    plane: ControlPlane, runs: Runs, tmp_path: Path
) -> None:
    with running_operator(plane, tmp_path) as operator:
        operator.wait_leading()
        manifests = [a_run(f"survivor-{i:02}").pod(duration="1s").built for i in range(30)]
        runs.kube.create_all(manifests)
        wait_until(lambda: len(runs.listed("jobs")) > 5, what="the first Jobs")
        operator.kill()
        operator.start()
        for i in range(30):
            status = runs.wait(f"survivor-{i:02}", "Succeeded")
            assert [a["number"] for a in status["attempts"]] == [1]
            assert len(runs.jobs(f"survivor-{i:02}")) == 1


def test_the_end_of_a_pod_without_a_watch_is_found(plane: ControlPlane, runs: Runs, tmp_path: Path) -> None:
    with running_operator(plane, tmp_path) as operator:
        operator.wait_leading()
        runs.create(a_run("unwatched").pod(hold="1").built)
        runs.wait("unwatched", "Running")
        operator.kill()
        runs.kube.wait_condition("jobs", end_pod(runs, "unwatched"), "Complete")
        operator.start()
        runs.wait("unwatched", "Succeeded")


def test_a_job_that_vanished_without_a_watch_is_a_failed_attempt(
    plane: ControlPlane, runs: Runs, tmp_path: Path
) -> None:
    with running_operator(plane, tmp_path) as operator:
        operator.wait_leading()
        runs.create(a_run("vanished").pod(hold="1").task(retry={"maxAttempts": 1}).built)
        runs.wait("vanished", "Running")
        operator.kill()
        runs.kube.delete("jobs", runs.jobs("vanished")[0]["metadata"]["name"])
        operator.start()
        status = runs.wait("vanished", "Failed", reason="PodDeleted")
        assert len(status["attempts"]) == 1


def test_versions_that_are_compacted_away_cause_a_new_list(plane: ControlPlane, runs: Runs, tmp_path: Path) -> None:
    with running_operator(plane, tmp_path) as operator:
        operator.wait_leading()
        runs.create(a_run("compacted").pod(hold="1").built)
        runs.wait("compacted", "Running")
        lists = operator.metric('tidegate_kube_requests_total{code="200",resource="pods",verb="get"}')
        # Stopped, it misses what happens; its watches end with the apiserver and their versions with the compaction.
        os.kill(operator.pid, signal.SIGSTOP)
        try:
            plane.stop_apiserver(hard=True)
            plane.start_apiserver()
            wait_served(plane)
            runs.kube.wait_condition("jobs", end_pod(runs, "compacted"), "Complete")
            plane.compact()
        finally:
            os.kill(operator.pid, signal.SIGCONT)
        runs.wait("compacted", "Succeeded")
        assert operator.exit_code is None
        assert operator.metric('tidegate_kube_requests_total{code="200",resource="pods",verb="get"}') > lists


def test_a_second_replica_stands_by_and_takes_over(plane: ControlPlane, runs: Runs, tmp_path: Path) -> None:
    with running_operator(plane, tmp_path) as first:
        first.wait_leading()
        with running_operator(plane, tmp_path, actor="second") as second:
            assert second.page("readyz") == (200, "ok\n")
            assert second.metric("tidegate_leader") == 0
            runs.create(a_run("handed-over").pod(hold="1").built)
            runs.wait("handed-over", "Running")
            first.kill()
            second.wait_leading()
            runs.patch_spec("handed-over", cancel=True)
            runs.wait("handed-over", "Cancelled")
            assert "second" in runs.kube.get("leases", "tidegate-operator")["spec"]["holderIdentity"]


def test_with_the_usual_lease_a_standby_leads_within_twenty_seconds_of_the_leaders_death(
    plane: ControlPlane, tmp_path: Path
) -> None:
    usual = {"lease_duration_seconds": "15", "lease_renew_deadline_seconds": "10", "lease_retry_seconds": "2"}
    with running_operator(plane, tmp_path, **usual) as first:
        first.wait_leading()
        with running_operator(plane, tmp_path, actor="second", **usual) as second:
            first.kill()
            wait_until(lambda: second.metric("tidegate_leader") == 1, what="the standby to lead")


def test_a_leader_that_stops_hands_the_lease_over_at_once(plane: ControlPlane, tmp_path: Path) -> None:
    with running_operator(plane, tmp_path, lease_duration_seconds="60") as first:
        first.wait_leading()
        with running_operator(plane, tmp_path, actor="second") as second:
            assert first.stop() == 0
            second.wait_leading()


def test_a_leader_that_was_frozen_past_its_lease_writes_nothing(
    plane: ControlPlane, runs: Runs, tmp_path: Path
) -> None:
    with running_operator(plane, tmp_path) as first:
        first.wait_leading()
        with running_operator(plane, tmp_path, actor="second") as second:
            os.kill(first.pid, signal.SIGSTOP)
            second.wait_leading()
            writes_before = [e for e in plane.requests("operator") if e.verb in ("create", "patch", "update", "delete")]
            runs.create(a_run("fenced").built)
            os.kill(first.pid, signal.SIGCONT)
            wait_until(lambda: _ended(first), what="the old leader to end")
            runs.wait("fenced", "Succeeded")
            writes = [e for e in plane.requests("operator") if e.verb in ("create", "patch", "update", "delete")]
            assert [e.what for e in writes[len(writes_before) :] if e.code < 300] == []
            assert first.exit_code == 1


def _ended(operator: OperatorProcess) -> bool:
    return operator.exit_code is not None


def test_work_goes_on_after_the_apiserver_was_away(plane: ControlPlane, runs: Runs, tmp_path: Path) -> None:
    with running_operator(plane, tmp_path) as operator:
        operator.wait_leading()
        runs.create(a_run("before").pod(hold="1").built)
        runs.wait("before", "Running")
        pid = operator.pid
        plane.stop_apiserver(hard=True)
        missed = operator.log.count("lease not renewed")
        wait_until(lambda: operator.log.count("lease not renewed") > missed + 30, what="ten seconds without it")
        plane.start_apiserver()
        wait_served(plane)
        runs.create(a_run("after").built)
        wait_until(lambda: runs.jobs("after") != [], what="the next run to start")
        end_pod(runs, "before")
        for name in ("before", "after"):
            runs.wait(name, "Succeeded")  # the fake node waits longer than we before it tries again
        assert (operator.pid, operator.exit_code) == (pid, None)


def test_without_the_crds_an_operator_is_not_ready_and_says_why(tmp_path: Path) -> None:
    with ControlPlane(actors=ACTORS) as bare:
        operator = OperatorProcess(bare, log=tmp_path / "log").start()
        try:
            wait_until(lambda: operator.page("readyz")[0] == 503, what="an answer")
            wait_until(
                lambda: "CRDs of tidegate.dev are not installed" in operator.page("readyz")[1], what="the reason"
            )
            assert operator.page("healthz") == (200, "ok\n")
            install_crds(bare)
            operator.wait_ready()
        finally:
            assert operator.stop() == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"port": "99999"}, "TIDEGATE_PORT"),
        ({"sweep_seconds": "soon"}, "TIDEGATE_SWEEP_SECONDS"),
        ({"kubeconfig": "/nonexistent"}, "can't read /nonexistent"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(
    plane: ControlPlane, tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    operator = OperatorProcess(plane, log=tmp_path / "log", **settings).start()
    wait_until(lambda: operator.exit_code is not None, what="its end")
    assert operator.exit_code == 2
    lines = operator.log.splitlines()[1:]
    assert len(lines) == 1
    assert words in lines[0]


STANDS_STILL = "import signal, time\nsignal.signal(signal.SIGUSR1, lambda *_: time.sleep(30))\n"


def test_a_leader_whose_loop_stands_still_loses_the_lease_that_its_thread_would_keep(
    plane: ControlPlane, runs: Runs, tmp_path: Path
) -> None:
    log = tmp_path / "operator.log"
    with OperatorProcess(plane, log=log, identity="operator", broken=STANDS_STILL, **QUICK_LEASE) as first:
        first.wait_leading()
        with running_operator(plane, tmp_path, actor="second") as second:
            os.kill(first.pid, signal.SIGUSR1)
            second.wait_leading()
            runs.create(a_run("beside-a-stuck-leader").built)
            runs.wait("beside-a-stuck-leader", "Succeeded")
            assert first.exit_code is None
            first.kill()


def stands_in_line(own: OwnRuns) -> bool:
    reasons = {run["status"].get("reason") for run in own.listed("taskruns.tidegate.dev")}
    return bool(reasons & {"ConcurrencyLimit", "Queued"})


def test_the_limits_of_a_namespace_and_of_the_cluster_are_each_its_own(plane: ControlPlane, tmp_path: Path) -> None:
    spaces = [OwnRuns(plane, f"limited-{letter}") for letter in "ab"]
    with running_operator(plane, tmp_path, namespace_limit="1", cluster_limit="2") as operator:
        operator.wait_leading()
        for own in spaces:
            for name in ("one", "two"):
                own.create(a_run(name).pod(hold="1").built)

        def running() -> list[int]:
            return [len(own.listed("jobs", "tidegate.dev/run")) for own in spaces]

        wait_until(lambda: running() == [1, 1], what="one run of each namespace to run")
        for own in spaces:
            # Only the first of the reasons to stand in line is written: on a slow machine that it waits for its turn.
            wait_until(partial(stands_in_line, own), what="the other to say what holds it")
        assert running() == [1, 1]
        for own in spaces:
            for name in ("one", "two"):
                own.patch_spec(name, cancel=True)
            for name in ("one", "two"):
                own.wait(name, "Cancelled")
