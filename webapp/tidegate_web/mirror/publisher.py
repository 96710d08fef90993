"""From the outbox to Redis, in order. A row is deleted after Redis has taken it: whoever dies in between publishes it
again, and readers see the same state twice rather than never.
"""

import threading

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.live.channels import EventLog
from tidegate_web.store.queries import outbox

log = structlog.stdlib.get_logger(__name__)


class Publisher(threading.Thread):
    """Publishes what was committed: at once for the mirror's own writes, soon for those of the web processes."""

    def __init__(self, *, engine: Engine, events: EventLog, stop: threading.Event, seconds: float = 0.25) -> None:
        super().__init__(name="publisher", daemon=True)
        self._engine = engine
        self._events = events
        self._stop_event = stop
        self._seconds = seconds
        self._wake = threading.Event()

    def wake(self) -> None:
        self._wake.set()

    def run(self) -> None:
        delay = 0.2
        while not self._stop_event.is_set():
            self._wake.wait(self._seconds)
            self._wake.clear()
            try:
                while not self._stop_event.is_set() and self._publish():
                    delay = 0.2
            except (RedisError, SQLAlchemyError, OSError) as error:
                log.warning("waiting to publish", reason=str(error).partition("\n")[0])
                self._stop_event.wait(delay)
                delay = min(delay * 2, 2)

    def _publish(self) -> bool:
        """Publish some; True when there were any."""
        with self._engine.begin() as connection:
            rows = outbox.waiting(connection)
            if not rows:
                return False
            projects: dict[str, list[dict[str, object]]] = {}
            for row in rows:
                projects.setdefault(row.project, []).append(row.event)
            for project, events in projects.items():
                self._events.publish(project, events)
            outbox.published(connection, [row.id for row in rows])
        return True
