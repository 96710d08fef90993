"""What a run may ask for that this version doesn't do yet: it ends as Failed/NotSupported, with the field's name.

A field that is accepted and ignored is worse than one that is refused: the run would go on without its limit or its
dependency. Each entry goes when its policy comes.
"""

from collections.abc import Mapping
from typing import Any

from tidegate_api.names import DEFAULT_QUEUE, Reason

from tidegate_operator.records import Refusal

RUN_FIELDS = (
    "dependsOn",
    "startAfter",
    "startDeadlineSeconds",
    "suspend",
    "deadlineSeconds",
    "concurrencyKey",
    "priority",
)
TASK_FIELDS = ("deadlineSeconds", "payloadSchema", "podTemplate")
QUEUE_FIELDS = ("concurrencyLimit", "concurrencyLimitPerKey", "rateLimit", "paused")


def refuse_run(spec: Mapping[str, Any]) -> Refusal | None:
    """The first field of a TaskRun's spec, its inline task included, that isn't supported yet."""
    for field in RUN_FIELDS:
        # Defaults that the apiserver fills in (false, 0) ask for nothing.
        if spec.get(field):
            return _refusal(f"spec.{field}")
    retry, queue = spec.get("retry") or {}, spec.get("queue")
    if retry.get("outOfMemory"):
        return _refusal("spec.retry.outOfMemory")
    if queue and queue != DEFAULT_QUEUE:
        return _refusal("spec.queue")
    return refuse_task(spec["task"], where="spec.task") if spec.get("task") else None


def refuse_task(spec: Mapping[str, Any], *, where: str) -> Refusal | None:
    """The first field of a TaskSpec that isn't supported yet; `where` leads to it."""
    for field in TASK_FIELDS:
        if spec.get(field):
            return _refusal(f"{where}.{field}")
    if (spec.get("retry") or {}).get("outOfMemory"):
        return _refusal(f"{where}.retry.outOfMemory")
    if (spec.get("queue") or DEFAULT_QUEUE) != DEFAULT_QUEUE:
        return _refusal(f"{where}.queue")
    return None


def refuse_queue(spec: Mapping[str, Any], *, name: str) -> Refusal | None:
    """The first limit of the run's Queue that isn't supported yet."""
    for field in QUEUE_FIELDS:
        value = spec.get(field)
        if value is not None and value is not False:  # a limit of 0 is one
            return _refusal(f"spec.{field} of Queue {name}")
    return None


def _refusal(field: str) -> Refusal:
    return Refusal(Reason.NOT_SUPPORTED, f"{field} is not supported by this version of Tidegate")
