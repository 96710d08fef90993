"""What the cluster says about the workers of a pool: whether one can still run something, and why none comes."""

from collections.abc import Iterable

from tidegate_api.names import Reason

from tidegate_operator.records.lenient import bounded_or
from tidegate_operator.records.pool import DeploymentRecord, PoolRecord, WorkerPodRecord
from tidegate_operator.records.run import Cause

CREATE_SECONDS = 10.0
"""From the making of a container's first process to the start of the container, on a busy node."""
REPORT_SECONDS = 1.2
"""The node reports whole seconds."""

NO_REPLICAS = Cause(Reason.POOL_NOT_READY, "it has 0 replicas")


def instance_is_over(pod: WorkerPodRecord, instance: str) -> bool:
    """Whether the container instance runs no more. It was seen running before: a status without it is later."""
    return pod.terminal or pod.container != instance


def ended_by(pod: WorkerPodRecord | None, instance: str) -> Cause:
    """Why a container instance that is over has ended, as far as the cluster still says."""
    if pod is None:
        return Cause(Reason.WORKER_ENDED, "its worker pod is gone")
    if pod.ended in (instance, None) and pod.ended_reason == Reason.OOM_KILLED:
        return Cause(Reason.OOM_KILLED, f"worker {pod.name} used more memory than its limit")
    if pod.disrupted or pod.ended_reason == Reason.EVICTED:
        return Cause(Reason.EVICTED, f"worker {pod.name} was evicted: {pod.ended_message or 'by the cluster'}")
    why = pod.ended_reason if pod.ended in (instance, None) else None
    return Cause(Reason.WORKER_ENDED, f"worker {pod.name} ended{f': {why}' if why else ''}")


def is_same_instance(pod: WorkerPodRecord, *, started: float) -> bool:
    """Whether the running container that the pod's status names is the one whose process started at `started`.

    Both times are of the node's clock; the status has whole seconds. The status of a container that was restarted just now may
    still name the one before.
    """
    known = pod.container_started
    return pod.container is not None and known is not None and -CREATE_SECONDS <= started - known <= REPORT_SECONDS


def pool_trouble(
    pool: PoolRecord, deployment: DeploymentRecord | None, workers: Iterable[WorkerPodRecord]
) -> Cause | None:
    """Why no worker of the pool comes, in the cluster's words; None where nothing is known to be wrong."""
    if bounded_or(1, pool.spec.get("replicas")) == 0:
        return NO_REPLICAS
    if deployment is not None and deployment.trouble is not None:
        return deployment.trouble
    found = [w for w in workers if not w.deleting]
    newest = sorted(found, key=lambda w: w.version, reverse=True)
    return next((w.trouble for w in newest if w.trouble is not None), None)
