"""From a run to its Job: a pure builder.

The pod gets its payload through a downward-API file of an annotation, returns its result through the termination log, and
holds no credential but, where there is a web app, a token that is good for this pod alone. Three layers make a pod: what
Tidegate sets by default, over it the task's `podTemplate`, over both what has to be Tidegate's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from posixpath import normpath
from typing import Final

from tidegate_api.bodies import JsonObject, ResourcesBody, TaskRunBody, TaskRunSpecBody, TaskSpecBody
from tidegate_api.job_names import job_name
from tidegate_api.names import (
    AFTER_OOM_ANNOTATION,
    API_VERSION,
    ATTEMPT_LABEL,
    CONCURRENCY_KEY_ANNOTATION,
    DEFAULT_QUEUE,
    GROUP,
    JSON_DEPTH_MAX,
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
from tidegate_api.objects import ObjectMeta
from tidegate_api.spec_hash import spec_text

from tidegate_operator import json_codec
from tidegate_operator.manifests.pod_template import merge_template, put_own
from tidegate_operator.policies.outcome import result_limit
from tidegate_operator.policies.payload import encode_payload
from tidegate_operator.records.parsing import count_containers

PAYLOAD_DIR: Final = "/tidegate"
TOKEN_DIR: Final = "/var/run/secrets/tidegate"  # noqa: S105 - a folder
RESULT_FILE: Final = "/dev/termination-log"
TOKEN_LIFETIME: Final = 3600
API_CA_ANNOTATION: Final = "tidegate.dev/api-ca"
"""On a pod: the certificates of those who may have signed the web app's, which a file of the pod shows."""
FORBIDDEN_LABELS: Final = frozenset({MANAGED_BY_LABEL, "job-name", "controller-uid"})
FORBIDDEN_PREFIXES: Final = (f"{GROUP}/", "batch.kubernetes.io/")


class ReservedPathError(Exception):
    """A task's pod template mounts something where only Tidegate's own files can be; the message says where."""


class TooDeepError(Exception):
    """A task nests deeper than most JSON readers go."""

    def __init__(self) -> None:
        super().__init__(f"the task nests deeper than {JSON_DEPTH_MAX} levels")


@dataclass(frozen=True, slots=True, kw_only=True)
class PodDefaults:
    """What the installation says about every pod."""

    api_url: str = ""
    api_trust: str = ""
    """The certificates, PEM, of those who may have signed the web app's; empty without TLS there."""
    run_as_user: int = 65532


def build_job(
    run: TaskRunBody,
    resolved: TaskSpecBody,
    *,
    number: int,
    defaults: PodDefaults,
    after_oom: bool = False,
) -> JsonObject:
    """The Job of attempt `number` of `run` (a TaskRun) under `resolved`, the TaskSpec its attempts follow.

    `after_oom`: an attempt before this one ran out of memory. Raises ReservedPathError or TooDeepError.
    """
    meta, spec = run["metadata"], run["spec"]
    key = {CONCURRENCY_KEY_ANNOTATION: spec["concurrencyKey"]} if spec.get("concurrencyKey") else {}
    labels, copied = _labels(meta, spec, resolved, number=number), _copied(meta.get("labels") or {})
    pod: JsonObject = {"metadata": {"labels": copied}, "spec": _pod(resolved, defaults=defaults)}
    if resolved.get("podTemplate"):
        pod = merge_template(pod, resolved["podTemplate"])
    if isinstance(pod["metadata"], dict):
        trust = {API_CA_ANNOTATION: defaults.api_trust} if defaults.api_trust else {}
        carried = {PAYLOAD_ANNOTATION: encode_payload(spec.get("payload") or {}), **key, **trust}
        pod["metadata"] = _own_metadata(pod["metadata"], labels, carried)
    if isinstance(pod["spec"], dict):
        oom = ((resolved.get("retry") or {}).get("outOfMemory") or {}) if after_oom else {}
        pod["spec"] = _own_spec(
            pod["spec"],
            deadline=_deadline(resolved),
            env=_env(meta, spec, resolved, number=number, defaults=defaults, containers=count_containers(pod["spec"])),
            resources=oom.get("resources") or {},
            token=bool(defaults.api_url),
            trust=bool(defaults.api_trust),
        )
    annotations = {TASK_SPEC_ANNOTATION: encode_spec(resolved), **key}
    if after_oom:
        annotations[AFTER_OOM_ANNOTATION] = "true"
    own_labels: JsonObject = {**copied, **labels}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(run=meta["name"], run_uid=meta["uid"], number=number),
            "namespace": meta["namespace"],
            "labels": own_labels,
            "annotations": annotations,
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
            "template": pod,
        },
    }


