"""An attempt in a worker ends as a pod does: by the same policies, from what its worker reports."""

import pytest
from support.records import NOW, a_handover_attempt, a_run_record
from tidegate_api.names import Phase
from tidegate_operator.policies.active_attempt import follow
from tidegate_operator.policies.decision import DecisionContext, WriteStatus
from tidegate_operator.policies.outcome import ABSENT, end_of, is_over
from tidegate_operator.policies.retry import is_first_not_started
from tidegate_operator.records.process import ProcessEnd
from tidegate_operator.records.run import Cause

LOST = Cause("WorkerEnded", "worker warm-1 ended")


def test_one_that_runs_is_not_over() -> None:
    attempt = a_handover_attempt()
    assert not is_over(attempt)
    assert end_of(attempt, cancelled=False, now=NOW) is None


@pytest.mark.parametrize(
    ("end", "outcome", "reason", "message", "exit_code"),
    [
        (ProcessEnd(at=NOW - 1, ran=2, exit_code=0, result="[1]"), "Succeeded", None, None, 0),
        (ProcessEnd(at=NOW, ran=2, exit_code=0, result="not json"), "Succeeded", None, "not json", 0),
        (ProcessEnd(at=NOW, ran=2, exit_code=0, too_large=True), "Failed", "ResultTooLarge", None, 0),
        (ProcessEnd(at=NOW, ran=2, exit_code=1, result="no good"), "Failed", "Error", "no good", 1),
        (ProcessEnd(at=NOW, ran=2, exit_code=3, output="a\nlast words\n"), "Failed", "Error", "last words", 3),
        (ProcessEnd(at=NOW, ran=None, exit_code=1, output="no module x"), "Failed", "Error", "no module x", 1),
        (ProcessEnd(at=NOW, ran=2, signal=9), "Failed", "Error", "ended by SIGKILL", 137),
        (ProcessEnd(at=NOW, ran=2, signal=35), "Failed", "Error", "ended by signal 35", 163),
        (ProcessEnd(at=NOW, lost=LOST), "Disrupted", "WorkerEnded", LOST.message, None),
        (ProcessEnd(at=NOW, ran=1, exit_code=0, stopped="Drained"), "Disrupted", "WorkerEnded", None, None),
    ],
)
def test_its_end_is_judged(
    end: ProcessEnd, outcome: str, reason: str | None, message: str | None, exit_code: int | None
) -> None:
    found = end_of(a_handover_attempt(end), cancelled=False, now=NOW)
    assert found is not None
    assert (str(found.outcome), found.reason) == (outcome, reason)
    if message is not None:
        assert found.message == message
    if exit_code is not None:
        assert found.exit_code == exit_code


def test_a_result_is_a_value_and_null_is_one() -> None:
    assert end_result("[1, null]") == [1, None]
    assert end_result("null") is None
    assert end_result("") is ABSENT
    assert end_result('"' + "x" * 100_000 + '"') == "x" * 100_000


def end_result(text: str) -> object:
    found = end_of(a_handover_attempt(ProcessEnd(at=NOW, exit_code=0, result=text)), cancelled=False, now=NOW)
    assert found is not None
    return found.result


def test_its_times_are_ages_before_the_report() -> None:
    found = end_of(a_handover_attempt(ProcessEnd(at=NOW - 1, ran=3, exit_code=0)), cancelled=False, now=NOW)
    assert found is not None
    assert (found.started, found.finished) == (NOW - 4, NOW - 1)


@pytest.mark.parametrize(
    ("stopped", "cancelled", "outcome", "reason", "final"),
    [
        ("Cancelled", True, "Cancelled", "Cancelled", False),
        ("Timeout", False, "Timeout", "Timeout", False),
        ("StartTimeout", False, "Failed", "StartTimeout", False),
        ("DeadlineExceeded", False, "Failed", "DeadlineExceeded", True),
    ],
)
def test_a_stop_counts_for_what_it_was_made_for_whatever_the_exit_code(
    stopped: str, cancelled: bool, outcome: str, reason: str, final: bool
) -> None:
    end = ProcessEnd(at=NOW, ran=1, exit_code=0, result="1", stopped=stopped, stop=Cause(stopped, "why"))
    found = end_of(a_handover_attempt(end), cancelled=cancelled, now=NOW)
    assert found is not None
    assert (str(found.outcome), found.reason, found.final) == (outcome, reason, final)


