"""Access to nodes with operators that are set up otherwise: one that allows it, and one that may not read namespaces."""

from pathlib import Path

from support.host_access import ALLOW, label, refused, root
from support.operator import OperatorProcess, OwnRuns
from tidegate_cluster.control_plane import ControlPlane


def test_a_run_gets_the_node_where_baseline_is_not_required(plane: ControlPlane, tmp_path: Path) -> None:
    runs = OwnRuns(plane, "not-required")
    with OperatorProcess(plane, log=tmp_path / "log", require_baseline="false") as made:
        made.wait_leading()
        runs.create(root("attack").built)
        runs.wait("attack", "Succeeded")
    (pod,) = runs.listed("pods", "tidegate.dev/run=attack")
    assert pod["spec"]["containers"][0]["securityContext"]["privileged"] is True
    assert {"name": "node", "hostPath": {"path": "/", "type": ""}} in pod["spec"]["volumes"]


def test_labels_that_may_not_be_read_allow_nothing(plane: ControlPlane, tmp_path: Path) -> None:
    runs = OwnRuns(plane, "unread")
    label(runs, ALLOW)
    broken = """
import tidegate_operator.kube.client as kube
get = kube.KubeClient.get
async def forbidden(self, path, shape, **options):
    if path.startswith("/api/v1/namespaces/") and path.count("/") == 4:
        raise kube.KubeError(code=403, reason="Forbidden", message="no")
    return await get(self, path, shape, **options)
kube.KubeClient.get = forbidden
"""
    with OperatorProcess(plane, log=tmp_path / "log", broken=broken) as made:
        made.wait_leading()
        runs.create(root("attack").built)
        assert "grant it `get` on namespaces" in refused(runs, "attack")
