"""One time of leading: all threads of the mirror that work only while it leads."""

import threading
import time

from tidegate_web.cluster.client import pods_path, runs_path
from tidegate_web.mirror.bindings import Bindings
from tidegate_web.mirror.informer import Informer
from tidegate_web.mirror.logs.follower import Follower
from tidegate_web.mirror.logs.followers import Followers
from tidegate_web.mirror.logs.rotation_monitor import RotationMonitor
from tidegate_web.mirror.logs.worker_follower import WorkerFollower
from tidegate_web.mirror.logs.writer import KIND as LOG
from tidegate_web.mirror.logs.writer import LogWriter
from tidegate_web.mirror.metrics import MirrorMetrics
from tidegate_web.mirror.namespace_poller import NamespacePoller
from tidegate_web.mirror.namespace_uids import NamespaceUids
from tidegate_web.mirror.pods import OF_POOLS, SELECTOR, Owners, Pod, PodHandler, PodTable, reduce_worker
from tidegate_web.mirror.project_controller import ProjectController
from tidegate_web.mirror.pruner import Pruner
from tidegate_web.mirror.publisher import Publisher
from tidegate_web.mirror.quarantine import Quarantine, Retrier
from tidegate_web.mirror.rollup import Rollup
from tidegate_web.mirror.scopes import Scope, Scopes
from tidegate_web.mirror.specs import SpecKeeper
from tidegate_web.mirror.sweeper import Sweeper
from tidegate_web.mirror.writer import Listed, RunHandler, RunWriter
from tidegate_web.services import Services
from tidegate_web.shared.worker import Worker
from tidegate_web.webhooks.deliverer import Deliverer