def test_one_that_ended_before_the_cancel_keeps_its_end() -> None:
    run = a_run_record(phase=Phase.RUNNING, cancel=True)
    attempt = a_handover_attempt(ProcessEnd(at=NOW, ran=1, exit_code=0, result="1"))
    assert written(run, attempt)["phase"] == "Succeeded"


def written(run: object, attempt: object, **context: object) -> dict[str, object]:
    decision = follow(run, attempt, DecisionContext(attempt=attempt, **context), NOW)  # type: ignore[arg-type]
    (action,) = decision.actions
    assert isinstance(action, WriteStatus)
    return dict(action.status)


def test_a_hand_over_that_never_was_uses_no_attempt_and_is_made_again_at_once() -> None:
    run = a_run_record(phase=Phase.RUNNING)
    attempt = a_handover_attempt(ProcessEnd(at=NOW, lost=Cause("NotStarted", "never")), max_attempts=1)
    status = written(run, attempt, max_disruptions=0)
    assert status["phase"] == "Retrying"
    assert "disruptions" not in status
    assert status["nextAttemptAt"] == "1970-01-12T13:46:40.000Z"


def test_but_not_without_a_pause_for_ever() -> None:
    def entry(number: int, reason: str) -> dict[str, object]:
        return {"number": number, "outcome": "Disrupted", "reason": reason}

    assert is_first_not_started([entry(1, "NotStarted")])  # type: ignore[list-item]
    assert is_first_not_started([entry(1, "WorkerEnded"), entry(2, "NotStarted")])  # type: ignore[list-item]
    assert not is_first_not_started([entry(1, "NotStarted"), entry(2, "NotStarted")])  # type: ignore[list-item]
    assert not is_first_not_started([entry(1, "WorkerEnded")])  # type: ignore[list-item]


def test_a_worker_that_is_lost_is_a_disruption_and_too_many_end_the_run() -> None:
    run = a_run_record(phase=Phase.RUNNING, disruptions=10)
    status = written(run, a_handover_attempt(ProcessEnd(at=NOW, lost=LOST)), max_disruptions=10)
    assert (status["phase"], status["reason"], status["disruptions"]) == ("Failed", "Evicted", 11)


def test_the_third_worker_that_runs_out_of_memory_under_a_run_is_taken_for_its_own_fault() -> None:
    before = [{"number": n, "outcome": "Disrupted", "reason": "OOMKilled"} for n in (1, 2)]
    run = a_run_record(phase=Phase.RUNNING, attempts=before)  # type: ignore[arg-type]
    end = ProcessEnd(at=NOW, lost=Cause("OOMKilled", "memory"))
    status = written(run, a_handover_attempt(end, number=3))
    assert (status["phase"], status["reason"]) == ("Failed", "OOMKilled")


def test_a_later_report_changes_nothing() -> None:
    from support.records import a_handover
    from tidegate_operator.metrics import Metrics
    from tidegate_operator.records.run import Plan
    from tidegate_operator.state.attempts import AttemptIndex
    from tidegate_operator.state.handovers import HandoverIndex
    from tidegate_operator.state.quarantine import Quarantine

    changed: list[str] = []
    index = HandoverIndex(AttemptIndex({}, Quarantine(Metrics())), on_change=changed.append)
    attempt = index.put(
        a_handover(), run_uid="run-uid", namespace="default", number=1, plan=Plan(), key="", started=NOW, now=NOW
    )
    assert index.ended(attempt, ProcessEnd(at=NOW, exit_code=0, result="1"), now=NOW)
    assert not index.ended(attempt, ProcessEnd(at=NOW, lost=LOST), now=NOW)
    assert changed == ["run-uid"]
    found = end_of(attempt, cancelled=False, now=NOW)
    assert found is not None
    assert found.result == 1
