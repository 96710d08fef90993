"""What only real pods show: memory, sidecars, volumes, what admission refuses."""

import itertools
from typing import Any

import pytest
from support.builders import BUSYBOX, a_queue, a_run
from support.cluster import ClusterRuns

ONCE: dict[str, Any] = {"maxAttempts": 1}


@pytest.mark.quick
def test_an_oom_kill_is_reported_and_the_next_attempt_gets_more_memory(runs: ClusterRuns) -> None:
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
    runs.kube.create_config("words", greeting="good evening")
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
