"""What each project has, of all projects at once: runs that ended, from what is kept of them, and runs that have not."""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, func, select, text

from tidegate_web.shared.phases import ACTIVE_PHASES
from tidegate_web.store.models import Run

# Project by project: the key of what is kept begins with the project.
_ENDED = text(
    """
SELECT wanted.project, kept.phase, CAST(sum(kept.runs) AS bigint) AS runs
FROM unnest(CAST(:projects AS text[])) AS wanted(project), LATERAL (
  SELECT phase, runs FROM run_rollups
  WHERE project = wanted.project AND step = 21600 AND at >= :since
  UNION ALL
  SELECT phase, runs FROM run_rollups hours
  WHERE project = wanted.project AND step = 3600 AND at >= :since AND NOT EXISTS (
    SELECT FROM run_rollups added
    WHERE added.project = wanted.project AND added.step = 21600 AND added.at = date_bin('6 hours', hours.at, 'epoch'))
) AS kept
GROUP BY 1, 2
"""
)

Counts = dict[str, dict[str, int]]
"""Runs by project and phase."""


def ended(connection: Connection, *, projects: Collection[str], since: datetime) -> Counts:
    """How many runs ended since then. What ended since the last count is missing: a minute's worth."""
    rows = connection.execute(_ENDED, {"projects": sorted(projects), "since": since})
    return _by_project((row.project, row.phase, row.runs) for row in rows)


def active(connection: Connection, *, projects: Collection[str]) -> Counts:
    """How many runs are in each phase that isn't an end."""
    wanted = select(Run.project, Run.phase, func.count()).where(
        Run.project.in_(sorted(projects)), Run.phase.in_(ACTIVE_PHASES)
    )
    rows = connection.execute(wanted.group_by(Run.project, Run.phase))
    return _by_project((project, phase, runs) for project, phase, runs in rows)


def _by_project(rows: Iterable[tuple[str, str, int]]) -> Counts:
    found: Counts = {}
    for project, phase, runs in rows:
        found.setdefault(project, {})[phase] = runs
    return found
