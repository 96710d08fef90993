"""Which runs the workers of a pool have at this moment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tidegate_web.cluster.errors import ClusterError
from tidegate_web.services import Services
from tidegate_web.shared.json_types import as_objects, as_text
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.queries import pool_runs
from tidegate_web.store.queries.pool_runs import BEGUN, WorkerRunRow, WorkerRuns
from tidegate_web.store.run_rows import RunRow

SHOWN: Final = 5
"""Runs of one worker that are named; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class RunsOfWorker:
    """How many runs a worker has, and the first of them."""

    count: int = 0
    first: tuple[WorkerRunRow, ...] = ()

    @property
    def more(self) -> int:
        """Those that are not named."""
        return self.count - len(self.first)


@dataclass(frozen=True, kw_only=True)
class RunsOfPool:
    """Runs by the pod of their worker."""

    by_pod: Mapping[str, RunsOfWorker]
    truncated: bool
    """Whether the project has more begun runs than were looked at."""
    from_cluster: bool = False
    """Whether Postgres doesn't answer."""


def runs_of_pool(made: Services, project: str, pool: str) -> RunsOfPool | None:
    """From the archive, or from the cluster while Postgres is away; None where neither answers."""

    def stored() -> RunsOfPool | None:
        with made.engine.connect() as connection:
            found = pool_runs.of_pool(connection, project=project, pool=pool)
        return RunsOfPool(by_pod=by_pod(found.rows), truncated=found.truncated)

    def in_cluster() -> RunsOfPool | None:
        try:
            found = made.runs.in_cluster.of(project)
        except ClusterError:
            return None
        runs = chosen(reversed(found.rows), pool=pool, truncated=found.truncated)
        return RunsOfPool(by_pod=by_pod(runs.rows), truncated=runs.truncated, from_cluster=True)

    return with_fallback(stored, in_cluster)


def chosen(runs: Iterable[RunRow], *, pool: str, truncated: bool) -> WorkerRuns:
    """Those of these runs that the archive's query would find."""
    rows = []
    for run in runs:
        last = next(iter(as_objects(run.status.get("attempts"))[-1:]), {})
        pod = as_text(last.get("podName"))
        if run.phase in BEGUN and last.get("pool") == pool and pod:
            rows.append(WorkerRunRow(run.uid, run.name, pod))
    return WorkerRuns(rows=rows, truncated=truncated)


def by_pod(rows: Iterable[WorkerRunRow]) -> dict[str, RunsOfWorker]:
    """The runs of each worker, in the order in which they come."""
    found: dict[str, list[WorkerRunRow]] = {}
    for row in rows:
        found.setdefault(row.pod, []).append(row)
    return {pod: RunsOfWorker(count=len(runs), first=tuple(runs[:SHOWN])) for pod, runs in found.items()}
