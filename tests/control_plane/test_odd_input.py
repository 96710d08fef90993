"""Inputs after public reports about systems of this kind: each harms no other and ends, or says why it doesn't."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from support.builders import a_queue, a_run, a_task
from support.faults import held
from support.operator import OperatorProcess, OwnRuns
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

GROUP = "/apis/tidegate.dev/v1alpha1"
BOUND = "not a whole number from 0 to 31536000"
TOO_DEEP = ("InvalidPayload", "the payload nests deeper than 500 levels")


@pytest.fixture(scope="module")
def own(plane: ControlPlane, operator: OperatorProcess) -> OwnRuns:
    return OwnRuns(plane, "odd-input")


def refused(own: OwnRuns, body: dict[str, Any]) -> str:
    with pytest.raises(Exception, match=r".") as found:
        own.create(body)
    return str(found.value)


def pods(own: OwnRuns, name: str) -> list[dict[str, Any]]:
    return own.listed("pods", f"tidegate.dev/run={name}")


def set_pod_status(own: OwnRuns, name: str, status: dict[str, Any]) -> None:
    """What the kubelet would say of the run's one pod."""
    wait_until(lambda: len(pods(own, name)) == 1, what=f"the pod of {name}")
    pod = pods(own, name)[0]["metadata"]["name"]
    own.kube.patch("pods", pod, {"status": status}, subresource="status")


def container(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "image": "x", "imageID": "sha256:ab", "ready": False, "restartCount": 0, "state": state}


def now(offset: float = 0.0) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + offset))


def test_a_time_with_a_lowercase_z_is_a_time(own: OwnRuns, operator: OperatorProcess) -> None:
    soon = now(2).replace("Z", "z")
    own.create(a_run("lowercase-z").spec(startAfter=soon).built)
    own.create(a_run("far").spec(startAfter="9998-12-31t23:59:59-23:59").built)
    operator.kill()
    operator.start().wait_leading()
    own.wait("lowercase-z", "Succeeded")
    own.wait("far", "Pending", reason="Delayed")


@pytest.mark.parametrize("text", ["9999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z"])
def test_a_time_beyond_the_contracts_years_is_refused_at_apply(own: OwnRuns, text: str) -> None:
    assert "spec.startAfter" in refused(own, a_run("never").spec(startAfter=text).built)


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("deadlineSeconds", {"deadlineSeconds": 31_536_001}),
        ("startDeadlineSeconds", {"startDeadlineSeconds": 2**63 - 1}),
        ("dependencyTimeoutSeconds", {"dependencyTimeoutSeconds": 300_000_000_000}),
        ("ttlSecondsAfterFinished", {"ttlSecondsAfterFinished": 2**63 - 1}),
    ],
)
def test_numbers_beyond_their_bounds_are_refused_at_apply(own: OwnRuns, field: str, spec: dict[str, Any]) -> None:
    assert f"spec.{field}" in refused(own, a_run("never").spec(**spec).built)


def test_a_rate_in_nanoseconds_is_refused_at_apply(own: OwnRuns) -> None:
    said = refused(own, a_queue("slow", rateLimit={"runs": 1, "perSeconds": 300_000_000_000}))
    assert "spec.rateLimit.perSeconds" in said


@pytest.mark.parametrize(
    ("name", "message", "words"),
    [
        ("ms", '{"retryAfterSeconds": 1767225600000, "message": "429"}', BOUND),
        ("inf", '{"retryAfterSeconds": 1e999}', ""),
        ("digits", '{"retryAfterSeconds": ' + "9" * 400 + "}", ""),
        ("minus", '{"retryAfterSeconds": -5}', BOUND),
        ("nan", '{"retryAfterSeconds": NaN}', ""),
    ],
)
def test_a_retry_after_that_is_none_is_an_ordinary_failure(own: OwnRuns, name: str, message: str, words: str) -> None:
    run = f"later-{name}"
    own.create(held(run, retry={"maxAttempts": 1}).built)
    own.wait(run, "Running")
    ended = container("task", terminated={"exitCode": 65, "message": message, "startedAt": now(), "finishedAt": now()})
    set_pod_status(own, run, {"phase": "Failed", "containerStatuses": [ended]})
    status = own.wait(run, "Failed", reason="Error")
    assert words in status["message"]


