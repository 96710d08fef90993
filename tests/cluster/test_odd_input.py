"""Odd input of pods on a real cluster: results, exit codes, images and volumes."""

import pytest
from support.builders import a_run
from support.cluster import SECONDS, ClusterRuns
from support.servers import wait_until

RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize(
    ("name", "text", "result", "message"),
    [
        ("hash", "7e45310", None, "7e45310"),
        ("large", "18446744073709551615", None, "18446744073709551615"),
        ("quoted", '"7e45310"', "7e45310", None),
    ],
)
def test_a_result_is_never_another_value_than_was_written(
    runs: ClusterRuns, name: str, text: str, result: str | None, message: str | None
) -> None:
    status = runs.end(a_run(f"result-{name}").shell(f"printf '%s' '{text}' > $TIDEGATE_RESULT_FILE"), "Succeeded")
    assert (status.get("result"), status.get("message")) == (result, message)


def test_a_program_that_exits_with_64_on_its_timeout_is_retried(runs: ClusterRuns) -> None:
    run = a_run("timeout-64").shell("trap 'exit 64' TERM; while :; do sleep 0.2; done")
    retry = {"maxAttempts": 2, "initialDelaySeconds": 0}
    status = runs.end(run.task(timeoutSeconds=2, retry=retry), "Failed", reason="Timeout")
    assert [a["outcome"] for a in status["attempts"]] == ["Timeout", "Timeout"]


def test_a_program_that_exits_with_0_as_its_pod_is_deleted_has_not_succeeded(runs: ClusterRuns) -> None:
    runs.start(
        a_run("deleted-0").shell("trap 'exit 0' TERM; while :; do sleep 0.2; done").task(retry={"maxAttempts": 1})
    )
    runs.wait("deleted-0", "Running")
    (pod,) = runs.pods("deleted-0")
    runs.kube.delete("pods", pod["metadata"]["name"], wait=False)
    status = runs.wait("deleted-0", "Failed", "Succeeded")
    assert status["phase"] == "Failed", (status, runs.pods("deleted-0"))
    assert status["reason"] == "PodDeleted"
    assert [a["reason"] for a in status["attempts"]] == ["PodDeleted"]


def test_the_work_that_is_done_counts_though_another_container_never_gets_its_image(runs: ClusterRuns) -> None:
    template = {
        "spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "agent", "image": "registry.invalid/agent:1", "securityContext": RESTRICTED}],
        }
    }
    run = a_run("agent").shell("echo '\"done\"' > $TIDEGATE_RESULT_FILE")
    runs.start(run.task(podTemplate=template, startTimeoutSeconds=60))
    # A busy machine may take long to start the pod, and the kubelet ends none while it pulls.
    status = runs.wait("agent", "Succeeded", seconds=2 * SECONDS)
    assert status["result"] == "done"
    (attempt,) = status["attempts"]
    assert attempt["exitCode"] == 0
    assert attempt["imageID"].partition("sha256:")[2]


def test_an_init_container_without_its_image_is_reported(runs: ClusterRuns) -> None:
    # Nothing listens there, so the pull fails at once; that one may hang is the test above.
    migrate = {"name": "migrate", "image": "127.0.0.1:1/migrate:1", "securityContext": RESTRICTED}
    template = {"spec": {"initContainers": [migrate]}}
    runs.start(a_run("migrate").shell("true").task(podTemplate=template))
    runs.reported("migrate", "127.0.0.1:1/migrate:1")
    runs.reported("migrate", "init container migrate")
    wait_until(
        lambda: runs.get("migrate")["status"]["reason"] in ("ErrImagePull", "ImagePullBackOff"),
        seconds=SECONDS,
        what="the kubelet's own words",
    )
    runs.cancel("migrate")
    runs.wait("migrate", "Cancelled")


def test_a_volume_that_cant_be_mounted_is_reported(runs: ClusterRuns) -> None:
    template = {
        "spec": {
            "volumes": [{"name": "data", "secret": {"secretName": "nowhere"}}],
            "containers": [{"name": "task", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        }
    }
    runs.start(a_run("mount").shell("true").task(podTemplate=template))
    runs.reported("mount", 'secret "nowhere" not found')
    assert runs.get("mount")["status"]["reason"] == "FailedMount"
    # The kubelet ends no pod while it waits for a volume, so that a cancel would take minutes.
    runs.kube.delete("taskruns.tidegate.dev", "mount", wait=False)
