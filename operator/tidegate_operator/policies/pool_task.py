"""What a run of a task with a pool may not ask for: the pool's pods are there already.

The CRD's rules refuse such a Task; what a run lays over it, and a Task of an older CRD, are seen here alone.
"""

from tidegate_api.bodies import TaskSpecBody
from tidegate_api.names import POOL_EXCLUDES, Reason

from tidegate_operator.records.run import Cause

ENV_MAX = 64 * 1024
"""Bytes of the variables of a run in a pool: they travel with its hand-over."""


def refuse_pool_task(resolved: TaskSpecBody) -> Cause | None:
    """Why the resolved TaskSpec can't run in its pool, if so; None too for one without a pool."""
    pool = resolved.get("pool")
    if not pool:
        return None
    if not resolved.get("entrypoint"):
        return Cause(Reason.INVALID_TASK, f"a task with pool {pool} needs an entrypoint")
    found = [field for field in POOL_EXCLUDES if resolved.get(field)]
    if found:
        return Cause(Reason.INVALID_TASK, f"{', '.join(found)}: a run in pool {pool} has what its WorkerPool has")
    sourced = [e["name"] for e in resolved.get("env") or [] if e.get("valueFrom")]
    if sourced:
        message = (
            f"env {', '.join(sourced)}: a run in pool {pool} has plain env only; put valueFrom into its WorkerPool"
        )
        return Cause(Reason.INVALID_TASK, message)
    size = sum(
        len(e["name"]) + len((e.get("value") or "").encode("utf-8", "replace")) for e in resolved.get("env") or []
    )
    if size > ENV_MAX:
        return Cause(Reason.INVALID_TASK, f"env is {size} bytes; a run in a pool gets at most {ENV_MAX}")
    return None