def test_exit_64_of_a_pod_that_was_stopped_is_a_timeout_and_retried(own: OwnRuns) -> None:
    own.create(held("stopped-64", retry={"maxAttempts": 2, "initialDelaySeconds": 3600}).built)
    own.wait("stopped-64", "Running")
    wait_until(lambda: len(pods(own, "stopped-64")) == 1, what="its pod")
    pod = pods(own, "stopped-64")[0]["metadata"]["name"]
    own.kube.annotate("pods", pod, {"tidegate.dev/stop-reason": "Timeout"})
    ended = container("task", terminated={"exitCode": 64, "startedAt": now(), "finishedAt": now()})
    set_pod_status(own, "stopped-64", {"phase": "Failed", "reason": "DeadlineExceeded", "containerStatuses": [ended]})
    status = own.wait("stopped-64", "Retrying", reason="BackOff")
    assert [(a["outcome"], a["reason"]) for a in status["attempts"]] == [("Timeout", "Timeout")]


def test_the_end_of_the_task_counts_whatever_another_container_waits_for(own: OwnRuns) -> None:
    template = {"spec": {"terminationGracePeriodSeconds": 6, "containers": [{"name": "agent", "image": "x"}]}}
    own.create(held("beside").task(podTemplate=template, startTimeoutSeconds=3).built)
    own.wait("beside", "Running")
    pod = pods(own, "beside")[0]["metadata"]["name"]
    result = {"fake.tidegate.dev/message": "true"}  # of the fake node, should it be the one that ends the pod
    own.kube.annotate("pods", pod, result)
    done = container("task", terminated={"exitCode": 0, "message": "true", "startedAt": now(), "finishedAt": now()})
    waits = container("agent", waiting={"reason": "ImagePullBackOff", "message": "no such image"})
    set_pod_status(own, "beside", {"phase": "Pending", "containerStatuses": [done, waits]})

    def says_what_it_waits_for() -> bool:
        status = own.get("beside")["status"]
        reported = "agent (ImagePullBackOff: no such image)" in status.get("message", "")
        return status["phase"] == "Running" and reported

    def is_stopped() -> bool:
        seconds: int = pods(own, "beside")[0]["spec"].get("activeDeadlineSeconds", 0)
        return seconds == 1

    wait_until(says_what_it_waits_for, what="the run to say what its pod waits for")
    wait_until(is_stopped, what="the pod to be stopped once its task has ended")
    ended = {"phase": "Failed", "reason": "DeadlineExceeded", "containerStatuses": [done, waits]}
    set_pod_status(own, "beside", ended)
    status = own.wait("beside", "Succeeded")
    assert status["result"] is True
    assert [a["outcome"] for a in status["attempts"]] == ["Succeeded"]


def test_a_stopped_pod_says_when_the_stop_reached_it_at_the_earliest(own: OwnRuns) -> None:
    # Its whole deadline is longer than the node's clock is slow: the fake node would end it at once by that.
    task = {"startTimeoutSeconds": 8, "timeoutSeconds": 7200, "retry": {"maxAttempts": 1}}
    own.create(a_run("pulls").pod(waiting="ContainerCreating").task(**task).built)
    # The fake node writes the whole status, once.
    wait_until(lambda: any("containerStatuses" in pod["status"] for pod in pods(own, "pulls")), what="its node")
    # A node whose clock is an hour slow has taken the pod on.
    set_pod_status(own, "pulls", {"phase": "Pending", "startTime": now(-3600)})
    own.wait("pulls", "Failed", reason="StartTimeout")
    (pod,) = pods(own, "pulls")
    taken_on, stopped = (
        datetime.fromisoformat(text)
        for text in (pod["status"]["startTime"], pod["metadata"]["annotations"]["tidegate.dev/stopped-after"])
    )
    assert 0 <= (stopped - taken_on).total_seconds() < 1800  # by the node's clock, which is an hour behind


