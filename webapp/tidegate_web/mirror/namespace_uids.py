"""Binds each project to the uid of its namespace. When a namespace was deleted and another one has its name, members, keys,
webhooks, settings and archive of the first one move to a former project (``tidegate_api.projects.former_name``), and the new
one begins empty.

A cluster that was restored from a backup has new uids for the same projects. There a cluster admin annotates a namespace with
the uid whose data it takes over (``CONTINUES_ANNOTATION``), before or after the data has moved.
"""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from tidegate_api.names import CONTINUES_ANNOTATION
from tidegate_api.projects import former_name

from tidegate_web.auth.memory import CallerMemory
from tidegate_web.cluster.objects import KubeObject, annotations_of
from tidegate_web.events.channels import EventLog
from tidegate_web.mirror.quarantine import Quarantine
from tidegate_web.shared.clock import Clock
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.times import parse_time
from tidegate_web.shared.worker import beat_here
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import audit, project_moves, project_namespaces
from tidegate_web.store.queries.project_moves import MoveRow

log = structlog.stdlib.get_logger(__name__)

KIND = "ProjectNamespace"
"""What is set aside: a project that can't be bound."""
ROWS_AT_ONCE = 1000
STEPS_AT_ONCE = 20
"""So many steps of one project's move, then the other projects have their turn."""
LATE_RUNS = timedelta(minutes=10)
"""So long after a move, what the mirror still writes of runs from before it is moved as well."""


@dataclass(frozen=True, kw_only=True)
class ProjectNamespace:
    """The namespace of a project, as the cluster has it."""

    project: str
    uid: str
    created: datetime
    ending: bool
    continues: str | None = None
    """The uid of the namespace whose data it takes over."""

    @classmethod
    def of(cls, item: KubeObject) -> Self:
        """Raises KeyError or ValueError for an object that is no namespace."""
        metadata = item["metadata"]
        created = parse_time(metadata["creationTimestamp"])
        if created is None:
            raise ValueError("creationTimestamp is no RFC 3339 time")
        return cls(
            project=metadata["name"],
            uid=metadata["uid"],
            created=created,
            ending="deletionTimestamp" in metadata,
            continues=annotations_of(item).get(CONTINUES_ANNOTATION),
        )


class NamespaceUids:
    """One term's knowledge of which projects are bound to the namespaces that they have now."""

    def __init__(
        self,
        *,
        engine: Engine,
        clock: Clock,
        callers: CallerMemory,
        events: EventLog,
        stop: threading.Event,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._callers = callers
        self._events = events
        self._stop = stop
        self._settled: dict[str, ProjectNamespace] = {}
        self._watched_until: dict[str, datetime] = {}

    def settle(self, namespace: ProjectNamespace) -> bool:
        """Bind a project to its namespace; whether all of its data is its own. False: it is to be settled again soon."""
        project = namespace.project
        if self._settled.get(project) != namespace:
            self._settled.pop(project, None)
            if not self._move(project):  # what an earlier term, or an earlier namespace, has begun
                return False
            with self._engine.begin() as connection:
                self._bind(connection, namespace)
            if not self._move(project):
                return False
            self._settled[project] = namespace
        elif project in self._watched_until:
            self._move_late_runs(project)
        return True

    def _bind(self, connection: Connection, namespace: ProjectNamespace) -> None:
        project, uid = namespace.project, namespace.uid
        project_namespaces.bind_first(connection, project=project, uid=uid, created=namespace.created)
        bound = project_namespaces.bound(connection, project=project, lock=True)
        if bound is None:
            return
        before = bound.uid
        if before != uid:
            project_namespaces.bind(connection, project=project, uid=uid, created=namespace.created)
            if namespace.continues == before:
                self._audit(connection, project, "project.continue", {"namespaceUid": before})
                return
            former = former_name(project, before)
            project_namespaces.bind_first(connection, project=former, uid=before, created=namespace.created)
            project_moves.begin(connection, source=project, target=former, runs_before=namespace.created)
            self._audit(connection, former, "project.set-apart", {"namespaceUid": before, "by": uid})
            log.warning("another namespace has the name of a project", project=project, former=former)
        elif namespace.continues is not None:
            returning = project_namespaces.former(connection, project=project, uid=namespace.continues)
            if returning is not None:
                project_moves.begin(connection, source=returning, target=project, runs_before=None)
                self._audit(connection, project, "project.continue", {"namespaceUid": namespace.continues})

    def _audit(self, connection: Connection, project: str, action: str, detail: JsonObject) -> None:
        audit.write(
            connection, actor="mirror", address="", action=action, outcome="done", project=project, target=project, detail=detail
        )  # fmt: skip

    def _move(self, project: str) -> bool:
        """Go on with the moves from and to a project; whether they are complete."""
        with self._engine.connect() as connection:
            moves = project_moves.open_moves(connection, project=project)
        for move in moves:
            if move.completed is None and not self._steps(move):
                return False
            if move.source == project:
                self._watched_until[project] = self._clock.now() + LATE_RUNS
        return True

    def _steps(self, move: MoveRow) -> bool:
        for _ in range(STEPS_AT_ONCE):
            if self._stop.is_set():
                return False
            beat_here()
            with self._engine.begin() as connection:
                if project_moves.step(connection, move, limit=ROWS_AT_ONCE, now=self._clock.now()):
                    continue
                hashes = project_moves.token_hashes(connection, project=move.target)
            break
        else:
            return False
        # Redis has remembered what the members and keys may do, and what happened in the project.
        self._callers.forget(*hashes)
        try:
            self._events.forget(move.source)
        except RedisError as error:
            log.warning("a move is completed later", project=move.source, reason=str(error))
            return False
        with self._engine.begin() as connection:
            project_moves.complete(connection, move, now=self._clock.now())
        log.info("the data of a project has moved", source=move.source, target=move.target)
        return True

    def _move_late_runs(self, project: str) -> None:
        now = self._clock.now()
        with self._engine.begin() as connection:
            for move in project_moves.open_moves(connection, project=project):
                if move.source == project:
                    project_moves.step_of_runs(connection, move, limit=ROWS_AT_ONCE, now=now)
            if now > self._watched_until[project]:
                project_moves.forget(connection, completed_before=now - LATE_RUNS)
                del self._watched_until[project]


def try_to_settle(uids: NamespaceUids, namespace: ProjectNamespace, *, quarantine: Quarantine) -> bool:
    """``settle``, where a project with which that breaks stays closed and the others don't."""
    beat_here()
    try:
        settled = uids.settle(namespace)
    except Exception as error:
        if isinstance(error, SQLAlchemyError) and is_unavailable(error):
            log.warning("binding a project later", project=namespace.project, reason=str(error).partition("\n")[0])
        else:
            quarantine.set_aside(KIND, namespace.project, error, name=namespace.project)
        return False
    quarantine.release(KIND, namespace.project)
    return settled
