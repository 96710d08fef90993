"""The workers of a WorkerPool, one by one: their pods, and the runs that they have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from tidegate_api.names import POOL_LABEL

from tidegate_web.cluster.client import PAGE, pods_path
from tidegate_web.cluster.errors import ClusterError
from tidegate_web.cluster.problems import from_cluster
from tidegate_web.definitions.worker_pods import Worker, WorkerState, worker_of
from tidegate_web.runs.pool_runs import RunsOfPool, RunsOfWorker, runs_of_pool
from tidegate_web.services import Services

SHOWN: Final = 200
LOOKED_AT: Final = 3 * PAGE
"""Pods that are read: a pool has 1,000 workers at most, a quarter more while they are replaced, and those that drain."""


@dataclass(frozen=True, kw_only=True)
class FoundPods:
    """The pods of a pool."""

    workers: Sequence[Worker]
    truncated: bool = False
    """Whether there are more than were read."""
    problem: str = ""
    """Why they can't be listed."""


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """A worker and its runs; None where these are not known."""

    worker: Worker
    runs: RunsOfWorker | None


@dataclass(frozen=True, kw_only=True)
class PoolWorkers:
    """What the page of a pool shows of its workers."""

    rows: Sequence[WorkerRow]
    more: int
    """Workers that are not shown; at least so many where not all were read."""
    pods: FoundPods
    runs: RunsOfPool | None


def workers_of_pool(made: Services, project: str, pool: str, *, problem: str = "") -> PoolWorkers:
    """The project and the name are known to be good. ``problem``: why the cluster is not to be asked."""
    pods = FoundPods(workers=(), problem=problem) if problem else _pods(made, project, pool)
    return put_together(pods, runs_of_pool(made, project, pool))


def _pods(made: Services, project: str, pool: str) -> FoundPods:
    query = {"labelSelector": f"{POOL_LABEL}={pool}"}
    workers: list[Worker] = []
    more = False
    try:
        for page in islice(made.cluster.pages(pods_path(project), query=query), LOOKED_AT // PAGE):
            workers += map(worker_of, page["items"])
            more = bool(page["metadata"].get("continue"))
    except ClusterError as error:
        return FoundPods(workers=workers, problem=from_cluster(error).detail)
    return FoundPods(workers=workers, truncated=more)


def put_together(pods: FoundPods, runs: RunsOfPool | None) -> PoolWorkers:
    """The workers that are shown, those first that someone may have to look at. A pod that runs name and the cluster doesn't is
    shown too: where pods can't be listed, these are all that is known."""
    known: Mapping[str, RunsOfWorker] = {} if runs is None else runs.by_pod
    whole = not pods.problem and not pods.truncated
    workers = [*pods.workers, *_named_by_runs(known, pods.workers, WorkerState.GONE if whole else WorkerState.UNKNOWN)]
    order = {state: place for place, state in enumerate(WorkerState)}
    workers.sort(key=lambda worker: (order[worker.state], worker.name))
    rows = [
        WorkerRow(worker=worker, runs=None if runs is None else known.get(worker.name, RunsOfWorker()))
        for worker in workers[:SHOWN]
    ]
    return PoolWorkers(rows=rows, more=len(workers) - len(rows) + pods.truncated, pods=pods, runs=runs)


def _named_by_runs(known: Iterable[str], there: Iterable[Worker], state: WorkerState) -> list[Worker]:
    listed = {worker.name for worker in there}
    return [Worker(name=name, state=state) for name in known if name not in listed]
