"""policies/outcome: how an attempt ended, from what its pod says."""

from typing import Any

import pytest
from support.records import an_attempt
from tidegate_api.names import Outcome
from tidegate_operator.policies.outcome import ABSENT, end_of
from tidegate_operator.records.parsing import count_containers, parse_pod
from tidegate_operator.records.run import Cause

NOW = 1_000_000.0


def test_an_attempt_without_a_pod_goes_on() -> None:
    assert end_of(an_attempt().built, cancelled=False, now=NOW) is None


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown"])
def test_an_attempt_whose_pod_lives_goes_on(phase: str) -> None:
    assert end_of(an_attempt().pod(phase=phase).built, cancelled=True, now=NOW) is None


@pytest.mark.parametrize(
    ("message", "result"),
    [('{"a": 1}', {"a": 1}), ("null", None), ("0", 0), ('"text"', "text"), ("[]", []), ("", ABSENT), ("  \n", ABSENT)],
)
def test_json_in_the_termination_message_is_the_result(message: str, result: object) -> None:
    end = end_of(
        an_attempt().pod(phase="Succeeded", exit_code=0, termination_message=message).built, cancelled=False, now=NOW
    )
    assert end is not None
    assert (end.outcome, end.result) == (Outcome.SUCCEEDED, result)


def test_text_that_is_not_json_is_the_message() -> None:
    end = end_of(an_attempt().pod(phase="Succeeded", termination_message="all done").built, cancelled=False, now=NOW)
    assert end is not None
    assert (end.outcome, end.message, end.result) == (Outcome.SUCCEEDED, "all done", ABSENT)


@pytest.mark.parametrize("text", ["NaN", "Infinity", '{"a": -Infinity}'])
def test_what_only_python_calls_json_is_no_result(text: str) -> None:
    end = end_of(an_attempt().pod(phase="Succeeded", termination_message=text).built, cancelled=False, now=NOW)
    assert end is not None
    assert end.result is ABSENT


@pytest.mark.parametrize(("containers", "size"), [(1, 4096), (3, 4096), (4, 3072), (12, 1024)])
def test_a_result_cut_at_the_kubelets_limit_is_too_large(containers: int, size: int) -> None:
    cut = an_attempt().pod(phase="Succeeded", termination_message='"' + "x" * (size - 1), containers=containers)
    end = end_of(cut.built, cancelled=False, now=NOW)
    assert end is not None
    assert (end.outcome, end.reason, end.final) == (Outcome.FAILED, "ResultTooLarge", True)
    below = an_attempt().pod(phase="Succeeded", termination_message='"' + "x" * (size - 2), containers=containers)
    end = end_of(below.built, cancelled=False, now=NOW)
    assert end is not None
    assert end.outcome is Outcome.SUCCEEDED


def test_a_reference_says_that_the_store_holds_the_result() -> None:
    text = '{"tidegate.dev/resultRef": {"bytes": 9, "sha256": "' + "ab" * 32 + '"}}'
    end = end_of(an_attempt().pod(phase="Succeeded", termination_message=text).built, cancelled=False, now=NOW)
    assert end is not None
    assert (end.result, end.result_ref) == (ABSENT, {"bytes": 9, "sha256": "ab" * 32})


@pytest.mark.parametrize(
    ("pod", "reason", "message"),
    [
        ({"exit_code": 3}, "Error", "exit code 3"),
        ({"exit_code": 3, "termination_message": "first\nValueError: no\n\n"}, "Error", "ValueError: no"),
        (
            {"exit_code": 137, "termination_reason": "OOMKilled"},
            "OOMKilled",
            "the container used more memory than its limit",
        ),
        ({"reason": "Evicted", "message": "ephemeral storage"}, "Evicted", "ephemeral storage"),
        ({"exit_code": 143, "deleting": True}, "PodDeleted", "the pod was deleted before it ended"),
    ],
)
def test_a_failed_pod_has_its_reason(pod: dict[str, object], reason: str, message: str) -> None:
    end = end_of(an_attempt().pod(phase="Failed", **pod).built, cancelled=False, now=NOW)
    assert end is not None
    assert (end.outcome, end.reason, end.message, end.final) == (Outcome.FAILED, reason, message, False)


