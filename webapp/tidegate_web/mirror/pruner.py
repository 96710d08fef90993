"""Keeps the history in shape: months are made before they begin; what a project keeps no longer, and what is old in the audit
log, is forgotten.

A month in which nothing has to stay is dropped whole; else its rows go in batches. A mirror that dies in between leaves
work for the next look.
"""

import threading
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Connection, Engine, text

from tidegate_web.mirror.periodic import PeriodicWorker
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared import times
from tidegate_web.shared.clock import Clock
from tidegate_web.store import partitions
from tidegate_web.store.partitions import Month
from tidegate_web.store.queries import audit, project_bytes, project_settings, pruning, recount, task_specs

log = structlog.stdlib.get_logger(__name__)

AT_ONCE = 1000
PRUNE_PATIENCE_SECONDS = 300.0
"""Dropping a month, and asking whether it may go, is one statement over all of it."""
RECOUNT_AFTER = timedelta(days=1)
"""It reads the whole archive but for the documents themselves."""
FIRST_UID = "00000000-0000-0000-0000-000000000000"


class Pruner(PeriodicWorker):
    """Looks now and then."""

    def __init__(
        self,
        *,
        engine: Engine,
        clock: Clock,
        quarantine: Quarantine,
        stop: threading.Event,
        seconds: float,
        audit_days: int,
        retention_days: int,
    ) -> None:
        super().__init__(
            name="pruner",
            quarantine=quarantine,
            stop=stop,
            seconds=seconds,
            patience_seconds=PRUNE_PATIENCE_SECONDS,
        )
        self._engine = engine
        self._clock = clock
        self._audit_days = audit_days
        self._retention_days = retention_days

    def look(self) -> None:
        """Once over everything."""
        now = self._clock.now()
        with self._engine.begin() as connection:
            partitions.ensure_ahead(connection, now=now)
        with self._engine.connect() as connection:
            retentions = project_settings.retentions(connection, default_days=self._retention_days)
            months = partitions.present(connection)
            recounted = project_bytes.recounted(connection)
        # The month before this one may still get runs of its last minutes.
        for month in months:
            if month.after() < Month.of(now):
                self._each("Month", month.partition_of("runs"), partial(self._drop, month, now=now))
        for project, days in retentions.items():
            self._each("Retention", project, partial(self._forget, project, before=_before(now, days=days)))
        if self._audit_days:
            self._each(
                "Retention", "audit log", partial(self._forget_audit, before=_before(now, days=self._audit_days))
            )
        with self._engine.connect() as connection:
            dropped = partitions.present(connection) != months
        if dropped or recounted is None or now - recounted >= RECOUNT_AFTER:
            self._each("Recount", "archive", self._recount)

    def _drop(self, month: Month, *, now: datetime) -> None:
        with self._engine.connect() as connection:
            if not self._nothing_stays(connection, month, now=now):
                return
        last = FIRST_UID
        while not self.stop_event.is_set():
            self.beat()
            with self._engine.begin() as connection:
                uids = pruning.uids_of(connection, month, after=last, limit=AT_ONCE)
                pruning.forget_beside(connection, uids)
            if len(uids) < AT_ONCE:
                break
            last = uids[-1]
        if self.stop_event.is_set():
            return
        with self._engine.begin() as connection:
            gone = partitions.drop(connection, month, if_still=lambda: self._nothing_stays(connection, month, now=now))
        log.info("a month of the history", month=month.partition_of("runs"), dropped=gone)

    def _nothing_stays(self, connection: Connection, month: Month, *, now: datetime) -> bool:
        return pruning.nothing_stays(connection, month, now=now, default_days=self._retention_days)

    def _recount(self) -> None:
        """Put right what is counted for each project."""
        with self._engine.connect() as connection:
            snapshot = connection.execution_options(isolation_level="REPEATABLE READ")
            with snapshot.begin():
                snapshot.execute(text(f"SET LOCAL statement_timeout = '{PRUNE_PATIENCE_SECONDS:.0f}s'"))
                drift = recount.drift(snapshot, go_on=self._go_on)
        if drift is None:
            return
        with self._engine.begin() as connection:
            project_bytes.correct(connection, drift, now=self._clock.now())
        wrong = {project: size for project, size in drift.items() if size}
        if wrong:
            log.info("bytes were recounted", projects=len(wrong), bytes=sum(wrong.values()))

    def _go_on(self) -> bool:
        self.beat()
        return not self.stop_event.is_set()

    def _forget(self, project: str, *, before: datetime) -> None:
        forgotten = 0
        while not self.stop_event.is_set():
            self.beat()
            with self._engine.begin() as connection:
                places = pruning.past(connection, project=project, before=before, limit=AT_ONCE)
                if places:
                    pruning.forget(connection, places)
            forgotten += len(places)
            if len(places) < AT_ONCE:
                break
        with self._engine.begin() as connection:
            task_specs.forget(connection, project=project, before=before)
        if forgotten:
            log.info("runs past their retention were forgotten", project=project, count=forgotten)

    def _forget_audit(self, *, before: datetime) -> None:
        while not self.stop_event.is_set():
            self.beat()
            with self._engine.begin() as connection:
                if audit.forget(connection, before=before, limit=AT_ONCE) < AT_ONCE:
                    return


def _before(now: datetime, *, days: int) -> datetime:
    try:
        return max(now - timedelta(days=days), times.EARLIEST)
    except OverflowError:
        return times.EARLIEST
