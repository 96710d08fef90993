"""What the chart asks of cert-manager fits cert-manager's own CRDs, and all parts use what it makes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.chart import CHART, Json
from support.kube import NO_ANSWER, Kube
from support.rights import granted_plane
from support.servers import wait_until
from tidegate_cluster import commands, programs, settings, tools
from tidegate_cluster.control_plane import ControlPlane
from tidegate_cluster.errors import ClusterError

GROUP = "cert-manager.io"
KINDS = {"certificates": "Certificate", "issuers": "Issuer"}
MODULE = "github.com/cert-manager/cert-manager"
ENABLED = "internalTLS.enabled=true,internalTLS.certManager.enabled=true,crds.enabled=false"


def crd(plural: str) -> Json:
    """cert-manager's own, which is a template in its labels alone."""
    sources = Path(tools.SOURCES).parent / "certificates"
    module = tools.module_directory(MODULE, settings=settings.from_environment(), sources=sources)
    made: Json = yaml.load((module / f"deploy/crds/crd-{plural}.yaml").read_text(), Loader=yaml.CSafeLoader)
    del made["metadata"]["labels"]
    return made


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with granted_plane(pods="complete") as made:
        yield made


def dry_run(plane: ControlPlane, *options: str) -> list[Json]:
    """What Helm would install, as it sees the cluster."""
    helm = programs.require(settings=settings.from_environment()) / "helm"
    where = ("--namespace", "default", "--dry-run=server", "--kubeconfig", plane.kubeconfig())
    text = commands.run(helm, "template", "tidegate", CHART, *where, "--set", ENABLED, *options)
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def are_served(kube: Kube) -> bool:
    try:
        found = json.loads(kube.raw(f"/apis/{GROUP}/v1"))
    except NO_ANSWER:
        return False
    return {each["name"] for each in found["resources"]} >= KINDS.keys()


def certificates(made: list[Json]) -> dict[str, Any]:
    return {each["spec"]["secretName"]: each["spec"] for each in made if each["kind"] == "Certificate"}


def test_the_chart_fails_without_its_crds_and_fits_them(plane: ControlPlane, tmp_path: Path) -> None:
    kube = Kube(plane.kubeconfig())
    with pytest.raises(ClusterError, match=r"the cluster doesn't serve cert-manager\.io/v1"):
        dry_run(plane)
    for plural in KINDS:
        kube.apply(crd(plural))
    wait_until(lambda: are_served(kube), what="the kinds to be served")
    made = dry_run(plane)
    asked = [each for each in made if each["kind"] in KINDS.values()]
    parts = {f"tidegate-{part}-tls" for part in ("operator", "web", "postgres", "redis")}
    assert certificates(asked).keys() == parts | {"tidegate-internal-ca"}
    assert not parts & {each["metadata"]["name"] for each in made if each["kind"] == "Secret"}
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(yaml.safe_dump_all(asked))
    kubectl = programs.require(settings=settings.from_environment()) / "kubectl"
    apply = ("apply", "--server-side", "--dry-run=server", "--validate=strict", f"--filename={manifests}")
    taken = commands.run(kubectl, f"--kubeconfig={plane.kubeconfig()}", *apply)
    assert len(taken.splitlines()) == len(asked) == 7
    # With an issuer of one's own no authority is made.
    issuer = "internalTLS.certManager.issuer.name=team,internalTLS.certManager.issuer.kind=ClusterIssuer"
    own = dry_run(plane, "--set", issuer)
    assert certificates(own).keys() == parts
    assert {json.dumps(spec["issuerRef"], sort_keys=True) for spec in certificates(own).values()} == {
        '{"group": "cert-manager.io", "kind": "ClusterIssuer", "name": "team"}'
    }
    assert not [each for each in own if each["kind"] == "Issuer"]
