"""Namespaces that are deleted and made again, in a control plane without the controller that empties them."""

import time
from typing import Any

from tidegate_web.cluster.client import MERGE_PATCH, NAMESPACES

from support.runs import RunMaker
from support.servers import wait_until

Json = dict[str, Any]


def uid_of(runs: RunMaker) -> str:
    """The uid of the project's namespace."""
    found: str = runs.admin.request("GET", f"{NAMESPACES}/{runs.project}")["metadata"]["uid"]
    return found


def delete_namespace(runs: RunMaker) -> None:
    """What the namespace controller does: the content goes, then the namespace. As there, that takes until the next second at
    least: times of creation have whole seconds."""
    runs.kubectl("delete", "taskruns.tidegate.dev,jobs,pods,rolebindings", "--all", "--wait=false")
    runs.kubectl("delete", "namespace", runs.project, "--wait=false")
    path = f"{NAMESPACES}/{runs.project}"
    found = runs.admin.request("GET", path)
    found["spec"]["finalizers"] = []
    runs.admin.request("PUT", f"{path}/finalize", body=found)
    begun = int(time.time())
    wait_until(lambda: int(time.time()) > begun, what="the next second")


def make_namespace(runs: RunMaker, **annotations: str) -> str:
    """A project of the same name again; its uid. Annotations: of ``tidegate.dev``."""
    metadata: Json = {
        "name": runs.project,
        "labels": {"tidegate.dev/project": "true"},
        "annotations": {f"tidegate.dev/{name}": value for name, value in annotations.items()},
    }
    runs.admin.request("POST", NAMESPACES, body={"metadata": metadata})
    return uid_of(runs)


def annotate_namespace(runs: RunMaker, **annotations: str) -> None:
    body = {"metadata": {"annotations": {f"tidegate.dev/{name}": value for name, value in annotations.items()}}}
    runs.admin.request("PATCH", f"{NAMESPACES}/{runs.project}", body=body, content_type=MERGE_PATCH)
