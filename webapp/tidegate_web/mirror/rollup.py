"""Counts runs that have ended, again and again for the last hours: for pages over a long time (``store/queries/rollups.py``).

A run may be stored long after it ended: while the mirror or Postgres is away runs end, and their rows come when it is back. So a term
begins with the hours before the last mark, and goes on counting from there while it may still be catching up. Counting replaces what was
kept of an hour, so that an hour too many does no harm.
"""

import threading
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Engine

from tidegate_web.mirror.periodic import PeriodicWorker
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared.clock import Clock
from tidegate_web.store.queries import rollups, run_keys

SECONDS = 60.0
HOUR_PATIENCE_SECONDS = 120.0
"""Counting one hour of a project is a few statements over its runs."""
LATE = timedelta(minutes=30)
"""A run is stored within so long after its end, while all is well."""
CATCHING_UP = timedelta(minutes=15)
"""At the beginning of a term, what ended before it may still be to be stored."""
HISTORY = timedelta(days=31)
"""What is counted where nothing is yet: the longest time of a page, and a day."""
QUARTERS_KEPT = timedelta(days=3)
HOURS_KEPT = timedelta(days=400)


class Rollup(PeriodicWorker):
    """Looks once a minute."""

    def __init__(
        self, *, engine: Engine, clock: Clock, quarantine: Quarantine, stop: threading.Event, seconds: float = SECONDS
    ) -> None:
        super().__init__(
            name="roll-up", quarantine=quarantine, stop=stop, seconds=seconds, patience_seconds=HOUR_PATIENCE_SECONDS
        )
        self._engine, self._clock = engine, clock
        self._began: datetime | None = None
        self._first_marks: dict[str, datetime] = {}
        """Where each project's counting stood when this term began."""
        self._added_up: set[str] = set()

    def look(self) -> None:
        """Once over all projects."""
        now = self._clock.now()
        self._began = self._began or now
        with self._engine.connect() as connection:
            projects = run_keys.projects(connection)
        for project in projects:
            if self.stop_event.is_set():
                return
            self._each("Rollup", project, partial(self._count, project, now=now))
        with self._engine.begin() as connection:
            rollups.forget_old(connection, quarters_before=now - QUARTERS_KEPT, hours_before=now - HOURS_KEPT)

    def _count(self, project: str, *, now: datetime) -> None:
        with self._engine.connect() as connection:
            mark = rollups.mark(connection, project=project)
        first = self._first_marks.setdefault(project, mark or now - HISTORY)
        assert self._began is not None
        since = min(first if now - self._began < CATCHING_UP else now, mark or first) - LATE
        with self._engine.connect() as connection:
            begin = rollups.floor(since, rollups.HOUR)
            hours = rollups.hours_to_count(connection, project=project, since=begin, until=now)
        for hour in hours:
            if self.stop_event.is_set():
                return
            self.beat()
            with self._engine.begin() as connection:
                rollups.roll_up(connection, project=project, hour=hour, now=now)
        with self._engine.connect() as connection:
            # Once a term all of them: an older version may have counted an hour again that was added up.
            again = project not in self._added_up
            added = rollups.to_add_up(connection, project=project, since=now - HISTORY, until=now - LATE, again=again)
        for at in added:
            with self._engine.begin() as connection:
                rollups.add_up(connection, project=project, at=at)
        self._added_up.add(project)
        with self._engine.begin() as connection:
            rollups.set_mark(connection, project=project, counted_until=now)
