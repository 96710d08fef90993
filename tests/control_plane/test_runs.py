"""A run's life on a real apiserver, with instant fake pods."""

import pytest
from support.builders import a_run, a_task
from support.operator import OperatorProcess, Runs
from support.servers import wait_until
from tidegate_cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("operator")


@pytest.mark.quick
def test_a_run_becomes_a_job_and_ends_with_its_pod(runs: Runs) -> None:
    made = runs.create(a_run("happy").payload(a=1).labels({"team": "blue", "tidegate.dev/run": "forged"}).built)
    status = runs.wait("happy", "Succeeded")
    (job,) = runs.jobs("happy")
    assert job["metadata"]["ownerReferences"][0] | {"uid": "…"} == {
        "apiVersion": "tidegate.dev/v1alpha1",
        "kind": "TaskRun",
        "name": "happy",
        "uid": "…",
        "controller": True,
    }
    assert job["metadata"]["labels"] == {
        "team": "blue",
        "app.kubernetes.io/managed-by": "tidegate",
        "tidegate.dev/run": "happy",
        "tidegate.dev/run-uid": made["metadata"]["uid"],
        "tidegate.dev/attempt": "1",
        "tidegate.dev/queue": "default",
    }
    (attempt,) = status["attempts"]
    assert (attempt["number"], attempt["jobName"], attempt["outcome"]) == (1, job["metadata"]["name"], "Succeeded")
    assert attempt["podName"].startswith(job["metadata"]["name"])
    assert attempt["nodeName"]
    assert status["queue"] == "default"
    assert status["startedAt"] <= status["finishedAt"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Finished": "True", "Succeeded": "True"}


def test_what_is_only_recorded_stays_as_it_was_and_the_status_says_which_spec_it_speaks_of(runs: Runs) -> None:
    asked = {"parentRun": "nightly-1", "batch": "b-7", "tags": ["red", "blue"], "idempotencyKey": "k-1"}
    runs.create(a_run("recorded").spec(**asked).built)
    status = runs.wait("recorded", "Succeeded")
    made = runs.get("recorded")
    assert made["spec"].items() >= asked.items()
    assert made["metadata"].keys().isdisjoint({"annotations", "finalizers"})
    assert status["observedGeneration"] == made["metadata"]["generation"]
    assert all(c["lastTransitionTime"] for c in status["conditions"])


def test_kubectl_can_wait_for_the_end(plane: ControlPlane, runs: Runs) -> None:
    runs.create(a_run("waited").built)
    plane.kubectl("wait", "--for=condition=Finished", "--timeout=240s", "taskruns.tidegate.dev/waited")


def test_a_run_of_a_task_waits_until_the_task_is_there(runs: Runs) -> None:
    runs.create(a_run("early").task_ref("late").spec(env=[{"name": "B", "value": "run"}]).built)
    status = runs.wait("early", "Pending", reason="TaskNotFound")
    assert "no Task late" in status["message"]
    runs.create(a_task("late", env=[{"name": "A", "value": "task"}, {"name": "B", "value": "task"}]))
    runs.wait("early", "Succeeded")
    (job,) = runs.jobs("early")
    assert job["metadata"]["labels"]["tidegate.dev/task"] == "late"
    env = job["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {e["name"]: e.get("value") for e in env}.items() >= {
        "A": "task",
        "B": "run",
        "TIDEGATE_TASK": "late",
    }.items()


@pytest.mark.quick
def test_a_failing_run_is_retried_and_then_fails_with_its_exit_code(runs: Runs) -> None:
    retry = {"maxAttempts": 3, "initialDelaySeconds": 0}
    runs.create(a_run("failing").pod(exit_code="7").task(retry=retry).built)
    status = runs.wait("failing", "Failed", reason="Error")
    assert status["message"] == "exit code 7"
    assert [(a["number"], a["outcome"], a["exitCode"]) for a in status["attempts"]] == [
        (1, "Failed", 7),
        (2, "Failed", 7),
        (3, "Failed", 7),
    ]
    assert len(runs.jobs("failing")) == 3
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Finished": "True", "Succeeded": "False"}


def test_a_retry_follows_its_back_off_and_says_when(runs: Runs) -> None:
    retry = {"maxAttempts": 2, "initialDelaySeconds": 600, "maxDelaySeconds": 600}
    runs.create(a_run("backing-off").pod(exit_code="1").task(retry=retry).built)
    status = runs.wait("backing-off", "Retrying", reason="BackOff")
    assert status["nextAttemptAt"] > status["attempts"][0]["finishedAt"]
    runs.patch_spec("backing-off", cancel=True)
    assert runs.wait("backing-off", "Cancelled")["reason"] == "Cancelled"
    assert len(runs.jobs("backing-off")) == 1


@pytest.mark.parametrize(
    ("code", "extra"), [("64", {}), ("9", {"nonRetryableExitCodes": [9]}), ("64", {"nonRetryableExitCodes": []})]
)
def test_some_exit_codes_are_final(runs: Runs, code: str, extra: dict[str, list[int]]) -> None:
    name = f"final-{code}-{len(extra.get('nonRetryableExitCodes', [0, 0]))}"
    runs.create(a_run(name).pod(exit_code=code).task(retry={"initialDelaySeconds": 0, **extra}).built)
    status = runs.wait(name, "Failed")
    assert len(status["attempts"]) == 1


def test_a_retry_uses_the_task_as_it_was_at_the_first_attempt(runs: Runs) -> None:
    runs.create(a_task("moving", image="first", retry={"maxAttempts": 2, "initialDelaySeconds": 2, "jitter": False}))
    runs.create(a_run("frozen").task_ref("moving").pod(exit_code="1").built)
    runs.wait("frozen", "Retrying")
    runs.kube.patch("tasks.tidegate.dev", "moving", {"spec": {"image": "second"}})
    runs.wait("frozen", "Failed")
    images = [j["spec"]["template"]["spec"]["containers"][0]["image"] for j in runs.jobs("frozen")]
    assert images == ["first", "first"]


def test_where_no_job_is_left_the_task_is_read_again(runs: Runs) -> None:
    runs.create(a_task("reread", image="first", retry={"maxAttempts": 2, "initialDelaySeconds": 3, "jitter": False}))
    runs.create(a_run("forgotten").task_ref("reread").pod(exit_code="1").built)
    runs.wait("forgotten", "Retrying")
    runs.kube.patch("tasks.tidegate.dev", "reread", {"spec": {"image": "second"}})
    runs.kube.delete("jobs", runs.jobs("forgotten")[0]["metadata"]["name"])
    runs.wait("forgotten", "Failed")
    images = [j["spec"]["template"]["spec"]["containers"][0]["image"] for j in runs.jobs("forgotten")]
    assert images == ["second"]


@pytest.mark.quick
def test_a_running_attempt_is_reported_and_timed_out(runs: Runs) -> None:
    runs.create(a_run("slow").pod(hold="1").task(timeoutSeconds=2, retry={"maxAttempts": 1}).built)
    assert "reason" not in runs.wait("slow", "Running")
    status = runs.wait("slow", "Failed")
    assert status["reason"] == "Timeout"
    assert status["attempts"][0]["outcome"] == "Timeout"
    assert status["message"] == "timed out after 2 s"
    (job,) = runs.jobs("slow")
    assert job["spec"]["template"]["spec"]["activeDeadlineSeconds"] == 302


def test_a_run_without_a_timeout_has_no_deadline(runs: Runs) -> None:
    runs.create(a_run("endless").task(timeoutSeconds=0).built)
    runs.wait("endless", "Succeeded")
    (job,) = runs.jobs("endless")
    assert "activeDeadlineSeconds" not in job["spec"]["template"]["spec"]


@pytest.mark.quick
def test_a_running_run_is_cancelled_and_its_pod_kept(runs: Runs) -> None:
    runs.create(a_run("cancelled").pod(hold="1").built)
    runs.wait("cancelled", "Running")
    runs.patch_spec("cancelled", cancel=True)
    status = runs.wait("cancelled", "Cancelled", reason="Cancelled")
    assert status["attempts"][0]["outcome"] == "Cancelled"
    assert runs.listed("pods", "tidegate.dev/run=cancelled")


def test_a_run_is_cancelled_before_it_starts(runs: Runs) -> None:
    runs.create(a_run("never").spec(cancel=True).built)
    assert "attempts" not in runs.wait("never", "Cancelled")
    assert runs.jobs("never") == []


def test_a_pod_that_never_starts_ends_as_start_timeout_with_the_clusters_words(runs: Runs) -> None:
    task = {"startTimeoutSeconds": 3, "retry": {"maxAttempts": 1}}
    runs.create(a_run("stuck").pod(waiting="ImagePullBackOff").task(**task).built)
    status = runs.wait("stuck", "Failed")
    assert status["reason"] == "StartTimeout"
    assert "ImagePullBackOff" in status["message"]


def test_a_pod_that_no_node_takes_is_cancelled_by_deleting_its_job(runs: Runs) -> None:
    runs.create(a_run("homeless").task(resources={"requests": {"cpu": "1000000"}}).built)
    status = runs.wait("homeless", "Starting", reason="Scheduling")
    assert "Insufficient cpu" in status["message"]
    runs.patch_spec("homeless", cancel=True)
    runs.wait("homeless", "Cancelled")
    wait_until(lambda: not runs.jobs("homeless"), what="the Job to be gone")
    # A deletion that didn't say so would leave the pods of a Job where they are.
    assert runs.listed("pods", "tidegate.dev/run=homeless") == []


def test_an_image_name_that_cannot_be_fails_at_once(runs: Runs) -> None:
    runs.create(a_run("bad-image").pod(waiting="InvalidImageName").built)
    status = runs.wait("bad-image", "Failed")
    assert status["reason"] == "InvalidImageName"
    assert len(status["attempts"]) == 1


def test_a_job_deleted_by_hand_is_an_attempt_that_failed(runs: Runs) -> None:
    retry = {"maxAttempts": 2, "initialDelaySeconds": 0}
    runs.create(a_run("tampered").pod(hold="1").task(retry=retry).built)
    runs.wait("tampered", "Running")
    (job,) = runs.jobs("tampered")
    runs.kube.delete("jobs", job["metadata"]["name"], wait=False)
    wait_until(
        lambda: [a.get("outcome") for a in runs.get("tampered")["status"]["attempts"]][:1] == ["Failed"], what="the end"
    )
    status = runs.wait("tampered", "Running")
    assert [(a["number"], a.get("reason")) for a in status["attempts"]] == [(1, "PodDeleted"), (2, None)]
    runs.patch_spec("tampered", cancel=True)
    runs.wait("tampered", "Cancelled")


def test_a_payload_over_the_limit_is_refused_before_any_pod(runs: Runs) -> None:
    runs.create(a_run("heavy").payload(x="y" * 131_072).built)
    status = runs.wait("heavy", "Failed", reason="InvalidPayload")
    assert "131080 bytes" in status["message"]
    assert runs.jobs("heavy") == []


def test_what_the_apiserver_refuses_in_a_job_fails_with_its_words(runs: Runs) -> None:
    runs.create(a_run("invalid").task(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}).built)
    status = runs.wait("invalid", "Failed", reason="InvalidTask")
    assert "must be less than or equal to cpu limit" in status["message"]