def encode_spec(resolved: Mapping[str, object]) -> str:
    """A TaskSpec as its Jobs carry it. Raises TooDeepError."""
    try:
        text = spec_text(resolved)
    except RecursionError as error:
        raise TooDeepError from error
    if json_codec.is_deep(text):
        raise TooDeepError
    return text


def _copied(found: Mapping[str, object]) -> JsonObject:
    """Those labels or annotations of others that a pod may carry."""
    return {k: v for k, v in found.items() if k not in FORBIDDEN_LABELS and not k.startswith(FORBIDDEN_PREFIXES)}


def _labels(meta: ObjectMeta, spec: TaskRunSpecBody, resolved: TaskSpecBody, *, number: int) -> dict[str, str]:
    task = (spec.get("taskRef") or {}).get("name")
    return {
        MANAGED_BY_LABEL: MANAGED_BY,
        RUN_LABEL: meta["name"],
        RUN_UID_LABEL: meta["uid"],
        ATTEMPT_LABEL: str(number),
        **({TASK_LABEL: task} if task else {}),
        QUEUE_LABEL: resolved.get("queue") or DEFAULT_QUEUE,
    }


# Tidegate's defaults: the pod's template is laid over these.


def _pod(resolved: TaskSpecBody, *, defaults: PodDefaults) -> JsonObject:
    security: JsonObject = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if defaults.run_as_user >= 0:
        user = defaults.run_as_user
        security |= {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
    pod: JsonObject = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security,
        "containers": [_container(resolved)],
    }
    if resolved.get("serviceAccountName"):
        pod["serviceAccountName"] = resolved["serviceAccountName"]
    return pod


