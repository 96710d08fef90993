"""Schedules on a real apiserver. No one waits for minutes: a lastScheduleTime that is put back makes ticks overdue."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from tidegate_api.times import format_second, parse_time
from tidegate_cluster.audit import AuditEntry
from tidegate_cluster.control_plane import ControlPlane

from support.operator import Runs
from support.servers import PATIENCE, wait_until

Json = dict[str, Any]
KIND: Final = "schedules.tidegate.dev"
LABEL: Final = "tidegate.dev/schedule"


class Schedules:
    """Schedules of namespace default, and their runs."""

    def __init__(self, plane: ControlPlane, runs: Runs) -> None:
        self._plane, self._runs = plane, runs

    def status(self, name: str) -> Json:
        status: Json = self._runs.get(name, kind=KIND).get("status", {})
        return status

    def patch(self, name: str, **spec: Any) -> None:
        self._runs.kube.patch(KIND, name, {"spec": spec})

    def put_back(self, name: str, *, minutes: int) -> int:
        """Have it believe that the last tick was so long ago; its minute."""
        last = int(time.time() // 60) - minutes
        patch = {"status": {"lastScheduleTime": format_second(last * 60)}}
        self._runs.kube.patch(KIND, name, patch, subresource="status")
        return last

    def runs_of(self, name: str) -> dict[str, Json]:
        return {r["metadata"]["name"]: r for r in self._runs.listed("taskruns.tidegate.dev", f"{LABEL}={name}")}

    def warnings(self, name: str) -> list[Json]:
        """Warning Events on the schedule."""
        found = self._runs.listed("events")
        return [e for e in found if (e["involvedObject"]["kind"], e["involvedObject"]["name"]) == ("Schedule", name)]

    def wait_warnings(self, name: str) -> list[Json]:
        wait_until(lambda: bool(self.warnings(name)), what=f"a warning on {name}")
        return self.warnings(name)

    def wait(self, name: str, condition: Callable[[Json], bool], *, what: str, seconds: float = PATIENCE) -> Json:
        seen: Json = {}

        def there() -> bool:
            seen.clear()
            seen.update(self.status(name))
            return condition(seen)

        try:
            wait_until(there, seconds=seconds)
        except AssertionError:
            raise AssertionError(f"schedule {name}: no {what} after {seconds} s but {json.dumps(seen)}") from None
        return seen

    def wait_ready(self, name: str, status: str, reason: str) -> Json:
        self.wait(name, lambda s: condition(s)[:2] == (status, reason), what=f"Ready={status} {reason}")
        made: Json = self.status(name)
        return made

    def wait_counted(self, name: str, minute: int, *, seconds: float = PATIENCE) -> Json:
        return self.wait(
            name, lambda s: last_minute(s) >= minute, what=f"lastScheduleTime of minute {minute}", seconds=seconds
        )


def condition(status: Json) -> tuple[str, str, str]:
    found = {c["type"]: c for c in status.get("conditions", [])}.get("Ready", {})
    return found.get("status", ""), found.get("reason", ""), found.get("message", "")


def last_minute(status: Json) -> int:
    return int((parse_time(status.get("lastScheduleTime")) or 0) // 60)


def some_minutes_ago(*ago: int) -> tuple[str, list[int]]:
    """A cron of minutes that have just been, once each within the hour, and those minutes since the epoch."""
    now = int(time.time() // 60)
    minutes = [now - a for a in ago]
    return f"{','.join(str(m % 60) for m in minutes)} * * * *", minutes


def creations(plane: ControlPlane, schedule: str) -> list[AuditEntry]:
    """The requests that created runs of a schedule."""
    entries = [e for e in plane.requests() if e.what == "create taskruns" and e.code == 201]
    return [e for e in entries if e.name.startswith(f"{schedule}-")]


def created(plane: ControlPlane, schedule: str) -> Counter[str]:
    """How often each run of a schedule was created."""
    return Counter(e.name for e in creations(plane, schedule))
