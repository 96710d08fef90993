"""Which mirror is at work: the one that holds an advisory lock of Postgres, on a connection of its own.

The lock goes when the connection goes, whatever became of the process. Two that overlap for a moment do no harm:
rows are guarded by resourceVersion and log chunks by their place.
"""

import threading

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.store.advisory_locks import LEADER_LOCK

log = structlog.stdlib.get_logger(__name__)


class Leadership:
    """Tries to hold the lock, and finds out when it is lost."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._said = ""

    def acquire(self, stop: threading.Event, *, seconds: float = 0.5, tries: int = 10) -> bool:
        """Wait for the lock for a while; False without it."""
        for _ in range(tries):
            if stop.is_set():
                break
            try:
                connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                if connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": LEADER_LOCK}).scalar_one():
                    self._connection, self._said = connection, ""
                    return True
                connection.close()
                reason = "another mirror leads"
            except SQLAlchemyError as error:
                reason = str(error).partition("\n")[0]
            if reason != self._said:
                log.info("waiting to lead", reason=reason)
                self._said = reason
            stop.wait(seconds)
        return False

    def held(self) -> bool:
        """Whether the connection, and so the lock, is still there."""
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Let another lead. The connection is closed for good: in the pool it would keep the lock."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
            finally:
                connection.close()
