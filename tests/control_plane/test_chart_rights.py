"""What the chart grants its service accounts, asked of a real apiserver."""

import json

import pytest
from support.chart import NAMESPACE, account, render
from tidegate_cluster.control_plane import ControlPlane
from tidegate_cluster.errors import ClusterError

KINDS = frozenset({"Role", "RoleBinding", "ServiceAccount"})


@pytest.mark.parametrize("part", ["operator", "web"])
def test_with_a_list_of_namespaces_the_labels_of_these_alone_can_be_read(plane: ControlPlane, part: str) -> None:
    for namespace in (NAMESPACE, "listed", "another"):
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        plane.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    items = render("--set", "namespaces={listed}", kinds=KINDS)
    plane.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    assert plane.kubectl("get", "namespace", "listed", "-o", "name", "--as", account(part)) == "namespace/listed\n"
    with pytest.raises(ClusterError, match="forbidden"):
        plane.kubectl("get", "namespace", "another", "--as", account(part))
    with pytest.raises(ClusterError, match="forbidden"):
        plane.kubectl("get", "namespaces", "--as", account(part))


def test_projects_that_the_chart_makes_enforce_baseline() -> None:
    (project,) = render("--set", "projects={team}", kinds=frozenset({"Namespace"}))
    assert project["metadata"]["labels"] == {
        "tidegate.dev/project": "true",
        "pod-security.kubernetes.io/enforce": "baseline",
    }
