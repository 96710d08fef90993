"""From a run to its Job: a pure builder.

The pod gets its payload through a downward-API file of an annotation, tells its result through the termination log, and
holds no credential but, where there is a web part, a token that is good for this pod alone.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tidegate_api.names import (
    API_VERSION,
    ATTEMPT_LABEL,
    CONCURRENCY_KEY_ANNOTATION,
    DEFAULT_QUEUE,
    GROUP,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    PAYLOAD_ANNOTATION,
    QUEUE_LABEL,
    RUN_LABEL,
    RUN_UID_LABEL,
    TASK_CONTAINER,
    TASK_LABEL,
    TASK_SPEC_ANNOTATION,
    TOKEN_AUDIENCE,
    Env,
)

from tidegate_operator.policies.outcome import result_limit
from tidegate_operator.policies.payload import encode_payload

Json = dict[str, Any]

PAYLOAD_DIR: Final = "/tidegate"
TOKEN_DIR: Final = "/var/run/secrets/tidegate"  # noqa: S105 - a folder
RESULT_FILE: Final = "/dev/termination-log"
TOKEN_LIFETIME: Final = 3600
FORBIDDEN_LABELS: Final = frozenset({MANAGED_BY_LABEL, "job-name", "controller-uid"})
FORBIDDEN_PREFIXES: Final = (f"{GROUP}/", "batch.kubernetes.io/")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodDefaults:
    """What the installation says about every pod."""

    api_url: str = ""
    run_as_user: int = 65532


def job_name(*, run: str, run_uid: str, number: int) -> str:
    """Name of an attempt's Job: the same for whoever computes it, so that no attempt is ever made twice."""
    digest = hashlib.sha256(run_uid.encode()).hexdigest()[:8]
    return f"{run[:40].rstrip('-')}-{digest}-{number}"


def build_job(run: Mapping[str, Any], resolved: Mapping[str, Any], *, number: int, defaults: PodDefaults) -> Json:
    """The Job of attempt `number` of `run` (a TaskRun) under `resolved`, the TaskSpec its attempts follow."""
    meta, spec = run["metadata"], run["spec"]
    labels = _labels(meta, spec, resolved, number=number)
    key = {CONCURRENCY_KEY_ANNOTATION: spec["concurrencyKey"]} if spec.get("concurrencyKey") else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(run=meta["name"], run_uid=meta["uid"], number=number),
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": {
                TASK_SPEC_ANNOTATION: json.dumps(resolved, separators=(",", ":"), ensure_ascii=False),
                **key,
            },
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "TaskRun",
                    "name": meta["name"],
                    "uid": meta["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": 0,
            # A replacement is made only when the old pod has ended: two pods of a run never run at once.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {PAYLOAD_ANNOTATION: encode_payload(spec.get("payload") or {}), **key},
                },
                "spec": _pod(meta, spec, resolved, number=number, defaults=defaults),
            },
        },
    }


def _labels(
    meta: Mapping[str, Any], spec: Mapping[str, Any], resolved: Mapping[str, Any], *, number: int
) -> dict[str, str]:
    own = {
        k: v
        for k, v in (meta.get("labels") or {}).items()
        if k not in FORBIDDEN_LABELS and not k.startswith(FORBIDDEN_PREFIXES)
    }
    task = (spec.get("taskRef") or {}).get("name")
    return {
        **own,
        MANAGED_BY_LABEL: MANAGED_BY,
        RUN_LABEL: meta["name"],
        RUN_UID_LABEL: meta["uid"],
        ATTEMPT_LABEL: str(number),
        **({TASK_LABEL: task} if task else {}),
        QUEUE_LABEL: resolved.get("queue") or DEFAULT_QUEUE,
    }


def _pod(
    meta: Mapping[str, Any], spec: Mapping[str, Any], resolved: Mapping[str, Any], *, number: int, defaults: PodDefaults
) -> Json:
    volumes: list[Json] = [
        {
            "name": "tidegate-payload",
            "downwardAPI": {
                "items": [
                    {"path": "payload.json", "fieldRef": {"fieldPath": f"metadata.annotations['{PAYLOAD_ANNOTATION}']"}}
                ]
            },
        }
    ]
    if defaults.api_url:
        token = {"audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_LIFETIME, "path": "token"}
        volumes.append({"name": "tidegate-token", "projected": {"sources": [{"serviceAccountToken": token}]}})
    security: Json = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if defaults.run_as_user >= 0:
        user = defaults.run_as_user
        security |= {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
    pod: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security,
        "volumes": volumes,
        "containers": [_container(meta, spec, resolved, number=number, defaults=defaults)],
    }
    if resolved.get("serviceAccountName"):
        pod["serviceAccountName"] = resolved["serviceAccountName"]
    timeout = resolved.get("timeoutSeconds", 3600)
    if timeout:
        # The kubelet ends the pod even if no supervisor lives.
        pod["activeDeadlineSeconds"] = timeout + resolved.get("startTimeoutSeconds", 300)
    return pod


def _container(
    meta: Mapping[str, Any], spec: Mapping[str, Any], resolved: Mapping[str, Any], *, number: int, defaults: PodDefaults
) -> Json:
    mounts = [{"name": "tidegate-payload", "mountPath": PAYLOAD_DIR, "readOnly": True}]
    if defaults.api_url:
        mounts.append({"name": "tidegate-token", "mountPath": TOKEN_DIR, "readOnly": True})
    ours = _env(meta, spec, resolved, number=number, defaults=defaults)
    names = {e["name"] for e in ours}
    container: Json = {
        "name": TASK_CONTAINER,
        "image": resolved["image"],
        # Ours first, so that a task's own variables may refer to them.
        "env": [*ours, *(e for e in resolved.get("env") or () if e["name"] not in names)],
        "volumeMounts": mounts,
        "terminationMessagePath": RESULT_FILE,
        # A program that writes no message of its own still gets a failure message: the end of its log.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if resolved.get("entrypoint"):
        container["command"] = ["python", "-m", "tidegate", resolved["entrypoint"]]
    for field in ("command", "args", "envFrom", "resources", "imagePullPolicy"):
        if resolved.get(field):
            container[field] = resolved[field]
    return container


def _env(
    meta: Mapping[str, Any], spec: Mapping[str, Any], resolved: Mapping[str, Any], *, number: int, defaults: PodDefaults
) -> list[Json]:
    timeout = resolved.get("timeoutSeconds", 3600)
    values = {
        Env.RUN: meta["name"],
        Env.RUN_UID: meta["uid"],
        Env.NAMESPACE: meta["namespace"],
        Env.TASK: (spec.get("taskRef") or {}).get("name") or "",
        Env.ATTEMPT: str(number),
        Env.MAX_ATTEMPTS: str((resolved.get("retry") or {}).get("maxAttempts", 3)),
        Env.QUEUE: resolved.get("queue") or DEFAULT_QUEUE,
        Env.PAYLOAD_FILE: f"{PAYLOAD_DIR}/payload.json",
        Env.RESULT_FILE: RESULT_FILE,
        Env.RESULT_MAX_BYTES: str(result_limit(1)),
        **({Env.TIMEOUT_SECONDS: str(timeout)} if timeout else {}),
        **({Env.API_URL: defaults.api_url, Env.TOKEN_FILE: f"{TOKEN_DIR}/token"} if defaults.api_url else {}),
    }
    return [{"name": name, "value": value} for name, value in values.items()]
