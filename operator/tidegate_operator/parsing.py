"""From Jobs and pods, as the apiserver gives them, to what the policies need of them."""

from collections.abc import Mapping
from typing import Any

from tidegate_api.names import ATTEMPT_LABEL, TASK_CONTAINER, TASK_SPEC_ANNOTATION

from tidegate_operator.records import STOP_ANNOTATION, Json, PodRecord
from tidegate_operator.timestamps import parse_time


def parse_pod(body: Mapping[str, Any], *, job_uid: str, received: float) -> PodRecord:
    """A pod as the policies see it. `received`: when this state came in."""
    meta, status = body["metadata"], body.get("status") or {}
    container: Json = next((c for c in status.get("containerStatuses") or () if c["name"] == TASK_CONTAINER), {})
    state = container.get("state") or {}
    terminated, waiting = state.get("terminated") or {}, state.get("waiting") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    spec = body.get("spec") or {}
    return PodRecord(
        uid=meta["uid"],
        name=meta["name"],
        version=int(meta["resourceVersion"]),
        job_uid=job_uid,
        phase=status.get("phase") or "Pending",
        created=parse_time(meta.get("creationTimestamp")) or received,
        received=received,
        node=spec.get("nodeName"),
        reason=status.get("reason"),
        message=status.get("message"),
        started=parse_time(terminated.get("startedAt") or (state.get("running") or {}).get("startedAt")),
        finished=parse_time(terminated.get("finishedAt")),
        exit_code=terminated.get("exitCode"),
        termination_reason=terminated.get("reason"),
        termination_message=terminated.get("message") or "",
        waiting_reason=waiting.get("reason"),
        waiting_message=waiting.get("message"),
        scheduling_message=scheduled.get("message") if scheduled.get("status") == "False" else None,
        scheduled=parse_time(scheduled.get("lastTransitionTime")) if scheduled.get("status") == "True" else None,
        disrupted=(conditions.get("DisruptionTarget") or {}).get("status") == "True",
        deleting="deletionTimestamp" in meta,
        unreachable=_unreachable(conditions),
        stop_reason=(meta.get("annotations") or {}).get(STOP_ANNOTATION),
        containers=count_containers(spec),
        failed_beside=_failed_beside(status, exit_code=terminated.get("exitCode")),
    )


def _unreachable(conditions: Mapping[str, Json]) -> bool:
    """The node controller marks pods of a silent node not ready, and leaves what the kubelet last said of the containers."""
    ready, containers = conditions.get("Ready") or {}, conditions.get("ContainersReady") or {}
    silent: bool = ready.get("status") == "False" and containers.get("status") == "True"
    return silent and ready.get("reason") != "ReadinessGatesNotReady"


def count_containers(spec: Mapping[str, Any]) -> int:
    """Containers of a pod among which the kubelet divides what it keeps of termination messages: those of every kind."""
    kinds = (spec.get(kind) for kind in ("containers", "initContainers", "ephemeralContainers"))
    return max(1, sum(len(found) for found in kinds if isinstance(found, list)))


def _failed_beside(status: Mapping[str, Any], *, exit_code: int | None) -> str | None:
    """Which other container made the pod fail, where it wasn't `task`."""
    if status.get("phase") != "Failed" or exit_code:
        return None
    # Where `task` never ran, the last init container that ended badly is the one that mattered: those before it are
    # sidecars, which end with the pod. Where it did, no init container could fail the pod any more.
    statuses = status.get("containerStatuses" if exit_code == 0 else "initContainerStatuses") or []
    for container in statuses if exit_code == 0 else reversed(statuses):
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            said = " ".join((ended.get("message") or "").split())
            return f"container {container['name']} ended with exit code {ended['exitCode']}{said and f': {said}'}"
    return None


def controller_of(meta: Mapping[str, Any], *, kind: str) -> str | None:
    """uid of the object's controller when it is of `kind`. Labels only select; ownership is what counts."""
    for owner in meta.get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") == kind:
            uid: str = owner["uid"]
            return uid
    return None


def attempt_number(meta: Mapping[str, Any]) -> int | None:
    """The attempt's number on a Job, or None for a Job that isn't one of ours."""
    text = (meta.get("labels") or {}).get(ATTEMPT_LABEL, "")
    return int(text) if text.isdigit() else None


def task_spec_of(meta: Mapping[str, Any]) -> str | None:
    """The frozen TaskSpec of a Job, as JSON."""
    text: str | None = (meta.get("annotations") or {}).get(TASK_SPEC_ANNOTATION)
    return text
