"""The mirror's life: wait to lead, work until the lead is lost, and again, until told to stop."""

import threading
import time

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from tidegate_web.health.probes import make_registry
from tidegate_web.kubernetes import pods_path, runs_path
from tidegate_web.mirror.bindings import Bindings
from tidegate_web.mirror.follower import Follower
from tidegate_web.mirror.followers import Followers
from tidegate_web.mirror.informer import Informer
from tidegate_web.mirror.keeper import ProjectKeeper
from tidegate_web.mirror.lead import Leadership
from tidegate_web.mirror.logwriter import LogWriter
from tidegate_web.mirror.lookout import Lookout
from tidegate_web.mirror.pods import SELECTOR, Owners, Pod, PodHandler, PodTable
from tidegate_web.mirror.pruner import Pruner
from tidegate_web.mirror.publisher import Publisher
from tidegate_web.mirror.scopes import Scope, Scopes
from tidegate_web.mirror.sweeper import Sweeper
from tidegate_web.mirror.writer import Listed, RunHandler, RunWriter
from tidegate_web.services import Services
from tidegate_web.store import schema
from tidegate_web.webhooks.deliverer import Deliverer

log = structlog.stdlib.get_logger(__name__)


class Term:
    """One time of leading: all the threads, started and stopped together."""

    def __init__(self, made: Services, *, patience_seconds: float, webhook_attempts: Counter) -> None:
        settings = made.settings
        self._made = made
        self.stop = threading.Event()
        self.heard = time.monotonic()
        self._publisher = Publisher(engine=made.engine, events=made.events, stop=self.stop)
        self._webhooks = Deliverer(
            engine=made.engine,
            clock=made.clock,
            sealer=made.sealer,
            allowed=settings.webhook_networks,
            stop=self.stop,
            attempts=webhook_attempts,
        )

        def wrote() -> None:
            self._publisher.wake()
            self._webhooks.wake()

        self._runs = RunWriter(
            engine=made.engine,
            cluster=made.cluster,
            clock=made.clock,
            stop=self.stop,
            wrote=wrote,
            default_ttl_seconds=settings.default_ttl_seconds,
        )
        self._logs = LogWriter(engine=made.engine, redis=made.redis, stop=self.stop)
        self._owners = Owners(made.cluster)

        def follower(pod: Pod) -> Follower:
            return Follower(
                pod,
                engine=made.engine,
                cluster=made.cluster,
                owners=self._owners,
                writer=self._logs,
                stop=self.stop,
                limit_bytes=settings.log_limit_bytes,
                patience_seconds=patience_seconds,
            )

        self.followers = Followers(make=follower, at_once=settings.log_followers)
        self._pods = PodTable(changed=self.followers.seen)
        self._scopes = Scopes(make=self._scope, pods=self._pods, followers=self.followers)
        self._fixed: list[str | None] = list(settings.namespaces) or [None]
        self._keeper: ProjectKeeper | None = None
        if settings.rights_by_project:
            self._fixed, self._keeper = [], self._make_keeper()
        self._sweeper = Sweeper(
            engine=made.engine,
            cluster=made.cluster,
            clock=made.clock,
            settings=settings,
            pods=self._pods,
            owners=self._owners,
            scopes=self._scopes,
            audit=made.audit,
            stop=self.stop,
        )
        self._pruner = Pruner(engine=made.engine, clock=made.clock, stop=self.stop, seconds=settings.prune_seconds)
        self._threads: list[threading.Thread] = [
            self._publisher,
            self._webhooks,
            self._runs,
            self._logs,
            Lookout(followers=self.followers.active, stop=self.stop),
            self._sweeper,
            self._pruner,
            *([self._keeper, self._keeper.informer] if self._keeper else []),
        ]

    def _make_keeper(self) -> ProjectKeeper:
        made, namespace = self._made, self._made.settings.release_namespace

        def gone(project: str, version: int) -> None:
            self._runs.put(Listed(project=project, uids=set(), resource_version=version))

        return ProjectKeeper(
            cluster=made.cluster,
            engine=made.engine,
            bindings=Bindings(cluster=made.cluster, rights=made.settings.rights_by_project, namespace=namespace),
            scopes=self._scopes,
            own_namespace=namespace,
            gone=gone,
            stop=self.stop,
        )

    def _scope(self, project: str | None, stop: threading.Event) -> Scope:
        return Scope(
            project=project,
            stop=stop,
            runs=Informer(
                cluster=self._made.cluster,
                path=runs_path(project),
                handler=RunHandler(writer=self._runs, project=project),
                stop=stop,
                heard=self._hear,
            ),
            pods=Informer(
                cluster=self._made.cluster,
                path=pods_path(project),
                handler=PodHandler(table=self._pods, project=project),
                stop=stop,
                label_selector=SELECTOR,
            ),
        )

    def _hear(self) -> None:
        self.heard = time.monotonic()

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()
        for project in self._fixed:
            self._scopes.begin(project)

    def end(self, *, seconds: float) -> None:
        """Stop everything; what isn't written yet is found again by the next term."""
        self.stop.set()
        self.followers.stop()
        if self._keeper is not None:
            self._keeper.close()
        ending = self._scopes.end_all()
        deadline = time.monotonic() + seconds
        threads = [*self._threads, *(thread for scope in ending for thread in (scope.runs, scope.pods))]
        for thread in threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))


class Mirror:
    """The process."""

    def __init__(
        self, made: Services, *, registry: CollectorRegistry | None = None, patience_seconds: float = 30
    ) -> None:
        self._made = made
        self._patience = patience_seconds
        self._stop = threading.Event()
        self._leadership = Leadership(made.engine)
        registry = registry if registry is not None else make_registry()
        self._leads = Gauge("tidegate_mirror_leader", "1 while this mirror is at work.", registry=registry)
        self._followed = Gauge("tidegate_mirror_followed_logs", "Pods whose logs are being read.", registry=registry)
        self._webhook_attempts = Counter(
            "tidegate_webhook_attempts", "Attempts to deliver webhooks, by what became of them.", ["state"],
            registry=registry,
        )  # fmt: skip
        self._quiet = Gauge(
            "tidegate_mirror_seconds_since_event", "Seconds since the watch of TaskRuns last said anything.",
            registry=registry,
        )  # fmt: skip

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        """Until stopped."""
        while not self._stop.is_set():
            if not self._schema_is_ready() or not self._leadership.acquire(self._stop):
                continue
            log.info("leading")
            term = Term(self._made, patience_seconds=self._patience, webhook_attempts=self._webhook_attempts)
            self._leads.set(1)
            try:
                term.begin()
                while not self._stop.wait(1):
                    self._followed.set(len(term.followers.active()))
                    self._quiet.set(time.monotonic() - term.heard)
                    if not self._leadership.held():
                        log.warning("the lead is lost")
                        break
            finally:
                self._leads.set(0)
                term.end(seconds=10)
                self._leadership.release()
        log.info("stopped")

    def _schema_is_ready(self) -> bool:
        if not schema.is_outdated(self._made.engine):
            return True
        log.info("waiting for 'tidegate-web migrate'")
        self._stop.wait(1)
        return False
