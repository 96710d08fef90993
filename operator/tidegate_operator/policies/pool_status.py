"""What a pool does, as its status says it."""

from tidegate_api.bodies import WorkerPoolStatusBody
from tidegate_api.names import POOL_LABEL, Reason
from tidegate_api.objects import Condition
from tidegate_api.times import format_time

from tidegate_operator.queueing.pool_slots import PoolCount
from tidegate_operator.records.pool import DeploymentRecord, PoolRecord
from tidegate_operator.records.run import Cause

MESSAGE_MAX = 1024


def pool_status(
    pool: PoolRecord,
    deployment: DeploymentRecord | None,
    count: PoolCount,
    *,
    waiting: int,
    trouble: Cause | None,
    now: float,
) -> WorkerPoolStatusBody:
    """The whole status. `trouble`: why no worker comes."""
    ready = count.workers > 0
    if ready:
        why = Cause("Ready", f"{count.workers} of {pool.spec.get('replicas', 1)} workers are connected")
    else:
        why = trouble or Cause(Reason.POOL_NOT_READY, "no worker has connected yet")
    condition: Condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": why.reason,
        "message": why.message[:MESSAGE_MAX],
        "observedGeneration": pool.generation,
    }
    before = next((c for c in pool.status.get("conditions") or () if c.get("type") == "Ready"), Condition())
    since = before.get("lastTransitionTime") if before.get("status") == condition["status"] else None
    condition["lastTransitionTime"] = since or format_time(now)
    return {
        "observedGeneration": pool.generation,
        "replicas": deployment.replicas if deployment is not None else 0,
        "readyReplicas": deployment.ready if deployment is not None else 0,
        "slots": count.slots,
        "busy": count.busy,
        "waiting": waiting,
        "selector": f"{POOL_LABEL}={pool.name}",
        "conditions": [condition],
    }