def test_work_that_was_done_before_a_start_timeout_counts(own: OwnRuns) -> None:
    # While the kubelet pulls another container's image it posts no status: the stop was made in ignorance of the end.
    own.create(held("pulled").built)
    wait_until(lambda: len(pods(own, "pulled")) == 1, what="its pod")
    pod = pods(own, "pulled")[0]["metadata"]["name"]
    stop = {"tidegate.dev/stop-reason": "StartTimeout", "tidegate.dev/stopped-after": now(20)}
    own.kube.annotate("pods", pod, stop)
    done = container("task", terminated={"exitCode": 0, "message": "7", "startedAt": now(), "finishedAt": now()})
    lost = container("agent", terminated={"exitCode": 137, "reason": "ContainerStatusUnknown"})
    ended = {"phase": "Failed", "reason": "DeadlineExceeded", "containerStatuses": [done, lost]}
    set_pod_status(own, "pulled", ended)
    status = own.wait("pulled", "Succeeded")
    assert status["result"] == 7
    assert [a["outcome"] for a in status["attempts"]] == ["Succeeded"]


def test_a_task_that_another_container_fails_beside_has_succeeded(own: OwnRuns) -> None:
    own.create(held("failed-beside").built)
    own.wait("failed-beside", "Running")
    done = container("task", terminated={"exitCode": 0, "message": "1", "startedAt": now(), "finishedAt": now()})
    other = container("agent", terminated={"exitCode": 3, "startedAt": now(), "finishedAt": now()})
    set_pod_status(own, "failed-beside", {"phase": "Failed", "containerStatuses": [done, other]})
    assert own.wait("failed-beside", "Succeeded")["result"] == 1


def test_the_words_of_an_init_container_reach_the_status(own: OwnRuns) -> None:
    own.create(a_run("init").pod(waiting="PodInitializing").task(startTimeoutSeconds=3600).built)
    own.wait("init", "Starting")
    waits = container("migrate", waiting={"reason": "ErrImagePull", "message": "no such image migrate:1"})
    begins = container("task", waiting={"reason": "PodInitializing"})
    set_pod_status(own, "init", {"phase": "Pending", "initContainerStatuses": [waits], "containerStatuses": [begins]})
    status = own.wait("init", "Starting", reason="ErrImagePull")
    assert status["message"] == "init container migrate: no such image migrate:1"


def test_the_words_of_a_pods_events_reach_the_status(own: OwnRuns) -> None:
    own.create(a_run("mount").pod(waiting="ContainerCreating").task(startTimeoutSeconds=3600).built)
    own.wait("mount", "Starting")
    meta = pods(own, "mount")[0]["metadata"]
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "mount.1", "namespace": own.namespace},
        "involvedObject": {"kind": "Pod", "namespace": own.namespace, "name": meta["name"], "uid": meta["uid"]},
        "type": "Warning",
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed for volume "data": secret "db" not found',
        "lastTimestamp": now(),
        "source": {"component": "kubelet"},
    }
    own.kube.create(event)
    status = own.wait("mount", "Starting", reason="FailedMount")
    assert 'secret "db" not found' in status["message"]


@pytest.fixture
def webhook(own: OwnRuns) -> Iterator[str]:
    """An admission webhook of Jobs that is down."""
    name = "down.example.com"
    own.kube.create(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [
                {
                    "name": name,
                    "clientConfig": {"service": {"name": "nobody", "namespace": "default", "path": "/"}},
                    "rules": [
                        {
                            "apiGroups": ["batch"],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE"],
                            "resources": ["jobs"],
                        }
                    ],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": own.namespace}},
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "admissionReviewVersions": ["v1"],
                    "timeoutSeconds": 2,
                }
            ],
        }
    )
    yield name
    if own.kube.find("validatingwebhookconfigurations", name):
        own.kube.delete("validatingwebhookconfigurations", name)