class Term:
    """One time of leading: all the threads, started and stopped together."""

    def __init__(
        self,
        made: Services,
        *,
        patience_seconds: float,
        quarantine: Quarantine,
        metrics: MirrorMetrics,
    ) -> None:
        settings = made.settings
        self._made = made
        self.stop = threading.Event()
        self.heard = time.monotonic()
        self._quarantine = quarantine
        self._publisher = Publisher(engine=made.engine, events=made.events, quarantine=quarantine, stop=self.stop)
        self._webhooks = Deliverer(
            engine=made.engine,
            clock=made.clock,
            sealer=made.auth.sealer,
            allowed=settings.webhook_networks,
            ca_file=settings.ca_file,
            stop=self.stop,
            attempts=metrics.webhook_attempts,
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
            quarantine=quarantine,
            default_ttl_seconds=settings.default_ttl_seconds,
            bound=settings.archive_bound,
            stored=metrics.store_seconds.observe,
        )
        self._logs = LogWriter(
            engine=made.engine,
            redis=made.redis,
            quarantine=quarantine,
            bound=settings.archive_bound,
            again=self._read_log_again,
            ended=metrics.log_ended,
            stop=self.stop,
        )
        specs = SpecKeeper(engine=made.engine, clock=made.clock, bound=settings.archive_bound)
        self._owners = Owners(made.cluster, specs=specs)

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

        self.followers = Followers(make=follower, at_once=settings.log_followers, quarantine=quarantine)
        self._pods = PodTable(changed=self.followers.seen)

        def worker_follower(pod: Pod) -> WorkerFollower:
            return WorkerFollower(
                pod,
                engine=made.engine,
                cluster=made.cluster,
                writer=self._logs,
                stop=self.stop,
                limit_bytes=settings.log_limit_bytes,
            )

        self.worker_followers = Followers(
            make=worker_follower, at_once=settings.worker_log_followers, quarantine=quarantine
        )
        self._workers = PodTable(changed=self.worker_followers.seen)
        followed = [(self._pods, self.followers), (self._workers, self.worker_followers)]
        self._scopes = Scopes(make=self._scope, followed=followed)
        self._fixed: list[str | None] = list(settings.namespaces) or [None]
        self._controller: ProjectController | None = None
        self._uids = NamespaceUids(
            engine=made.engine, clock=made.clock, callers=made.auth.callers, events=made.events, stop=self.stop
        )
        if settings.rights_by_project:
            self._fixed, self._controller = [], self._make_controller()
        self._sweeper = Sweeper(
            engine=made.engine,
            cluster=made.cluster,
            clock=made.clock,
            settings=settings,
            pods=self._pods,
            workers=self._workers,
            owners=self._owners,
            specs=specs,
            scopes=self._scopes,
            audit=made.audit,
            metrics=metrics,
            quarantine=quarantine,
            stop=self.stop,
        )
        self._pruner = Pruner(
            engine=made.engine,
            clock=made.clock,
            quarantine=quarantine,
            stop=self.stop,
            seconds=settings.prune_seconds,
            audit_days=settings.audit_days,
            retention_days=settings.retention_days,
        )
        self._threads: list[Worker] = [
            Retrier(quarantine=quarantine, stop=self.stop),
            self._publisher,
            self._webhooks,
            self._runs,
            self._logs,
            RotationMonitor(followers=self.followers.active, stop=self.stop),
            self._sweeper,
            self._pruner,
            Rollup(engine=made.engine, clock=made.clock, quarantine=quarantine, stop=self.stop),
            *([self._controller, self._controller.informer] if self._controller else [self._make_namespace_poller()]),
        ]

    def _make_controller(self) -> ProjectController:
        made, namespace = self._made, self._made.settings.release_namespace

        def gone(project: str, version: int) -> None:
            self._runs.put(Listed(project=project, uids=set(), resource_version=version))

        return ProjectController(
            cluster=made.cluster,
            engine=made.engine,
            bindings=Bindings(cluster=made.cluster, rights=made.settings.rights_by_project, namespace=namespace),
            scopes=self._scopes,
            uids=self._uids,
            own_namespace=namespace,
            gone=gone,
            quarantine=self._quarantine,
            stop=self.stop,
        )

    def _make_namespace_poller(self) -> NamespacePoller:
        settings = self._made.settings
        return NamespacePoller(
            cluster=self._made.cluster,
            namespaces=settings.namespaces,
            own_namespace=settings.release_namespace,
            uids=self._uids,
            quarantine=self._quarantine,
            stop=self.stop,
        )

    def _scope(self, project: str | None, stop: threading.Event) -> Scope:
        def pods(handler: PodHandler, selector: str) -> Informer:
            return Informer(
                cluster=self._made.cluster,
                kind="Pod",
                path_of=pods_path,
                project=project,
                handler=handler,
                quarantine=self._quarantine,
                stop=stop,
                label_selector=selector,
            )

        return Scope(
            project=project,
            stop=stop,
            runs=Informer(
                cluster=self._made.cluster,
                kind="TaskRun",
                path_of=runs_path,
                project=project,
                handler=RunHandler(writer=self._runs, project=project),
                quarantine=self._quarantine,
                stop=stop,
                heard=self._hear,
            ),
            pods=pods(PodHandler(table=self._pods, quarantine=self._quarantine, project=project), SELECTOR),
            workers=pods(
                PodHandler(table=self._workers, quarantine=self._quarantine, project=project, reduce=reduce_worker),
                OF_POOLS,
            ),
        )

    def _read_log_again(self, pod_uid: str) -> None:
        pod, worker = self._pods.get(pod_uid), self._workers.get(pod_uid)
        if pod is not None:
            self.followers.again(pod)
        elif worker is not None:
            self.worker_followers.again(worker)
        else:
            self._quarantine.release(LOG, pod_uid)

    @property
    def followed(self) -> int:
        """Pods whose logs are being read."""
        return len(self.followers.active()) + len(self.worker_followers.active())

    @property
    def lag(self) -> float:
        """How long the oldest change of a TaskRun has waited that isn't stored."""
        return self._runs.lag

    def _hear(self) -> None:
        self.heard = time.monotonic()

    def trouble(self) -> str | None:
        """Why this term can't go on: a thread of it has ended, or gets nowhere."""
        informers = (informer for scope in self._scopes.now() for informer in scope.informers)
        return next((trouble for worker in (*self._threads, *informers) if (trouble := worker.trouble())), None)

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()
        for project in self._fixed:
            self._scopes.begin(project)

    def end(self, *, seconds: float) -> bool:
        """Stop everything; what isn't written yet is found again by the next term. False when a thread doesn't end."""
        self.stop.set()
        self._publisher.wake()
        self._webhooks.wake()
        self.followers.stop()
        self.worker_followers.stop()
        if self._controller is not None:
            self._controller.close()
        ending = self._scopes.end_all()
        deadline = time.monotonic() + seconds
        threads = [*self._threads, *(thread for scope in ending for thread in scope.informers)]
        for thread in threads:
            if thread.ident is not None:
                thread.join(timeout=max(0.0, deadline - time.monotonic()))
        self._quarantine.clear()
        return not any(thread.is_alive() for thread in threads)
