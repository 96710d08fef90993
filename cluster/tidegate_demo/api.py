"""The cluster's apiserver for what is asked again and again, by pykube-ng: a kubectl takes a tenth of a second of a core each time."""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path
from typing import Any

import pykube
import requests
import yaml
from pykube.exceptions import KubernetesError
from pykube.objects import APIObject, NamespacedAPIObject
from tidegate_cluster.errors import ClusterError

Json = dict[str, Any]
SECONDS = 60.0
"""For an answer: a machine that is busy takes long for large ones."""


class TaskRun(NamespacedAPIObject):
    """A run of a task."""

    version = "tidegate.dev/v1alpha1"
    endpoint = "taskruns"
    kind = "TaskRun"


class WorkerPool(NamespacedAPIObject):
    """Workers that run tasks without a new pod."""

    version = "tidegate.dev/v1alpha1"
    endpoint = "workerpools"
    kind = "WorkerPool"


def connect(kubeconfig: Path) -> pykube.HTTPClient:
    """A client for a kubeconfig that `tidegate_cluster` or kind has written."""
    api = pykube.HTTPClient(_config(kubeconfig), timeout=SECONDS)
    # Neither proxies nor passwords of this machine's user are for a local cluster.
    api.session.trust_env = False
    return api


def listed(api: pykube.HTTPClient, kind: type[APIObject], namespace: str) -> list[Json]:
    """The objects of a namespace."""
    try:
        return [one.obj for one in kind.objects(api, namespace=namespace)]
    except (KubernetesError, requests.RequestException) as error:
        raise ClusterError(f"can't list {kind.__name__}s in {namespace}: {error}") from error


def _config(kubeconfig: Path) -> pykube.KubeConfig:
    """With its certificates in files beside it: pykube writes those that are embedded into /tmp, for all to read."""
    written = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    entries = [*(one["cluster"] for one in written["clusters"]), *(one["user"] for one in written["users"])]
    for entry in entries:
        for key in ("certificate-authority", "client-certificate", "client-key"):
            if (embedded := entry.pop(f"{key}-data", None)) is not None:
                entry[key] = str(
                    _kept(kubeconfig.with_name(f"{kubeconfig.name}.{key}.pem"), base64.b64decode(embedded))
                )
    return pykube.KubeConfig(written)


def _kept(path: Path, content: bytes) -> Path:
    """A file for its owner alone, in one step: other processes may read it, or write the same."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return Path(name).replace(path)
