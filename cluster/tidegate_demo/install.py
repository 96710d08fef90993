"""The chart into the cluster, with the images that it needs, and a wait that says what it waits for."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pykube
import tidegate_images.__main__ as images
from tidegate_cluster import host, locks
from tidegate_cluster.clusters import Clusters
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.records import Options

from .api import connect, listed
from .kubectl import Kubectl

RELEASE = "tidegate"
NAMESPACE = "tidegate"
ADMIN = "admin@tidegate.local"
SECONDS = 300.0
CRASHES = 4


def up(
    found: Clusters, name: str, *, project: str, options: Options | None = None, values: Sequence[str] = ()
) -> Kubectl:
    """A cluster of this name with Tidegate installed in it and a namespace that is a project. `values`: of the chart, as KEY=VALUE."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="images") as beside:
        # Where nothing has been built yet, Kubernetes takes the processor, and images mostly wait for downloads.
        building = beside.submit(_build_images, found)
        step("cluster")
        found.up(name, options=options)
        step("images")
        archives = building.result()
    kubectl = Kubectl.of(found, name)
    load(found, name, [*archives.values()])
    step("chart")
    install(kubectl, checkout=images.checkout(), project=project, tags=images.tags(archives), values=values)
    return kubectl


def _build_images(found: Clusters) -> Mapping[str, Path]:
    with locks.locked(found.settings.locks / "images.lock", waiting_for="another build of images"):
        return images.build(settings=found.settings, docker=host.docker_answers())


def step(name: str) -> None:
    """Say what is done next."""
    print(f"\n== {name}", file=sys.stderr, flush=True)


def load(found: Clusters, name: str, archives: Sequence[Path]) -> None:
    """Bring archives into the cluster, each content once a cluster."""
    marker = found.kubeconfig(name).with_name("loaded-images")
    known = set(marker.read_text(encoding="utf-8").split()) if marker.exists() else set()
    fresh = [path for path in archives if _mark(path) not in known]
    if not fresh:
        return
    found.load(name, fresh)
    marker.write_text("\n".join(sorted(known | {_mark(path) for path in fresh})), encoding="utf-8")


def install(
    kubectl: Kubectl, *, checkout: Path, project: str, tags: Mapping[str, str], values: Sequence[str] = ()
) -> None:
    """Install or upgrade the release and wait until every part of it is ready. `tags`: of the images that it runs."""
    for namespace in (NAMESPACE, project):
        manifest = kubectl("create", "namespace", namespace, "--dry-run=client", "-o", "yaml")
        kubectl("apply", "-f", "-", stdin=manifest)
        # What the chart promises of its own pods, and the operator of its tasks'.
        kubectl("label", "--overwrite", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    kubectl("label", "--overwrite", "namespace", project, "tidegate.dev/project=true")
    kubectl.helm(
        "upgrade",
        "--install",
        RELEASE,
        checkout / "helm/tidegate",
        "--namespace",
        NAMESPACE,
        # A cluster that was made a minute ago has no volumes to give.
        "--set=postgres.persistence.enabled=false",
        *(f"--set=image.tags.{name}={tag}" for name, tag in tags.items()),
        f"--set=admin.email={ADMIN}",
        *(f"--set={value}" for value in values),
    )
    wait_ready(kubectl)


def wait_ready(kubectl: Kubectl) -> None:
    """Until every part of the release is ready, naming those that are not."""
    api = connect(kubectl.kubeconfig)
    end = time.monotonic() + SECONDS
    reported = ""
    while True:
        waiting = [
            f"{kind.__name__.lower()}/{part['metadata']['name']}"
            for kind in (pykube.Deployment, pykube.StatefulSet)
            for part in listed(api, kind, NAMESPACE)
            if not _ready(part)
        ]
        if not waiting:
            return
        if broken := _crashing(api):
            raise ClusterError(f"{broken} ends again and again: see `kubectl -n {NAMESPACE} logs {broken} --previous`")
        if time.monotonic() > end:
            raise ClusterError(
                f"{', '.join(waiting)} not ready after {SECONDS:.0f} s: see `kubectl -n {NAMESPACE} get pods` and their logs"
            )
        text = ", ".join(waiting)
        if text != reported:
            print(f"waiting for {text}", file=sys.stderr, flush=True)
            reported = text
        time.sleep(0.5)


def _ready(part: dict[str, Any]) -> bool:
    spec, status = part["spec"], part.get("status", {})
    return bool(
        status.get("observedGeneration") == part["metadata"]["generation"]
        and status.get("updatedReplicas", 0) >= spec["replicas"]
        and status.get("readyReplicas", 0) >= spec["replicas"]
        and status.get("replicas", 0) == spec["replicas"]
    )


def _crashing(api: pykube.HTTPClient) -> str:
    """A pod of the newest build that will not come up by itself; a few restarts are none's fault."""
    pods = sorted(listed(api, pykube.Pod, NAMESPACE), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    newest = {pod["metadata"]["labels"].get("app.kubernetes.io/component"): pod for pod in pods}
    for pod in newest.values():
        if any(c["restartCount"] >= CRASHES and not c["ready"] for c in pod["status"].get("containerStatuses", [])):
            return f"pod/{pod['metadata']['name']}"
    return ""


def _mark(archive: Path) -> str:
    # The name holds a hash of what went into it.
    return archive.name
