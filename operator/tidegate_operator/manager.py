"""One operator process: its parts, the order in which they come up, and what ends it.

Health pages first, then the CRDs, then the Lease, and only under it the parts that read and write.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack

import structlog
from tidegate_api.names import MANAGED_BY, MANAGED_BY_LABEL, POOL_LABEL, SET_ASIDE_ANNOTATION

from tidegate_operator.control.actions import Actor
from tidegate_operator.control.pools import PoolReconciler
from tidegate_operator.control.queue_status import QueueReporter
from tidegate_operator.control.runs import Reconciler
from tidegate_operator.control.schedules import ScheduleReconciler
from tidegate_operator.control.schema_worker import SchemaWorker
from tidegate_operator.control.why_server import WhyServer
from tidegate_operator.control.workqueue import Workqueue
from tidegate_operator.dispatch.identity import Identifier
from tidegate_operator.dispatch.internal_tls import InternalTls
from tidegate_operator.dispatch.run_tokens import RunTokens
from tidegate_operator.dispatch.service import DispatchService
from tidegate_operator.executors.job import JobExecutor
from tidegate_operator.executors.pool import PoolExecutor
from tidegate_operator.executors.routing import RoutingExecutor
from tidegate_operator.executors.worker_reports import WorkerReports
from tidegate_operator.health import HealthServer
from tidegate_operator.kube.client import Cluster, KubeClient
from tidegate_operator.kube.cluster_clock import ClusterClock
from tidegate_operator.kube.errors import UNREACHABLE, KubeError
from tidegate_operator.kube.informer import Informer, Sink
from tidegate_operator.kube.own_writes import OwnWrites
from tidegate_operator.lease import Lease, State
from tidegate_operator.manifests.job import PodDefaults
from tidegate_operator.metrics import Metrics
from tidegate_operator.queueing.admission import Admission
from tidegate_operator.settings import OperatorSettings
from tidegate_operator.state.cache import Cache
from tidegate_operator.state.quarantine import Quarantine
from tidegate_operator.state_metrics import StateMetrics
from tidegate_operator.watch.claims import ClaimedError, refuse_claimed
from tidegate_operator.watch.crd_check import installation_problem
from tidegate_operator.watch.kopf_source import watch_own_kinds
from tidegate_operator.watch.resync import Sweeper
from tidegate_operator.watch.sinks import PodSink, PoolSink

FIT_RETRY_SECONDS = 2.0
WATCH_RETRY_SECONDS = 0.5
TICK_SECONDS = 1.0
SCHEDULES_AT_ONCE = 8
"""At midnight all may want to be carried out."""

POOLS_AT_ONCE = 4
OF_POOLS = {"labelSelector": POOL_LABEL}
LIVE_PODS = {"labelSelector": f"{MANAGED_BY_LABEL}={MANAGED_BY}", "fieldSelector": "status.phase!=Pending"}


class Manager:
    """One operator process."""

    def __init__(self, settings: OperatorSettings, cluster: Cluster) -> None:
        self._settings, self._cluster = settings, cluster
        self._metrics = Metrics(by_namespace=settings.metrics_by_namespace)
        self._quarantine = Quarantine(self._metrics)
        self._clock = ClusterClock()
        self._cache = Cache(
            Admission(namespace_limit=settings.namespace_limit, cluster_limit=settings.cluster_limit),
            quarantine=self._quarantine,
            clock=self._clock,
        )
        self._state_metrics = StateMetrics(
            self._cache,
            self._metrics,
            by_namespace=settings.metrics_by_namespace,
            namespace_limit=settings.namespace_limit,
            cluster_limit=settings.cluster_limit,
            clock=self._clock,
        )
        self._unfit: str | None = "the cluster has not been looked at yet"
        self._stop = asyncio.Event()
        self._broken: str | None = None
        self._lease = Lease(
            cluster,
            namespace=settings.lease_namespace,
            name=settings.lease_name,
            identity=settings.identity or f"{socket.gethostname()}-{os.getpid()}",
            duration=settings.lease_duration_seconds,
            renew_deadline=settings.lease_renew_deadline_seconds,
            retry=settings.lease_retry_seconds,
            metrics=self._metrics,
            annotations=lambda: {SET_ASIDE_ANNOTATION: str(self._quarantine.size)},
        )
        self._log = structlog.get_logger(__name__)

    async def run(self) -> int:
        """Work until SIGTERM, the loss of the Lease, or a fault. Returns the exit code."""
        self._take_signals()
        health = HealthServer(
            host=self._settings.host,
            port=self._settings.port,
            metrics=self._metrics,
            not_ready=self._not_ready,
            not_healthy=lambda: self._broken,
            before_scrape=self._state_metrics.refresh,
        )
        async with health:
            self._log.info("started", port=health.port, server=self._cluster.server)
            async with KubeClient(
                self._cluster,
                metrics=self._metrics,
                guard=self._lease.guard,
                clock=self._clock,
                limit=self._settings.concurrent_actions + 8,
            ) as client:
                await self._until_stopped(self._wait_until_fit(client))
                if self._stop.is_set():
                    return 0
                self._lease.start()
                ticking = asyncio.create_task(self._tick())
                try:
                    await self._until_stopped(self._lease.wait_for(State.LEADING))
                    return 0 if self._stop.is_set() else await self._lead(client)
                finally:
                    ticking.cancel()
                    await asyncio.to_thread(self._lease.release)

    async def _lead(self, client: KubeClient) -> int:
        settings, clock = self._settings, self._clock
        tls = InternalTls(client, settings=settings, on_trust=self._cache.pools.look_at_all)
        await self._until_stopped(tls.begin())

        def defaults() -> PodDefaults:
            return PodDefaults(api_url=settings.api_url, api_trust=tls.api_trust, run_as_user=settings.run_as_user)

        dispatch = DispatchService(
            client,
            settings=settings,
            tls=tls,
            guard=self._lease.guard,
            metrics=self._metrics,
            on_trust=self._cache.pools.look_at_all,
        )
        own_writes = OwnWrites()
        pooled = PoolExecutor(
            client,
            self._cache,
            workers=dispatch,
            tokens=RunTokens(settings.run_token_keys_file, clock=clock),
            own_writes=own_writes,
            guard=self._lease.guard,
            clock=clock,
        )
        executor = RoutingExecutor(job=JobExecutor(client, self._cache, defaults=defaults, clock=clock), pool=pooled)
        schemas = SchemaWorker(places=settings.concurrent_actions // 2)
        actor = Actor(
            client,
            self._cache,
            executor,
            schemas,
            own_writes=own_writes,
            metrics=self._metrics,
            settings=settings,
            clock=clock,
        )
        workqueue = Workqueue(
            is_ready=lambda: self._cache.complete, quarantine=self._quarantine, metrics=self._metrics, clock=clock
        )
        known = asyncio.Event()
        self._cache.on_change, self._cache.on_complete = workqueue.add, known.set
        reconciler = Reconciler(self._cache, actor, workqueue, settings=settings, metrics=self._metrics, clock=clock)
        schedules = ScheduleReconciler(
            client,
            self._cache,
            workqueue,
            deletes_due_by=lambda namespace: settings.deletes_due_by(namespace, self._cache.projects),
            clock=clock,
        )
        queues = QueueReporter(client, self._cache, workqueue, clock=clock)
        pools = PoolReconciler(
            client, self._cache, workqueue, defaults=dispatch.defaults, settings=settings, clock=clock
        )
        reports = WorkerReports(self._cache, pooled, metrics=self._metrics, wake=workqueue.wake, clock=clock)
        workqueue.serve("taskruns", reconciler, places=settings.concurrent_actions)
        workqueue.serve("schedules", schedules, places=SCHEDULES_AT_ONCE)
        workqueue.serve("queues", queues, places=1)
        workqueue.serve("workerpools", pools, places=POOLS_AT_ONCE)
        sweeper = Sweeper(
            client,
            self._cache,
            is_busy=workqueue.is_busy,
            namespaces=settings.namespaces,
            own_namespace=settings.lease_namespace if settings.api_of_projects else None,
            seconds=settings.sweep_seconds,
            metrics=self._metrics,
            clock=clock,
        )
        parts: dict[str, Coroutine[object, None, object]] = {
            "kopf": self._watch(client, sweeper, own_writes),
            "queues": queues.run(),
            "pools": pools.run(),
            "tokens": pooled.keep_tokens(),
            "dispatch": dispatch.run(Identifier(client, self._cache.pools), reports, known=known),
            "sweeper": sweeper.run(),
            "workqueue": workqueue.run(),
            "claim": self._keep_claim(client),
            "internal TLS": tls.run(),
            "lease": self._lease.wait_for(State.LOST),
            "stop": self._stop.wait(),
            **{f"informer {i}": informer.run() for i, informer in enumerate(self._informers(client))},
        }
        async with AsyncExitStack() as stack:
            stack.push_async_callback(schemas.close)
            if settings.why_callers:
                await stack.enter_async_context(self._why_server(client, reconciler, tls))
            return await self._work(parts, workqueue)

    def _informers(self, client: KubeClient) -> list[Informer]:
        """Of pods of Jobs; with pools also of their Deployments and worker pods."""
        namespaces: set[str | None] = {*self._settings.namespaces} or {None}
        waiting = {kind: set(namespaces) for kind in ("pods", "deployments", "workers")}

        def informer(namespace: str | None, resource: str, selector: Mapping[str, str], sink: Sink) -> Informer:
            group = "/apis/apps/v1" if resource == "deployments" else "/api/v1"
            path = f"{group}/namespaces/{namespace}/{resource}" if namespace else f"{group}/{resource}"
            return Informer(client, path=path, resource=resource, selector=selector, sink=sink, metrics=self._metrics)

        made = []
        for namespace in sorted(namespaces, key=str):
            pods = PodSink(self._cache, namespace=namespace, unlisted=waiting["pods"])
            made.append(informer(namespace, "pods", LIVE_PODS, pods))
            if not self._settings.dispatch_address:
                continue
            deployments = PoolSink(self._cache, "deployments", namespace=namespace, unlisted=waiting["deployments"])
            workers = PoolSink(self._cache, "workers", namespace=namespace, unlisted=waiting["workers"])
            made.append(informer(namespace, "deployments", OF_POOLS, deployments))
            made.append(informer(namespace, "pods", OF_POOLS, workers))
        if not self._settings.dispatch_address:
            self._cache.synced("deployments")
            self._cache.synced("workers")
        return made

    def _why_server(self, client: KubeClient, reconciler: Reconciler, tls: InternalTls) -> WhyServer:
        return WhyServer(
            client,
            self._cache,
            context=reconciler.context,
            leading=lambda: self._lease.state is State.LEADING,
            callers=self._settings.why_callers,
            host=self._settings.host,
            port=self._settings.why_port,
            tls=tls.why_context,
            clock=self._clock,
        )

    async def _work(self, parts: dict[str, Coroutine[object, None, object]], workqueue: Workqueue) -> int:
        tasks = {asyncio.create_task(part, name=name) for name, part in parts.items()}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        names = {task.get_name() for task in done}
        failed = [task for task in done if task.exception() is not None]
        for task in failed:
            self._broken = f"{task.get_name()} ended: {task.exception()!r}"
            self._log.error("a part broke", part=task.get_name(), error=repr(task.exception()))
        if "lease" in names:
            self._log.error("another replica holds the lease")
        await workqueue.stop()
        # Writes have drained: another may lead. Watches have nothing to finish, kopf's own slow farewell included.
        await asyncio.to_thread(self._lease.release)
        for task in tasks - done:
            task.cancel()
        await asyncio.wait(tasks, timeout=2)
        return 1 if failed or "lease" in names else 0

    async def _wait_until_fit(self, client: KubeClient) -> None:
        """Until all kinds are served as this version knows them, and no other release has claimed the namespaces."""
        while (problem := await self._problem(client)) is not None:
            self._unfit = problem
            self._log.warning("not ready", reason=problem)
            await asyncio.sleep(FIT_RETRY_SECONDS)
        self._unfit = None

    async def _problem(self, client: KubeClient) -> str | None:
        if (problem := await installation_problem(client)) is not None:
            return problem
        try:
            await self._refuse_claimed(client)
        except (ClaimedError, KubeError) as error:
            return str(error)
        except UNREACHABLE as error:
            return f"the apiserver does not answer: {error!r}"
        return None

    async def _refuse_claimed(self, client: KubeClient) -> None:
        settings = self._settings
        if settings.release:
            await refuse_claimed(client, release=settings.release, namespaces=settings.namespaces)

    async def _keep_claim(self, client: KubeClient) -> None:
        """For ever. Raises when another release has taken the claim over."""
        while True:
            await asyncio.sleep(self._settings.sweep_seconds)
            try:
                await self._refuse_claimed(client)
            except (KubeError, *UNREACHABLE) as error:
                self._log.warning("the claim can't be read", error=repr(error))

    async def _watch(self, client: KubeClient, sweeper: Sweeper, own_writes: OwnWrites) -> None:
        """Keep kopf running. An apiserver that has just started may answer what ends it, and does for a moment only.

        It lists everything as the sweep does, and keeps it for a moment: one after the other takes half the memory.
        """
        await sweeper.swept.wait()
        while not self._stop.is_set():
            try:
                await watch_own_kinds(
                    self._cluster,
                    self._cache,
                    self._metrics,
                    namespaces=self._settings.namespaces,
                    own_writes=own_writes,
                    stop=self._stop,
                    on_list=sweeper.listed_by_watch,
                    on_spawned=self._take_signals,  # kopf has taken SIGTERM for itself
                )
            except Exception as error:  # whatever it is, a fresh start mends it or reports it again
                self._metrics.watch_restarts.inc()
                self._log.warning("watches start again", error=repr(error))
                await asyncio.sleep(WATCH_RETRY_SECONDS)
                await self._wait_until_fit(client)

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    async def _until_stopped(self, waiting: Coroutine[object, None, object]) -> None:
        tasks = {asyncio.create_task(waiting), asyncio.create_task(self._stop.wait())}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            task.result()

    async def _tick(self) -> None:
        while True:
            self._lease.tick()
            await asyncio.sleep(TICK_SECONDS)

    def _not_ready(self) -> str | None:
        if self._unfit is not None:
            return self._unfit
        if self._lease.state is State.LEADING and not self._cache.complete:
            return "reading the cluster's state"
        return None
