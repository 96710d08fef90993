"""One task in a pod of its own and in a warm worker, with the time that each takes from its creation to its end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pykube
import requests
import yaml
from pykube.exceptions import KubernetesError
from tidegate_cluster.errors import ClusterError

from .api import TaskRun, WorkerPool, connect, listed
from .kubectl import Kubectl
from .watch import TERMINAL

SECONDS = 120


def compare(kubectl: Kubectl, *, examples: Path, project: str) -> Sequence[str]:
    """Run the task each way and print both times; what did not succeed, in words. `examples`: the folder of the pool."""
    runs = list(yaml.safe_load_all((examples / "runs.yaml").read_text(encoding="utf-8")))
    kubectl(
        "-n", project, "delete", "taskruns.tidegate.dev", "--ignore-not-found", *(r["metadata"]["name"] for r in runs)
    )
    api = connect(kubectl.kubeconfig)
    missed, times = [], []
    try:
        _wait_ready(api, project)
        for run in runs:
            seconds, phase = _run(api, project, run)
            where = f"in pool {run['spec']['task']['pool']}" if "pool" in run["spec"]["task"] else "in a pod of its own"
            print(f"{run['metadata']['name']:16} {phase:10} {seconds:6.2f} s  {where}", flush=True)
            times.append(seconds)
            if phase != "Succeeded":
                missed.append(f"{run['metadata']['name']} is {phase}, not Succeeded")
    except (KubernetesError, requests.RequestException) as error:
        raise ClusterError(f"can't run a task cold and warm: {error}") from error
    if not missed:
        cold, warm = times
        print(f"the warm one is {cold / warm:.0f} times as fast")
    return missed


def _wait_ready(api: pykube.HTTPClient, project: str) -> None:
    end = time.monotonic() + SECONDS
    while not any(pool.get("status", {}).get("readyReplicas") for pool in listed(api, WorkerPool, project)):
        if time.monotonic() > end:
            raise ClusterError(f"no worker is ready after {SECONDS} s: see `kubectl -n {project} describe tgw,pods`")
        time.sleep(0.1)


def _run(api: pykube.HTTPClient, project: str, manifest: dict[str, Any]) -> tuple[float, str]:
    """Seconds from the creation of a run until its end is seen, and the phase it ends in."""
    begin = time.monotonic()
    run = TaskRun(api, {**manifest, "metadata": {**manifest["metadata"], "namespace": project}})
    run.create()  # type: ignore[no-untyped-call]
    query = TaskRun.objects(api, namespace=project).filter(field_selector={"metadata.name": run.name})
    phase = "gone"
    for event in query.watch(since=run.metadata["resourceVersion"], params={"timeoutSeconds": SECONDS}):
        phase = event.object.obj.get("status", {}).get("phase", "Pending")
        if phase in TERMINAL or event.type == "DELETED":
            break
    return time.monotonic() - begin, phase
