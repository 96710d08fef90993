"""A worker whose node is lost: its run begins again when the worker is surely gone, and not before."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from support.builders import a_run
from support.cluster import CLUSTER, SECONDS, ClusterRuns
from support.cluster_pools import POOL, has_slots, workers
from support.recorded import Recorder, a_marked_pool, never_two_at_once
from support.servers import wait_until
from tidegate_cluster import settings
from tidegate_cluster.clusters import Clusters
from tidegate_cluster.errors import ClusterError

pytestmark = pytest.mark.timeout(1800)
LOST = "node-lost"
TAINT = {"key": "tests.tidegate.dev/lost", "value": "soon", "effect": "NoSchedule"}
PREFER_LOST: dict[str, Any] = {
    "tolerations": [{"key": TAINT["key"], "operator": "Exists"}],
    "affinity": {
        "nodeAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "preference": {
                        "matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [LOST]}]
                    },
                }
            ]
        }
    },
}


@pytest.fixture
def clusters() -> Iterator[Clusters]:
    made = Clusters(settings=settings.from_environment())
    if made.provider(CLUSTER) == "kind":
        pytest.skip("kind can't add a node to a cluster")
    made.add_node(CLUSTER, LOST, taints=[TAINT])
    yield made
    with suppress(ClusterError):
        made.remove_node(CLUSTER, LOST)


def test_a_run_on_a_lost_node_begins_again_only_once_its_worker_is_gone(
    clusters: Clusters, runs: ClusterRuns, recorder: Recorder
) -> None:
    runs.kube.create(a_marked_pool("stranded", replicas=1, slots=2, pod=PREFER_LOST))
    has_slots(runs, "stranded", 2)
    (first,) = workers(runs, "stranded")
    assert first["spec"]["nodeName"] == LOST
    run = a_run("stranded").warm("marked:goes_on", pool="stranded").retry(maxAttempts=1)
    runs.start(run.payload(host=recorder.address, seconds=30))
    recorder.said("stranded", "goes on")
    # Nothing in the cluster shows whether the worker ended with its node, or can't be reached.
    clusters.kill_node(CLUSTER, LOST, power=True)
    runs.wait("stranded", "Running", reason="WorkerUnreachable", seconds=2 * SECONDS)
    assert {attempt for attempt, _ in recorder.marks()["stranded"]} == {1}
    runs.kube.delete("nodes", LOST)
    status = runs.wait("stranded", "Succeeded", seconds=4 * SECONDS)
    assert status["disruptions"] == 1
    assert status["attempts"][-1]["podUid"] != first["metadata"]["uid"]
    assert never_two_at_once(recorder.marks()["stranded"])
    runs.kube.delete(POOL, "stranded", wait=False)
    wait_until(lambda: not workers(runs, "stranded"), seconds=SECONDS, what="no worker")
