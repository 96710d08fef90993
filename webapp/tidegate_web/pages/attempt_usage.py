"""What attempts have used, beside what they asked for. The status is another's word: what is no such number counts as not reported. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tidegate_api.names import CPU_MILLISECONDS_MAX, MEMORY_BYTES_MAX, TASK_CONTAINER, Outcome, Reason
from tidegate_api.quantity import bytes_of

from tidegate_web.pages import formatting
from tidegate_web.shared.json_types import JsonObject, as_object, as_objects

OUT_OF_MEMORY: Final = "Usage is not known: it was ended for its memory, before it could report."
STOPPED: Final = "Usage is not known: it was ended before it could report."
NOT_REPORTED: Final = "Usage: not reported by this image."
BEGINNING: Final = 10_000
"""Milliseconds that are shown exactly."""


@dataclass(frozen=True, kw_only=True)
class AttemptUsage:
    """As a page shows it."""

    words: str
    peak: int | None = None
    limit: int | None = None
    """Both in bytes, where there is a limit to compare the peak with."""


@dataclass(frozen=True, kw_only=True)
class MemoryBounds:
    """What a container asked for and may use, in bytes."""

    request: int | None = None
    limit: int | None = None


def usages(
    attempts: Sequence[Mapping[str, object]], *, task: object, run: Mapping[str, object]
) -> dict[int, AttemptUsage]:
    """By the number of the attempt. ``task``: the TaskSpec that they followed; ``run``: the spec of the TaskRun."""
    found, out_of_memory = {}, False
    for attempt in attempts:
        number = attempt.get("number")
        if isinstance(number, int) and attempt.get("outcome") and attempt.get("startedAt"):
            bounds = MemoryBounds() if attempt.get("pool") else memory_bounds(task, run, out_of_memory=out_of_memory)
            found[number] = _usage(attempt, bounds)
        out_of_memory = out_of_memory or attempt.get("reason") == Reason.OOM_KILLED
    return found


def memory_bounds(task: object, run: Mapping[str, object], *, out_of_memory: bool) -> MemoryBounds:
    """Of the container ``task``, as the operator puts it together: a later layer wins. What the cluster adds isn't known here."""
    spec = as_object(task)
    template = as_object(as_object(spec.get("podTemplate")).get("spec"))
    containers = as_objects(template.get("containers"))
    layers: list[JsonObject] = [spec, dict(run), *(each for each in containers if each.get("name") == TASK_CONTAINER)]
    if out_of_memory:
        layers += [as_object(as_object(layer.get("retry")).get("outOfMemory")) for layer in (spec, dict(run))]
    bounds: dict[str, int | None] = {}
    for layer in layers:
        resources = as_object(layer.get("resources"))
        for part in ("requests", "limits"):
            quantity = as_object(resources.get(part)).get("memory")
            if isinstance(quantity, str | int) and not isinstance(quantity, bool):
                bounds[part] = bytes_of(quantity)
    limit = bounds.get("limits")
    return MemoryBounds(request=bounds.get("requests", limit), limit=limit or None)


def _usage(attempt: Mapping[str, object], bounds: MemoryBounds) -> AttemptUsage:
    used = as_object(attempt.get("usage"))
    cpu = _number(used.get("cpuMilliseconds"), most=CPU_MILLISECONDS_MAX)
    peak = _number(used.get("memoryPeakBytes"), most=MEMORY_BYTES_MAX)
    if cpu is None and peak is None:
        return AttemptUsage(words=_why_none(attempt))
    parts = []
    if cpu is not None:
        parts.append(f"CPU {_cpu(cpu)}")
    if peak is not None:
        parts.append(f"memory peak {_memory(peak)}{_beside(bounds)}")
    compared = peak is not None and bounds.limit is not None
    return AttemptUsage(
        words=" · ".join(parts), peak=peak if compared else None, limit=bounds.limit if compared else None
    )


def _why_none(attempt: Mapping[str, object]) -> str:
    if attempt.get("reason") == Reason.OOM_KILLED:
        return OUT_OF_MEMORY
    ended_itself = attempt.get("outcome") in (Outcome.SUCCEEDED, Outcome.FAILED) and attempt.get("exitCode") is not None
    return NOT_REPORTED if ended_itself else STOPPED


def _beside(bounds: MemoryBounds) -> str:
    request = f"request {_memory(bounds.request)}" if bounds.request else ""
    if bounds.limit is None:
        return f" ({request}, no limit)" if request else ""
    return f" of {_memory(bounds.limit)} limit" + (f" ({request})" if request else "")


def _cpu(milliseconds: int) -> str:
    """``0.04 s``, ``1.2 s``, then as other durations."""
    seconds = milliseconds / 1000
    return f"{seconds:.2g} s" if milliseconds < BEGINNING else formatting.duration(seconds)


def _memory(count: int) -> str:
    return formatting.size(count).replace(".0 ", " ")


def _number(value: object, *, most: int) -> int | None:
    return value if type(value) is int and 0 <= value <= most else None
