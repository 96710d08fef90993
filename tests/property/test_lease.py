"""Who leads, among replicas whose clocks differ: nothing of it is decided by a time that another has written."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from support.fake_apiserver import Json
from support.fake_cluster import FakeCluster
from support.fake_network import FakeKubeClient, FakeSession, Network
from support.virtual_loop import Clocks, VirtualLoop
from tidegate_api.times import format_micro
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.errors import NotLeadingError
from tidegate_operator.lease import Lease, State
from tidegate_operator.metrics import Metrics

DURATION = 15


class Replicas:
    """Two of them, each with a monotonic clock that began at another moment."""

    def __init__(self, loop: VirtualLoop, clocks: Clocks) -> None:
        self.cluster, self._loop, self._true = FakeCluster(clocks), loop, clocks.true
        network = Network(self.cluster, clocks.true)
        self._client = FakeKubeClient(FakeSession(network), metrics=Metrics())
        self.first, self.second = self._lease("first", up=0.0), self._lease("second", up=1e7)

    def _lease(self, identity: str, *, up: float) -> Lease:
        return Lease(
            Cluster(server="http://apiserver.invalid"),
            namespace="tidegate",
            name="operator",
            identity=identity,
            duration=DURATION,
            renew_deadline=10,
            retry=2,
            metrics=Metrics(),
            monotonic=lambda: self._true.now + up,
        )

    def step(self, lease: Lease) -> State:
        """It reads the Lease, and tries for it or renews it."""
        lease.tick()
        self._loop.run_until_complete(lease._step(self._client))
        return lease.state

    def pass_time(self, seconds: float) -> None:
        self._true.now += seconds

    def spec(self) -> Json:
        (lease,) = self.cluster.all("leases")
        spec: Json = lease["spec"]
        return spec


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    clocks = Clocks()
    with closing(VirtualLoop(clocks.true)) as loop:
        yield Replicas(loop, clocks)


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0, 1e6])
def test_another_takes_over_by_how_long_it_has_seen_the_lease_unchanged(replicas: Replicas, ahead: float) -> None:
    assert replicas.step(replicas.first) is State.LEADING
    replicas.spec()["renewTime"] = replicas.spec()["acquireTime"] = format_micro(1_000_000.0 + ahead)
    assert replicas.step(replicas.second) is State.STANDBY
    replicas.pass_time(DURATION - 0.1)
    assert replicas.step(replicas.second) is State.STANDBY
    replicas.pass_time(0.1)
    assert replicas.step(replicas.second) is State.LEADING
    assert replicas.step(replicas.first) is State.LOST


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0])
def test_a_leader_that_renews_leads_on_whatever_time_it_writes(replicas: Replicas, ahead: float) -> None:
    for _ in range(20):
        assert replicas.step(replicas.first) is State.LEADING
        replicas.spec()["renewTime"] = format_micro(1_000_000.0 + ahead)
        assert replicas.step(replicas.second) is State.STANDBY
        replicas.pass_time(9.9)
        replicas.first.guard()
    replicas.pass_time(0.2)
    with pytest.raises(NotLeadingError):
        replicas.first.guard()
