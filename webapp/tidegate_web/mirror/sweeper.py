"""Deletes from the cluster what is stored and past its time: TaskRuns after their TTL or beyond a limit, their Jobs and
pods before that.

Only what Postgres has committed is deleted: the run at exactly the version that is stored, and its logs up to their
end marks. A log that can no longer come is marked as lost, with why, and holds nothing up.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.audit.recording import AuditSpool
from tidegate_web.cluster.client import Cluster, jobs_path, runs_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.objects import controller_of
from tidegate_web.mirror.metrics import MirrorMetrics
from tidegate_web.mirror.pods import Owners, PodTable
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.mirror.schedules import Schedules
from tidegate_web.mirror.scopes import Scope, Scopes
from tidegate_web.mirror.specs import SpecKeeper
from tidegate_web.settings import WebSettings
from tidegate_web.shared.clock import Clock
from tidegate_web.shared.run_status import attempts_of
from tidegate_web.shared.worker import Worker
from tidegate_web.store.engine import is_of_the_data
from tidegate_web.store.models.runs import LogMark
from tidegate_web.store.queries import bulk, erasure, idempotency, logs, met_runs, outbox, retention
from tidegate_web.store.queries.logs import End
from tidegate_web.store.queries.retention import CandidateRow

log = structlog.stdlib.get_logger(__name__)

KIND = "Deletion"
"""What is set aside: a finished run that is to be deleted."""
AT_ONCE = 500
SWEEP_PATIENCE_SECONDS = 120.0
WORKER_LOG_PATIENCE = timedelta(minutes=5)
"""After the end of a run in a pool: by then the log of its worker has passed it."""
BULK_KEPT = timedelta(days=30)
"""How long the outcome of a bulk operation is kept."""


class Sweeper(Worker):
    """Looks every few seconds."""

    def __init__(
        self,
        *,
        engine: Engine,
        cluster: Cluster,
        clock: Clock,
        settings: WebSettings,
        pods: PodTable,
        workers: PodTable,
        owners: Owners,
        specs: SpecKeeper,
        scopes: Scopes,
        audit: AuditSpool,
        metrics: MirrorMetrics,
        quarantine: Quarantine,
        stop: threading.Event,
    ) -> None:
        # A sweep of many runs beats at each; one statement over all of them may take its time.
        super().__init__(name="sweeper", stop=stop, patience_seconds=settings.sweep_seconds + SWEEP_PATIENCE_SECONDS)
        self._engine = engine
        self._cluster = cluster
        self._clock = clock
        self._settings = settings
        self._pods = pods
        self._workers = workers
        self._owners = owners
        self._specs = specs
        self._scopes = scopes
        self._audit = audit
        self._metrics = metrics
        self._quarantine = quarantine

    def work(self) -> None:
        while not self.stop_event.wait(self._settings.sweep_seconds):
            self.beat()
            for scope in self._scopes.now():
                self.beat()
                if scope.knows_pods:
                    self._try(partial(self._sweep, scope))
            self._try(self._forget)
            self._try(lambda: self._audit.write(self._engine))
            self._try(lambda: self._metrics.archive.look(self._engine))
            self._try(self._look_at_outbox)

    def _look_at_outbox(self) -> None:
        with self._engine.connect() as connection:
            events, oldest = outbox.depth(connection)
        self._metrics.outbox_events.set(events)
        self._metrics.outbox_oldest.set(oldest)

    def _try(self, step: Callable[[], object]) -> None:
        """What fails here holds up nothing else, and is tried again next time."""
        try:
            step()
        except (SQLAlchemyError, ClusterError) as error:
            log.warning("sweeping later", reason=str(error).partition("\n")[0])
        except Exception:
            log.exception("sweeping")

    def _sweep(self, scope: Scope) -> None:
        project, now = scope.project, self._clock.now()
        due = self._due(project, now=now)
        before = now - timedelta(seconds=self._settings.keep_pods_seconds)
        with self._engine.connect() as connection:
            old_pods = retention.with_old_pods(connection, before=before, project=project, limit=AT_ONCE)
        for row in due.values():
            if not scope.stop.is_set():
                self._each(row, partial(self._delete_run, row, scope))
        for row in old_pods:
            if row.uid not in due and not scope.stop.is_set():
                self._each(row, partial(self._delete_jobs, row, scope))

    def _each(self, row: CandidateRow, act: Callable[[], None]) -> None:
        """Do it to one run. One with which that breaks stays, and is looked at again when it is due."""
        self.beat()
        if self._quarantine.holds(KIND, row.uid):
            return
        try:
            act()
        except SQLAlchemyError as error:
            if not is_of_the_data(error):
                raise
            self._set_aside(row, error)
        except ClusterError as error:
            if error.unavailable:
                raise
            log.warning("a run can't be deleted", project=row.project, name=row.name, reason=error.message)
        except Exception as error:
            self._set_aside(row, error)
        else:
            self._quarantine.release(KIND, row.uid)

    def _set_aside(self, row: CandidateRow, error: Exception) -> None:
        name, version = f"{row.project}/{row.name}", str(row.resource_version)
        self._quarantine.set_aside(KIND, row.uid, error, name=name, version=version)

    def _forget(self) -> None:
        """Drop what is kept for a time alone, some at a time."""
        with self._engine.begin() as connection:
            now = self._clock.now()
            idempotency.forget(connection, before=now - idempotency.KEPT, limit=AT_ONCE)
            met_runs.forget(connection, before=now - idempotency.KEPT, limit=AT_ONCE)
            bulk.forget(connection, before=now - BULK_KEPT)
            erasure.erase_again(connection, since=now - timedelta(minutes=10), forget_before=now - timedelta(days=1))

    def _due(self, project: str | None, *, now: datetime) -> dict[str, CandidateRow]:
        """Runs to delete, by uid. Those that a Schedule holds are passed over, however many they are."""
        due: dict[str, CandidateRow] = {}
        keep, offset = self._settings.max_finished_runs, 0
        while True:
            self.beat()
            with self._engine.connect() as connection:
                kinds = [
                    retention.expired(connection, now=now, project=project, limit=AT_ONCE, offset=offset),
                    retention.surplus(connection, keep=keep, project=project, limit=AT_ONCE, offset=offset),
                ]
            schedules = Schedules.listed(self._cluster, project=project, quarantine=self._quarantine)
            limits = schedules.limits()
            with self._engine.connect() as connection:
                kinds.append(retention.beyond_history(connection, limits=limits, limit=AT_ONCE, offset=offset))
            due |= {row.uid: row for rows in kinds for row in rows if not schedules.hold(row)}
            if len(due) >= AT_ONCE or all(len(rows) < AT_ONCE for rows in kinds):
                return due
            offset += AT_ONCE

    def _delete_run(self, row: CandidateRow, scope: Scope) -> None:
        with self._engine.connect() as connection:
            if retention.needed_by_live_runs(connection, project=row.project, name=row.name):
                return
        if not self._logs_ended(row, scope):
            return
        try:
            self._cluster.delete(
                f"{runs_path(row.project)}/{row.name}", uid=row.uid, resource_version=row.resource_version
            )
        except ClusterError as error:
            # Gone, or changed since it was stored: the watch reports it.
            if not error.is_gone:
                raise

    def _delete_jobs(self, row: CandidateRow, scope: Scope) -> None:
        if not self._logs_ended(row, scope):
            return
        for attempt in attempts_of(row.status):
            if attempt.job_name is not None:
                self._delete_job(row, attempt.job_name)
        with self._engine.begin() as connection:
            retention.pods_removed(connection, uid=row.uid, created=row.created, now=self._clock.now())

    def _delete_job(self, row: CandidateRow, name: str) -> None:
        path = f"{jobs_path(row.project)}/{name}"
        try:
            job = self._cluster.get(path)
            owner = controller_of(job, kind="TaskRun")
            if owner is not None and owner[1] == row.uid:
                self._specs.keep(job)  # of an attempt whose pod was never seen
                self._cluster.delete(path, uid=job["metadata"]["uid"])
        except ClusterError as error:
            if not error.is_gone:
                raise

    def _logs_ended(self, row: CandidateRow, scope: Scope) -> bool:
        """Whether every pod of the run has its end mark; marks those as lost that can't come any more."""
        with self._engine.connect() as connection:
            ends = logs.ends(connection, run_uid=row.uid)
        ended_pods = {end.pod_uid for end in ends}
        ended_names = {end.pod_name for end in ends}
        for pod in self._pods.of_run(row.uid):
            if pod.uid in ended_pods:
                continue
            owner = self._owners.of(pod)
            if owner is not None and owner.run_uid == row.uid:
                return False
        present = self._pods.names(row.project)
        if scope.stop.is_set():
            return False  # its pods may be forgotten already, which isn't to be gone
        workers, soon = self._workers.names(row.project), self._clock.now() - WORKER_LOG_PATIENCE
        for attempt in attempts_of(row.status):
            name = attempt.pod_name
            if attempt.handover is not None:
                if attempt.handover in ended_pods or not name:
                    continue
                if name in workers and (row.finished_at is None or row.finished_at > soon):
                    return False  # what its worker writes is being read
                reason = "Its worker was gone before its log could be read."
                if name in workers:
                    reason = "The end of its log was not seen in the log of its worker."
                self._mark(row, attempt.number, name, mark="lost", reason=reason, pod_uid=attempt.handover)
                continue
            if name is None or name in ended_names:
                continue
            if name in present:
                # Its follower is at work, or it is no pod of ours and the next look ends here.
                continue
            started = attempt.has_started
            self._mark(
                row,
                attempt.number,
                name,
                mark="lost" if started else "complete",
                reason="The pod was gone before its log could be read." if started else "The container never started.",
            )
        return True

    def _mark(
        self, row: CandidateRow, attempt: int, pod_name: str, *, mark: LogMark, reason: str, pod_uid: str = ""
    ) -> None:
        with self._engine.begin() as connection:
            added = logs.add_end(
                connection,
                End(
                    run_uid=row.uid,
                    project=row.project,
                    attempt=attempt,
                    pod_uid=pod_uid or f"unknown:{pod_name}",
                    pod_name=pod_name,
                    mark=mark,
                    reason=reason,
                ),
            )
        if added:
            self._metrics.log_ended(mark)
