"""TaskRuns into Postgres: changes are gathered into batches, and each batch is one transaction with its events.

The queue between watch and database is bounded. While Postgres is away it fills, the watch waits, and after a long
time the apiserver ends it: then everything is listed again. Nothing is lost that the cluster still has.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, SQLAlchemyError

from tidegate_web.clock import Clock
from tidegate_web.kubernetes import Cluster, ClusterError
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import runs
from tidegate_web.store.records import RunRecord, run_record

log = structlog.stdlib.get_logger(__name__)

BATCH = 500
GATHER_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One TaskRun as it is now, or as it was when it was deleted."""

    record: RunRecord
    deleted: bool = False
    relist: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A re-list is whole: what should be there and isn't among these is gone."""

    project: str | None
    uids: set[str]
    resource_version: int


class RunWriter(threading.Thread):
    """Writes what the informers tell. There is one, so that a run's changes keep their order."""

    def __init__(
        self,
        *,
        engine: Engine,
        cluster: Cluster,
        clock: Clock,
        stop: threading.Event,
        wrote: Callable[[], None],
        default_ttl_seconds: int,
        room: int = 5000,
    ) -> None:
        super().__init__(name="run writer", daemon=True)
        self._engine = engine
        self._cluster = cluster
        self._clock = clock
        self._stop_event = stop
        self._wrote = wrote
        self._default_ttl = default_ttl_seconds
        self._queue: queue.Queue[Change | Listed] = queue.Queue(room)

    def put(self, item: Change | Listed) -> None:
        """Hand something over; waits while the queue is full."""
        while not self._stop_event.is_set():
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            return

    def record(self, item: dict[str, Any]) -> RunRecord | None:
        """The row for an object; None (and a line in the log) for one that can't be understood."""
        try:
            return run_record(item, default_ttl_seconds=self._default_ttl)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            log.exception("a TaskRun that can't be understood", name=item.get("metadata", {}).get("name"))
            return None

    def run(self) -> None:
        while not self._stop_event.is_set():
            batch = self._gather()
            if batch:
                self._write(batch)

    def _gather(self) -> list[Change | Listed]:
        try:
            batch = [self._queue.get(timeout=0.5)]
        except queue.Empty:
            return []
        until = time.monotonic() + GATHER_SECONDS
        while len(batch) < BATCH:
            try:
                batch.append(self._queue.get(timeout=max(0, until - time.monotonic())))
            except queue.Empty:
                break
        return batch

    def _write(self, batch: list[Change | Listed]) -> None:
        delay = 0.1
        while not self._stop_event.is_set():
            try:
                with self._engine.begin() as connection:
                    self._apply(connection, batch)
            except (SQLAlchemyError, ClusterError) as error:
                if isinstance(error, DataError) and len(batch) > 1:
                    # One row that Postgres won't have must not hold up the others.
                    for item in batch:
                        self._write([item])
                    return
                if isinstance(error, DataError):
                    log.exception("a row that Postgres refuses")
                    return
                tell = log.warning if isinstance(error, ClusterError) or is_unavailable(error) else log.error
                tell("waiting to write runs", reason=str(error).partition("\n")[0])
                self._stop_event.wait(delay)
                delay = min(delay * 2, 2)
            else:
                self._wrote()
                return

    def _apply(self, connection: Connection, batch: list[Change | Listed]) -> None:
        """Runs of like changes go together; a deletion or the end of a re-list comes after what was before it."""
        pending: list[RunRecord] = []
        relist = False

        def flush() -> None:
            nonlocal pending
            if pending:
                runs.upsert(connection, pending, relist=relist)
                pending = []

        for item in batch:
            if isinstance(item, Listed):
                flush()
                self._drop_missing(connection, item)
                continue
            if item.relist != relist or item.deleted:
                flush()
                relist = item.relist
            pending.append(item.record)
            if item.deleted:
                flush()
                runs.mark_deleted(connection, uids=[item.record.uid], now=self._clock.now())
        flush()

    def _drop_missing(self, connection: Connection, listed: Listed) -> None:
        gone = [
            row.uid
            for row in runs.not_listed(connection, listed=listed.uids, project=listed.project)
            if row.resource_version <= listed.resource_version or self._is_gone(row.project, row.name, row.uid)
        ]
        if gone:
            log.info("runs were deleted unseen", count=len(gone))
        runs.mark_deleted(connection, uids=gone, now=self._clock.now())

    def _is_gone(self, project: str, name: str, uid: str) -> bool:
        """Ask for one that was written after the list was made (by the API), or before etcd went back in time."""
        try:
            found = self._cluster.get_run(project, name)
        except ClusterError as error:
            if error.status == 404:
                return True
            if error.status == 403:
                return False  # no longer ours to see; whoever sees it again lists anew
            raise
        return bool(found["metadata"]["uid"] != uid)


class RunHandler:
    """What an informer of TaskRuns tells, on its way to the writer."""

    def __init__(self, *, writer: RunWriter, project: str | None) -> None:
        self._writer = writer
        self._project = project

    def page(self, items: list[dict[str, Any]]) -> None:
        for item in items:
            record = self._writer.record(item)
            if record is not None:
                self._writer.put(Change(record=record, relist=True))

    def listed(self, uids: set[str], resource_version: int) -> None:
        self._writer.put(Listed(project=self._project, uids=uids, resource_version=resource_version))

    def changed(self, kind: str, item: dict[str, Any]) -> None:
        record = self._writer.record(item)
        if record is not None:
            self._writer.put(Change(record=record, deleted=kind == "DELETED"))
