"""What each project of the installation uses: for its admins, who see all of them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tidegate_web.services import Services
from tidegate_web.shared.phases import FAILED_PHASES
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import project_bytes, rollups, usage

TIME: Final = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class ProjectUsage:
    """One project."""

    name: str
    ended: dict[str, int]
    """Runs that ended, by phase."""
    active: dict[str, int]
    archive_bytes: int

    @property
    def runs(self) -> int:
        """All that ended."""
        return sum(self.ended.values())

    @property
    def failed(self) -> int:
        """Those that failed."""
        return sum(self.ended.get(phase, 0) for phase in FAILED_PHASES)


def usage_by_project(made: Services) -> list[ProjectUsage] | None:
    """Who has ended the most runs comes first; None while Postgres is away."""
    return with_fallback(lambda: _read(made), lambda: None)


def _read(made: Services) -> list[ProjectUsage]:
    names = made.projects.directory.names()
    since = rollups.floor(made.clock.now() - TIME, rollups.SIX_HOURS)
    with made.engine.connect() as connection:
        ended = usage.ended(connection, projects=names, since=since)
        active = usage.active(connection, projects=names)
        sizes = project_bytes.used(connection, names)
    found = [
        ProjectUsage(name=name, ended=ended.get(name, {}), active=active.get(name, {}), archive_bytes=sizes[name])
        for name in names
    ]
    return sorted(found, key=lambda each: (-each.runs, each.name))
