"""What a run means: its Task's spec with the run's own overrides laid over it.

The result is frozen on the first Job (annotation `tidegate.dev/task-spec`); every later attempt uses that, whatever
becomes of the Task.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

SCALARS = ("queue", "timeoutSeconds", "startTimeoutSeconds", "deadlineSeconds", "ttlSecondsAfterFinished")


def resolve(task: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    """The TaskSpec that a run's attempts follow, without its payload schema (read until attempt 1 starts, never after)."""
    resolved = {k: v for k, v in task.items() if k != "payloadSchema"}
    for field in SCALARS:
        if run.get(field) is not None:
            resolved[field] = run[field]
    if run.get("retry"):
        resolved["retry"] = _merge_retry(task.get("retry") or {}, run["retry"])
    if run.get("resources"):
        resolved["resources"] = _merge_resources(task.get("resources") or {}, run["resources"])
    if run.get("env"):
        resolved["env"] = _merge_env(task.get("env") or [], run["env"])
    return resolved


def _merge_retry(task: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    merged = {**task, **run}
    if task.get("outOfMemory") and run.get("outOfMemory"):
        before, over = task["outOfMemory"]["resources"], run["outOfMemory"]["resources"]
        merged["outOfMemory"] = {"resources": _merge_resources(before, over)}
    return merged


def _merge_resources(task: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    return {part: {**(task.get(part) or {}), **(run.get(part) or {})} for part in sorted({*task, *run})}


def _merge_env(task: list[Json], run: list[Json]) -> list[Json]:
    """By name, in the task's order: `$(OTHER)` refers to what stands before."""
    over = {e["name"]: e for e in run}
    merged = [over.pop(e["name"], e) for e in task]
    return [*merged, *over.values()]
