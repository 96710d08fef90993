"""Nodes that are lost: which answer no more and come back, or never do. A taint keeps the pods of other tests away."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from support.builders import RunBuilder, a_run
from support.cluster import CLUSTER, SECONDS, ClusterRuns
from support.kube import Kube
from support.servers import wait_until
from tidegate_cluster import settings
from tidegate_cluster.clusters import Clusters
from tidegate_cluster.errors import ClusterError

ONCE: dict[str, Any] = {"maxAttempts": 1}
LOST = "node-2"
TAINT = {"key": "tests.tidegate.dev/lost", "value": "soon", "effect": "NoSchedule"}
THERE = {"key": TAINT["key"], "operator": "Exists"}
SHORT = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    for key in ("unreachable", "not-ready")
]


@pytest.fixture(scope="module")
def clusters() -> Clusters:
    return Clusters(settings=settings.from_environment())


@pytest.fixture(scope="module")
def spare_nodes(clusters: Clusters) -> Iterator[None]:
    """The node that tests add is thrown away after the last of them."""
    yield
    with suppress(ClusterError):  # it was not added
        clusters.remove_node(CLUSTER, LOST)


@pytest.fixture
def second_node(clusters: Clusters, release: Kube, spare_nodes: None) -> str:
    """A node to be lost: the one of the test before where it is as good as new."""
    nodes = {n["metadata"]["name"]: n for n in release.listed("nodes")}
    if clusters.provider(CLUSTER) == "kind":
        pytest.skip("kind can't add a node to a cluster")
    ready = [
        c["status"]
        for c in nodes.get(LOST, {"status": {"conditions": []}})["status"]["conditions"]
        if c["type"] == "Ready"
    ]
    if ready != ["True"]:
        with suppress(ClusterError):
            clusters.remove_node(CLUSTER, LOST)
        clusters.add_node(CLUSTER, LOST, taints=[TAINT])
    return LOST


def first_node(runs: ClusterRuns) -> str:
    """The name of the node that is always there."""
    (name,) = (name for name in runs.kube.names("nodes") if name != LOST)
    return name


def on_the_second_node_first(name: str) -> RunBuilder:
    """Holds on the node that will be lost, and ends at once on any other."""
    prefer = {"weight": 100, "preference": {"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [LOST]}
    ]}}  # fmt: skip
    node = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    template = {
        "spec": {
            "tolerations": [THERE, *SHORT],
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [prefer]}},
            "containers": [{"name": "task", "env": [node]}],
        }
    }
    script = f'[ "$NODE" != {LOST} ] || sleep 600; echo "\\"$NODE\\"" > $TIDEGATE_RESULT_FILE'
    return a_run(name).shell(script).task(podTemplate=template, retry=ONCE)


def end_by_itself(runs: ClusterRuns, pod: str) -> None:
    """Tell the process of a pod that its work is done. Its end takes the shell along that told it, mostly before that has ended."""
    with suppress(ClusterError):
        runs.kubectl("exec", pod, "--", "sh", "-c", "kill -USR1 1")


def test_a_node_that_does_not_answer_and_comes_back_goes_on_with_its_run(
    clusters: Clusters, runs: ClusterRuns, second_node: str
) -> None:
    template = {"spec": {"nodeSelector": {"kubernetes.io/hostname": second_node}, "tolerations": [THERE]}}
    script = """trap 'echo \\"back\\" > $TIDEGATE_RESULT_FILE; exit 0' USR1; while :; do sleep 0.1; done"""
    runs.start(a_run("cut-off").shell(script).task(podTemplate=template, retry=ONCE))
    runs.wait("cut-off", "Running")
    (before,) = runs.pods("cut-off")
    assert before["spec"]["nodeName"] == second_node
    clusters.freeze_node(CLUSTER, second_node)
    try:
        runs.wait("cut-off", "Running", reason="NodeUnreachable")
        assert len(runs.pods("cut-off")) == 1
    finally:
        clusters.thaw_node(CLUSTER, second_node)
    wait_until(lambda: "reason" not in runs.get("cut-off")["status"], seconds=SECONDS, what="the node to be back")
    assert runs.get("cut-off")["status"]["phase"] == "Running"
    end_by_itself(runs, before["metadata"]["name"])
    status = runs.wait("cut-off", "Succeeded")
    assert status["result"] == "back"
    assert [(a["number"], a["podName"], a["outcome"]) for a in status["attempts"]] == [
        (1, before["metadata"]["name"], "Succeeded")
    ]
    assert "disruptions" not in status
    assert [p["metadata"]["uid"] for p in runs.pods("cut-off")] == [before["metadata"]["uid"]]


def test_a_node_whose_kubelet_and_containerd_are_restarted_goes_on_with_its_run(
    clusters: Clusters, runs: ClusterRuns, second_node: str
) -> None:
    template = {"spec": {"nodeSelector": {"kubernetes.io/hostname": second_node}, "tolerations": [THERE]}}
    script = """trap 'echo \\"went on\\" > $TIDEGATE_RESULT_FILE; exit 0' USR1; while :; do sleep 0.1; done"""
    runs.start(a_run("kept-on").shell(script).task(podTemplate=template, retry=ONCE))
    runs.wait("kept-on", "Running")
    (before,) = runs.pods("kept-on")
    clusters.restart_node(CLUSTER, second_node)
    # A pod that starts after it shows that the node works again.
    runs.end(a_run("beside-it").shell("true").task(podTemplate=template, retry=ONCE), "Succeeded")
    assert runs.get("kept-on")["status"]["phase"] == "Running"
    end_by_itself(runs, before["metadata"]["name"])
    status = runs.wait("kept-on", "Succeeded")
    assert status["result"] == "went on"
    assert [(a["number"], a["podName"]) for a in status["attempts"]] == [(1, before["metadata"]["name"])]
    assert "disruptions" not in status


def test_a_lost_node_uses_no_attempt_and_is_replaced_only_once_it_is_surely_gone(
    clusters: Clusters, runs: ClusterRuns, second_node: str
) -> None:
    names = ("stranded", "stranded-cancelled")
    for name in names:
        runs.start(on_the_second_node_first(name))
    for name in names:
        runs.wait(name, "Running")
        (pod,) = runs.pods(name)
        assert pod["spec"]["nodeName"] == second_node
    clusters.kill_node(CLUSTER, second_node)  # its kubelet: what ran there runs on
    for name in names:
        runs.wait(name, "Running", reason="NodeUnreachable")
        assert len(runs.pods(name)) == 1
    runs.cancel("stranded-cancelled")
    runs.wait("stranded-cancelled", "Running", reason="Cancelling")
    # The taints have long asked for the pods' deletion; it is not known whether they still run.
    wait_until(
        lambda: all("deletionTimestamp" in pod["metadata"] for name in names for pod in runs.pods(name)),
        seconds=SECONDS,
        what="the pods' eviction",
    )
    assert [len(runs.pods(name)) for name in names] == [1, 1]
    runs.kube.delete("nodes", second_node)
    status = runs.wait("stranded", "Succeeded")
    assert status["result"] == first_node(runs)
    assert [(a["number"], a["outcome"]) for a in status["attempts"]] == [(1, "Succeeded")]
    assert status["disruptions"] == 1
    runs.wait("stranded-cancelled", "Cancelled")
