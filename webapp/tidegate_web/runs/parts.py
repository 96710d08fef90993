"""What a process creates and looks up runs with: created once a process."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from redis import Redis
from sqlalchemy import Engine

from tidegate_web.cluster.client import Cluster
from tidegate_web.events.channels import EventLog
from tidegate_web.runs.in_cluster import ClusterRuns
from tidegate_web.runs.progress import ProgressWriter
from tidegate_web.runs.queue_capacity import Queues
from tidegate_web.runs.schema_worker import SchemaWorker
from tidegate_web.runs.why import Leader
from tidegate_web.settings import WebSettings
from tidegate_web.shared.batcher import Batcher
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries import new_runs
from tidegate_web.store.queries.new_runs import NewRun


@dataclass(frozen=True, kw_only=True)
class RunParts:
    """What is asked about a new run, where it is kept, and what is known of one beside its row."""

    queues: Queues
    schemas: SchemaWorker
    keep: Batcher[NewRun, None]
    """Writes a run that the apiserver has just created."""
    in_cluster: ClusterRuns
    progress: ProgressWriter
    leader: Leader


def make_runs(settings: WebSettings, *, engine: Engine, redis: Redis, cluster: Cluster, events: EventLog) -> RunParts:
    """Nothing is connected to before it is used."""
    return RunParts(
        queues=Queues(cluster=cluster),
        schemas=SchemaWorker(),
        keep=Batcher(partial(_keep, engine), all_alike=is_unavailable),
        in_cluster=ClusterRuns(cluster=cluster, default_ttl_seconds=settings.default_ttl_seconds),
        progress=ProgressWriter(engine=engine, redis=redis, events=events, seconds=settings.progress_seconds),
        leader=Leader(cluster=cluster, settings=settings),
    )


def _keep(engine: Engine, made: Sequence[NewRun]) -> list[None]:
    new_runs.keep(engine, made)
    return [None] * len(made)
