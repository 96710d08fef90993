"""Namespaces that are deleted and made again, in a control plane without the controller that empties them."""

import time
from typing import Any

from support.runs import RunMaker
from support.servers import wait_until

Json = dict[str, Any]


def uid_of(runs: RunMaker) -> str:
    """The uid of the project's namespace."""
    found: str = runs.kube.get("namespaces", runs.project)["metadata"]["uid"]
    return found


def delete_namespace(runs: RunMaker) -> None:
    """What the namespace controller does: the content goes, then the namespace. As there, that takes until the next second at
    least: times of creation have whole seconds."""
    for kind in ("taskruns.tidegate.dev", "jobs", "pods", "rolebindings"):
        runs.kube.delete_all(kind, wait=False)
    runs.kube.delete("namespaces", runs.project, wait=False)
    found = runs.kube.get("namespaces", runs.project)
    found["spec"]["finalizers"] = []
    runs.kube.put("namespaces", runs.project, "finalize", found)
    begun = int(time.time())
    wait_until(lambda: int(time.time()) > begun, what="the next second")


def make_namespace(runs: RunMaker, **annotations: str) -> str:
    """A project of the same name again; its uid. Annotations: of ``tidegate.dev``."""
    runs.make_project(annotations)
    return uid_of(runs)


def annotate_namespace(runs: RunMaker, **annotations: str) -> None:
    runs.kube.annotate(
        "namespaces", runs.project, {f"tidegate.dev/{name}": value for name, value in annotations.items()}
    )
