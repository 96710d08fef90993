"""A tick of a Schedule while a run of it goes on."""

import pytest
from support.builders import a_run, a_schedule
from support.operator import Runs
from support.schedules import LABEL, Schedules, last_minute, some_minutes_ago
from tidegate_api.times import format_second, parse_time

pytestmark = pytest.mark.usefixtures("operator")


def test_a_tick_that_forbid_holds_past_its_deadline_is_reported_once(runs: Runs, schedules: Schedules) -> None:
    cron, (minute,) = some_minutes_ago(5)
    by_hand = a_run("held-mabc").pod(hold="1").built
    by_hand["metadata"]["labels"][LABEL] = "held"
    runs.create(by_hand)
    runs.create(a_schedule("held", cron=cron, concurrencyPolicy="Forbid", startingDeadlineSeconds=30))
    schedules.wait("held", lambda s: [a["name"] for a in s.get("active", ())] == ["held-mabc"], what="active run")
    schedules.put_back("held", minutes=20)
    schedules.wait_counted("held", minute)
    (warning,) = schedules.wait_warnings("held")
    assert warning["reason"] == "MissSchedule"
    assert "held-mabc still goes on" in warning["message"]
    runs.patch_spec("held-mabc", cancel=True)
    runs.wait("held-mabc", "Cancelled")


def test_forbid_waits_for_the_run_that_goes_on(runs: Runs, schedules: Schedules) -> None:
    cron, minutes = some_minutes_ago(9, 6, 3)
    by_hand = a_run("forbid-mabc").pod(hold="1").built
    by_hand["metadata"]["labels"][LABEL] = "forbid"
    runs.create(by_hand)
    runs.create(a_schedule("forbid", cron=cron, concurrencyPolicy="Forbid", catchUp="All"))
    schedules.wait("forbid", lambda s: [a["name"] for a in s.get("active", ())] == ["forbid-mabc"], what="active run")
    last = schedules.put_back("forbid", minutes=20)
    # Told of the tick that is held, and nothing made of it.
    schedules.wait("forbid", lambda s: s.get("nextScheduleTime") == format_second(minutes[0] * 60), what="held tick")
    assert last_minute(schedules.status("forbid")) == last
    assert schedules.warnings("forbid") == []
    assert list(schedules.runs_of("forbid")) == ["forbid-mabc"]
    runs.patch_spec("forbid-mabc", cancel=True)
    schedules.wait_counted("forbid", minutes[-1])
    made = [runs.get(f"forbid-{m}")["metadata"]["creationTimestamp"] for m in minutes]
    ends = [runs.wait(f"forbid-{m}", "Succeeded")["finishedAt"] for m in minutes]
    assert made == sorted(made)
    for end, start in zip(ends, made[1:], strict=False):
        assert (parse_time(end) or 0) < (parse_time(start) or 0) + 1  # a creation has no fractions of a second


def test_replace_cancels_the_run_that_goes_on(runs: Runs, schedules: Schedules) -> None:
    cron, minutes = some_minutes_ago(9, 3)
    by_hand = a_run("replace-mabc").pod(hold="1").built
    by_hand["metadata"]["labels"][LABEL] = "replace"
    runs.create(by_hand)
    runs.create(a_schedule("replace", cron=cron, concurrencyPolicy="Replace", catchUp="All"))
    schedules.wait_ready("replace", "True", "Scheduled")
    schedules.put_back("replace", minutes=20)
    schedules.wait_counted("replace", minutes[-1])
    runs.wait("replace-mabc", "Cancelled")
    runs.wait(f"replace-{minutes[-1]}", "Succeeded")
    assert sorted(schedules.runs_of("replace")) == sorted(["replace-mabc", f"replace-{minutes[-1]}"])