def _container(resolved: TaskSpecBody) -> JsonObject:
    container: JsonObject = {
        "name": TASK_CONTAINER,
        "image": resolved["image"],
        "terminationMessagePath": RESULT_FILE,
        # A program that writes no message of its own still gets a failure message: the end of its log.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    if resolved.get("entrypoint"):
        container["command"] = ["python", "-m", "tidegate", resolved["entrypoint"]]
    for field in ("command", "args", "env", "envFrom", "resources", "imagePullPolicy"):
        if resolved.get(field):
            container[field] = resolved[field]
    return container


# What is Tidegate's own: no template overrides it. Parts that can't be understood are left for the apiserver to refuse.


def _own_metadata(meta: JsonObject, labels: Mapping[str, str], annotations: Mapping[str, str]) -> JsonObject:
    made = {**meta}
    for field, own in (("labels", labels), ("annotations", annotations)):
        if isinstance(others := made.get(field) or {}, dict):
            made[field] = {**_copied(others), **own}
    return made


def _own_spec(
    pod: JsonObject, *, deadline: int, env: Mapping[str, str], resources: ResourcesBody, token: bool, trust: bool
) -> JsonObject:
    made = {**pod, "restartPolicy": "Never", "activeDeadlineSeconds": deadline}
    if not deadline:
        del made["activeDeadlineSeconds"]
    payload = {"path": "payload.json", "fieldRef": {"fieldPath": f"metadata.annotations['{PAYLOAD_ANNOTATION}']"}}
    ca = {"path": "ca.crt", "fieldRef": {"fieldPath": f"metadata.annotations['{API_CA_ANNOTATION}']"}}
    items = [payload, ca] if trust else [payload]
    volumes: list[JsonObject] = [{"name": "tidegate-payload", "downwardAPI": {"items": items}}]
    mounts: list[JsonObject] = [{"name": "tidegate-payload", "mountPath": PAYLOAD_DIR, "readOnly": True}]
    if token:
        source = {"audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_LIFETIME, "path": "token"}
        volumes.append({"name": "tidegate-token", "projected": {"sources": [{"serviceAccountToken": source}]}})
        mounts.append({"name": "tidegate-token", "mountPath": TOKEN_DIR, "readOnly": True})
    put_own(made, "volumes", volumes, key="name")
    if isinstance(containers := made.get("containers"), list):
        made["containers"] = [
            _own_container(c, env=env, mounts=mounts, resources=resources)
            if isinstance(c, dict) and c.get("name") == TASK_CONTAINER
            else c
            for c in containers
        ]
    return made


def _own_container(
    container: JsonObject, *, env: Mapping[str, str], mounts: list[JsonObject], resources: ResourcesBody
) -> JsonObject:
    # The template may have moved the termination log: the result still has to go there.
    values = {**env, Env.RESULT_FILE: container.get("terminationMessagePath") or RESULT_FILE}
    made = {**container}
    # Ours first, so that a task's own variables may refer to them.
    put_own(made, "env", [{"name": name, "value": value} for name, value in values.items()], key="name")
    put_own(made, "volumeMounts", mounts, key="mountPath", same=_plain_path)
    _refuse_below(made["volumeMounts"], mounts)
    if resources and isinstance(present := made.get("resources") or {}, dict):
        made["resources"] = {**present, **_over(present, resources)}
    return made


def _plain_path(path: str) -> str:
    return "/" + normpath(path).lstrip(
        "/"
    )  # POSIX gives two slashes at the beginning a meaning of their own; Linux doesn't


def _refuse_below(found: object, mounts: list[JsonObject]) -> None:
    """Our folders can't be written to: no mount point can be made in them, and one that is there would hide a file of ours."""
    paths = [m.get("mountPath") for m in found if isinstance(m, dict)] if isinstance(found, list) else []
    for own in (m["mountPath"] for m in mounts):
        for path in paths:
            if isinstance(path, str) and _plain_path(path).startswith(f"{own}/"):
                raise ReservedPathError(
                    f"podTemplate mounts a volume at {path}: {own} is Tidegate's own, mount it elsewhere"
                )


def _over(present: JsonObject, resources: ResourcesBody) -> JsonObject:
    return {
        part: {**before, **values} if isinstance(before := present.get(part) or {}, dict) else before
        for part, values in resources.items()
    }


def _deadline(resolved: TaskSpecBody) -> int:
    """The kubelet ends the pod by then even if no operator lives; 0: never."""
    timeout: int = resolved.get("timeoutSeconds", 3600)
    return timeout + int(resolved.get("startTimeoutSeconds", 300)) if timeout else 0


def _env(
    meta: ObjectMeta,
    spec: TaskRunSpecBody,
    resolved: TaskSpecBody,
    *,
    number: int,
    defaults: PodDefaults,
    containers: int,
) -> dict[str, str]:
    timeout = resolved.get("timeoutSeconds", 3600)
    return {
        Env.RUN: meta["name"],
        Env.RUN_UID: meta["uid"],
        Env.NAMESPACE: meta["namespace"],
        Env.TASK: (spec.get("taskRef") or {}).get("name") or "",
        Env.ATTEMPT: str(number),
        Env.MAX_ATTEMPTS: str((resolved.get("retry") or {}).get("maxAttempts", 3)),
        Env.QUEUE: resolved.get("queue") or DEFAULT_QUEUE,
        Env.PAYLOAD_FILE: f"{PAYLOAD_DIR}/payload.json",
        Env.RESULT_FILE: RESULT_FILE,
        Env.RESULT_MAX_BYTES: str(result_limit(containers)),
        Env.REPORT_USAGE: "1",
        **({Env.TIMEOUT_SECONDS: str(timeout)} if timeout else {}),
        **({Env.API_URL: defaults.api_url, Env.TOKEN_FILE: f"{TOKEN_DIR}/token"} if defaults.api_url else {}),
        **({Env.API_CA_FILE: f"{PAYLOAD_DIR}/ca.crt"} if defaults.api_trust else {}),
    }
