"""policies/schedule: what a status says as a whole, what is reported of ticks without a run, and the edges of a tick."""

from dataclasses import replace
from typing import Any

import pytest
from support.records import NOW, a_schedule_record
from support.ticks import MINUTE, TICK, decided, of_tick, reported, since
from tidegate_api.names import Phase, ScheduleReason
from tidegate_api.times import format_second, format_time
from tidegate_operator.policies.schedule import Decision, Standing

HOUR_AGO = "1970-01-12T12:46:40Z"


def test_the_status_of_a_schedule() -> None:
    run = of_tick(TICK)
    schedule = a_schedule_record(
        status=reported(TICK - MINUTE, upcoming=TICK, lastTransitionTime=HOUR_AGO), generation=1
    )
    assert decided(schedule, run).status == {
        "observedGeneration": 1,
        "lastScheduleTime": format_second(TICK),
        "nextScheduleTime": format_second(TICK + MINUTE),
        "active": [{"name": run.name, "uid": run.uid}],
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Scheduled",
                "message": "runs are made at the times of spec.cron",
                "observedGeneration": 1,
                "lastTransitionTime": HOUR_AGO,
            }
        ],
    }


@pytest.mark.parametrize("before", ["True", None])
def test_a_condition_that_changes_does_so_now(before: str | None) -> None:
    condition: dict[str, Any] = (
        {"status": before, "lastTransitionTime": HOUR_AGO} if before is not None else {"status": "Unknown"}
    )
    schedule = a_schedule_record(status=reported(TICK, upcoming=TICK + MINUTE, **condition), cron="no times")
    status = decided(schedule).status
    assert status is not None
    assert (status["conditions"][0]["status"], status["conditions"][0]["lastTransitionTime"]) == (
        "False",
        format_time(NOW),
    )


def test_a_suspended_schedule_says_so_in_words() -> None:
    status = decided(since(TICK, suspend=True)).status
    assert status is not None
    assert status["conditions"][0]["message"] == "no runs are made while spec.suspend is true"


def test_trouble_without_words_stays_without() -> None:
    status = reported(TICK - MINUTE, upcoming=TICK, status="False", reason="NameTaken")
    decision = decided(a_schedule_record(status=status), retry_at=NOW + 30)
    assert decision.status is not None
    assert decision.status["conditions"][0]["message"] == ""


def test_of_two_moments_the_sooner_one_wakes_and_none_is_no_moment() -> None:
    decision = Decision(wake_at=5.0)
    for at in (None, 7.0):
        decision.wake(at)
        assert decision.wake_at == 5.0
    decision.wake(3.0)
    assert decision.wake_at == 3.0


def test_a_status_that_was_just_written_and_still_holds_asks_for_nothing() -> None:
    schedule = since(TICK)
    schedule = replace(schedule, status=decided(schedule).status or {})
    again = decided(schedule, written=NOW - 0.4)
    assert (again.status, again.wake_at) == (None, TICK + MINUTE)


def test_a_tick_is_due_at_its_moment() -> None:
    assert decided(since(TICK - MINUTE), now=TICK).create == [TICK]
    assert decided(since(TICK - MINUTE), now=TICK - 0.1).create == []


def test_a_tick_that_is_held_at_its_moment_waits_for_the_run_and_for_no_time() -> None:
    held = decided(since(TICK - MINUTE, concurrencyPolicy="Forbid"), of_tick(TICK - MINUTE), now=TICK)
    assert (held.create, held.wake_at) == ([], None)


def test_ticks_of_a_former_record_under_the_same_spec_are_made_up_for() -> None:
    schedule = a_schedule_record(status=reported(TICK - 3 * MINUTE, upcoming=NOW + 500))
    assert decided(schedule).create == [TICK]


@pytest.mark.parametrize("spec", [{}, {"concurrencyPolicy": "Allow"}, {"concurrencyPolicy": "Forbid"}])
def test_only_replace_cancels(spec: dict[str, Any]) -> None:
    decision = decided(since(TICK - MINUTE, **spec), of_tick(TICK - MINUTE))
    assert decision.cancel == []
    assert len(decided(since(TICK - MINUTE, concurrencyPolicy="Replace"), of_tick(TICK - MINUTE)).cancel) == 1


@pytest.mark.parametrize(
    ("left_out", "many"), [(100, "100 times"), (101, "more than 100 times"), (300, "more than 100 times")]
)
def test_ticks_that_are_left_out_are_counted_up_to_a_hundred(left_out: int, many: str) -> None:
    missed = decided(since(TICK - (left_out + 1) * MINUTE)).missed
    until = format_second(TICK - MINUTE)
    assert missed == f"no runs were made for {many} until {until}: catchUp Latest makes up for the newest only"


def test_why_ticks_are_left_out() -> None:
    replaced = decided(since(TICK - 3 * MINUTE, concurrencyPolicy="Replace", catchUp="All")).missed
    assert replaced is not None
    assert replaced.endswith(": each would replace the one before")
    # A tick is too late once its deadline is reached.
    late = decided(since(TICK - 2 * MINUTE, catchUp="Latest", startingDeadlineSeconds=60), now=TICK).missed
    assert late == f"no run was made for {format_second(TICK - MINUTE)}: more than 60 s have passed since"


def test_a_limit_of_one_end_alone_and_one_that_is_not_reached() -> None:
    failed = [of_tick(TICK - i * MINUTE, Phase.FAILED) for i in range(2)]
    assert decided(since(TICK, failedRunsHistoryLimit=1), *failed).delete == [failed[1]]
    for limit in (2, 3):
        assert decided(since(TICK, failedRunsHistoryLimit=limit), *failed).delete == []


def test_trouble_that_is_new_is_reported_in_its_words() -> None:
    trouble = Standing(ScheduleReason.CREATE_REFUSED, "no room")
    status = decided(since(TICK - MINUTE), trouble=trouble, retry_at=NOW + 30).status
    assert status is not None
    assert status["conditions"][0]["message"] == "no room"
