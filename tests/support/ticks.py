"""Schedules of every minute with what their status says, and the runs of their ticks."""

from typing import Any

from tidegate_api.bodies import ScheduleStatusBody
from tidegate_api.names import Phase
from tidegate_api.times import format_second
from tidegate_operator.policies.schedule import Decision, Progress, decide
from tidegate_operator.records.definitions import ScheduleRecord
from tidegate_operator.records.run import RunRecord

from support.records import NOW, a_run_record, a_schedule_record

MINUTE = 60.0
TICK = NOW // MINUTE * MINUTE
"""The last whole minute: 40 seconds before NOW."""


def decided(
    schedule: ScheduleRecord, *runs: RunRecord, now: float = NOW, needed: tuple[str, ...] = (), **progress: Any
) -> Decision:
    """What is decided of the Schedule; `needed`: names of runs that must not be deleted."""
    known = Progress(uid=schedule.uid, generation=schedule.generation, **progress)
    return decide(schedule, runs, known, now, is_needed=lambda run: run.name in needed)


def reported(
    last: float, *, upcoming: float | None = None, generation: int = 1, **condition: Any
) -> ScheduleStatusBody:
    """A status as the operator wrote it."""
    ready: Any = {
        "type": "Ready",
        "status": "True",
        "reason": "Scheduled",
        "observedGeneration": generation,
        **condition,
    }
    status: ScheduleStatusBody = {
        "observedGeneration": generation,
        "lastScheduleTime": format_second(last),
        "conditions": [ready],
    }
    if upcoming is not None:
        status["nextScheduleTime"] = format_second(upcoming)
    return status


def since(last: float, **spec: Any) -> ScheduleRecord:
    """A Schedule that has dealt with the ticks up to this one."""
    return a_schedule_record(status=reported(last, upcoming=last + MINUTE), **spec)


def of_tick(tick: float, phase: Phase = Phase.RUNNING, **fields: Any) -> RunRecord:
    """The run of a tick."""
    name = f"tick-{int(tick // 60)}"
    return a_run_record(uid=name, name=name, phase=phase, created=tick, schedule="tick", **fields)
