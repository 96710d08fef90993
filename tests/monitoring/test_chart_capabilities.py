"""The chart asks the cluster whether it serves prometheus-operator's kinds, and what it makes of them fits their CRDs."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from support.chart import CHART, Json
from support.kube import NO_ANSWER, Kube
from support.servers import wait_until
from tidegate_cluster import commands, programs, settings, tools
from tidegate_cluster.control_plane import ControlPlane
from tidegate_cluster.errors import ClusterError

GROUP = "monitoring.coreos.com"
KINDS = {"podmonitors": "PodMonitor", "prometheusrules": "PrometheusRule"}
MODULE = "github.com/prometheus-operator/prometheus-operator"


def crds() -> list[Json]:
    """prometheus-operator's own."""
    sources = Path(tools.SOURCES).parent / "monitoring"
    module = tools.module_directory(MODULE, settings=settings.from_environment(), sources=sources)
    folder = module / "example" / "prometheus-operator-crd"
    return [yaml.load((folder / f"{GROUP}_{plural}.yaml").read_text(), Loader=yaml.CSafeLoader) for plural in KINDS]


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


def are_served(kube: Kube) -> bool:
    try:
        found = json.loads(kube.raw(f"/apis/{GROUP}/v1"))
    except NO_ANSWER:
        return False
    return {each["name"] for each in found["resources"]} >= KINDS.keys()


def test_it_fails_without_the_crds_and_fits_them(plane: ControlPlane, kube: Kube, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"the cluster doesn't serve monitoring\.coreos\.com/v1"):
        dry_run(plane)
    for crd in crds():
        kube.apply(crd)
    wait_until(partial(are_served, kube), what="the kinds to be served")
    documents = yaml.load_all(dry_run(plane), Loader=yaml.CSafeLoader)
    made = [each for each in documents if each and each["kind"] in KINDS.values()]
    assert sorted(each["kind"] for each in made) == ["PodMonitor"] * 4 + ["PrometheusRule"]
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(yaml.safe_dump_all(made))
    kubectl = programs.require(settings=settings.from_environment()) / "kubectl"
    apply = ("apply", "--server-side", "--dry-run=server", "--validate=strict", f"--filename={manifests}")
    taken = commands.run(kubectl, f"--kubeconfig={plane.kubeconfig()}", *apply)
    assert len(taken.splitlines()) == len(made)
