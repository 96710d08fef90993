"""Runs whose pods would reach their node, and namespaces that allow it or don't."""

from collections.abc import Mapping
from typing import Any

from support.builders import RunBuilder, a_run
from support.operator import OwnRuns

Json = dict[str, Any]
ENFORCE = "pod-security.kubernetes.io/enforce"
ALLOW = {"tidegate.dev/allow-host-access": "true"}
ROOT: Json = {
    "spec": {
        "volumes": [{"name": "node", "hostPath": {"path": "/"}}],
        "containers": [
            {
                "name": "task",
                "securityContext": {
                    "privileged": True,
                    "runAsUser": 0,
                    "runAsNonRoot": False,
                    "allowPrivilegeEscalation": True,
                },
                "volumeMounts": [{"name": "node", "mountPath": "/node"}],
            }
        ],
    }
}
"""A shell of root with the node's disk."""
FIELD = "podTemplate.spec.volumes[0].hostPath"


def root(name: str) -> RunBuilder:
    return a_run(name).task(podTemplate=ROOT)


def label(runs: OwnRuns, labels: Mapping[str, str | None]) -> None:
    """Set labels of the runs' namespace."""
    runs.kube.label("namespaces", runs.namespace, labels)


def refused(runs: OwnRuns, name: str) -> str:
    """What a run was refused with before any Job."""
    status = runs.wait(name, "Failed", reason="InvalidTask")
    assert runs.jobs(name) == []
    return str(status["message"])
