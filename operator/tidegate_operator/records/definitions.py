"""Records of what runs refer to or come from: Tasks, Queues and Schedules. There are few, so their specs are kept."""

from dataclasses import dataclass

from tidegate_api import ticks
from tidegate_api.bodies import QueueSpecBody, QueueStatusBody, ScheduleSpecBody, ScheduleStatusBody, TaskSpecBody
from tidegate_api.times import parse_time

from tidegate_operator.records.faults import Fault


@dataclass(slots=True, frozen=True)
class TaskRecord:
    """One Task."""

    uid: str
    namespace: str
    name: str
    version: int
    spec: TaskSpecBody


@dataclass(slots=True, frozen=True)
class QueueRecord:
    """One Queue."""

    uid: str
    namespace: str
    name: str
    version: int
    generation: int
    spec: QueueSpecBody
    status: QueueStatusBody


@dataclass(slots=True, frozen=True, kw_only=True)
class ScheduleRecord:
    """One Schedule."""

    uid: str
    namespace: str
    name: str
    version: int
    generation: int
    created: float
    spec: ScheduleSpecBody
    status: ScheduleStatusBody
    fault: Fault | None = None
    """Why it can't be read."""

    @property
    def counted_to(self) -> float:
        """The last tick that is dealt with, for all to see; before the first one, the Schedule's creation."""
        last = parse_time(self.status.get("lastScheduleTime"))
        return self.created if last is None else last

    def tick_of(self, run_name: str) -> float | None:
        """The tick that a run of this name is for; None for one triggered by hand."""
        return ticks.tick_of(run_name, schedule=self.name)

    def holds(self, run_name: str) -> bool:
        """Whether a run of this name must not be deleted yet."""
        return ticks.holds(run_name, schedule=self.name, counted_to=self.counted_to)

    def run_name(self, tick: float) -> str:
        """Name of the run of a tick."""
        return ticks.run_name(self.name, tick)
