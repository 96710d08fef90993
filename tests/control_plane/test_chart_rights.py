"""What the chart grants its service accounts, asked of a real apiserver."""

import pytest
from support.chart import NAMESPACE, account, render
from support.kube import HTTPError, Kube

KINDS = frozenset({"Role", "RoleBinding", "ServiceAccount"})


@pytest.mark.parametrize("part", ["operator", "web"])
def test_with_a_list_of_namespaces_the_labels_of_these_alone_can_be_read(kube: Kube, part: str) -> None:
    for namespace in (NAMESPACE, "listed", "another"):
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for item in render("--set", "namespaces={listed}", kinds=KINDS):
        kube.apply(item)
    as_part = kube.acting_as(account(part))
    as_part.within("listed").wait_until_allowed("get", "namespaces", name="listed")
    assert as_part.get("namespaces", "listed")["metadata"]["name"] == "listed"
    with pytest.raises(HTTPError, match="forbidden"):
        as_part.get("namespaces", "another")
    with pytest.raises(HTTPError, match="forbidden"):
        as_part.listed("namespaces")


def test_projects_that_the_chart_makes_enforce_baseline() -> None:
    (project,) = render("--set", "projects={team}", kinds=frozenset({"Namespace"}))
    assert project["metadata"]["labels"] == {
        "tidegate.dev/project": "true",
        "pod-security.kubernetes.io/enforce": "baseline",
    }
