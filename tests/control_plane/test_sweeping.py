"""What no event reported is found by a sweep."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builders import a_run, a_task
from support.kube import Kube
from support.operator import OperatorProcess, Runs
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane


@pytest.fixture(scope="module", autouse=True)
def operator(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """An operator that sweeps every second."""
    log = Path(tmp_path_factory.mktemp("operator")) / "log"
    with OperatorProcess(plane, log=log, sweep_seconds="1") as made:
        yield made.wait_leading()


def test_sweeps_go_on_beside_events_without_correcting_anything(runs: Runs, operator: OperatorProcess) -> None:
    runs.create(a_task("swept"))
    for i in range(5):
        runs.create(a_run(f"swept-{i}").task_ref("swept").pod(duration="1s").built)
    before = operator.metric('tidegate_sweeps_total{outcome="ok"}')
    for i in range(5):
        runs.wait(f"swept-{i}", "Succeeded")
    wait_until(lambda: operator.metric('tidegate_sweeps_total{outcome="ok"}') > before + 1, what="two more sweeps")
    assert all(len(runs.jobs(f"swept-{i}")) == 1 for i in range(5))
    assert operator.metric("tidegate_reconcile_errors_total") == 0
    kinds = ("taskruns", "tasks", "queues", "jobs", "pods")
    assert [operator.metric(f'tidegate_sweep_corrections_total{{kind="{kind}"}}') for kind in kinds] == [0.0] * 5


def test_a_label_taken_off_a_running_pod_does_not_start_a_second_one(runs: Runs) -> None:
    runs.create(a_run("unlabelled").pod(hold="1").built)
    runs.wait("unlabelled", "Running")
    (pod,) = runs.listed("pods", "tidegate.dev/run=unlabelled")
    name = pod["metadata"]["name"]
    runs.kube.label("pods", name, {"app.kubernetes.io/managed-by": None})
    runs.patch_spec("unlabelled", cancel=True)
    runs.wait("unlabelled", "Cancelled")
    assert len(runs.jobs("unlabelled")) == 1


def test_beside_a_web_part_of_projects_finished_runs_elsewhere_are_deleted(
    plane: ControlPlane, kube: Kube, operator: OperatorProcess, tmp_path: Path
) -> None:
    """In a project the mirror deletes, once it has stored; elsewhere the operator does."""
    operator.stop()
    project = Runs(kube.create_namespace("a-project", {"tidegate.dev/project": "true"}))
    other = Runs(kube.create_namespace("elsewhere"))
    settings = {"api_url": "http://web.example", "api_of_projects": "true", "sweep_seconds": "1"}
    with OperatorProcess(plane, log=tmp_path / "log", **settings) as beside:
        beside.wait_leading()
        for runs in (project, other):
            runs.create(a_run("done").namespace(runs.namespace).spec(ttlSecondsAfterFinished=1).built)
        wait_until(lambda: not other.listed("taskruns.tidegate.dev"), what="the run elsewhere to go")
        assert project.wait("done", "Succeeded")
        kube.label("namespaces", "a-project", {"tidegate.dev/project": None})
        wait_until(
            lambda: not project.listed("taskruns.tidegate.dev"), what="that of what is no project any more to go"
        )
    operator.start().wait_leading()