def test_a_webhook_that_is_down_is_reported_and_holds_no_slot(
    own: OwnRuns, webhook: str, operator: OperatorProcess
) -> None:
    own.create(a_queue("hooked", concurrencyLimit=1))
    own.create(a_run("hooked").spec(queue="hooked").built)
    status = own.wait("hooked", "Pending", reason="CreateRefused")
    assert webhook in status["message"]
    slots = f'tidegate_queue_running{{namespace="{own.namespace}",queue="hooked"}}'
    wait_until(lambda: operator.metric(slots) == 0, what="the slot to be free")
    own.kube.delete("validatingwebhookconfigurations", webhook)
    own.wait("hooked", "Succeeded")


def test_nothing_starts_of_a_run_that_is_being_deleted(own: OwnRuns) -> None:
    body = a_run("going").spec(suspend=True).built
    body["metadata"]["finalizers"] = ["example.com/backup"]
    own.create(body)
    own.wait("going", "Pending", reason="Suspended")
    own.kube.delete("taskruns.tidegate.dev", "going", wait=False)
    own.patch_spec("going", suspend=False)
    own.create(a_run("after-going").built)
    own.wait("after-going", "Succeeded")
    assert own.jobs("going") == []
    own.kube.patch("taskruns.tidegate.dev", "going", {"metadata": {"finalizers": None}})


def test_no_attempt_follows_one_of_a_run_that_is_being_deleted(own: OwnRuns) -> None:
    body = held("going-on", retry={"maxAttempts": 3, "initialDelaySeconds": 0}).built
    body["metadata"]["finalizers"] = ["example.com/backup"]
    own.create(body)
    own.wait("going-on", "Running")
    own.kube.delete("taskruns.tidegate.dev", "going-on", wait=False)
    ended = container("task", terminated={"exitCode": 1, "startedAt": now(), "finishedAt": now()})
    set_pod_status(own, "going-on", {"phase": "Failed", "containerStatuses": [ended]})
    own.wait("going-on", "Retrying")
    own.create(a_run("after-going-on").built)
    own.wait("after-going-on", "Succeeded")
    assert len(own.jobs("going-on")) == 1
    own.kube.patch("taskruns.tidegate.dev", "going-on", {"metadata": {"finalizers": None}})


def test_a_runs_variable_stands_before_those_of_its_task_that_refer_to_it(own: OwnRuns) -> None:
    own.create(a_task("url", env=[{"name": "URL", "value": "http://$(HOST)/api"}]))
    own.create(a_run("url").task_ref("url").spec(env=[{"name": "HOST", "value": "db"}]).built)
    own.wait("url", "Succeeded")
    (job,) = own.jobs("url")
    names = [e["name"] for e in job["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert names.index("HOST") < names.index("URL")


@pytest.mark.parametrize(
    ("levels", "phase", "cause"),
    [(300, "Succeeded", ("", "")), (1200, "Failed", TOO_DEEP), (8000, "Failed", TOO_DEEP)],
)
def test_a_payload_nested_too_deeply_ends_its_own_run_alone(
    own: OwnRuns, operator: OperatorProcess, levels: int, phase: str, cause: tuple[str, str]
) -> None:
    name = f"deep-{levels}"
    body = json.dumps(own.placed(a_run(name).spec(payload={"p": "@@"}).built))
    text = body.replace('"@@"', '{"a":' * levels + '"x\\u0000y"' + "}" * levels)
    own.kube.create_text("taskruns.tidegate.dev", text)

    def reported(column: str) -> str:
        return own.kube.cells("taskruns.tidegate.dev", name)[column]

    wait_until(lambda: reported("Phase") == phase, what=f"{name} to be {phase}")
    assert (reported("Reason"), reported("Message")) == cause
    operator.kill()
    operator.start().wait_leading()
    own.create(a_run(f"beside-{name}").built)
    own.wait(f"beside-{name}", "Succeeded")
