"""Carries bulk operations out: a thread of each web process, of which one works at an operation.

Who works at it says so again and again in Postgres; when it has been silent for a while, another goes on where the items show.
An act that was done but not noted is done a second time, and comes to the same.
"""

import contextlib
import hashlib
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.bulk.authors import may_go_on
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.runs.actions import cancel_row
from tidegate_web.runs.create import create
from tidegate_web.runs.erase import erase
from tidegate_web.runs.replay import replayed
from tidegate_web.services import Services
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.shared.problems import Problem
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import audit, bulk, runs
from tidegate_web.store.queries.bulk import OperationRow
from tidegate_web.store.run_rows import RunRow

log = structlog.stdlib.get_logger(__name__)

AT_ONCE = 8
CHUNK = 32
MOST_WAIT = 5.0


class BulkWorker(threading.Thread):
    """Looks for operations when woken, and every few seconds."""

    def __init__(self, made: Services, *, silence_seconds: float = 60, look_seconds: float = 5) -> None:
        super().__init__(name="bulk", daemon=True)
        self._made = made
        self._name = secrets.token_hex(8)
        self._silence = timedelta(seconds=silence_seconds)
        self._look = look_seconds
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def wake(self) -> None:
        """There is something to do."""
        with self._lock:
            if self.ident is None and not self._stopped.is_set():
                self.start()
        self._woken.set()

    def stop(self) -> None:
        """End after what is under way; the rest waits for another process, or this one's next life."""
        self._stopped.set()
        self._woken.set()
        if self.ident is not None and self is not threading.current_thread():
            self.join(timeout=20)

    def run(self) -> None:
        delay = 0.2
        with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="bulk") as pool:
            while not self._stopped.is_set():
                self._woken.clear()
                try:
                    worked = self._work(pool)
                except SQLAlchemyError as error:
                    write = log.warning if is_unavailable(error) else log.error
                    write("bulk operations wait", reason=str(error).partition("\n")[0])
                    worked = None
                except Exception:
                    log.exception("bulk operations")
                    worked = None
                if worked is None:  # Postgres or the apiserver is away
                    self._stopped.wait(delay)
                    delay = min(delay * 2, MOST_WAIT)
                    continue
                delay = 0.2
                if not worked:
                    self._woken.wait(self._look)
        with contextlib.suppress(SQLAlchemyError), self._made.engine.begin() as connection:
            bulk.give_back(connection, worker=self._name)

    def _work(self, pool: ThreadPoolExecutor) -> bool | None:
        """Do a piece of the oldest operation that is ours or free; False when there is none, None to try later."""
        now = self._made.clock.now()
        with self._made.engine.begin() as connection:
            operation = bulk.claim(connection, worker=self._name, now=now, silent_since=now - self._silence)
            if operation is None:
                return False
            if not may_go_on(connection, operation, now=now):
                _end(connection, operation, now=now)
                return True
            uids = bulk.left(connection, operation=operation.id, limit=CHUNK)
        outcomes = dict(zip(uids, pool.map(lambda uid: self._act(operation, uid), uids), strict=True))
        known = {uid: outcome for uid, outcome in outcomes.items() if outcome is None or outcome.status != 503}
        with self._made.engine.begin() as connection:
            bulk.note(
                connection,
                operation=operation.id,
                problems={uid: outcome.detail if outcome else None for uid, outcome in known.items()},
                now=self._made.clock.now(),
            )
            for uid, outcome in known.items():
                audit.write(
                    connection,
                    actor=operation.requested_by,
                    address=operation.address,
                    action=f"run.{operation.action}",
                    outcome="done" if outcome is None else f"refused {outcome.status}",
                    project=operation.project,
                    target=uid,
                    detail={"bulk": operation.id},
                )
        return True if len(known) == len(uids) else None

    def _act(self, operation: OperationRow, uid: str) -> Problem | None:
        """Do it to one run; None when it is done, or was."""
        try:
            with self._made.engine.connect() as connection:
                row = runs.find(connection, project=operation.project, reference=uid)
            if row is None:
                return None if operation.action == "delete" else Problem(404, "There is no such run.")
            if operation.tasks is not None and row.task not in operation.tasks:
                return Problem(403, "This key is limited to other tasks.")
            ACTS[operation.action](self._made, operation, row)
        except Problem as problem:
            return problem
        except SQLAlchemyError as error:
            if is_unavailable(error):
                return Problem(503, "The database doesn't answer.")
            return _broken(operation, uid, error)
        except ClusterError as error:
            return from_cluster(error)
        except Exception as error:
            return _broken(operation, uid, error)
        return None


def _end(connection: Connection, operation: OperationRow, *, now: datetime) -> None:
    """What its author may do no more isn't done."""
    bulk.abort(connection, project=operation.project, operation=operation.id, now=now)
    audit.write(
        connection,
        actor=operation.requested_by,
        address=operation.address,
        action="bulk.abort",
        outcome="refused 403",
        project=operation.project,
        target=str(operation.id),
        detail={"reason": "its author has lost the right to it"},
    )


def _broken(operation: OperationRow, uid: str, error: Exception) -> Problem:
    """One item with which the act breaks is noted as failed; the others don't wait for it."""
    log.error("an item of a bulk operation", operation=operation.id, uid=uid, exc_info=error)
    return Problem(500, f"Something went wrong with this run: {type(error).__name__}.")


def _cancel(made: Services, operation: OperationRow, row: RunRow) -> None:
    del operation
    if row.phase not in TERMINAL_PHASES and row.deleted_at is None:
        cancel_row(made, row)


def _replay(made: Services, operation: OperationRow, row: RunRow) -> None:
    wanted = replayed(row)
    # The name follows from operation and run, so that doing it twice makes one.
    stem = wanted.run.name.rpartition("-")[0]
    digest = hashlib.sha256(f"bulk/{operation.id}/{row.uid}".encode()).hexdigest()[:16]
    wanted = replace(wanted, run=replace(wanted.run, name=f"{stem}-{digest}"))
    try:
        create(made, row.project, wanted, who=operation.requested_by)
    except Problem as problem:
        if problem.status == 429:  # the queue is full: wait for room
            raise Problem(503, problem.detail) from problem
        if problem.status != 409:
            raise


def _delete(made: Services, operation: OperationRow, row: RunRow) -> None:
    del operation
    erase(made, row)


ACTS: Mapping[str, Callable[[Services, OperationRow, RunRow], None]] = {
    "cancel": _cancel,
    "replay": _replay,
    "delete": _delete,
}
