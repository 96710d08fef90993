"""Start the supervisor: `python -m tidegate_operator`.

Settings, health pages, the CRDs, the Lease, and then the parts that work under it. Exit code 0 after SIGTERM, 1 when the
Lease was lost or a part broke (to be restarted: every step is crash-safe), 2 for settings that can't be used.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any

import aiohttp
import structlog
import uvloop
from pydantic import ValidationError
from tidegate_api.names import GROUP, MANAGED_BY, MANAGED_BY_LABEL, VERSION

from tidegate_operator.actions import Actor
from tidegate_operator.cache import Cache
from tidegate_operator.executors.job import JobExecutor
from tidegate_operator.health import HealthServer
from tidegate_operator.informer import Informer
from tidegate_operator.kube import Cluster, KubeClient, KubeconfigError, KubeError
from tidegate_operator.lease import Lease, State
from tidegate_operator.logs import configure_logs
from tidegate_operator.manifests import PodDefaults
from tidegate_operator.metrics import Metrics
from tidegate_operator.observer import Observer, PodSink
from tidegate_operator.reconciler import Reconciler
from tidegate_operator.schedules import ScheduleAnswers
from tidegate_operator.settings import OperatorSettings
from tidegate_operator.sweeping import Sweeper
from tidegate_operator.watching import KINDS, watch_own_kinds

CRD_RETRY_SECONDS = 2.0
TICK_SECONDS = 1.0
LIVE_PODS = {"labelSelector": f"{MANAGED_BY_LABEL}={MANAGED_BY}", "fieldSelector": "status.phase!=Pending"}


class Supervisor:
    """One supervisor process."""

    def __init__(self, settings: OperatorSettings, cluster: Cluster) -> None:
        self._settings, self._cluster = settings, cluster
        self._metrics = Metrics()
        self._cache = Cache()
        self._crds: str | None = "the CRDs have not been looked for yet"
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
        )
        self._log = structlog.get_logger(__name__)

    async def run(self) -> int:
        """Work until SIGTERM, the loss of the Lease, or a fault. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        health = HealthServer(
            host=self._settings.host,
            port=self._settings.port,
            metrics=self._metrics,
            not_ready=self._not_ready,
            not_healthy=lambda: self._broken,
            before_scrape=self._count_runs,
        )
        async with health:
            self._log.info("started", port=health.port, server=self._cluster.server)
            async with KubeClient(
                self._cluster,
                metrics=self._metrics,
                guard=self._lease.guard,
                limit=self._settings.concurrent_actions + 8,
            ) as client:
                await self._until_stopped(self._find_crds(client))
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
        settings = self._settings
        defaults = PodDefaults(api_url=settings.api_url, run_as_user=settings.run_as_user)
        executor = JobExecutor(client, self._cache, defaults=defaults)
        actor = Actor(client, self._cache, executor, metrics=self._metrics)
        reconciler = Reconciler(self._cache, actor, settings=settings, metrics=self._metrics)
        schedules = ScheduleAnswers(client)
        observer = Observer(self._cache, reconciler, on_schedule=schedules.offer)
        sink = PodSink(self._cache, reconciler, observer)
        sweeper = Sweeper(
            client,
            self._cache,
            observer,
            reconciler,
            namespaces=settings.namespaces,
            seconds=settings.sweep_seconds,
            metrics=self._metrics,
        )
        pod_paths = [f"/api/v1/namespaces/{n}/pods" for n in settings.namespaces] or ["/api/v1/pods"]
        informers = [
            Informer(client, path=path, resource="pods", selector=LIVE_PODS, sink=sink, metrics=self._metrics)
            for path in pod_paths
        ]
        parts: dict[str, Coroutine[Any, Any, Any]] = {
            "kopf": watch_own_kinds(self._cluster, observer, self._metrics, namespaces=settings.namespaces),
            "sweeper": sweeper.run(),
            "reconciler": reconciler.run(),
            "schedules": schedules.run(),
            "lease": self._lease.wait_for(State.LOST),
            "stop": self._stop.wait(),
            **{f"pods {i}": informer.run() for i, informer in enumerate(informers)},
        }
        tasks = {asyncio.create_task(part, name=name) for name, part in parts.items()}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        # kopf takes SIGTERM for itself once it runs; its end without an error is a stop.
        names = {task.get_name() for task in done}
        failed = [task for task in done if task.exception() is not None]
        for task in failed:
            self._broken = f"{task.get_name()} ended: {task.exception()!r}"
            self._log.error("a part broke", part=task.get_name(), error=repr(task.exception()))
        if "lease" in names:
            self._log.error("another replica holds the lease")
        await reconciler.stop()
        # Writes have drained; watches have nothing to finish, kopf's own slow farewell included.
        for task in tasks - done:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
        return 1 if failed or "lease" in names else 0

    async def _find_crds(self, client: KubeClient) -> None:
        """Until all four kinds are served: kopf would warn once and idle for ever."""
        while True:
            try:
                served = await client.get(f"/apis/{GROUP}/{VERSION}", resource="apis")
                missing = sorted(set(KINDS) - {r["name"] for r in served["resources"]})
                self._crds = f"the CRDs of {', '.join(missing)} are not installed" if missing else None
            except KubeError as error:
                self._crds = f"the CRDs of {GROUP} are not installed" if error.code == 404 else str(error)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self._crds = f"the apiserver does not answer: {error!r}"
            if self._crds is None:
                return
            self._log.warning("not ready", reason=self._crds)
            await asyncio.sleep(CRD_RETRY_SECONDS)

    async def _until_stopped(self, waiting: Coroutine[Any, Any, Any]) -> None:
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
        if self._crds is not None:
            return self._crds
        if self._lease.state is State.LEADING and not self._cache.complete:
            return "reading the cluster's state"
        return None

    def _count_runs(self) -> None:
        for phase, count in self._cache.count_runs().items():
            self._metrics.runs.labels(phase).set(count)


def main() -> int:
    """Run the supervisor; returns the exit code."""
    try:
        settings = OperatorSettings()
        configure_logs(level=settings.log_level, log_format=settings.log_format)
        cluster = Cluster.load(settings.kubeconfig)
    except ValidationError as error:
        for problem in error.errors():
            sys.stderr.write(f"TIDEGATE_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}\n")
        return 2
    except KubeconfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2

    async def run() -> int:
        return await Supervisor(settings, cluster).run()

    return uvloop.run(run())


if __name__ == "__main__":
    sys.exit(main())
