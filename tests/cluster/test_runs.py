"""A run's life in real pods."""

import json
from typing import Any

import pytest
from support.builders import BUSYBOX, a_run, a_task
from support.cluster import SECONDS, ClusterRuns, refusal
from support.servers import wait_until
from tidegate_api.times import parse_time
from tidegate_demo.kubectl import Kubectl

HOLD = "trap 'exit 143' TERM; while :; do sleep 0.2; done"
ONCE: dict[str, Any] = {"maxAttempts": 1}


@pytest.mark.quick
def test_a_python_task_gets_its_payload_and_returns_its_result(runs: ClusterRuns) -> None:
    run = a_run("resize").python("tasks:resize").payload(pictures=3, width=640, seconds=1.5)
    status = runs.end(run, "Succeeded")
    assert status["result"] == {"pictures": 3, "width": 640}
    (pod,) = runs.pods("resize")
    assert runs.log(pod["metadata"]["name"]).splitlines() == [f"resizing picture {n} to 640 pixels" for n in (1, 2, 3)]
    (attempt,) = status["attempts"]
    node = pod["spec"]["nodeName"]
    assert attempt.items() >= {"number": 1, "outcome": "Succeeded", "exitCode": 0, "nodeName": node}.items()
    # What the runner has read of the container's cgroup: Python alone takes more than this.
    assert attempt["usage"]["cpuMilliseconds"] > 10
    assert attempt["usage"]["memoryPeakBytes"] > 4 * 2**20
    # Where its time went: each is a time of the cluster's, in whole seconds.
    (job,) = runs.jobs("resize")
    scheduled = next(each for each in pod["status"]["conditions"] if each["type"] == "PodScheduled")
    assert parse_time(attempt["createdAt"]) == parse_time(job["metadata"]["creationTimestamp"])
    assert parse_time(attempt["scheduledAt"]) == parse_time(scheduled["lastTransitionTime"])
    assert attempt["createdAt"] <= attempt["scheduledAt"] <= attempt["startedAt"] <= attempt["finishedAt"]


def test_any_program_reads_its_payload_and_writes_its_result(runs: ClusterRuns) -> None:
    script = """
        set -e
        grep -q '"who":"the world"' $TIDEGATE_PAYLOAD_FILE
        echo "{\\"run\\": \\"$TIDEGATE_RUN\\", \\"queue\\": \\"$TIDEGATE_QUEUE\\", \\"user\\": $(id -u)}" > $TIDEGATE_RESULT_FILE
    """
    status = runs.end(a_run("greet").shell(script).payload(who="the world"), "Succeeded")
    assert status["result"] == {"run": "greet", "queue": "default", "user": 65532}


def test_two_failures_and_then_success(runs: ClusterRuns) -> None:
    script = """
        if [ $TIDEGATE_ATTEMPT -lt 3 ]; then echo "trying"; echo "the server answered 503"; exit 7; fi
        echo '"imported"' > $TIDEGATE_RESULT_FILE
    """
    retry = {"maxAttempts": 3, "initialDelaySeconds": 1, "jitter": False}
    status = runs.end(a_run("flaky").shell(script).task(retry=retry), "Succeeded")
    assert status["result"] == "imported"
    first, second, third = status["attempts"]
    for failed in (first, second):
        assert (failed["outcome"], failed["reason"], failed["exitCode"]) == ("Failed", "Error", 7)
        assert "the server answered 503" in failed["message"]
    assert (third["number"], third["outcome"], third["exitCode"]) == (3, "Succeeded", 0)
    assert first["finishedAt"] < second["startedAt"] < third["startedAt"]


@pytest.mark.quick
def test_a_cancelled_task_cleans_up_and_its_log_stays(runs: ClusterRuns) -> None:
    runs.start(a_run("import-orders").python("tasks:import_orders"))
    runs.written("import-orders", "imported 10 orders")
    runs.cancel("import-orders")
    status = runs.wait("import-orders", "Cancelled", reason="Cancelled")
    (attempt,) = status["attempts"]
    assert (attempt["outcome"], attempt["exitCode"]) == ("Cancelled", 143)
    (pod,) = runs.pods("import-orders")
    log = runs.log(pod["metadata"]["name"])
    assert "imported 10 orders" in log
    assert "cancelled: rolled back the open transaction" in log


def test_a_task_that_ignores_sigterm_is_killed_after_its_grace_period(runs: ClusterRuns) -> None:
    script = "trap 'echo not now' TERM; while :; do sleep 0.2; done"
    # Long enough for a slow node's shell to have set its trap.
    task = {"timeoutSeconds": 15, "retry": ONCE, "podTemplate": {"spec": {"terminationGracePeriodSeconds": 5}}}
    status = runs.end(a_run("stubborn").shell(script).task(**task), "Failed", reason="Timeout")
    assert status["message"] == "timed out after 15 s"
    (attempt,) = status["attempts"]
    assert (attempt["outcome"], attempt["exitCode"]) == ("Timeout", 137)
    (pod,) = runs.pods("stubborn")
    assert "not now" in runs.log(pod["metadata"]["name"])


def test_an_entrypoint_that_cannot_be_imported_fails_once_with_the_error(runs: ClusterRuns) -> None:
    status = runs.end(a_run("no-module").python("no_such_module:main"), "Failed", reason="Error")
    assert status["message"].startswith("can't import no_such_module: ModuleNotFoundError: No module named")
    assert [(a["number"], a["exitCode"]) for a in status["attempts"]] == [(1, 64)]


def test_a_task_can_end_its_run_for_good(runs: ClusterRuns) -> None:
    run = a_run("aborted").python("tasks:resize").payload(pictures=1, width=0)
    status = runs.end(run, "Failed", reason="Error")
    assert status["message"] == "a picture can't be 0 pixels wide"
    assert [(a["number"], a["exitCode"]) for a in status["attempts"]] == [(1, 64)]


