"""Counts runs that have ended, again and again for the last hours: for pages over a long time (``store/queries/rollups.py``).

A run may be stored long after it ended: while the mirror or Postgres is away runs end, and their rows come when it is back. So a term
begins with the hours before the last mark, and goes on counting from there while it may still be catching up. Counting replaces what was
kept of an hour, so that an hour too many does no harm.
"""

import threading
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared.clock import Clock
from tidegate_web.shared.worker import Worker
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import rollups, run_keys

log = structlog.stdlib.get_logger(__name__)

SECONDS = 60.0
LATE = timedelta(minutes=30)
"""A run is stored within so long after its end, while all is well."""
CATCHING_UP = timedelta(minutes=15)
"""At the beginning of a term, what ended before it may still be to be stored."""
HISTORY = timedelta(days=31)
"""What is counted where nothing is yet: the longest time of a page, and a day."""
QUARTERS_KEPT = timedelta(days=3)
HOURS_KEPT = timedelta(days=400)


class Rollup(Worker):
    """Looks once a minute."""

    def __init__(
        self, *, engine: Engine, clock: Clock, quarantine: Quarantine, stop: threading.Event, seconds: float = SECONDS
    ) -> None:
        super().__init__(name="roll-up", stop=stop, patience_seconds=seconds + 120)
        self._engine, self._clock, self._quarantine, self._seconds = engine, clock, quarantine, seconds
        self._began: datetime | None = None
        self._first_marks: dict[str, datetime] = {}
        """Where each project's counting stood when this term began."""

    def work(self) -> None:
        while not self.stop_event.is_set():
            self.beat()
            try:
                self.look()
            except SQLAlchemyError as error:
                log.warning("counting later", reason=str(error).partition("\n")[0])
            except Exception:
                log.exception("counting")
            self.stop_event.wait(self._seconds)

    def look(self) -> None:
        """Once over all projects."""
        now = self._clock.now()
        self._began = self._began or now
        with self._engine.connect() as connection:
            projects = run_keys.projects(connection)
        for project in projects:
            if self.stop_event.is_set():
                return
            self._count_safely(project, now=now)
        with self._engine.begin() as connection:
            rollups.forget_old(connection, quarters_before=now - QUARTERS_KEPT, hours_before=now - HOURS_KEPT)

    def _count_safely(self, project: str, *, now: datetime) -> None:
        """The others don't wait for a project with which that breaks."""
        try:
            self._count(project, now=now)
        except Exception as error:
            if isinstance(error, SQLAlchemyError) and is_unavailable(error):
                raise
            self._quarantine.set_aside("Rollup", project, error, name=project)
        else:
            self._quarantine.release("Rollup", project)

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
        with self._engine.begin() as connection:
            rollups.set_mark(connection, project=project, counted_until=now)
