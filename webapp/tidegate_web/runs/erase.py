"""Deleting a run for good: from the cluster, and all that the archive keeps of it.

What is erased is noted first. The mirror hears of the deletion a moment later and would write the run again; it passes over
what is noted, and removes what a transaction that was under way has written none the less.
"""

from tidegate_api import ticks

from tidegate_web.cluster.client import runs_path, schedules_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.services import Services
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.times import parse_time
from tidegate_web.store.queries import erasure, retention
from tidegate_web.store.run_rows import RunRow


def erase(made: Services, row: RunRow) -> None:
    """Delete it; 409 for one that others still need."""
    if row.deleted_at is None:
        _check_needed(made, row)
    with made.engine.begin() as connection:
        erasure.note(connection, uid=row.uid, now=made.clock.now())
    try:
        if row.deleted_at is None:
            made.cluster.delete(f"{runs_path(row.project)}/{row.name}", uid=row.uid)
    except ClusterError as error:
        # 409: another run has its name by now.
        if not error.is_gone:
            with made.engine.begin() as connection:
                erasure.forget_note(connection, uid=row.uid)
            raise from_cluster(error) from error
    with made.engine.begin() as connection:
        erasure.erase(connection, uids=[row.uid])


def _check_needed(made: Services, row: RunRow) -> None:
    if row.phase in TERMINAL_PHASES:
        with made.engine.connect() as connection:
            if retention.needed_by_live_runs(connection, project=row.project, name=row.name):
                raise Problem(409, "A run that goes on depends on this one.")
    if row.schedule is not None and ticks.tick_of(row.name, schedule=row.schedule) is not None:
        try:
            found = made.cluster.get(f"{schedules_path(row.project)}/{row.schedule}")
        except ClusterError as error:
            if error.not_found:
                return
            raise from_cluster(error) from error
        counted = parse_time(
            (found.get("status") or {}).get("lastScheduleTime") or found["metadata"]["creationTimestamp"]
        )
        if ticks.holds(row.name, schedule=row.schedule, counted_to=counted.timestamp() if counted else 0.0):
            raise Problem(
                409, "The Schedule hasn't counted this run yet and would make it again. Try again in a moment."
            )
