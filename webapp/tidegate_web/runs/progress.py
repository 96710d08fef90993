"""Progress of runs: Redis for those who look now, Postgres for later; one of the two is enough.

A task may report as often as it likes: a thread writes what has to wait for its turn, so that the last value of a burst
is kept in the end, and no request waits for it.
"""

import threading
import time

import structlog
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.events.channels import EventLog, keep_progress
from tidegate_web.runs.progress_pacing import Pacing, ProgressReport
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import runs

log = structlog.stdlib.get_logger(__name__)

TRY_AGAIN_SECONDS = 1.0


class ProgressWriter:
    """Writes the progress of attempts, each at most every few tenths of a second."""

    def __init__(self, *, engine: Engine, redis: Redis, events: EventLog, seconds: float) -> None:
        self._engine = engine
        self._redis = redis
        self._events = events
        self._pacing = Pacing(seconds=seconds)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def report(self, report: ProgressReport) -> bool:
        """Write it now or in its turn; False when it can't be kept at the moment."""
        with self._changed:
            ready = self._pacing.take(report, now=time.monotonic())
            if ready is None:
                self._wake()
        return ready is None or self._write(ready)

    def stop(self) -> None:
        """Write everything that waits, at the end of the process."""
        with self._changed:
            self._stopped = True
            rest = self._pacing.due(now=float("inf"))
            self._changed.notify_all()
        for report in rest:
            self._write(report)

    def _wake(self) -> None:
        # Made when it is first needed: a process that is forked later has no threads.
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._pacing.next_turn() is not None)
                if self._stopped:
                    return
                turn = self._pacing.next_turn()
                now = time.monotonic()
                if turn is not None and turn > now:
                    self._changed.wait(turn - now)
                    continue
                ready = self._pacing.due(now=now)
            failed = [report for report in ready if not self._written(report)]
            if failed:
                with self._changed:
                    for report in failed:
                        self._pacing.put_back(report)
                    self._changed.wait_for(lambda: self._stopped, timeout=TRY_AGAIN_SECONDS)

    def _written(self, report: ProgressReport) -> bool:
        """True also for what will never be written: one mistake must not end the thread."""
        try:
            return self._write(report)
        except Exception:
            log.exception("progress that can't be written", run=report.identity.run_name)
            return True

    def _write(self, report: ProgressReport) -> bool:
        kept = False
        try:
            with self._engine.begin() as connection:
                runs.save_progress(
                    connection,
                    uid=report.identity.run_uid,
                    attempt=report.identity.attempt,
                    progress=report.progress,
                    message=report.message,
                    at=report.at,
                )
            kept = True
        except SQLAlchemyError as error:
            if not is_unavailable(error):
                raise
        event = _event(report)
        try:
            keep_progress(self._redis, run_uid=report.identity.run_uid, progress=event | {"at": report.at.isoformat()})
            self._events.publish(report.identity.project, [event])
            kept = True
        except RedisError:
            pass
        return kept


def _event(report: ProgressReport) -> JsonObject:
    return {
        "uid": report.identity.run_uid,
        "name": report.identity.run_name,
        "phase": None,
        "reason": None,
        "attempt": report.identity.attempt,
        "progress": report.progress,
        "message": report.message,
    }
