"""From a pool's Deployment and its worker pods, as the apiserver gives them, to what is needed of them."""

from collections.abc import Mapping
from typing import Final

from tidegate_api.bodies import AttemptBody
from tidegate_api.names import POOL_LABEL, WORKER_CONTAINER, Reason
from tidegate_api.objects import Condition, ContainerStatus, DeploymentBody, ObjectMeta, PodBody, PodStatus
from tidegate_api.ownership import controller_of, controller_uid
from tidegate_api.times import parse_time

from tidegate_operator.records.lenient import count
from tidegate_operator.records.parsing import NOT_YET, unreachable
from tidegate_operator.records.pool import DeploymentRecord, Handover, WorkerPodRecord
from tidegate_operator.records.run import Cause

APPLIED_ANNOTATION: Final = "tidegate.dev/applied"
"""On a pool's Deployment: the digest of the manifest that the operator applied."""


def parse_deployment(body: DeploymentBody) -> DeploymentRecord | None:
    """A Deployment; None for one that no WorkerPool controls."""
    meta, status = body["metadata"], body.get("status") or {}
    pool_uid = controller_uid(meta, kind="WorkerPool")
    if pool_uid is None:
        return None
    failure = _by_type(status.get("conditions")).get("ReplicaFailure") or {}
    failed = failure.get("status") == "True"
    return DeploymentRecord(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        version=int(meta["resourceVersion"]),
        pool_uid=pool_uid,
        applied=(meta.get("annotations") or {}).get(APPLIED_ANNOTATION, ""),
        replicas=count(status.get("replicas")) or 0,
        ready=count(status.get("readyReplicas")) or 0,
        trouble=Cause(failure.get("reason") or "FailedCreate", failure.get("message") or "") if failed else None,
    )


def parse_worker_pod(body: PodBody) -> WorkerPodRecord:
    """A pod that carries the label of a pool."""
    meta, status = body["metadata"], body.get("status") or {}
    conditions = _by_type(status.get("conditions"))
    container = next(
        (c for c in status.get("containerStatuses") or () if c["name"] == WORKER_CONTAINER), ContainerStatus()
    )
    state = container.get("state") or {}
    last = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    owner = controller_of(meta, kind="ReplicaSet")
    disruption = conditions.get("DisruptionTarget") or {}
    return WorkerPodRecord(
        uid=meta["uid"],
        namespace=meta["namespace"],
        name=meta["name"],
        version=int(meta["resourceVersion"]),
        pool=(meta.get("labels") or {}).get(POOL_LABEL, ""),
        node=(body.get("spec") or {}).get("nodeName"),
        phase=status.get("phase") or "Pending",
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        deleting="deletionTimestamp" in meta,
        container=instance_of(container.get("containerID")) if "running" in state else None,
        container_started=parse_time((state.get("running") or {}).get("startedAt")),
        ended=instance_of(last.get("containerID")),
        ended_reason=last.get("reason") or status.get("reason"),
        ended_message=last.get("message") or status.get("message") or "",
        restarts=count(container.get("restartCount")) or 0,
        disrupted=disruption.get("status") == "True",
        unreachable=unreachable(conditions),
        owner=(owner.get("name", ""), owner["uid"]) if owner is not None else None,
        trouble=_trouble(meta, status, conditions),
    )


def instance_of(container_id: str | None) -> str | None:
    """A container instance by the beginning of its id, as hand-overs carry it; None where there is no id."""
    ident = "".join(c for c in (container_id or "").rpartition("//")[2] if c.isalnum())
    return ident[:12] or None


def handover_of(attempt: AttemptBody) -> Handover | None:
    """The hand-over that an attempt's line in the status names; None for an attempt with a Job."""
    ident, pool, pod_uid = attempt.get("handover"), attempt.get("pool"), attempt.get("podUid")
    if not ident or not pool or not pod_uid:
        return None
    return Handover(
        ident=ident, pool=pool, pod_uid=pod_uid, pod_name=attempt.get("podName") or "", node=attempt.get("nodeName")
    )


def _trouble(meta: ObjectMeta, status: PodStatus, conditions: Mapping[str, Condition]) -> Cause | None:
    """What keeps a worker from running, in the cluster's words."""
    name = meta["name"]
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return Cause(Reason.SCHEDULING, f"pod {name}: {scheduled.get('message') or 'waiting for a node'}")
    if status.get("phase") == "Failed":
        return Cause(status.get("reason") or "Failed", f"pod {name}: {status.get('message') or 'it failed'}")
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason")
        ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
        said = " ".join((ended.get("message") or "").split())
        where = f"pod {name}, container {container['name']}"
        # One that is started again says the same at each start: it is in trouble until it is ready.
        if said and not container.get("ready"):
            return Cause(reason or ended.get("reason") or "Error", f"{where}: {said[-512:]}")
        if reason and reason not in NOT_YET:
            return Cause(reason, f"{where}: {waiting.get('message') or reason}")
    return None


def _by_type(conditions: list[Condition] | None) -> dict[str, Condition]:
    return {c["type"]: c for c in conditions or ()}
