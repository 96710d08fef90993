"""Schedules that can't do what they say: the mistake is reported, and the Schedule goes on from where it is mended."""

import time

import pytest
from support.builders import a_run, a_schedule
from support.operator import Runs
from support.schedules import LABEL, Schedules, condition, last_minute, some_minutes_ago
from tidegate_api.times import parse_time

pytestmark = pytest.mark.usefixtures("operator")


def test_a_bad_cron_is_reported_and_a_mended_one_counts_from_then(runs: Runs, schedules: Schedules) -> None:
    runs.create(a_schedule("bad", cron="61 * * * *", catchUp="All"))
    status = schedules.wait_ready("bad", "False", "InvalidCron")
    assert "Bad minute" in condition(status)[2]
    schedules.put_back("bad", minutes=20)
    schedules.patch("bad", cron="*/2 * * * *", timeZone="Mars/Olympus")
    status = schedules.wait_ready("bad", "False", "InvalidTimeZone")
    assert "Mars/Olympus" in condition(status)[2]
    before = int(time.time() // 60)
    schedules.patch("bad", timeZone="America/New_York")
    status = schedules.wait_ready("bad", "True", "Scheduled")
    assert (parse_time(status["nextScheduleTime"]) or 0) > before * 60
    assert all(int(name.rsplit("-", 1)[1]) > before for name in schedules.runs_of("bad"))


def test_a_run_of_another_that_has_the_ticks_name_is_left_alone_and_reported(runs: Runs, schedules: Schedules) -> None:
    cron, (minute,) = some_minutes_ago(5)
    name = f"taken-{minute}"
    runs.create(a_run(name).built)
    runs.create(a_schedule("taken", cron=cron))
    schedules.wait_ready("taken", "True", "Scheduled")
    schedules.put_back("taken", minutes=20)
    status = schedules.wait_ready("taken", "False", "NameTaken")
    assert name in condition(status)[2]
    assert last_minute(status) == minute
    (warning,) = schedules.wait_warnings("taken")
    assert warning["reason"] == "NameTaken"
    assert LABEL not in runs.get(name)["metadata"].get("labels", {})


def test_a_template_that_the_apiserver_refuses_is_reported_and_tried_again(runs: Runs, schedules: Schedules) -> None:
    cron, (minute,) = some_minutes_ago(5)
    schedule = a_schedule("refused", run=a_run("x").labels({"not a label!": "x"}), cron=cron)
    runs.create(schedule)
    schedules.wait_ready("refused", "True", "Scheduled")
    schedules.put_back("refused", minutes=20)
    status = schedules.wait_ready("refused", "False", "CreateRefused")
    assert "not a label!" in condition(status)[2]
    assert last_minute(status) < minute
    (warning,) = schedules.wait_warnings("refused")
    assert warning["reason"] == "CreateRefused"
    schedules.patch("refused", template={"metadata": {"labels": {"not a label!": None}}})
    schedules.wait_counted("refused", minute)
    schedules.wait_ready("refused", "True", "Scheduled")
    runs.wait(f"refused-{minute}", "Succeeded")
