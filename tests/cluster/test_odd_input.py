"""Odd input on a real cluster: the worst of it beside sound runs, with operator and mirror restarted, and what pods do."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from support.builders import a_queue, a_run
from support.cluster import SECONDS, ClusterRuns
from support.odd.values import without_bounds
from support.operator import CRDS
from support.servers import wait_until
from tidegate_demo.install import NAMESPACE, wait_ready
from tidegate_demo.kubectl import Kubectl
from tidegate_operator.timestamps import parse_time

ODD = "odd"
BESIDE = "beside"
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
GROUP = "/apis/tidegate.dev/v1alpha1"


@pytest.fixture
def stored_before_bounds(kubectl: Kubectl) -> Iterator[None]:
    """Objects may be created as they could before the CRDs had bounds."""
    crds = [yaml.safe_load((CRDS / f"{kind}.yaml").read_text(encoding="utf-8")) for kind in ("taskruns", "queues")]
    for crd in crds:
        kubectl("replace", "-f", "-", stdin=json.dumps({**crd, "spec": without_bounds(crd["spec"])}))
    yield
    for crd in crds:
        kubectl("replace", "-f", "-", stdin=json.dumps(crd))


@pytest.fixture
def namespaces(kubectl: Kubectl) -> Iterator[tuple[ClusterRuns, ClusterRuns]]:
    """That of the odd objects, and another; both are projects."""
    for name in (ODD, BESIDE):
        kubectl("create", "namespace", name)
        kubectl("label", "namespace", name, "tidegate.dev/project=true")
    yield ClusterRuns(kubectl, ODD), ClusterRuns(kubectl, BESIDE)
    for name in (ODD, BESIDE):
        kubectl("delete", "namespace", name, "--wait=false")


def restart(kubectl: Kubectl, *components: str) -> None:
    for component in components:
        selector = f"app.kubernetes.io/component={component}"
        kubectl("-n", NAMESPACE, "delete", "pod", "-l", selector, "--grace-period=0", "--force")
    wait_ready(kubectl)


def seconds_of(status: dict[str, Any], created: str) -> float:
    return (parse_time(status["finishedAt"]) or 0.0) - (parse_time(created) or 0.0)


def sound_runs_end(beside: ClusterRuns, *, what: str) -> None:
    """Three go at once; the machine may be busy, so the quickest of them says how long it takes."""
    made = {f"{what}-{i}": beside.start(a_run(f"{what}-{i}").shell("true")) for i in range(3)}
    took = [seconds_of(beside.wait(n, "Succeeded"), m["metadata"]["creationTimestamp"]) for n, m in made.items()]
    assert min(took) <= 10, took


@pytest.mark.usefixtures("stored_before_bounds")
def test_the_worst_of_it_harms_no_run_of_another_namespace(
    kubectl: Kubectl, namespaces: tuple[ClusterRuns, ClusterRuns]
) -> None:
    odd, beside = namespaces
    odd.start(a_run("lowercase-z").shell("true").spec(startAfter="2026-11-26T12:00:00z"))
    odd.start(a_run("year-9999").shell("true").spec(startAfter="9999-12-31t23:59:59-23:59"))
    queue = a_queue("slow", rateLimit={"runs": 1, "perSeconds": 300_000_000_000})
    odd.create({**queue, "metadata": {"name": "slow", "namespace": ODD}})
    for name in ("first", "second"):
        odd.start(a_run(name).shell("true").spec(queue="slow", ttlSecondsAfterFinished=2**63 - 1))
    deep = json.dumps(a_run("deep").namespace(ODD).shell("true").spec(payload={"p": "@@"}).built)
    text = deep.replace('"@@"', '{"a":' * 1200 + '"x\\u0000y"' + "}" * 1200)
    kubectl("create", "--raw", f"{GROUP}/namespaces/{ODD}/taskruns", "-f", "-", stdin=text)
    odd.start(a_run("edited").shell("trap 'exit 1' TERM; while :; do sleep 0.2; done").task(retry={"maxAttempts": 1}))
    odd.wait("edited", "Running")
    (job,) = odd.jobs("edited")
    odd.kubectl("annotate", "job", job["metadata"]["name"], "tidegate.dev/task-spec={", "--overwrite")
    odd.kubectl("label", "job", job["metadata"]["name"], "tidegate.dev/attempt=x", "--overwrite")
    sound_runs_end(beside, what="at-once")
    restart(kubectl, "operator", "mirror")
    sound_runs_end(beside, what="restarted")
    odd.wait("lowercase-z", "Succeeded")
    odd.wait("first", "Succeeded")
    odd.wait("second", "Pending", reason="RateLimit")
    odd.wait("year-9999", "Pending", reason="Delayed")
    odd.cancel("edited")
    odd.wait("edited", "Cancelled")
    reason = "jsonpath={.status.phase}/{.status.reason}"
    wait_until(
        lambda: odd.kubectl("get", "tgr", "deep", "-o", reason) == "Failed/InvalidPayload", seconds=SECONDS, what="deep"
    )


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
    runs.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
    status = runs.wait("deleted-0", "Failed", reason="PodDeleted")
    assert [a["reason"] for a in status["attempts"]] == ["PodDeleted"]


def test_the_work_that_is_done_counts_though_another_container_never_gets_its_image(runs: ClusterRuns) -> None:
    template = {
        "spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "agent", "image": "registry.invalid/agent:1", "securityContext": RESTRICTED}],
        }
    }
    run = a_run("agent").shell("echo '\"done\"' > $TIDEGATE_RESULT_FILE")
    status = runs.end(run.task(podTemplate=template, startTimeoutSeconds=20), "Succeeded")
    assert status["result"] == "done"
    (attempt,) = status["attempts"]
    assert attempt["exitCode"] == 0
    assert attempt["imageID"].partition("sha256:")[2]


def test_an_init_container_without_its_image_is_told(runs: ClusterRuns) -> None:
    migrate = {"name": "migrate", "image": "registry.invalid/migrate:1", "securityContext": RESTRICTED}
    template = {"spec": {"initContainers": [migrate]}}
    runs.start(a_run("migrate").shell("true").task(podTemplate=template))
    # Its pull may hang for longer than anyone looks: the image is named before the kubelet has tried.
    runs.told("migrate", "registry.invalid/migrate:1")
    runs.told("migrate", "init container migrate")
    wait_until(
        lambda: runs.get("migrate")["status"]["reason"] in ("ErrImagePull", "ImagePullBackOff"),
        seconds=SECONDS,
        what="the kubelet's own words",
    )
    runs.cancel("migrate")
    runs.wait("migrate", "Cancelled")


def test_a_volume_that_cant_be_mounted_is_told(runs: ClusterRuns) -> None:
    template = {
        "spec": {
            "volumes": [{"name": "data", "secret": {"secretName": "nowhere"}}],
            "containers": [{"name": "task", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
        }
    }
    runs.start(a_run("mount").shell("true").task(podTemplate=template))
    runs.told("mount", 'secret "nowhere" not found')
    assert runs.get("mount")["status"]["reason"] == "FailedMount"
    # The kubelet ends no pod while it waits for a volume, so that a cancel would take minutes.
    runs.kubectl("delete", "tgr", "mount", "--wait=false")
