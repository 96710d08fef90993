"""Ticks of Schedules: each makes its run, those that were missed are made up for or reported, history is kept to its limits."""

import time
from collections import Counter

import pytest
from support.builders import a_run, a_schedule
from support.operator import Runs
from support.schedules import KIND, LABEL, Schedules, last_minute, some_minutes_ago
from support.servers import wait_until
from tidegate_api.times import format_second, parse_time
from tidegate_cluster.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("operator")


def test_a_new_schedule_waits_for_its_first_tick(runs: Runs, schedules: Schedules) -> None:
    runs.create(a_schedule("fresh", cron="30 2 * * *", timeZone="Europe/Berlin", catchUp="All"))
    status = schedules.wait_ready("fresh", "True", "Scheduled")
    assert status["observedGeneration"] == 1
    assert "lastScheduleTime" not in status
    assert (parse_time(status["nextScheduleTime"]) or 0) > time.time()
    assert schedules.runs_of("fresh") == {}


@pytest.mark.quick
def test_every_tick_that_was_missed_makes_its_run(runs: Runs, schedules: Schedules) -> None:
    cron, minutes = some_minutes_ago(9, 6, 3)
    template = a_run("x").labels({"team": "blue"}).payload(a=None)
    schedule = a_schedule("missed", run=template, cron=cron, catchUp="All")
    schedule["spec"]["template"]["metadata"]["annotations"] = {"example.com/why": "nightly"}
    runs.create(schedule)
    schedules.wait_ready("missed", "True", "Scheduled")
    schedules.put_back("missed", minutes=20)
    status = schedules.wait_counted("missed", minutes[-1])
    assert last_minute(status) == minutes[-1]
    made = schedules.runs_of("missed")
    assert sorted(made) == [f"missed-{m}" for m in minutes]
    for run in made.values():
        assert run["metadata"]["labels"] == {"team": "blue", LABEL: "missed"}
        assert run["metadata"]["annotations"] == {"example.com/why": "nightly"}
        assert "ownerReferences" not in run["metadata"]
        assert run["spec"]["payload"] == {"a": None}
        runs.wait(run["metadata"]["name"], "Succeeded")
    schedules.wait("missed", lambda s: "active" not in s, what="end of all runs")
    runs.kube.delete(KIND, "missed")
    assert sorted(schedules.runs_of("missed")) == [f"missed-{m}" for m in minutes]


def test_a_tick_costs_one_post_and_two_patches(plane: ControlPlane, runs: Runs, schedules: Schedules) -> None:
    cron, (minute,) = some_minutes_ago(5)
    runs.create(a_schedule("cheap", cron=cron))
    schedules.wait_ready("cheap", "True", "Scheduled")
    begin = len(plane.requests("operator"))
    schedules.put_back("cheap", minutes=20)
    schedules.wait_counted("cheap", minute)
    schedules.wait("cheap", lambda s: "active" not in s, what="end of the run")
    assert schedules.warnings("cheap") == []
    spent = Counter(e.what for e in plane.requests("operator")[begin:] if e.resource in ("taskruns", "schedules"))
    # The apiserver ends a watch after some minutes, whatever happens.
    spent = Counter({what: count for what, count in spent.items() if not what.startswith(("list ", "watch "))})
    assert spent["create taskruns"] == 1
    assert spent["patch schedules/status"] <= 2
    assert spent.keys() <= {"create taskruns", "patch schedules/status", "patch taskruns/status"}


@pytest.mark.parametrize(("catch_up", "expected"), [("None", 0), ("Latest", 1)])
def test_of_many_missed_ticks_the_latest_is_made_up_for_or_none(
    runs: Runs, schedules: Schedules, catch_up: str, expected: int
) -> None:
    cron, minutes = some_minutes_ago(9, 6, 3)
    name = f"few-{catch_up.lower()}"
    runs.create(a_schedule(name, cron=cron, catchUp=catch_up))
    schedules.wait_ready(name, "True", "Scheduled")
    schedules.put_back(name, minutes=20)
    schedules.wait_counted(name, minutes[-1])
    assert sorted(schedules.runs_of(name)) == [f"{name}-{minutes[-1]}"][:expected]
    (warning,) = schedules.wait_warnings(name)
    assert warning["reason"] == "MissSchedule"
    left_out = 3 - expected
    assert f"{left_out} times until {format_second(minutes[left_out - 1] * 60)}" in warning["message"]


def test_a_tick_past_its_starting_deadline_is_missed(runs: Runs, schedules: Schedules) -> None:
    cron, minutes = some_minutes_ago(9, 3)
    runs.create(a_schedule("deadline", cron=cron, catchUp="All", startingDeadlineSeconds=400))
    schedules.wait_ready("deadline", "True", "Scheduled")
    schedules.put_back("deadline", minutes=20)
    schedules.wait_counted("deadline", minutes[-1])
    assert sorted(schedules.runs_of("deadline")) == [f"deadline-{minutes[-1]}"]
    (warning,) = schedules.wait_warnings("deadline")
    assert (
        warning["message"] == f"no run was made for {format_second(minutes[0] * 60)}: more than 400 s have passed since"
    )


def test_ticks_of_a_suspension_are_not_made_up_for(runs: Runs, schedules: Schedules) -> None:
    runs.create(a_schedule("paused", catchUp="All", suspend=True))
    status = schedules.wait_ready("paused", "True", "Suspended")
    assert "nextScheduleTime" not in status
    schedules.put_back("paused", minutes=20)
    before = int(time.time() // 60)
    schedules.patch("paused", suspend=False)
    status = schedules.wait_ready("paused", "True", "Scheduled")
    assert last_minute(status) >= before
    assert all(int(name.rsplit("-", 1)[1]) > before for name in schedules.runs_of("paused"))


def test_history_is_kept_to_its_limits(runs: Runs, schedules: Schedules) -> None:
    cron, minutes = some_minutes_ago(9, 6, 3)
    for i in range(2):
        failed = a_run(f"history-m{i}").pod(exit_code="1").task(retry={"maxAttempts": 1}).built
        failed["metadata"]["labels"][LABEL] = "history"
        runs.create(failed)
        runs.wait(f"history-m{i}", "Failed")
    schedule = a_schedule("history", cron=cron, catchUp="All", successfulRunsHistoryLimit=1, failedRunsHistoryLimit=1)
    runs.create(schedule)
    schedules.wait_ready("history", "True", "Scheduled")
    schedules.put_back("history", minutes=20)
    expected = {"history-m1", f"history-{minutes[-1]}"}
    wait_until(lambda: schedules.runs_of("history").keys() == expected, what=f"{expected} to be left")
