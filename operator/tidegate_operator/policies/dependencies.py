"""Whether the runs that a run depends on let it go: all that it names have to succeed, or just to end.

A run may depend on one that isn't there yet. A cycle can only be closed by its newest member, so the way back to a run is
looked for when the run is new and another depends on it; its other members learn of it from the one that found it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tidegate_api.names import Phase, Reason
from tidegate_api.times import parse_time

from tidegate_operator.records.run import Cause, RunRecord

Find = Callable[[str], RunRecord | None]
"""The run of that name in the namespace, or None."""

NAMES_TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One of: `ended` (the run ends, as Failed for a cycle, else as Skipped), `waits`, or satisfied since `since`."""

    ended: Cause | None = None
    waits: Cause | None = None
    wake_at: float | None = None
    since: float = 0.0


def judge_dependencies(run: RunRecord, find: Find, *, has_dependents: bool, now: float) -> Verdict:
    """What the run's dependencies say at `now`."""
    missing, open_, since, looped = [], [], 0.0, False
    failed: tuple[str, RunRecord] | None = None
    for name, must_succeed in run.depends_on:
        other = find(name)
        if other is None:
            missing.append(name)
        elif not other.status.phase.terminal:
            open_.append(name)
        else:
            looped |= other.status.reason == Reason.DEPENDENCY_CYCLE
            if must_succeed and other.status.phase is not Phase.SUCCEEDED:
                failed = failed or (name, other)
            since = max(since, parse_time(other.status.finished_at) or 0.0)
    fresh = has_dependents and run.status.reason != Reason.WAITING_FOR_DEPENDENCIES
    if (fresh or looped) and (loop := _find_loop(run, find)):
        return Verdict(ended=Cause(Reason.DEPENDENCY_CYCLE, f"dependsOn leads back to this run: {' → '.join(loop)}"))
    if failed is not None:
        name, other = failed
        return Verdict(ended=Cause(Reason.DEPENDENCY_FAILED, f"run {name} ended as {_end(other)} and had to succeed"))
    if not missing and not open_:
        return Verdict(since=since)
    wake_at = run.created + run.dependency_timeout if missing and run.dependency_timeout else None
    if wake_at is not None and now >= wake_at:
        message = f"run {missing[0]} was not there within {run.dependency_timeout} s"
        return Verdict(ended=Cause(Reason.DEPENDENCY_FAILED, message))
    names = [*open_, *(f"{name} (not there yet)" for name in missing)]
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    message = f"waits for run {', '.join(names[:NAMES_TOLD])}{more}"
    return Verdict(waits=Cause(Reason.WAITING_FOR_DEPENDENCIES, message), wake_at=wake_at)


def _end(run: RunRecord) -> str:
    return f"{run.status.phase}/{run.status.reason}" if run.status.reason else str(run.status.phase)


def _find_loop(run: RunRecord, find: Find) -> list[str] | None:
    """The names on a way from the run back to itself; over runs that go on, or have ended for being on such a way."""
    came_from: dict[str, str] = {}
    stack = [(name, run.name) for name, _ in run.depends_on]
    while stack:
        name, before = stack.pop()
        if name == run.name:
            way = [name]
            while before != run.name:
                way.append(before)
                before = came_from[before]
            return [run.name, *reversed(way)]
        if name in came_from:
            continue
        came_from[name] = before
        other = find(name)
        if other is not None and (not other.status.phase.terminal or other.status.reason == Reason.DEPENDENCY_CYCLE):
            stack.extend((further, name) for further, _ in other.depends_on)
    return None
