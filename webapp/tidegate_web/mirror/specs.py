"""Keeps the specs of Tasks that runs are started with: a Job, which carries its spec, goes before its run is forgotten."""

import threading
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from tidegate_api.names import TASK_LABEL

from tidegate_web.cluster.objects import KubeObject, annotations_of, labels_of
from tidegate_web.shared.archive_bound import NO_BOUND, ArchiveBound
from tidegate_web.shared.clock import Clock
from tidegate_web.shared.task_spec import spec_of_job
from tidegate_web.store.engine import is_of_the_data
from tidegate_web.store.queries import project_bytes, task_specs

log = structlog.stdlib.get_logger(__name__)

AGAIN = timedelta(hours=1)
"""How long a spec is taken for stored once it was written."""


class SpecKeeper:
    """Writes the spec of each Job that it is shown, each spec of a project once in a while."""

    def __init__(self, *, engine: Engine, clock: Clock, bound: ArchiveBound = NO_BOUND, remember: int = 10_000) -> None:
        self._engine = engine
        self._clock = clock
        self._bound = bound
        self._remember = remember
        self._written: dict[tuple[str, str], datetime] = {}
        self._lock = threading.Lock()

    def keep(self, job: KubeObject) -> None:
        """Store the spec of a Job of a Task; a run with a task of its own has it in its spec. SQLAlchemyError to ask again."""
        metadata = job["metadata"]
        spec = spec_of_job(annotations_of(job)) if TASK_LABEL in labels_of(job) else None
        if spec is None:
            return
        key, now = (metadata["namespace"], spec.hash), self._clock.now()
        with self._lock:
            written = self._written.get(key)
        if written is not None and now - written < AGAIN:
            return
        try:
            with self._engine.begin() as connection:
                task_specs.keep(
                    connection, project=key[0], spec_hash=spec.hash, spec=spec.text, now=now, bound=self._bound
                )
        except project_bytes.ProjectFullError:
            pass  # and not asked again for a while
        except SQLAlchemyError as error:
            if not is_of_the_data(error):
                raise
            log.warning("a spec can't be stored", project=key[0], job=metadata["name"], exc_info=error)
            return
        with self._lock:
            if len(self._written) >= self._remember:
                self._written.clear()
            self._written[key] = now
