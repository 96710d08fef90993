"""What only real pods on real nodes show: memory, sidecars, volumes, and nodes that are lost."""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from support.builders import BUSYBOX, RunBuilder, a_queue, a_run
from support.cluster import CLUSTER, SECONDS, ClusterRuns
from support.servers import wait_until
from tidegate_cluster import settings
from tidegate_cluster.clusters import Clusters
from tidegate_cluster.errors import ClusterError
from tidegate_demo.kubectl import Kubectl

ONCE: dict[str, Any] = {"maxAttempts": 1}
LOST = "node-2"
SHORT = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    for key in ("unreachable", "not-ready")
]


def test_an_oom_kill_is_told_and_the_next_attempt_gets_more_memory(runs: ClusterRuns) -> None:
    script = """
        if [ $TIDEGATE_ATTEMPT -eq 1 ]; then exec tail /dev/zero; fi
        echo '"enough"' > $TIDEGATE_RESULT_FILE
    """
    retry = {
        "maxAttempts": 2,
        "initialDelaySeconds": 0,
        "outOfMemory": {"resources": {"limits": {"memory": "128Mi"}}},
    }
    limits = {"limits": {"memory": "24Mi"}, "requests": {"memory": "8Mi"}}
    status = runs.end(a_run("hungry").shell(script).task(retry=retry, resources=limits), "Succeeded")
    assert status["result"] == "enough"
    first, second = status["attempts"]
    assert (first["outcome"], first["reason"], first["exitCode"]) == ("Failed", "OOMKilled", 137)
    assert second["outcome"] == "Succeeded"
    memory = [p["spec"]["containers"][0]["resources"]["limits"]["memory"] for p in runs.pods("hungry")]
    assert memory == ["24Mi", "128Mi"]


def test_an_oom_kill_alone_is_an_ordinary_failure(runs: ClusterRuns) -> None:
    limits = {"limits": {"memory": "24Mi"}, "requests": {"memory": "8Mi"}}
    run = a_run("starved").shell("exec tail /dev/zero").task(retry=ONCE, resources=limits)
    assert "memory" in runs.end(run, "Failed", reason="OOMKilled")["message"]


def test_a_sidecar_serves_the_task_and_ends_with_it(runs: ClusterRuns) -> None:
    secure = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    shared = [{"name": "shared", "mountPath": "/shared"}]
    script = "while :; do date > /shared/beat; sleep 0.2; done"
    sidecar = {
        "name": "beat",
        "image": BUSYBOX,
        "command": ["sh", "-c", script],
        "restartPolicy": "Always",
        "volumeMounts": shared,
        "securityContext": secure,
    }
    template = {
        "metadata": {"labels": {"team": "blue"}},
        "spec": {
            "initContainers": [sidecar],
            "containers": [{"name": "task", "volumeMounts": shared}],
            "volumes": [{"name": "shared", "emptyDir": {}}],
            "terminationGracePeriodSeconds": 2,
        },
    }
    task = "until test -s /shared/beat; do sleep 0.1; done; echo $TIDEGATE_RESULT_MAX_BYTES > $TIDEGATE_RESULT_FILE"
    status = runs.end(a_run("served").shell(task).task(podTemplate=template), "Succeeded")
    assert status["result"] == 4096
    (pod,) = runs.pods("served")
    assert pod["metadata"]["labels"]["team"] == "blue"


def test_volumes_and_files_come_in_by_the_pod_template(runs: ClusterRuns) -> None:
    runs.kubectl("create", "configmap", "words", "--from-literal=greeting=good evening")
    template = {
        "spec": {
            "containers": [{"name": "task", "volumeMounts": [{"name": "words", "mountPath": "/words"}]}],
            "volumes": [{"name": "words", "configMap": {"name": "words"}}],
        }
    }
    script = 'echo "\\"$(cat /words/greeting)\\"" > $TIDEGATE_RESULT_FILE'
    status = runs.end(a_run("worded").shell(script).task(podTemplate=template), "Succeeded")
    assert status["result"] == "good evening"


def test_a_secret_that_is_missing_ends_the_run_with_its_name(runs: ClusterRuns) -> None:
    wanted = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "no-such-secret", "key": "password"}}}]
    run = a_run("secretless-start").shell("true").task(env=wanted)
    status = runs.end(run, "Failed", reason="CreateContainerConfigError")
    assert "no-such-secret" in status["message"]
    assert len(status["attempts"]) == 1


