"""TaskRuns into Postgres: changes are gathered into batches, and each batch is one transaction with its events.

The queue between watch and database is bounded. While Postgres is away it fills, the watch waits, and after a long
time the apiserver ends it: then everything is listed again. Nothing is lost that the cluster still has.

A batch that Postgres refuses for what is in it is written one by one, and the run that is at fault is set aside (``quarantine.py``).
Of that run a bare row is written: that it is there, its phase and its end.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Connection, Engine

from tidegate_web.cluster.client import Cluster
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import KubeObject
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared.archive_bound import ArchiveBound
from tidegate_web.shared.clock import Clock
from tidegate_web.shared.worker import Worker, beat_here
from tidegate_web.store.engine import is_of_the_data, is_unavailable
from tidegate_web.store.queries import archiving, runs
from tidegate_web.store.records import RunRecord, run_record

log = structlog.stdlib.get_logger(__name__)

KIND = "TaskRun"
BATCH = 500
GATHER_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One TaskRun as it is now, or as it was when it was deleted."""

    record: RunRecord
    deleted: bool = False
    relist: bool = False
    retry: Callable[[], None] | None = None
    """Reads it from the cluster again."""
    at: float = field(default_factory=time.monotonic)
    """When it was received."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gone:
    """A TaskRun of which only is known that it is in the cluster no longer."""

    uid: str
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A re-list is whole: what should be there and isn't among these is gone."""

    project: str | None
    uids: set[str]
    resource_version: int
    at: float = field(default_factory=time.monotonic)


Item = Change | Gone | Listed


