"""What Schedules say of their finished runs: which must stay for now, and how many are kept.

They are listed again in each sweep, after the candidates were read from Postgres: a Schedule is there before its runs, so
none that holds one of them is missed, which nothing that is remembered could promise.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tidegate_api import ticks

from tidegate_web.cluster.client import Cluster, schedules_path
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared.json_types import whole_number
from tidegate_web.shared.times import parse_time
from tidegate_web.store.queries.retention import CandidateRow, HistoryLimit

KIND = "Schedule"


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """One Schedule, reduced."""

    project: str
    name: str
    counted_to: float
    """The last tick in its status; before the first one, its creation."""
    keep_succeeded: int | None
    keep_failed: int | None

    @classmethod
    def parse(cls, resource: KubeObject) -> "Schedule":
        metadata, spec, status = resource["metadata"], resource.get("spec") or {}, resource.get("status") or {}
        counted = parse_time(status.get("lastScheduleTime")) or parse_time(metadata["creationTimestamp"])
        return cls(
            project=metadata["namespace"],
            name=metadata["name"],
            # A time that can't be read stands for no tick.
            counted_to=0.0 if counted is None else counted.timestamp(),
            keep_succeeded=whole_number(spec.get("successfulRunsHistoryLimit")),
            keep_failed=whole_number(spec.get("failedRunsHistoryLimit")),
        )


class Schedules:
    """Those that there are in a scope."""

    def __init__(self, found: Iterable[Schedule], *, unread: Iterable[tuple[str, str]] = ()) -> None:
        self._found = {(schedule.project, schedule.name): schedule for schedule in found}
        self._unread = frozenset(unread)

    @classmethod
    def listed(cls, cluster: Cluster, *, project: str | None, quarantine: Quarantine) -> "Schedules":
        """As they are now: in all namespaces or in one. One that can't be read is set aside, and holds all of its runs."""
        found: list[Schedule] = []
        unread: list[tuple[str, str]] = []
        for page in cluster.pages(schedules_path(project)):
            for item in page["items"]:
                metadata = item["metadata"]
                place = (str(metadata.get("namespace")), str(metadata.get("name")))
                try:
                    found.append(Schedule.parse(item))
                    quarantine.release(KIND, metadata["uid"])
                except Exception as error:
                    unread.append(place)
                    version = str(metadata.get("resourceVersion"))
                    quarantine.set_aside(KIND, metadata["uid"], error, name="/".join(place), version=version)
        return cls(found, unread=unread)

    def hold(self, row: CandidateRow) -> bool:
        """Whether a run must stay until its Schedule has counted it. A Schedule that is gone holds nothing."""
        if row.schedule is None:
            return False
        if (row.project, row.schedule) in self._unread:
            return True
        schedule = self._found.get((row.project, row.schedule))
        return schedule is not None and ticks.holds(row.name, schedule=schedule.name, counted_to=schedule.counted_to)

    def limits(self) -> list[HistoryLimit]:
        """All history limits that are set."""
        return [
            HistoryLimit(project=schedule.project, schedule=schedule.name, succeeded=succeeded, keep=keep)
            for schedule in self._found.values()
            for succeeded, keep in ((True, schedule.keep_succeeded), (False, schedule.keep_failed))
            if keep is not None
        ]
