"""What holds a run before its queue does, and the deadlines that end it: on a real apiserver."""

import time
from typing import Any

import pytest
from support.builders import a_queue, a_run
from support.operator import Runs
from support.servers import wait_until
from tidegate_api.times import format_time, parse_time

pytestmark = pytest.mark.usefixtures("operator")


def in_seconds(seconds: float) -> str:
    return format_time(time.time() + seconds)


def test_start_after_delays_a_run_and_can_be_moved(runs: Runs) -> None:
    runs.create(a_run("delayed").spec(startAfter=in_seconds(3600)).built)
    status = runs.wait("delayed", "Pending", reason="Delayed")
    assert "queuedAt" not in status
    assert runs.jobs("delayed") == []
    soon = in_seconds(2)
    runs.patch_spec("delayed", startAfter=soon)
    status = runs.wait("delayed", "Succeeded")
    assert parse_time(status["queuedAt"]) == pytest.approx(parse_time(soon), abs=0.01)


def test_a_suspended_run_starts_when_released_and_is_queued_from_then_on(runs: Runs) -> None:
    runs.create(a_run("suspended").spec(suspend=True).built)
    runs.wait("suspended", "Pending", reason="Suspended")
    assert runs.jobs("suspended") == []
    released = time.time()
    runs.patch_spec("suspended", suspend=False)
    status = runs.wait("suspended", "Succeeded")
    assert (parse_time(status["queuedAt"]) or 0) >= released - 1


def test_suspend_holds_the_next_attempt_of_a_started_run(runs: Runs) -> None:
    retry = {"maxAttempts": 2, "initialDelaySeconds": 2, "jitter": False}
    runs.create(a_run("paused-late").pod(exit_code="1").task(retry=retry).built)
    runs.wait("paused-late", "Retrying")
    runs.patch_spec("paused-late", suspend=True)
    runs.wait("paused-late", "Retrying", reason="Suspended")
    assert len(runs.jobs("paused-late")) == 1
    runs.patch_spec("paused-late", suspend=False)
    assert len(runs.wait("paused-late", "Failed", reason="Error")["attempts"]) == 2


def test_what_is_not_started_in_time_expires(runs: Runs) -> None:
    runs.create(a_queue("full", concurrencyLimit=0))
    runs.create(a_run("expired").spec(queue="full", startDeadlineSeconds=2).built)
    status = runs.wait("expired", "Expired", reason="StartDeadlineExceeded")
    assert status["message"] == "not started within 2 s"
    assert "attempts" not in status


@pytest.mark.quick
def test_dependents_start_when_all_have_succeeded_also_of_runs_not_there_yet(runs: Runs) -> None:
    needs = [{"name": "up-1"}, {"name": "up-2"}]
    runs.create(a_run("down").spec(dependsOn=needs).built)
    status = runs.wait("down", "Pending", reason="WaitingForDependencies")
    assert "up-1 (not there yet)" in status["message"]
    runs.create(a_run("up-1").built)
    runs.create(a_run("up-2").pod(hold="1").built)
    runs.wait("up-1", "Succeeded")
    runs.wait("up-2", "Running")
    assert runs.jobs("down") == []
    name = runs.jobs("up-2")[0]["metadata"]["name"]
    runs.kube.annotate_all("pods", f"job-name={name}", {"fake.tidegate.dev/exit-code": "0"})
    status = runs.wait("down", "Succeeded")
    assert status["queuedAt"] == runs.get("up-2")["status"]["finishedAt"]


def test_a_failed_upstream_skips_who_needs_its_success_and_lets_the_others_go(runs: Runs) -> None:
    runs.create(a_run("broken").pod(exit_code="64").built)
    for name, when in (("needs-success", "Succeeded"), ("needs-end", "Finished")):
        runs.create(a_run(name).spec(dependsOn=[{"name": "broken", "when": when}]).built)
    status = runs.wait("needs-success", "Skipped", reason="DependencyFailed")
    assert "run broken ended as Failed/Error" in status["message"]
    runs.wait("needs-end", "Succeeded")


def test_an_upstream_that_never_comes_is_given_up_by_name(runs: Runs) -> None:
    spec: dict[str, Any] = {"dependsOn": [{"name": "never-made"}], "dependencyTimeoutSeconds": 2}
    runs.create(a_run("hopeful").spec(**spec).built)
    assert "run never-made" in runs.wait("hopeful", "Skipped", reason="DependencyFailed")["message"]


def test_every_run_of_a_cycle_fails_and_who_waits_for_it_is_skipped(runs: Runs) -> None:
    for name, needs in (("ring-a", "ring-b"), ("ring-b", "ring-c"), ("ring-beside", "ring-a"), ("ring-c", "ring-a")):
        runs.create(a_run(name).spec(dependsOn=[{"name": needs}]).built)
    for name in ("ring-a", "ring-b", "ring-c"):
        runs.wait(name, "Failed", reason="DependencyCycle")
    runs.wait("ring-beside", "Skipped", reason="DependencyFailed")


def test_a_finished_run_stays_while_a_live_one_depends_on_it(runs: Runs) -> None:
    runs.create(a_run("needed").spec(ttlSecondsAfterFinished=0).pod(hold="1").built)
    runs.create(a_run("needs-it").spec(dependsOn=[{"name": "needed"}], suspend=True).built)
    runs.wait("needed", "Running")
    name = runs.jobs("needed")[0]["metadata"]["name"]
    runs.kube.annotate_all("pods", f"job-name={name}", {"fake.tidegate.dev/exit-code": "0"})
    runs.wait("needed", "Succeeded")
    runs.create(a_run("short-lived").spec(ttlSecondsAfterFinished=0).built)
    wait_until(lambda: not there(runs, "short-lived"), what="the other to be deleted")
    assert there(runs, "needed")
    runs.patch_spec("needs-it", suspend=False)
    runs.wait("needs-it", "Succeeded")
    wait_until(lambda: not there(runs, "needed"), what="it to be deleted too")


def there(runs: Runs, name: str) -> bool:
    return runs.kube.find("taskruns.tidegate.dev", name) is not None


def test_the_deadline_of_the_whole_run_ends_a_running_attempt(runs: Runs) -> None:
    retry = {"maxAttempts": 5}
    runs.create(a_run("overdue").pod(hold="1").task(deadlineSeconds=3, retry=retry).built)
    status = runs.wait("overdue", "Failed", reason="DeadlineExceeded")
    assert len(status["attempts"]) == 1
    assert status["attempts"][0]["outcome"] == "Timeout"


def test_the_deadline_of_the_whole_run_ends_a_back_off(runs: Runs) -> None:
    retry = {"maxAttempts": 5, "initialDelaySeconds": 600, "maxDelaySeconds": 600}
    runs.create(a_run("overdue-later").pod(exit_code="1").task(deadlineSeconds=3, retry=retry).built)
    runs.wait("overdue-later", "Retrying")
    status = runs.wait("overdue-later", "Failed", reason="DeadlineExceeded")
    assert [a["reason"] for a in status["attempts"]] == ["Error"]


def test_a_run_is_queued_by_its_start_time_though_its_task_is_not_there(runs: Runs) -> None:
    runs.create(a_run("taskless").task_ref("no-such-task").spec(startAfter=in_seconds(2)).built)
    status = runs.wait("taskless", "Pending", reason="TaskNotFound")
    assert status["queuedAt"] == runs.get("taskless")["spec"]["startAfter"]
