"""A HorizontalPodAutoscaler sizes a pool by the runs that wait for it, as Kubernetes' own controller asks and decides."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import external_metrics
from support.builders import EXAMPLES as IMAGE
from support.builders import a_run
from support.cluster import SECONDS, ClusterRuns
from support.kube import Kube, is_true
from support.servers import wait_until
from tidegate_cluster.pki import Authority

Json = dict[str, Any]
NAME = "external-metrics"
POOL = "scaled"
LABELS = {"app": NAME}
APISERVICE = "v1beta1.external.metrics.k8s.io"
SECURE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def standin(operators: list[str]) -> Json:
    """The pod of the stand-in."""
    program = {"name": "program", "mountPath": "/program", "readOnly": True}
    tls = {"name": "tls", "mountPath": "/tls", "readOnly": True}
    container = {
        "name": "metrics",
        "image": IMAGE,
        "command": ["python", "/program/external_metrics.py"],
        "env": [{"name": "OPERATORS", "value": ",".join(operators)}],
        "volumeMounts": [program, tls],
        "readinessProbe": {"tcpSocket": {"port": external_metrics.PORT}, "periodSeconds": 1},
        "securityContext": SECURE,
    }
    volumes = [{"name": "program", "configMap": {"name": NAME}}, {"name": "tls", "secret": {"secretName": NAME}}]
    spec = {"containers": [container], "volumes": volumes, "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "labels": LABELS}, "spec": spec}


def certificate(folder: Path) -> Json:
    """A Secret with the stand-in's certificate."""
    authority = Authority(directory=folder)
    authority.create()
    made = authority.issue(name=NAME, subject=f"/CN={NAME}")
    data = {"tls.crt": made.certificate.read_text(), "tls.key": made.key.read_text()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "stringData": data}


@pytest.fixture
def metrics(release: Kube, tmp_path: Path) -> Iterator[None]:
    """The external metrics API, served by the stand-in beside the operator, whose metrics are for its namespace alone."""
    found = release.listed("pods", "app.kubernetes.io/component=operator")
    operators = [f"{pod['status']['podIP']}:8080" for pod in found if "deletionTimestamp" not in pod["metadata"]]
    spec = {"selector": LABELS, "ports": [{"port": 443, "targetPort": external_metrics.PORT}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME}, "spec": spec}
    group, version = external_metrics.VERSION.split("/")
    api = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": APISERVICE},
        "spec": {
            "service": {"name": NAME, "namespace": release.namespace},
            "group": group,
            "version": version,
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    release.create_config(NAME, **{"external_metrics.py": Path(external_metrics.__file__).read_text()})
    parts = [certificate(tmp_path / "pki"), standin(operators), service, api]
    release.create_all(parts)
    release.wait_condition("pods", NAME, "Ready", seconds=SECONDS)
    release.wait_condition("apiservices", APISERVICE, "Available", seconds=SECONDS)
    yield
    # Names of a group that nothing serves would hold up whoever asks for all groups.
    for part in reversed(parts):
        release.delete_one(part)
    release.delete("configmaps", NAME)


def an_autoscaler() -> Json:
    metric = {"name": "tidegate-pool-load", "selector": {"matchLabels": {"pool": POOL}}}
    target = {"type": "AverageValue", "averageValue": "2"}
    spec = {
        "scaleTargetRef": {"apiVersion": "tidegate.dev/v1alpha1", "kind": "WorkerPool", "name": POOL},
        "minReplicas": 1,
        "maxReplicas": 3,
        "metrics": [{"type": "External", "external": {"metric": metric, "target": target}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    }
    metadata = {"name": POOL}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}


def is_sized(runs: ClusterRuns, workers: int) -> None:
    def sized() -> bool:
        pool = runs.get(POOL, kind="workerpools.tidegate.dev")
        return bool(pool["spec"].get("replicas", 1) == workers and pool.get("status", {}).get("slots") == 2 * workers)

    wait_until(sized, seconds=SECONDS, what=f"{workers} workers")


@pytest.mark.usefixtures("metrics")
def test_an_autoscaler_sizes_a_pool_by_the_runs_that_wait(runs: ClusterRuns) -> None:
    spec = {"image": IMAGE, "slots": 2, "drainSeconds": 1}
    pool = {"apiVersion": "tidegate.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": POOL}, "spec": spec}
    autoscaler = an_autoscaler()
    runs.kube.create(pool)
    runs.kube.create(autoscaler)
    is_sized(runs, 1)
    names = [f"scaled-{number}" for number in range(6)]
    for name in names:
        runs.start(a_run(name).warm("tasks:resize", pool=POOL).payload(pictures=10, seconds=SECONDS))
    is_sized(runs, 3)
    for name in names:
        runs.wait(name, "Running")
        runs.cancel(name)
    is_sized(runs, 1)
    seen = runs.get(POOL, kind="horizontalpodautoscalers")
    assert is_true(seen, "ScalingActive"), seen["status"]
    runs.kube.delete_one(autoscaler)
    runs.kube.delete_one(pool)