def test_a_result_that_the_store_refused_is_too_large_in_its_words() -> None:
    text = '{"tidegate.dev/resultTooLarge": "the project\\nhas no room"}'
    end = end_of(
        an_attempt().pod(phase="Failed", exit_code=64, termination_message=text).built, cancelled=False, now=NOW
    )
    assert end is not None
    assert (end.outcome, end.reason, end.final) == (Outcome.FAILED, "ResultTooLarge", True)
    assert end.message == "has no room"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (1, '{"tidegate.dev/resultTooLarge": "no"}'),
        (64, '{"tidegate.dev/resultTooLarge": 7}'),
        (64, '{"tidegate.dev/resultTooLarge": "no", "more": 1}'),
        (64, '{"tidegate.dev/resultTooLarge": "cut'),
    ],
)
def test_anything_like_it_is_an_ordinary_failure(code: int, text: str) -> None:
    pod = an_attempt().pod(phase="Failed", exit_code=code, termination_message=text)
    end = end_of(pod.built, cancelled=False, now=NOW)
    assert end is not None
    assert (end.reason, end.message) == ("Error", text)


def test_exit_64_is_final_and_exit_65_names_its_delay() -> None:
    aborted = end_of(an_attempt().pod(phase="Failed", exit_code=64).built, cancelled=False, now=NOW)
    assert aborted is not None
    assert aborted.final
    text = '{"retryAfterSeconds": 30, "message": "slow down"}'
    later = end_of(
        an_attempt().pod(phase="Failed", exit_code=65, termination_message=text).built, cancelled=False, now=NOW
    )
    assert later is not None
    assert (later.retry_after, later.message, later.final) == (30, "slow down", False)


@pytest.mark.parametrize("text", ["", "soon", "[]", '{"retryAfterSeconds": "x"}'])
def test_exit_65_without_a_number_is_an_ordinary_failure(text: str) -> None:
    end = end_of(
        an_attempt().pod(phase="Failed", exit_code=65, termination_message=text).built, cancelled=False, now=NOW
    )
    assert end is not None
    assert (end.retry_after, end.reason) == (None, "Error")


def test_a_pod_stopped_by_its_deadline_is_cancelled_or_timed_out() -> None:
    stopped = an_attempt().pod(phase="Failed", reason="DeadlineExceeded", exit_code=143, started=NOW - 9)
    cancelled = end_of(stopped.built, cancelled=True, now=NOW)
    timed_out = end_of(stopped.built, cancelled=False, now=NOW)
    assert cancelled is not None
    assert timed_out is not None
    assert (cancelled.outcome, timed_out.outcome, timed_out.final) == (Outcome.CANCELLED, Outcome.TIMEOUT, False)


def test_a_pod_that_ended_before_its_stop_keeps_its_own_end() -> None:
    end = end_of(an_attempt().pod(phase="Succeeded", exit_code=0).built, cancelled=True, now=NOW)
    assert end is not None
    assert end.outcome is Outcome.SUCCEEDED


def test_a_pod_that_never_started_is_a_start_timeout() -> None:
    end = end_of(an_attempt().pod(phase="Failed", reason="DeadlineExceeded").built, cancelled=False, now=NOW)
    assert end is not None
    assert (end.outcome, end.reason, end.final) == (Outcome.FAILED, "StartTimeout", False)


def test_why_a_pod_was_stopped_outlives_the_operator() -> None:
    pod = an_attempt().pod(phase="Failed", reason="DeadlineExceeded", stop_reason="InvalidImageName")
    end = end_of(pod.built, cancelled=False, now=NOW)
    assert end is not None
    assert (end.reason, end.final) == ("InvalidImageName", True)


@pytest.mark.parametrize(
    ("finished", "outcome", "reason"),
    [
        (NOW - 40, Outcome.SUCCEEDED, None),
        (NOW - 31.5, Outcome.SUCCEEDED, None),
        # The node reports whole seconds: it may have ended after the stop.
        (NOW - 30.5, Outcome.FAILED, "StartTimeout"),
        (NOW - 10, Outcome.FAILED, "StartTimeout"),
    ],
)
def test_a_task_that_ended_before_its_pod_was_stopped_keeps_its_own_end(
    finished: float, outcome: Outcome, reason: str | None
) -> None:
    attempt = an_attempt().pod(
        phase="Failed",
        reason="DeadlineExceeded",
        stop_reason="StartTimeout",
        stop_floor=NOW - 30,
        started=NOW - 50,
        finished=finished,
        exit_code=0,
        termination_message='"done"',
    )
    end = end_of(attempt.built, cancelled=False, now=NOW)
    assert end is not None
    assert (end.outcome, end.reason, end.exit_code) == (outcome, reason, 0)