def test_an_image_that_cannot_be_pulled_ends_with_the_kubelets_words(runs: ClusterRuns) -> None:
    image = "localhost:1/no/such:image"  # refused at once, where a name might be looked up for long
    run = a_run("unpullable").task(image=image, startTimeoutSeconds=90, retry=ONCE)
    status = runs.end(run, "Failed", reason="StartTimeout")
    assert image in status["message"]
    assert "pull" in status["message"].lower()
    assert "startedAt" not in status


def test_what_no_node_has_room_for_waits_and_can_be_cancelled(runs: ClusterRuns) -> None:
    runs.start(a_run("huge").shell("true").spec(resources={"requests": {"memory": "100Ti"}}))
    runs.wait("huge", "Starting", reason="Scheduling")
    runs.reported("huge", "Insufficient memory")
    runs.cancel("huge")
    runs.wait("huge", "Cancelled")
    wait_until(lambda: not runs.jobs("huge"), seconds=SECONDS, what="the Job to be gone")


@pytest.mark.parametrize(("name", "result"), [("deep-nulls", {"a": None, "b": [None, 1]}), ("null", None)])
def test_nulls_in_a_result_survive(runs: ClusterRuns, name: str, result: object) -> None:
    script = f"echo '{json.dumps(result)}' > $TIDEGATE_RESULT_FILE"
    status = runs.end(a_run(name).shell(script), "Succeeded")
    assert "result" in status
    assert status["result"] == result


def test_a_result_that_is_too_large_is_said_to_be(runs: ClusterRuns) -> None:
    script = "printf '\"%05000d\"' 0 > $TIDEGATE_RESULT_FILE"
    status = runs.end(a_run("wordy").shell(script), "Failed", reason="ResultTooLarge")
    assert "4096 bytes" in status["message"]
    assert len(status["attempts"]) == 1
    assert "result" not in status


def test_a_manifest_that_was_written_by_hand(runs: ClusterRuns) -> None:
    manifest = """
apiVersion: tidegate.dev/v1alpha1
kind: TaskRun
metadata:
  name: count-words
  labels: {team: editors}
spec:
  task:
    image: docker.io/library/busybox:1.37
    command: [sh, -c]
    args:
    - echo "The quick brown fox" | wc -w > $TIDEGATE_RESULT_FILE
    env:
    - name: LANG
      value: C
    resources:
      requests: {cpu: 10m, memory: 16Mi}
      limits: {memory: 64Mi}
    timeoutSeconds: 60
    retry: {maxAttempts: 2}
  payload:
    language: English
  tags: [hand-written]
"""
    runs.kubectl("apply", "-f", "-", stdin=manifest)
    runs.kubectl("wait", "--for=condition=Finished", f"--timeout={SECONDS:.0f}s", "tgr/count-words")
    assert runs.get("count-words")["status"]["result"] == 4
    table = runs.kubectl("get", "tgr", "count-words").splitlines()[1].split()
    assert table[:4] == ["count-words", "default", "Succeeded", "1"]


def test_a_namespace_need_not_be_a_project(kubectl: Kubectl, runs: ClusterRuns) -> None:
    runs.kube.create_namespace("plain")
    try:
        elsewhere = ClusterRuns(kubectl, "plain")
        elsewhere.create(a_task("echo", image=BUSYBOX) | {"metadata": {"name": "echo", "namespace": "plain"}})
        elsewhere.end(a_run("of-a-task").task_ref("echo"), "Succeeded")
    finally:
        runs.kube.delete("namespaces", "plain", wait=False)


def test_an_evicted_pod_does_not_use_an_attempt(runs: ClusterRuns) -> None:
    runs.kube.create_config("steering", MODE="hold")
    script = f'if [ "$MODE" = hold ]; then echo holding; {HOLD}; fi; echo "\\"$MODE\\"" > $TIDEGATE_RESULT_FILE'
    steered = [{"configMapRef": {"name": "steering"}}]
    runs.start(a_run("evicted").shell(script).task(envFrom=steered, retry=ONCE))
    runs.written("evicted", "holding")
    runs.kube.patch("configmaps", "steering", {"data": {"MODE": "replaced"}})
    (pod,) = runs.pods("evicted")
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": runs.namespace}}
    runs.kube.post("pods", name, "eviction", eviction)
    status = runs.wait("evicted", "Succeeded", "Failed")
    assert status["phase"] == "Succeeded", status
    assert status["result"] == "replaced"
    assert len(runs.jobs("evicted")) == 1
    assert [(a["number"], a["outcome"]) for a in status["attempts"]] == [(1, "Succeeded")]


def test_pods_pass_where_only_restricted_ones_may(kubectl: Kubectl, runs: ClusterRuns) -> None:
    labels = runs.kube.get("namespaces", runs.namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    said = refusal(kubectl, "-n", runs.namespace, "run", "loose", f"--image={BUSYBOX}", "--restart=Never", "--", "true")
    assert 'violates PodSecurity "restricted' in said
    runs.end(a_run("shell-restricted").shell("true"), "Succeeded")
    runs.end(a_run("python-restricted").python("tasks:resize").payload(pictures=1, seconds=0), "Succeeded")


def test_no_pod_of_a_task_holds_a_credential_of_the_cluster(runs: ClusterRuns) -> None:
    script = """
        ls /var/run/secrets > $TIDEGATE_RESULT_FILE
        env | grep -i -e redis -e postgres -e password && exit 3
        test ! -e /var/run/secrets/kubernetes.io
    """
    status = runs.end(a_run("secretless").shell(script).task(retry=ONCE), "Succeeded")
    assert status["message"] == "tidegate"