def test_a_job_of_another_that_is_in_the_way_is_a_permanent_error(runs: Runs, operator: OperatorProcess) -> None:
    # Its name can't be known before the run is: a Task that is missing holds the run meanwhile.
    made = runs.create(a_run("squatted").task_ref("later").built)
    from tidegate_api.job_names import job_name

    name = job_name(run="squatted", run_uid=made["metadata"]["uid"], number=1)
    pod = {"restartPolicy": "Never", "containers": [{"name": "task", "image": "busybox"}]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod}}}
    runs.kube.create(job)
    runs.create(a_task("later"))
    status = runs.wait("squatted", "Failed", reason="Error")
    assert name in status["message"]


def test_a_quota_on_jobs_holds_a_run_until_there_is_room(runs: Runs) -> None:
    kube = runs.kube.create_namespace("tight")
    kube.create_quota("none", {"count/jobs.batch": 0})
    manifest = a_run("squeezed").built
    manifest["metadata"]["namespace"] = "tight"
    runs.create(manifest)

    def phase() -> str:
        status = kube.get("taskruns.tidegate.dev", "squeezed")["status"]
        return f"{status['phase']}/{status.get('reason', '')}"

    wait_until(lambda: phase() == "Pending/QuotaExceeded", what="the run to be held")
    kube.delete("resourcequotas", "none")
    wait_until(lambda: phase() == "Succeeded/", what="the run to go on")


def test_a_finished_run_is_deleted_after_its_ttl(runs: Runs) -> None:
    runs.create(a_run("short-lived").spec(ttlSecondsAfterFinished=0).built)
    wait_until(lambda: runs.kube.find("taskruns.tidegate.dev", "short-lived") is None, what="the run to go")


def test_a_failure_makes_a_warning_event_and_success_makes_none(runs: Runs) -> None:
    runs.create(a_run("loud").pod(exit_code="3").task(retry={"maxAttempts": 1}).built)
    runs.create(a_run("quiet").built)
    runs.wait("loud", "Failed")
    runs.wait("quiet", "Succeeded")

    def events(run: str) -> list[tuple[str, str]]:
        found = [e for e in runs.listed("events") if e["involvedObject"]["name"] == run]
        return [(e["type"], e["reason"]) for e in found if e["involvedObject"]["kind"] == "TaskRun"]

    wait_until(lambda: events("loud") == [("Warning", "Error")], what="the event")
    assert events("quiet") == []
