"""The operator's own parts, put together as `Manager` does, on a cluster in memory and in virtual time.

All of them are real but kopf: what its watches hand over, a test delivers. Each process has a loop of its own, so that one
that is killed takes nothing back and does nothing more.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any, Final

import orjson
from structlog.testing import capture_logs
from support.fake_apiserver import Event
from support.fake_cluster import FakeCluster
from support.fake_network import EXPIRED, FakeKubeClient, FakeSession, Network, line_of, pod_line
from support.virtual_loop import Clocks, LocalClock, VirtualLoop
from tidegate_operator.control.actions import Actor
from tidegate_operator.control.queue_status import QueueReporter
from tidegate_operator.control.runs import Reconciler
from tidegate_operator.control.schema_worker import SchemaWorker
from tidegate_operator.control.workqueue import Workqueue
from tidegate_operator.executors import Executor
from tidegate_operator.executors.job import JobExecutor
from tidegate_operator.kube.cluster_clock import ClusterClock
from tidegate_operator.kube.errors import NotLeadingError
from tidegate_operator.kube.informer import Informer
from tidegate_operator.kube.own_writes import OwnWrites
from tidegate_operator.kube.paths import OWN_GROUP
from tidegate_operator.manager import LIVE_PODS
from tidegate_operator.manifests.job import PodDefaults
from tidegate_operator.metrics import Metrics
from tidegate_operator.settings import OperatorSettings
from tidegate_operator.state.cache import Cache
from tidegate_operator.state.quarantine import Quarantine
from tidegate_operator.watch.resync import OWN_KINDS, Sweeper
from tidegate_operator.watch.sinks import PodSink

SETTINGS: Final = OperatorSettings(
    namespaces=[],
    api_url="",
    concurrent_actions=16,
    ttl_seconds_after_finished=100_000,
    # None by itself: it would mend in minutes what has to go right at once.
    sweep_seconds=1_000_000,
)
BAD: Final = ("error", "critical")
BROKE: Final = ("reconcile broke, and is tried again", "an object that is set aside can't be marked")


class OperatorProcess:
    """One process that leads."""

    def __init__(self, cluster: FakeCluster, network: Network, clocks: Clocks, replica: LocalClock) -> None:
        """`replica`: the clock of its machine."""
        self._cluster = cluster
        self._logs = ExitStack()
        self._said: list[Any] = self._logs.enter_context(capture_logs())
        self.fenced = False
        """Whether it can't be sure that it leads."""
        self.loop = VirtualLoop(clocks.true)
        self._clock = ClusterClock(wall=replica, running=self.loop.time)
        self.session = FakeSession(network)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._build()
        cluster.untold.clear()
        for part in (self._sweeper.run(), self._watch(), self._workqueue.run(), self._queues.run(), self._pods.run()):
            self._begin(part)

    def _build(self) -> None:
        metrics, clock = Metrics(), self._clock
        client = FakeKubeClient(self.session, metrics=metrics, guard=self._guard, clock=clock)
        self.quarantine = Quarantine(metrics)
        self.cache = cache = Cache(quarantine=self.quarantine, clock=clock)
        self._own_writes = OwnWrites()
        executor = self._executor(client, metrics)
        actor = Actor(
            client,
            cache,
            executor,
            SchemaWorker(places=1),
            own_writes=self._own_writes,
            metrics=metrics,
            settings=SETTINGS,
            clock=clock,
        )
        self._workqueue = queue = Workqueue(
            is_ready=lambda: cache.complete,
            quarantine=self.quarantine,
            metrics=metrics,
            clock=clock,
            monotonic=self.loop.time,
        )
        cache.on_change = queue.add
        reconciler = Reconciler(cache, actor, queue, settings=SETTINGS, metrics=metrics, clock=clock)
        self._queues = QueueReporter(client, cache, queue, clock=clock)
        queue.serve("taskruns", reconciler, places=SETTINGS.concurrent_actions)
        queue.serve("queues", self._queues, places=1)
        self._serve_pools(queue, metrics)
        self._sweeper = Sweeper(
            client,
            cache,
            is_busy=queue.is_busy,
            namespaces=[],
            own_namespace=None,
            seconds=SETTINGS.sweep_seconds,
            metrics=metrics,
            clock=clock,
            give_back=lambda: None,
        )
        self._pods = Informer(
            client,
            path="/api/v1/pods",
            resource="pods",
            selector=LIVE_PODS,
            sink=PodSink(cache, namespace=None, unlisted={None}),
            metrics=metrics,
            clock=clock,
        )

    def _executor(self, client: FakeKubeClient, metrics: Metrics) -> Executor:
        return JobExecutor(client, self.cache, defaults=PodDefaults, clock=self._clock)

    def _serve_pools(self, queue: Workqueue, metrics: Metrics) -> None:
        """As an operator without a dispatch port: nothing is watched for pools."""
        for kind in ("deployments", "workers"):
            self.cache.synced(kind)

    # What comes from the cluster

    def deliver(self, event: Event) -> None:
        """A watch reports a change."""
        if event.plural == "pods":
            line = pod_line(event)
            if line is not None and self.session.watch is not None:
                self.session.watch.report(line)
        elif event.plural in OWN_KINDS:
            line = line_of(event.type, event.text)
            if not self._own_writes.is_echo(line):
                self._see(event.plural, event.type, orjson.loads(event.text))

    def relist(self) -> None:
        """kopf lists our kinds again: it never reports what was deleted before."""
        for plural in OWN_KINDS:
            self._cluster.untold = [e for e in self._cluster.untold if e.plural != plural]
            for body in self._cluster.all(plural):
                self._see(plural, "ADDED", orjson.loads(orjson.dumps(body)))
            self._sweeper.listed_by_watch(f"{OWN_GROUP}/{plural}")

    def cut_watch(self, *, expired: bool) -> None:
        """The connection of the watch of pods ends; `expired`: where it was can't be found any more."""
        if (watch := self.session.watch) is None:
            return
        if expired:
            self._cluster.oldest = self._cluster.version
            watch.report(EXPIRED)
            watch.end()
        else:
            watch.cut()
        self._cluster.untold = [e for e in self._cluster.untold if e.plural != "pods"]

    def sweep(self) -> None:
        """It is time for a sweep."""
        self._sweeper.listed_by_watch(f"{OWN_GROUP}/taskruns")

    def _see(self, plural: str, event: str, body: Any) -> None:
        if event == "DELETED":
            self.cache.deleted(plural, body)
        else:
            self.cache.upserted(plural, body)

    async def _watch(self) -> None:
        await self._sweeper.swept.wait()
        self.relist()
        await asyncio.Event().wait()

    # Its life

    def run(self) -> None:
        """Do all that can be done at this moment."""
        self.loop.run_until_idle()

    @property
    def wakes_at(self) -> float | None:
        return self.loop.next_timer

    def kill(self) -> None:
        """It ends at once: none of its requests goes out any more."""
        self.session.dead = True
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_idle()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        self._logs.close()

    @property
    def broken(self) -> list[str]:
        """What must never happen: a part that ended, an object that is set aside, an error that isn't the surroundings'."""
        ended = [f"{task!r} ended" for task in self._tasks if task.done()]
        said = [str(line) for line in self._said if line["log_level"] in BAD or line["event"] in BROKE]
        aside = ["an object is set aside"] if not self.quarantine.is_empty else []
        return [*ended, *said, *aside, *self.loop.failures]

    def _begin(self, part: Coroutine[Any, Any, Any]) -> None:
        self._tasks.add(self.loop.create_task(part))

    def _guard(self) -> None:
        if self.fenced:
            raise NotLeadingError("the Lease has not been renewed in time")
