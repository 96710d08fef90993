"""What a run may ask for that this version doesn't do yet: it ends as Failed/NotSupported, with the field's name.

A field that is accepted and ignored is worse than one that is refused: the run would go on without its limit or its
dependency. Each entry goes when its policy comes.
"""

from collections.abc import Mapping
from typing import Any

from tidegate_api.names import Reason

from tidegate_operator.records import Refusal

TASK_FIELDS = ("payloadSchema",)


def refuse_run(spec: Mapping[str, Any]) -> Refusal | None:
    """The first field of a TaskRun's spec, its inline task included, that isn't supported yet."""
    return refuse_task(spec["task"], where="spec.task") if spec.get("task") else None


def refuse_task(spec: Mapping[str, Any], *, where: str) -> Refusal | None:
    """The first field of a TaskSpec that isn't supported yet; `where` leads to it."""
    for field in TASK_FIELDS:
        if spec.get(field):
            return _refusal(f"{where}.{field}")
    return None


def _refusal(field: str) -> Refusal:
    return Refusal(Reason.NOT_SUPPORTED, f"{field} is not supported by this version of Tidegate")
