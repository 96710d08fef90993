"""An etcd that was restored from a backup: what was seen since has never been, and versions are given again."""

from pathlib import Path

from support.builders import a_run
from support.kube import Kube
from support.operator import OperatorProcess, Runs, install_crds
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane


def test_an_operator_whose_cluster_has_stepped_back_restarts(tmp_path: Path) -> None:
    with ControlPlane(actors=("admin", "operator")) as plane:
        install_crds(plane)
        runs = Runs(Kube(plane.kubeconfig()))
        with OperatorProcess(plane, log=tmp_path / "log", identity="operator", sweep_seconds="1") as operator:
            operator.wait_leading()
            runs.create(a_run("released").spec(suspend=True).built)
            runs.wait("released", "Pending", reason="Suspended")
            plane.back_up()
            operator.wait_ready()
            runs.patch_spec("released", suspend=False)
            wait_until(lambda: len(runs.jobs("released")) == 1, what="its Job")

            plane.restore()
            assert runs.jobs("released") == []
            wait_until(lambda: operator.exit_code is not None, what="the operator to end")
            assert operator.exit_code == 1
            assert "SteppedBackError" in operator.log

            operator.start().wait_leading()
            runs.patch_spec("released", suspend=False)
            wait_until(lambda: len(runs.jobs("released")) == 1, what="its Job, once more")
