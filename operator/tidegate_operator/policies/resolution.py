"""What a run means: its Task's spec with the run's own overrides laid over it.

The result is frozen on the first Job (annotation `tidegate.dev/task-spec`); every later attempt uses that, whatever
becomes of the Task.
"""

import re
from collections.abc import Mapping
from typing import Final, cast

from tidegate_api.bodies import EnvVarBody, ResourcesBody, RetryBody, TaskRunSpecBody, TaskSpecBody

REFERENCE: Final = re.compile(r"(\$\$)|\$\(([^()]+)\)")
SCALARS = ("queue", "timeoutSeconds", "startTimeoutSeconds", "deadlineSeconds", "ttlSecondsAfterFinished")


def resolve(task: TaskSpecBody, run: TaskRunSpecBody) -> TaskSpecBody:
    """The TaskSpec that a run's attempts follow, without its payload schema (read until attempt 1 starts, never after)."""
    given: Mapping[str, object] = run
    overrides = {field: given[field] for field in SCALARS if given.get(field) is not None}
    resolved = cast("TaskSpecBody", {**task, **overrides})
    resolved.pop("payloadSchema", None)
    if run.get("retry"):
        resolved["retry"] = _merge_retry(task.get("retry") or {}, run["retry"])
    if run.get("resources"):
        resolved["resources"] = _merge_resources(task.get("resources") or {}, run["resources"])
    if run.get("env"):
        resolved["env"] = _merge_env(task.get("env") or [], run["env"])
    return resolved


def _merge_retry(task: RetryBody, run: RetryBody) -> RetryBody:
    merged: RetryBody = {**task, **run}
    if task.get("outOfMemory") and run.get("outOfMemory"):
        before, over = task["outOfMemory"]["resources"], run["outOfMemory"]["resources"]
        merged["outOfMemory"] = {"resources": _merge_resources(before, over)}
    return merged


def _merge_resources(task: ResourcesBody, run: ResourcesBody) -> ResourcesBody:
    return {part: {**(task.get(part) or {}), **(run.get(part) or {})} for part in sorted({*task, *run})}


def _merge_env(task: list[EnvVarBody], run: list[EnvVarBody]) -> list[EnvVarBody]:
    """By name, in the task's order and then the run's.

    A container expands `$(OTHER)` only where OTHER stands before it. A variable that the run gives therefore moves before
    the first one that refers to it; what the task alone gives keeps its place.
    """
    given = {e["name"] for e in run}
    merged = {e["name"]: e for e in (*task, *run)}
    ordered: dict[str, EnvVarBody] = {}

    def place(name: str, above: frozenset[str]) -> None:
        if name in ordered or name in above:
            return
        for other in _referred_to(merged[name]):
            if other in given:
                place(other, above | {name})
        ordered.setdefault(name, merged[name])

    for name in merged:
        place(name, frozenset())
    return list(ordered.values())


def _referred_to(variable: EnvVarBody) -> list[str]:
    """Names that a variable's value refers to; `$$(NAME)` is an escape."""
    value = variable.get("value")
    return [name for escaped, name in REFERENCE.findall(value) if not escaped] if isinstance(value, str) else []
