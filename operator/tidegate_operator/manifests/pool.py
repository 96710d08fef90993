"""From a WorkerPool to its Deployment: a pure builder.

A worker pod holds no credential but a token that is good for nothing but to show the operator which pod it is. What the pool's
`podTemplate` says lies over Tidegate's defaults, and under what has to be Tidegate's own.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tidegate_api.bodies import JsonObject, WorkerPoolSpecBody
from tidegate_api.names import (
    API_VERSION,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    POOL_LABEL,
    TOKEN_AUDIENCE,
    WORKER_CONTAINER,
    Env,
    WorkerEnv,
)
from tidegate_api.pool_names import deployment_name
from tidegate_api.quantity import bytes_of

from tidegate_operator.manifests.job import API_CA_ANNOTATION
from tidegate_operator.manifests.pod_template import merge_template, put_own
from tidegate_operator.records.lenient import as_map, bounded_or
from tidegate_operator.records.pool import PoolRecord
from tidegate_operator.records.pool_parsing import APPLIED_ANNOTATION

RUNS_DIR: Final = "/tidegate"
TRUST_DIR: Final = "/var/run/secrets/tidegate"
TOKEN_LIFETIME: Final = 3600
CA_ANNOTATION: Final = "tidegate.dev/dispatch-ca"
"""On a worker pod: the certificates of those who may have signed the operator's, which a file of the pod shows."""
API_CA: Final = "api-ca.crt"
PORT: Final = 8446
GRACE_SECONDS: Final = 30
LINGER_SECONDS: Final = 10
LIVENESS: Final = {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 4}
"""A main loop that hangs is ended within 60 s."""
SHARED: Final = ("shareProcessNamespace", "hostPID", "hostIPC", "hostNetwork")


class PoolSpecError(Exception):
    """No Deployment can be made of the pool; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDefaults:
    """What the installation says about every worker."""

    address: str
    """host:port of the dispatch port."""
    trust: str
    """The certificates, PEM, of those who may have signed the operator's."""
    api_url: str = ""
    api_trust: str = ""
    """The same of the web app's; empty without TLS there."""
    run_as_user: int = 65532


def build_deployment(pool: PoolRecord, *, defaults: WorkerDefaults) -> JsonObject:
    """The Deployment of a pool, as it is applied. Raises PoolSpecError."""
    spec = pool.spec
    template = _template(pool, defaults=defaults)
    manifest: JsonObject = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": deployment_name(pool.name, pool.uid),
            "namespace": pool.namespace,
            "labels": {MANAGED_BY_LABEL: MANAGED_BY, POOL_LABEL: pool.name},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "WorkerPool",
                    "name": pool.name,
                    "uid": pool.uid,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "replicas": bounded_or(1, spec.get("replicas"), high=1000),
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": {POOL_LABEL: pool.name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": template,
        },
    }
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    metadata["annotations"] = {APPLIED_ANNOTATION: digest}
    return manifest


def applied_digest(manifest: Mapping[str, object]) -> str:
    """What the Deployment says that it was made from."""
    annotations = as_map(as_map(manifest.get("metadata")).get("annotations"))
    return str(annotations.get(APPLIED_ANNOTATION, ""))


def grace_seconds(spec: WorkerPoolSpecBody) -> int:
    """The grace period of a run: what the pool's template says of its pod."""
    template = as_map(as_map(spec.get("podTemplate")).get("spec"))
    return bounded_or(GRACE_SECONDS, template.get("terminationGracePeriodSeconds"))


def _template(pool: PoolRecord, *, defaults: WorkerDefaults) -> JsonObject:
    spec = pool.spec
    pod: JsonObject = {"metadata": {"labels": {}}, "spec": _pod(spec, defaults=defaults)}
    if spec.get("podTemplate"):
        pod = merge_template(pod, spec["podTemplate"])
    meta, body = pod.get("metadata"), pod.get("spec")
    if not isinstance(meta, dict) or not isinstance(body, dict):
        raise PoolSpecError("podTemplate.metadata and podTemplate.spec are objects")
    shared = [field for field in SHARED if body.get(field)]
    if shared:
        raise PoolSpecError(f"podTemplate.spec.{shared[0]}: workers share no namespace with others")
    labels, annotations = as_map(meta.get("labels") or {}), as_map(meta.get("annotations") or {})
    drain = bounded_or(600, spec.get("drainSeconds"), high=86_400)
    grace = grace_seconds(spec)
    meta["labels"] = {**labels, POOL_LABEL: pool.name}
    api_trust = {API_CA_ANNOTATION: defaults.api_trust} if defaults.api_trust else {}
    meta["annotations"] = {**annotations, CA_ANNOTATION: defaults.trust, **api_trust}
    body["restartPolicy"] = "Always"
    body["terminationGracePeriodSeconds"] = drain + grace + LINGER_SECONDS
    body.pop("activeDeadlineSeconds", None)
    token = {"audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_LIFETIME, "path": "token"}
    files = {"ca.crt": CA_ANNOTATION, **({API_CA: API_CA_ANNOTATION} if api_trust else {})}
    items = [{"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{key}']"}} for path, key in files.items()]
    sources = [{"serviceAccountToken": token}, {"downwardAPI": {"items": items}}]
    volumes: list[JsonObject] = [
        {"name": "tidegate-trust", "projected": {"sources": sources}},
        {"name": "tidegate-runs", "emptyDir": {}},
    ]
    put_own(body, "volumes", volumes, key="name")
    env = _env(pool, defaults=defaults, drain=drain, grace=grace)
    containers = body.get("containers")
    if not isinstance(containers, list):
        raise PoolSpecError("podTemplate.spec.containers is a list")
    body["containers"] = [_own_container(c, env) if _is_worker(c) else c for c in containers]
    return pod


