"""The chart's manifests, as Helm renders them."""

from pathlib import Path
from typing import Any

import yaml
from tidegate_cluster import commands, programs, settings

Json = dict[str, Any]
CHART = Path(__file__).resolve().parents[2] / "helm" / "tidegate"
RELEASE = "tidegate"
IN_CLUSTER = ("--api-versions", "apiregistration.k8s.io/v1")
"""What Helm finds out of a cluster, and has to be told without one."""
NAMESPACE = "tidegate"


def render(
    *options: str, kinds: frozenset[str] | None = None, chart: Path = CHART, in_cluster: tuple[str, ...] = IN_CLUSTER
) -> list[Json]:
    """The manifests, or those of some kinds, in the order in which Helm has them."""
    helm = programs.require(settings=settings.from_environment()) / "helm"
    text = commands.run(helm, "template", RELEASE, chart, "--namespace", NAMESPACE, *in_cluster, *options)
    return [
        made
        for made in yaml.load_all(text, Loader=yaml.CSafeLoader)
        if made and (kinds is None or made["kind"] in kinds)
    ]


def account(part: str) -> str:
    """The user name of a process's service account."""
    return f"system:serviceaccount:{NAMESPACE}:{RELEASE}-{part}"
