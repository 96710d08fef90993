"""From the outbox to Redis, in order. A row is deleted after Redis has taken it: a mirror that dies in between publishes it
again, and readers see the same state twice rather than never.

A project whose history Redis refuses (a key of another type, numbers that were lost) is begun again: its readers get ``reset``. If
that doesn't help it is left out for a while, and the others go on. In a Redis Cluster a project is at one node: while that one is
away, its events wait and those of the others go on.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.events.channels import EventLog
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared.worker import Worker
from tidegate_web.store.queries import outbox
from tidegate_web.store.queries.outbox import EventRow

log = structlog.stdlib.get_logger(__name__)

KIND = "Events"
"""What is set aside: the events of a project."""
UNREACHABLE_SECONDS = 2.0
"""So long the node of a project isn't asked again after it didn't answer."""
MOST_FAILURES = 3
"""So many projects in a transaction wait for nodes that don't answer: each may take seconds."""


class Publisher(Worker):
    """Publishes what was committed: at once for the mirror's own writes, soon for those of the web processes."""

    def __init__(
        self,
        *,
        engine: Engine,
        events: EventLog,
        quarantine: Quarantine,
        stop: threading.Event,
        seconds: float = 0.25,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="publisher", stop=stop)
        self._engine = engine
        self._events = events
        self._quarantine = quarantine
        self._left_out: set[str] = set()
        self._unreachable: dict[str, float] = {}
        self._seconds = seconds
        self._now = now
        self._wake = threading.Event()

    def wake(self) -> None:
        self._wake.set()

    def work(self) -> None:
        delay = 0.2
        while not self.stop_event.is_set():
            self.beat()
            self._wake.wait(self._seconds)
            self._wake.clear()
            try:
                while not self.stop_event.is_set() and self._publish():
                    self.beat()
                    delay = 0.2
            except (RedisError, SQLAlchemyError, OSError) as error:
                log.warning("waiting to publish", reason=str(error).partition("\n")[0])
                self.stop_event.wait(delay)
                delay = min(delay * 2, 2)

    def _publish(self) -> bool:
        """Publish some; True when there were any."""
        now = self._now()
        self._left_out = {project for project in self._left_out if self._quarantine.holds(KIND, project)}
        self._unreachable = {project: until for project, until in self._unreachable.items() if now < until}
        with self._engine.begin() as connection:
            rows = outbox.waiting(connection, but=self._left_out | self._unreachable.keys())
            if not rows:
                return False
            projects: dict[str, list[EventRow]] = {}
            for row in rows:
                projects.setdefault(row.project, []).append(row)
            failed = 0
            for project, waiting in projects.items():
                try:
                    if self._publish_to(project, [row.event for row in waiting]):
                        outbox.published(connection, [row.id for row in waiting])
                except (RedisError, OSError) as error:
                    if not self._events.spread:
                        raise
                    log.warning("waiting to publish", project=project, reason=str(error).partition("\n")[0])
                    self._unreachable[project] = self._now() + UNREACHABLE_SECONDS
                    failed += 1
                    if failed == MOST_FAILURES:
                        break
        return True

    def _publish_to(self, project: str, events: Sequence[Mapping[str, object]]) -> bool:
        """Publish a project's events; False when they have to wait for a better time."""
        try:
            try:
                self._events.publish(project, events)
            except ResponseError as error:
                if is_of_the_server(error):
                    raise
                log.warning("the history of events is begun again", project=project, reason=str(error))
                self._events.forget(project)
                self._events.publish(project, events)
        except (RedisError, OSError) as error:
            if not isinstance(error, ResponseError) or is_of_the_server(error):
                raise
            self._set_aside(project, error)
            return False
        except Exception as error:
            self._set_aside(project, error)
            return False
        self._quarantine.release(KIND, project)
        return True

    def _set_aside(self, project: str, error: Exception) -> None:
        self._left_out.add(project)
        self._quarantine.set_aside(KIND, project, error, name=project)


def is_of_the_server(error: ResponseError) -> bool:
    """Whether Redis refuses everything at the moment, and not this project's keys."""
    return isinstance(error, ReadOnlyError | OutOfMemoryError | NoPermissionError) or str(error).startswith(
        ("MISCONF", "OOM", "READONLY", "LOADING", "NOPERM", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS")
    )