class RunWriter(Worker):
    """Writes what the informers report. There is one, so that a run's changes keep their order."""

    def __init__(
        self,
        *,
        engine: Engine,
        cluster: Cluster,
        clock: Clock,
        stop: threading.Event,
        wrote: Callable[[], None],
        quarantine: Quarantine,
        default_ttl_seconds: int,
        bound: ArchiveBound,
        stored: Callable[[float], None],
        room: int = 5000,
    ) -> None:
        """``stored`` hears how long the first change of a batch waited until it was committed."""
        super().__init__(name="run writer", stop=stop)
        self._engine = engine
        self._cluster = cluster
        self._clock = clock
        self._wrote = wrote
        self._quarantine = quarantine
        self._default_ttl = default_ttl_seconds
        self._bound = bound
        self._stored = stored
        self._since: float | None = None
        self._queue: queue.Queue[Item] = queue.Queue(room)

    @property
    def lag(self) -> float:
        """How long the oldest change has waited that isn't stored."""
        since = self._since
        return time.monotonic() - since if since is not None else 0.0

    def put(self, item: Item) -> None:
        """Hand something over; waits while the queue is full."""
        while not self.stop_event.is_set():
            beat_here()
            try:
                self._queue.put(item, timeout=0.5)
            except queue.Full:
                continue
            return

    def record(self, item: KubeObject) -> RunRecord:
        """The row for an object."""
        return run_record(item, default_ttl_seconds=self._default_ttl)

    def work(self) -> None:
        while not self.stop_event.is_set():
            self.beat()
            batch = self._gather()
            if batch:
                self._since = batch[0].at
                self._write(batch)
                if not self.stop_event.is_set():
                    self._stored(self.lag)
                self._since = None

    def _gather(self) -> list[Item]:
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

    def _write(self, batch: list[Item]) -> None:
        error = self._try(lambda connection: self._apply(connection, batch))
        if error is None:
            self._wrote()
            self._release(batch)
            return
        for item in batch if len(batch) > 1 else ():
            self._write([item])
        if len(batch) == 1:
            self._refused(batch[0], error)

    def _try(self, act: Callable[[Connection], None]) -> Exception | None:
        """Do it in a transaction, as soon as that can be done; the error when what is to be written is at fault."""
        delay = 0.1
        while not self.stop_event.is_set():
            self.beat()
            try:
                with self._engine.begin() as connection:
                    act(connection)
            except ClusterError as error:
                log.warning("waiting to write runs", reason=error.message)
            except Exception as error:
                if is_of_the_data(error):
                    return error
                write = log.warning if is_unavailable(error) else log.error
                write("waiting to write runs", reason=str(error).partition("\n")[0])
            else:
                return None
            self.stop_event.wait(delay)
            delay = min(delay * 2, 2)
        return None

    def _refused(self, item: Item, error: Exception) -> None:
        """What becomes of one item that can't be written as it is."""
        if isinstance(item, Listed):
            # Which run is at fault isn't known: each by itself.
            gone: list[str] = []
            self._try(lambda connection: gone.extend(self._missing(connection, item)))
            for uid in gone:
                self._write([Gone(uid=uid)])
            return
        if isinstance(item, Gone):
            self._quarantine.set_aside(KIND, item.uid, error, name="", retry=lambda: self.put(item))
            return
        record = item.record
        self._quarantine.set_aside(
            KIND, record.uid, error, name=f"{record.project}/{record.name}",
            version=str(record.resource_version), retry=item.retry,
        )  # fmt: skip
        why = f"Postgres refuses it: {type(error).__name__}"

        def write_bare(connection: Connection) -> None:
            runs.upsert(connection, [record.bare(why)], bare=True)
            if item.deleted:
                gone = runs.mark_deleted(connection, uids=[record.uid], now=self._clock.now())
                archiving.count(connection, uids=gone, bound=self._bound)

        if self._try(write_bare) is None:
            self._wrote()

    def _release(self, batch: list[Item]) -> None:
        for item in batch:
            if isinstance(item, Change):
                self._quarantine.release(KIND, item.record.uid)
            elif isinstance(item, Gone):
                self._quarantine.release(KIND, item.uid)

    def _apply(self, connection: Connection, batch: list[Item]) -> None:
        """Runs of like changes go together; a deletion or the end of a re-list comes after what was before it."""
        pending: list[RunRecord] = []
        archived: list[str] = []
        relist = False

        def flush() -> None:
            nonlocal pending
            self.beat()
            if pending:
                runs.upsert(connection, pending, relist=relist)
                pending = []

        for item in batch:
            if isinstance(item, Listed):
                flush()
                archived += self._drop_missing(connection, item)
                continue
            if isinstance(item, Gone):
                flush()
                archived += runs.mark_deleted(connection, uids=[item.uid], now=self._clock.now())
                continue
            if item.relist != relist or item.deleted:
                flush()
                relist = item.relist
            pending.append(item.record)
            if item.deleted:
                flush()
                archived += runs.mark_deleted(connection, uids=[item.record.uid], now=self._clock.now())
        flush()
        archiving.count(connection, uids=archived, bound=self._bound)

    def _drop_missing(self, connection: Connection, listed: Listed) -> list[str]:
        gone = self._missing(connection, listed)
        if gone:
            log.info("runs were deleted unseen", count=len(gone))
        return runs.mark_deleted(connection, uids=gone, now=self._clock.now())

    def _missing(self, connection: Connection, listed: Listed) -> list[str]:
        gone = []
        for row in runs.not_listed(connection, listed=listed.uids, project=listed.project):
            self.beat()
            if row.resource_version <= listed.resource_version or self._is_gone(row.project, row.name, row.uid):
                gone.append(row.uid)
        return gone

    def _is_gone(self, project: str, name: str, uid: str) -> bool:
        """Ask for one that was written after the list was made (by the API), or before etcd went back in time."""
        try:
            found = self._cluster.get_run(project, name)
        except ClusterError as error:
            if error.not_found:
                return True
            if error.status == 403:
                return False  # no longer ours to see; the informer that sees it again lists it
            raise
        return bool(found["metadata"]["uid"] != uid)


class RunHandler:
    """The handler of an informer of TaskRuns: it hands them to the writer, which releases what it has stored."""

    def __init__(self, *, writer: RunWriter, project: str | None) -> None:
        self._writer = writer
        self._project = project

    def put(self, item: KubeObject, *, listed: bool, retry: Callable[[], None]) -> None:
        self._writer.put(Change(record=self._writer.record(item), relist=listed, retry=retry))

    def deleted(self, item: KubeObject) -> None:
        try:
            record = self._writer.record(item)
        except Exception:
            # What it was can't be understood; that it is gone can.
            self._writer.put(Gone(uid=item["metadata"]["uid"]))
            return
        self._writer.put(Change(record=record, deleted=True))

    def listed(self, uids: set[str], resource_version: int) -> None:
        self._writer.put(Listed(project=self._project, uids=uids, resource_version=resource_version))