def test_what_pod_security_forbids_fails_at_once_with_its_words(runs: ClusterRuns) -> None:
    template = {"spec": {"hostNetwork": True}}
    status = runs.end(a_run("loose").shell("true").task(podTemplate=template), "Failed", reason="PodRejected")
    assert 'violates PodSecurity "restricted' in status["message"]
    assert len(status["attempts"]) == 1


def test_a_queue_of_one_runs_one_pod_at_a_time(runs: ClusterRuns) -> None:
    runs.create(a_queue("single", concurrencyLimit=1) | {"metadata": {"name": "single", "namespace": runs.namespace}})
    names = [f"single-{i}" for i in range(3)]
    for name in names:
        runs.start(a_run(name).shell("sleep 1").spec(queue="single"))
    spans = []
    for name in names:
        runs.wait(name, "Succeeded")
        (pod,) = runs.pods(name)
        state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        spans.append((state["startedAt"], state["finishedAt"]))
    spans.sort()
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


@pytest.fixture(scope="module")
def clusters() -> Clusters:
    return Clusters(settings=settings.from_environment())


@pytest.fixture(scope="module")
def spare_nodes(clusters: Clusters) -> Iterator[None]:
    """The node that tests add is thrown away after the last of them."""
    yield
    with suppress(ClusterError):  # nobody added it
        clusters.remove_node(CLUSTER, LOST)


@pytest.fixture
def second_node(clusters: Clusters, kubectl: Kubectl, spare_nodes: None) -> str:
    """A node to be lost: the one of the test before where it is as good as new."""
    nodes = {n["metadata"]["name"]: n for n in kubectl.json("get", "nodes")["items"]}
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
        clusters.add_node(CLUSTER, LOST)
    return LOST


def first_node(kubectl: Kubectl) -> str:
    """The name of the node that is always there."""
    (name,) = (n["metadata"]["name"] for n in kubectl.json("get", "nodes")["items"] if n["metadata"]["name"] != LOST)
    return str(name)


def on_the_second_node_first(name: str) -> RunBuilder:
    """Holds on the node that will be lost, and ends at once on any other."""
    prefer = {"weight": 100, "preference": {"matchExpressions": [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": [LOST]}
    ]}}  # fmt: skip
    node = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    template = {
        "spec": {
            "tolerations": SHORT,
            "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [prefer]}},
            "containers": [{"name": "task", "env": [node]}],
        }
    }
    script = f'[ "$NODE" != {LOST} ] || sleep 600; echo "\\"$NODE\\"" > $TIDEGATE_RESULT_FILE'
    return a_run(name).shell(script).task(podTemplate=template, retry=ONCE)


def test_a_node_that_does_not_answer_and_comes_back_goes_on_with_its_run(
    kubectl: Kubectl, clusters: Clusters, runs: ClusterRuns, second_node: str
) -> None:
    template = {"spec": {"nodeSelector": {"kubernetes.io/hostname": second_node}}}
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
    runs.kubectl("exec", before["metadata"]["name"], "--", "sh", "-c", "kill -USR1 1")
    status = runs.wait("cut-off", "Succeeded")
    assert status["result"] == "back"
    assert [(a["number"], a["podName"], a["outcome"]) for a in status["attempts"]] == [
        (1, before["metadata"]["name"], "Succeeded")
    ]
    assert "disruptions" not in status
    assert [p["metadata"]["uid"] for p in runs.pods("cut-off")] == [before["metadata"]["uid"]]


def test_a_lost_node_uses_no_attempt_and_is_replaced_only_once_it_is_surely_gone(
    kubectl: Kubectl, clusters: Clusters, runs: ClusterRuns, second_node: str
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
    # The taints have long asked for the pods' deletion; nobody can tell whether they still run.
    wait_until(
        lambda: all("deletionTimestamp" in pod["metadata"] for name in names for pod in runs.pods(name)),
        seconds=SECONDS,
        what="the pods' eviction",
    )
    assert [len(runs.pods(name)) for name in names] == [1, 1]
    kubectl("delete", "node", second_node)
    status = runs.wait("stranded", "Succeeded")
    assert status["result"] == first_node(kubectl)
    assert [(a["number"], a["outcome"]) for a in status["attempts"]] == [(1, "Succeeded")]
    assert status["disruptions"] == 1
    runs.wait("stranded-cancelled", "Cancelled")