@pytest.mark.parametrize(
    ("accepted", "seen", "floor"),
    [(None, None, None), (500.0, None, None), (500.0, NOW - 20, 520.0), (500.0, NOW + 5, 500.0)],
)
def test_a_stop_reaches_a_pod_no_sooner_than_so_long_after_it_was_taken_on(
    accepted: float | None, seen: float | None, floor: float | None
) -> None:
    pod = an_attempt().pod(phase="Pending", accepted=accepted, accepted_seen=seen).built.pod
    assert pod is not None
    assert pod.stop_floor_at(NOW) == floor


def test_a_disrupted_pod_is_replaced_by_its_job() -> None:
    disrupted = an_attempt().pod(phase="Failed", disrupted=True, exit_code=137)
    assert end_of(disrupted.built, cancelled=False, now=NOW) is None
    gone = disrupted.built
    gone.job_gone = True
    end = end_of(gone, cancelled=False, now=NOW)
    assert end is not None
    assert end.outcome is Outcome.DISRUPTED


def test_a_pod_that_the_kubelet_turned_away_is_a_disruption() -> None:
    pod = an_attempt().pod(phase="Failed", reason="OutOfcpu", message="no cpu left")
    end = end_of(pod.built, cancelled=False, now=NOW)
    assert end is not None
    assert (end.outcome, end.reason) == (Outcome.DISRUPTED, "OutOfcpu")


def test_no_attempt_ends_while_another_of_its_pods_lives() -> None:
    attempt = an_attempt().pod(phase="Failed", exit_code=1).pod(phase="Running")
    assert end_of(attempt.built, cancelled=False, now=NOW) is None


def test_a_job_that_is_gone_without_a_pod_ends_its_attempt() -> None:
    attempt = an_attempt().built
    attempt.job_gone = True
    deleted = end_of(attempt, cancelled=False, now=NOW)
    cancelled = end_of(attempt, cancelled=True, now=NOW)
    attempt.stop = Cause("StartTimeout", "no node")
    stopped = end_of(attempt, cancelled=False, now=NOW)
    assert deleted is not None
    assert cancelled is not None
    assert stopped is not None
    assert (deleted.reason, cancelled.outcome, stopped.reason) == ("PodDeleted", Outcome.CANCELLED, "StartTimeout")


@pytest.mark.parametrize("skew", [-600.0, 600.0])
def test_a_node_whose_clock_is_ten_minutes_off_makes_no_negative_duration(skew: float) -> None:
    attempt = an_attempt(created=NOW - 20).pod(
        phase="Succeeded", received=NOW, started=NOW - 10 + skew, finished=NOW - 2 + skew
    )
    end = end_of(attempt.built, cancelled=False, now=NOW)
    assert end is not None
    assert end.started is not None
    assert NOW - 20 <= end.started <= end.finished <= NOW


def ended(name: str, code: int, message: str = "") -> Any:
    return {"name": name, "state": {"terminated": {"exitCode": code, "message": message}}}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            {
                "initContainerStatuses": [ended("proxy", 143), ended("migrate", 0), ended("fetch", 2, "no\nroute")],
                "containerStatuses": [{"name": "task", "state": {"waiting": {"reason": "PodInitializing"}}}],
            },
            "container fetch ended with exit code 2: no route",
        ),
        (
            {"containerStatuses": [ended("other", 3), ended("task", 4, "mine")]},
            "mine",
        ),
    ],
)
def test_a_pod_that_another_container_made_fail_says_so(status: Any, message: str) -> None:
    attempt = an_attempt().built
    body: Any = {
        "metadata": {"uid": "pod-1", "name": "p", "resourceVersion": "1"},
        "status": {"phase": "Failed", **status},
    }
    attempt.pods["pod-1"] = parse_pod(body, job_uid=attempt.job_uid, received=NOW)
    end = end_of(attempt, cancelled=False, now=NOW)
    assert end is not None
    assert (end.outcome, end.reason, end.message) == (Outcome.FAILED, "Error", message)


def test_containers_of_every_kind_share_what_the_kubelet_keeps() -> None:
    spec: dict[str, Any] = {"containers": [{}, {}], "initContainers": [{}], "ephemeralContainers": [{}]}
    assert count_containers(spec) == 4
    assert count_containers({}) == 1
