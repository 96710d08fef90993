"""The operator's own parts with a dispatch port, whose connections are wires of a test instead of sockets."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any, cast

import orjson
from support.fake_apiserver import Event
from support.fake_network import FakeKubeClient, Network
from support.fake_workers import Wire
from support.virtual_loop import Clocks, LocalClock
from tidegate_operator.control.workqueue import NOTHING, Work, Workqueue
from tidegate_operator.dispatch.connection import Connection
from tidegate_operator.dispatch.identity import Identifier
from tidegate_operator.dispatch.server import DispatchServer
from tidegate_operator.executors import Executor
from tidegate_operator.executors.job import JobExecutor
from tidegate_operator.executors.pool import PoolExecutor
from tidegate_operator.executors.routing import RoutingExecutor
from tidegate_operator.executors.worker_reports import WorkerReports
from tidegate_operator.kube.errors import NotLeadingError
from tidegate_operator.manifests.job import PodDefaults
from tidegate_operator.metrics import Metrics
from tidegate_operator.records.faults import Fault, Ref
from tidegate_operator.records.pool import Handover
from tidegate_operator.records.run import RunRecord
from tidegate_operator.watch.sinks import PoolSink

from property.operator_process import OperatorProcess
from property.pool_promises import PoolCluster


class WireTransport:
    """The leader's end of a wire, as a Connection sees it."""

    def __init__(self, wire: Wire, connection: Connection, *, says: Callable[[bytes], None]) -> None:
        self._wire, self._connection, self._says = wire, connection, says
        self._lost = False

    def write(self, data: bytes) -> None:
        if self._wire.leader_open:
            self._says(data)
            if self._wire.worker_open:
                self._wire.to_worker.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self._wire.close_leader()
        asyncio.get_running_loop().call_soon(self.lose)

    def lose(self) -> None:
        self._wire.close_leader()
        if not self._lost:
            self._lost = True
            self._connection.connection_lost(None)

    def receive(self, data: bytes) -> None:
        self._connection.data_received(data)


class WireServer(DispatchServer):
    """The dispatch port without its socket and without TLS."""

    def accept(self, wire: Wire, *, says: Callable[[bytes], None]) -> WireTransport | None:
        if not self._leads():
            wire.close_leader()
            return None
        connection = self._arrived("127.0.0.1")
        transport = WireTransport(wire, connection, says=says)
        connection.connection_made(cast("asyncio.Transport", transport))
        return transport

    async def watch(self) -> None:
        await self._watch()


class NoTokens:
    def issue(self, run: RunRecord, handover: Handover, *, number: int, seconds: float | None) -> str | None:
        """There is no web app."""
        return None


class NoPools:
    """Deployments and statuses of pools are not what is looked at here."""

    def decide(self, ident: str) -> Work:
        return NOTHING

    def ref(self, ident: str) -> Ref:
        return Ref(kind="workerpools", namespace="", name=ident, uid=ident)

    async def set_aside(self, ident: str, fault: Fault) -> float | None:
        return None

    async def recovered(self, ident: str) -> None:
        """Nothing is marked."""

    def drained(self) -> None:
        """Nothing waits."""


class PoolProcess(OperatorProcess):
    """One process that leads, with a dispatch port."""

    def __init__(
        self, cluster: PoolCluster, network: Network, clocks: Clocks, replica: LocalClock, *, idents: "count[int]"
    ) -> None:
        self._pools_cluster, self._idents = cluster, idents
        self._transports: dict[int, WireTransport] = {}
        self.wires: list[Wire] = []
        self.dead = False
        super().__init__(cluster, network, clocks, replica)
        self._begin(self._follow_pools())
        self._begin(self.server.watch())

    def _executor(self, client: FakeKubeClient, metrics: Metrics) -> Executor:
        self._client = client
        self._pooled = PoolExecutor(
            client,
            self.cache,
            workers=self,
            tokens=NoTokens(),
            own_writes=self._own_writes,
            guard=self._guard,
            clock=self._clock,
            random=lambda _: f"{next(self._idents):016x}",
        )
        return RoutingExecutor(
            job=JobExecutor(client, self.cache, defaults=PodDefaults, clock=self._clock), pool=self._pooled
        )

    def _serve_pools(self, queue: Workqueue, metrics: Metrics) -> None:
        self.reports = WorkerReports(self.cache, self._pooled, metrics=metrics, wake=queue.wake, clock=self._clock)
        self.server = WireServer(
            Identifier(self._client, self.cache.pools, monotonic=self.loop.time),
            self.reports,
            context=cast("Any", None),
            guard=self._guard,
            metrics=metrics,
            host="",
            port=0,
            monotonic=self.loop.time,
        )
        queue.serve("workerpools", NoPools(), places=1)

    def find(self, pod_uid: str) -> Connection | None:
        """As the dispatch service does."""
        return self.server.find(pod_uid)

    def connected(self, pod_uid: str) -> Connection | None:
        """As the dispatch service does."""
        return self.server.connected(pod_uid)

    # Wires

    def connect(self, wire: Wire) -> None:
        self.wires.append(wire)
        self.loop.call_soon(self._accept, wire)

    def _accept(self, wire: Wire) -> None:
        transport = self.server.accept(wire, says=self._says)
        if transport is not None:
            self._transports[id(wire)] = transport

    def _says(self, line: bytes) -> None:
        self._pools_cluster.leader_says(line, fenced=self.fenced)

    def receive(self, wire: Wire, line: bytes) -> None:
        """A line of a worker comes in."""
        self.loop.call_soon(self._receive, wire, line)

    def _receive(self, wire: Wire, line: bytes) -> None:
        if wire.leader_open and id(wire) in self._transports:
            self._transports[id(wire)].receive(line)

    def lose(self, wire: Wire) -> None:
        """The connection is gone, as this side sees it."""
        if not self.dead:
            self.loop.call_soon(self._lose, wire)

    def _lose(self, wire: Wire) -> None:
        if id(wire) in self._transports:
            self._transports[id(wire)].lose()
        wire.close_leader()

    # What comes from the cluster

    def deliver(self, event: Event) -> None:
        if event.plural in ("workers", "deployments"):
            self._see(event.plural, event.type, orjson.loads(event.text))
        else:
            super().deliver(event)

    def relist(self) -> None:
        super().relist()
        self.list_pools()

    def list_pools(self) -> None:
        """The informers of pools list again."""
        for kind in ("deployments", "workers"):
            self._cluster.untold = [e for e in self._cluster.untold if e.plural != kind]
            sink = PoolSink(self.cache, cast("Any", kind), namespace=None, unlisted={None})
            bodies = [orjson.loads(orjson.dumps(body)) for body in self._cluster.all(kind)]
            for body in bodies:
                sink.upserted(cast("Any", body))
            sink.listed([body["metadata"]["uid"] for body in bodies], version=self._cluster.version)

    async def _follow_pools(self) -> None:
        self.list_pools()
        await asyncio.Event().wait()

    def kill(self) -> None:
        self.dead = True
        for wire in self.wires:
            wire.close_leader()
        super().kill()

    def _guard(self) -> None:
        if self.fenced or self.dead:
            raise NotLeadingError("the Lease has not been renewed in time")
