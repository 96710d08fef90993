"""What the views work with, made once a process and handed over by the app: there is no module-level state."""

from dataclasses import dataclass

from flask import Flask
from redis import Redis
from sqlalchemy import Engine

from tidegate_web.audit.recording import AuditSpool
from tidegate_web.auth.group_check import GroupCheck
from tidegate_web.auth.mail import Mailer
from tidegate_web.auth.memory import CallerMemory
from tidegate_web.auth.passwords import Passwords
from tidegate_web.auth.rate_limit import RateLimiter
from tidegate_web.auth.run_tokens import RunTokens
from tidegate_web.auth.throttle import Throttle
from tidegate_web.cluster.client import Cluster
from tidegate_web.events.channels import EventLog
from tidegate_web.events.hub import Hub
from tidegate_web.projects.directory import Projects
from tidegate_web.projects.host_access import HostAccess
from tidegate_web.projects.namespace_check import NamespaceCheck
from tidegate_web.runs.in_cluster import ClusterRuns
from tidegate_web.runs.progress import ProgressWriter
from tidegate_web.runs.queue_capacity import Queues
from tidegate_web.runs.schema_worker import SchemaWorker
from tidegate_web.runs.why import Leader
from tidegate_web.settings import WebSettings
from tidegate_web.shared.batcher import Batcher
from tidegate_web.shared.clock import Clock
from tidegate_web.shared.sealing import Sealer
from tidegate_web.store.queries.keys import GoodKeyRow
from tidegate_web.store.queries.new_runs import NewRun

KEY = "tidegate"


@dataclass(frozen=True, kw_only=True)
class Services:
    """One process's connections and helpers."""

    settings: WebSettings
    engine: Engine
    redis: Redis
    cluster: Cluster
    clock: Clock
    hub: Hub
    events: EventLog
    throttle: Throttle
    hasher: Passwords
    group_check: GroupCheck
    callers: CallerMemory
    mailer: Mailer
    sealer: Sealer
    progress: ProgressWriter
    run_tokens: RunTokens
    projects: Projects
    namespace_check: NamespaceCheck
    leader: Leader
    queues: Queues
    host_access: HostAccess
    limits: RateLimiter
    schemas: SchemaWorker
    audit: AuditSpool
    cluster_runs: ClusterRuns
    good_key: Batcher[bytes, GoodKeyRow | None]
    """The API key of a hash, None when it may not be used."""
    keep_run: Batcher[NewRun, None]
    """Writes a run that the apiserver has just made."""

    def attach(self, app: Flask) -> None:
        app.extensions[KEY] = self
