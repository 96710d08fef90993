"""The chart asks the cluster whether it serves prometheus-operator's kinds. Their CRDs stand in here without their schemas."""

from collections.abc import Iterator
from functools import partial

import pytest
from support.chart import CHART, Json
from support.kube import NO_ANSWER, Kube
from support.servers import wait_until
from tidegate_cluster import commands, programs, settings
from tidegate_cluster.control_plane import ControlPlane
from tidegate_cluster.errors import ClusterError

GROUP = "monitoring.coreos.com"
KINDS = {"podmonitors": "PodMonitor", "prometheusrules": "PrometheusRule"}


def a_crd(plural: str, kind: str) -> Json:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


@pytest.fixture
def kube(plane: ControlPlane) -> Iterator[Kube]:
    made = Kube(plane.kubeconfig())
    yield made
    for plural in KINDS:
        if made.find("customresourcedefinitions", f"{plural}.{GROUP}") is not None:
            made.delete("customresourcedefinitions", f"{plural}.{GROUP}")


def dry_run(plane: ControlPlane) -> str:
    """What Helm would install, as it sees the cluster."""
    helm = programs.require(settings=settings.from_environment()) / "helm"
    enabled = "monitoring.podMonitors.enabled=true,monitoring.rules.enabled=true,crds.enabled=false"
    options = ("--dry-run=server", "--kubeconfig", plane.kubeconfig(), "--set", enabled)
    return commands.run(helm, "template", "monitored", CHART, "--namespace", "default", *options)


def test_it_fails_without_the_crds_and_not_with_them(plane: ControlPlane, kube: Kube) -> None:
    with pytest.raises(ClusterError, match=r"the cluster doesn't serve monitoring\.coreos\.com/v1"):
        dry_run(plane)
    for plural, kind in KINDS.items():
        kube.apply(a_crd(plural, kind))

    wait_until(partial(are_served, kube), what="the kinds to be served")
    rendered = dry_run(plane)
    assert all(f"kind: {kind}\n" in rendered for kind in KINDS.values())


def are_served(kube: Kube) -> bool:
    try:
        found = kube.raw(f"/apis/{GROUP}/v1")
    except NO_ANSWER:
        return False
    return all(f'"{plural}"' in found for plural in KINDS)