def _is_worker(container: object) -> bool:
    return isinstance(container, dict) and container.get("name") == WORKER_CONTAINER


def _pod(spec: WorkerPoolSpecBody, *, defaults: WorkerDefaults) -> JsonObject:
    security: JsonObject = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if defaults.run_as_user >= 0:
        user = defaults.run_as_user
        security |= {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
    container: JsonObject = {
        "name": WORKER_CONTAINER,
        "image": spec["image"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    for field in ("env", "envFrom", "resources", "imagePullPolicy"):
        if spec.get(field):
            container[field] = spec[field]
    pod: JsonObject = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security,
        "containers": [container],
    }
    if spec.get("serviceAccountName"):
        pod["serviceAccountName"] = spec["serviceAccountName"]
    return pod


def _own_container(container: object, env: Mapping[str, str]) -> object:
    if not isinstance(container, dict):
        return container
    made = {**container, "command": ["python", "-m", "tidegate.worker"]}
    made.pop("args", None)
    # The last word in a failure is the worker's own: a module that can't be imported.
    made |= {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "FallbackToLogsOnError"}
    mounts: list[JsonObject] = [
        {"name": "tidegate-trust", "mountPath": TRUST_DIR, "readOnly": True},
        {"name": "tidegate-runs", "mountPath": RUNS_DIR},
    ]
    put_own(made, "env", [{"name": name, "value": value} for name, value in env.items()], key="name")
    put_own(made, "volumeMounts", mounts, key="mountPath")
    put_own(made, "ports", [{"name": "health", "containerPort": PORT}], key="name")
    probe = {"httpGet": {"path": "/healthz", "port": PORT}, **LIVENESS}
    made["livenessProbe"] = probe
    # Modules are imported before the port is there: that may take long.
    made["startupProbe"] = {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 1, "failureThreshold": 600}
    made["readinessProbe"] = {"httpGet": {"path": "/readyz", "port": PORT}, "periodSeconds": 2, "timeoutSeconds": 5}
    return made


def _env(pool: PoolRecord, *, defaults: WorkerDefaults, drain: int, grace: int) -> dict[str, str]:
    spec, memory = pool.spec, pool.spec.get("memoryPerRun")
    size = bytes_of(memory) if memory is not None else None
    if memory is not None and not size:
        raise PoolSpecError(f"memoryPerRun: {str(memory)[:64]} is no quantity of bytes")
    return {
        Env.NAMESPACE: pool.namespace,
        Env.POOL: pool.name,
        WorkerEnv.ADDRESS: defaults.address,
        WorkerEnv.SERVER_NAME: defaults.address.rpartition(":")[0],
        WorkerEnv.CA_FILE: f"{TRUST_DIR}/ca.crt",
        WorkerEnv.TOKEN_FILE: f"{TRUST_DIR}/token",
        WorkerEnv.SLOTS: str(bounded_or(4, spec.get("slots"), low=1, high=256)),
        WorkerEnv.PRELOAD: json.dumps(spec.get("preload") or []),
        WorkerEnv.DRAIN_SECONDS: str(drain),
        WorkerEnv.GRACE_SECONDS: str(grace),
        WorkerEnv.PORT: str(PORT),
        **({WorkerEnv.MEMORY_PER_RUN: str(size)} if size else {}),
        **({Env.API_URL: defaults.api_url} if defaults.api_url else {}),
        **({Env.API_CA_FILE: f"{TRUST_DIR}/{API_CA}"} if defaults.api_trust else {}),
    }
