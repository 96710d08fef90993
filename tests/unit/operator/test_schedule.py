"""policies/schedule: which runs are made, when, and what the status says of it."""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import NOW, a_run_record, a_schedule_record
from support.ticks import MINUTE, TICK, decided, of_tick, reported, since
from tidegate_api.bodies import ScheduleStatusBody
from tidegate_api.names import Phase, ScheduleReason
from tidegate_api.objects import Condition
from tidegate_api.times import format_second, parse_time
from tidegate_operator.policies.schedule import Decision, Progress, Standing, decide
from tidegate_operator.records.definitions import ScheduleRecord
from tidegate_operator.records.run import RunRecord


def ready(decision: Decision) -> tuple[str, str]:
    assert decision.status is not None
    (condition,) = decision.status["conditions"]
    return condition["status"], condition["reason"]


def test_a_tick_makes_a_run_first_and_is_recorded_then() -> None:
    schedule = since(TICK - MINUTE)
    first = decided(schedule)
    assert (first.create, first.status) == ([TICK], None)
    then = decided(schedule, of_tick(TICK))
    assert then.create == []
    assert then.status is not None
    assert then.status["lastScheduleTime"] == format_second(TICK)
    assert then.status["nextScheduleTime"] == format_second(TICK + MINUTE)
    assert then.status["active"] == [{"name": f"tick-{int(TICK // 60)}", "uid": f"tick-{int(TICK // 60)}"}]
    assert then.wake_at == TICK + MINUTE


def test_a_new_schedule_counts_from_its_creation() -> None:
    decision = decided(a_schedule_record(created=TICK, catchUp="All"))
    assert decision.create == []
    assert decision.status is not None
    assert "lastScheduleTime" not in decision.status
    assert decision.status["nextScheduleTime"] == format_second(TICK + MINUTE)
    assert ready(decision) == ("True", "Scheduled")


def test_nothing_is_written_when_nothing_changes() -> None:
    schedule = since(TICK)
    first = decided(schedule).status
    assert first is not None
    again = decided(replace(schedule, status=first))
    assert (again.status, again.create, again.wake_at) == (None, [], TICK + MINUTE)


def test_runs_that_come_and_go_are_written_at_most_once_a_second() -> None:
    schedule = since(TICK)
    schedule = replace(schedule, status=decided(schedule).status or {})
    early = decided(schedule, of_tick(TICK), written=NOW - 0.4)
    assert (early.status, early.wake_at) == (None, NOW + 0.6)
    assert decided(schedule, of_tick(TICK), written=NOW - 1.0).status is not None


def test_a_tick_whose_run_was_deleted_is_not_made_again() -> None:
    assert decided(since(TICK)).create == []


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [("None", [TICK]), ("Latest", [TICK]), ("All", [TICK - 2 * MINUTE, TICK - MINUTE, TICK])],
)
def test_ticks_missed_during_downtime(catch_up: str, expected: list[float]) -> None:
    assert decided(since(TICK - 3 * MINUTE, catchUp=catch_up)).create == expected


def test_all_means_at_most_a_hundred() -> None:
    made = decided(since(TICK - 86_400, catchUp="All")).create
    assert len(made) == 100
    assert made[-1] == TICK


def test_without_catching_up_a_late_tick_is_skipped_and_counted() -> None:
    schedule = a_schedule_record(cron="0 * * * *", catchUp="None", status=reported(TICK - 86_400))
    decision = decided(schedule)
    assert decision.create == []
    assert decision.status is not None
    last = parse_time(decision.status["lastScheduleTime"])
    assert last is not None
    assert 0 <= NOW - last < 3600


def test_a_tick_past_its_starting_deadline_is_skipped() -> None:
    late = since(TICK - 2 * MINUTE, catchUp="All", startingDeadlineSeconds=41)
    assert decided(late).create == [TICK]
    too_late = decided(since(TICK - 2 * MINUTE, catchUp="All", startingDeadlineSeconds=40))
    assert too_late.create == []
    assert too_late.status is not None
    assert too_late.status["lastScheduleTime"] == format_second(TICK)


def test_while_a_run_goes_on_forbid_makes_none_and_then_the_latest() -> None:
    schedule = since(TICK - 3 * MINUTE, concurrencyPolicy="Forbid")
    held = decided(schedule, of_tick(TICK - 3 * MINUTE))
    assert held.create == []
    assert held.status is not None
    assert held.status["lastScheduleTime"] == format_second(TICK - 3 * MINUTE)
    assert decided(schedule, of_tick(TICK - 3 * MINUTE, Phase.SUCCEEDED)).create == [TICK]


def test_allow_makes_a_run_beside_the_one_that_goes_on() -> None:
    assert decided(since(TICK - MINUTE, concurrencyPolicy="Allow"), of_tick(TICK - MINUTE)).create == [TICK]
    assert decided(since(TICK - MINUTE), of_tick(TICK - MINUTE)).create == [TICK]


def test_forbid_catches_all_up_one_by_one() -> None:
    schedule = since(TICK - 3 * MINUTE, concurrencyPolicy="Forbid", catchUp="All")
    assert decided(schedule).create == [TICK - 2 * MINUTE]
    assert decided(schedule, of_tick(TICK - 2 * MINUTE)).create == []
    assert decided(schedule, of_tick(TICK - 2 * MINUTE, Phase.FAILED)).create == [TICK - MINUTE]


def test_a_held_tick_is_missed_once_it_is_too_late() -> None:
    schedule = since(TICK - MINUTE, concurrencyPolicy="Forbid", catchUp="None")
    before = of_tick(TICK - MINUTE)
    held = decided(schedule, before)
    assert held.wake_at == TICK + 60
    later = decided(replace(schedule, status=held.status or {}), before, now=TICK + 60)
    assert later.create == []
    assert decided(schedule, now=TICK + 59).create == [TICK]


def test_a_run_that_was_made_before_a_crash_holds_nothing_up_and_comes_once() -> None:
    # Forbid must not wait for the tick's own run, and make it again when that is over.
    schedule = since(TICK - MINUTE, concurrencyPolicy="Forbid")
    decision = decided(schedule, of_tick(TICK))
    assert decision.create == []
    assert decision.status is not None
    assert decision.status["lastScheduleTime"] == format_second(TICK)


def test_replace_cancels_what_goes_on_and_makes_the_latest() -> None:
    schedule = since(TICK - 2 * MINUTE, concurrencyPolicy="Replace", catchUp="All")
    by_hand = a_run_record(uid="m", name="tick-mabc", phase=Phase.PENDING, schedule="tick")
    stopping = of_tick(TICK - 3 * MINUTE, cancel=True)
    decision = decided(schedule, by_hand, stopping, of_tick(TICK - 2 * MINUTE), of_tick(0, Phase.SUCCEEDED))
    assert [r.name for r in decision.cancel] == ["tick-mabc", f"tick-{int(TICK // 60) - 2}"]
    assert decision.create == [TICK]
    assert decided(schedule, of_tick(TICK)).cancel == []


def test_while_suspended_nothing_is_made_and_later_nothing_is_made_up_for() -> None:
    suspended = decided(since(TICK - 5 * MINUTE, suspend=True, catchUp="All"))
    assert (suspended.create, suspended.wake_at) == ([], None)
    assert ready(suspended) == ("True", "Suspended")
    assert suspended.status is not None
    assert "nextScheduleTime" not in suspended.status
    resumed = decided(a_schedule_record(status=suspended.status, generation=2, catchUp="All"))
    assert resumed.create == []
    assert resumed.status is not None
    assert resumed.status["lastScheduleTime"] == format_second(TICK)
    assert resumed.wake_at == TICK + MINUTE


def test_other_times_count_from_the_change() -> None:
    status = reported(TICK - 86_400, upcoming=NOW + 500)
    changed = decided(a_schedule_record(status=status, generation=2, catchUp="All"))
    assert changed.create == []
    assert changed.status is not None
    assert changed.status["lastScheduleTime"] == format_second(TICK)


def test_another_template_changes_nothing_about_what_was_missed() -> None:
    status = reported(TICK - 2 * MINUTE, upcoming=TICK - MINUTE)
    assert decided(a_schedule_record(status=status, generation=2)).create == [TICK]


def test_what_an_earlier_version_did_not_support_begins_now() -> None:
    condition: Condition = {"type": "Ready", "status": "False", "reason": "Odd", "observedGeneration": 1}
    assert decided(a_schedule_record(catchUp="All", status={"conditions": [condition]})).create == []


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"cron": "99 * * * *"}, "InvalidCron", "Bad minute"),
        ({"timeZone": "Mars/Olympus"}, "InvalidTimeZone", "Mars/Olympus"),
    ],
)
def test_what_cannot_be_understood_is_reported(spec: dict[str, Any], reason: str, words: str) -> None:
    decision = decided(since(TICK - MINUTE, **spec))
    assert ready(decision) == ("False", reason)
    assert decision.status is not None
    assert words in decision.status["conditions"][0]["message"]
    assert (decision.create, decision.wake_at) == ([], None)


def test_a_refused_run_is_tried_again_and_its_trouble_reported() -> None:
    schedule = since(TICK - MINUTE)
    trouble = Standing(ScheduleReason.CREATE_REFUSED, "no room")
    decision = decided(schedule, trouble=trouble, retry_at=NOW + 30)
    assert ready(decision) == ("False", "CreateRefused")
    assert decision.wake_at == NOW + 30
    assert decision.status is not None
    assert decision.status["lastScheduleTime"] == format_second(TICK - MINUTE)
    standing = replace(schedule, status=decision.status)
    assert decided(standing, retry_at=NOW + 30).status is None
    assert decided(standing, retry_at=NOW).create == [TICK]
    assert ready(decided(standing, of_tick(TICK))) == ("True", "Scheduled")


def test_a_name_that_is_taken_stands_in_the_condition_until_the_next_tick() -> None:
    schedule = since(TICK - MINUTE)
    taken = Standing(ScheduleReason.NAME_TAKEN, "in the way")
    decision = decided(schedule, trouble=taken, reached=TICK)
    assert ready(decision) == ("False", "NameTaken")
    standing = replace(schedule, status=decision.status or {})
    assert decided(standing).status is None
    assert ready(decided(standing, of_tick(TICK + MINUTE), now=NOW + MINUTE)) == ("True", "Scheduled")


def test_history_goes_oldest_first_and_each_end_has_its_own_limit() -> None:
    schedule = since(TICK, successfulRunsHistoryLimit=1, failedRunsHistoryLimit=0)
    runs = [of_tick(TICK - i * MINUTE, Phase.SUCCEEDED) for i in range(4)]
    runs += [of_tick(TICK - 9 * MINUTE, Phase.CANCELLED), of_tick(TICK - 8 * MINUTE)]
    gone = decided(schedule, *runs, needed=(runs[2].name,)).delete
    assert [r.name for r in gone] == [runs[3].name, runs[1].name, runs[4].name]
    assert decide(schedule, runs, Progress(uid="", generation=1), NOW, is_needed=None).delete == []
    assert decided(since(TICK), *runs).delete == []


def test_no_run_is_deleted_before_its_tick_is_recorded() -> None:
    schedule = since(TICK - MINUTE, successfulRunsHistoryLimit=0)
    assert decided(schedule, of_tick(TICK, Phase.SUCCEEDED)).delete == []


@dataclass
class DecisionContext:
    """A Schedule and its runs in a cluster, with an operator that may die after each of its steps."""

    schedule: ScheduleRecord
    now: float = NOW
    runs: dict[str, RunRecord] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    progress: Progress = field(default_factory=lambda: Progress(uid="", generation=1))

    def restart(self) -> None:
        self.progress = Progress(uid="", generation=1)

    def step(self, *, dies_after: int) -> None:
        decision = decide(self.schedule, [*self.runs.values()], self.progress, self.now, is_needed=lambda _: False)
        steps: list[Any] = [*decision.cancel, *decision.create, *([decision.status] if decision.status else [])]
        for step in [*steps, *decision.delete][:dies_after]:
            match step:
                case float() if self.schedule.run_name(step) not in self.runs:
                    assert step > self.schedule.counted_to
                    run = of_tick(step)
                    self.runs[run.name] = run
                    self.made.append(run.name)
                case dict():
                    self.schedule = replace(self.schedule, status=cast("ScheduleStatusBody", step))
                case RunRecord() if step.status.phase.terminal:
                    del self.runs[step.name]
                case RunRecord():
                    step.cancel = True
        if self.schedule.spec["concurrencyPolicy"] == "Forbid":
            assert sum(not r.status.phase.terminal for r in self.runs.values()) <= 1


@given(
    data=st.data(),
    policy=st.sampled_from(["Allow", "Forbid", "Replace"]),
    catch_up=st.sampled_from(["None", "Latest", "All"]),
    limit=st.sampled_from([None, 0, 1]),
)
def test_no_tick_makes_two_runs_whatever_dies_when(
    data: st.DataObject, policy: str, catch_up: str, limit: int | None
) -> None:
    spec: dict[str, Any] = {"concurrencyPolicy": policy, "catchUp": catch_up, "successfulRunsHistoryLimit": limit}
    schedule = a_schedule_record(created=NOW, **spec)
    context = DecisionContext(schedule)
    for _ in range(data.draw(st.integers(1, 40), label="steps")):
        match data.draw(st.sampled_from(["step", "step", "die", "wait", "down", "end"])):
            case "step":
                context.step(dies_after=1000)
            case "die":
                context.step(dies_after=data.draw(st.integers(0, 3), label="after"))
                context.restart()
            case "wait":
                context.now += data.draw(st.sampled_from([0.5, 20.0, 61.0]))
            case "down":
                context.now += data.draw(st.sampled_from([200.0, 20_000.0]))
            case "end":
                for run in context.runs.values():
                    run.status.phase = Phase.SUCCEEDED
    assert len(context.made) == len(set(context.made))
    # Left alone, it comes to rest, and has reported everything it made.
    for run in context.runs.values():
        run.status.phase = Phase.SUCCEEDED
    for _ in range(1000):
        before = (context.schedule, len(context.made), len(context.runs))
        context.step(dies_after=1000)
        for run in context.runs.values():
            run.status.phase = Phase.SUCCEEDED
        if before == (context.schedule, len(context.made), len(context.runs)):
            break
    assert all((context.schedule.tick_of(name) or 0) <= context.schedule.counted_to for name in context.made)
    assert len(context.made) == len(set(context.made))


def test_a_tick_that_has_its_run_is_not_reported_as_missed() -> None:
    assert decided(since(TICK - MINUTE)).missed is None
    assert decided(since(TICK - MINUTE), of_tick(TICK)).missed is None
    assert decided(since(TICK - 5 * MINUTE, catchUp="All")).missed is None


def test_ticks_that_are_left_out_are_reported_in_one_sentence_with_the_reason() -> None:
    latest = decided(since(TICK - 3 * MINUTE))
    assert latest.create == [TICK]
    until = format_second(TICK - MINUTE)
    assert latest.missed == f"no runs were made for 2 times until {until}: catchUp Latest makes up for the newest only"
    late = decided(since(TICK - 2 * MINUTE, catchUp="All", startingDeadlineSeconds=60))
    assert late.create == [TICK]
    assert late.missed == f"no run was made for {until}: more than 60 s have passed since"
    most = decided(since(TICK - 200 * MINUTE, catchUp="All"))
    assert most.missed is not None
    assert "until" in most.missed
    assert most.missed.endswith("catchUp All makes up for 100 at most")


def test_a_tick_that_forbid_has_held_too_long_is_reported_with_the_run_that_goes_on() -> None:
    schedule = since(TICK - MINUTE, concurrencyPolicy="Forbid", startingDeadlineSeconds=30)
    running = of_tick(TICK - MINUTE)
    assert decided(schedule, running, now=TICK + 20).missed is None
    missed = decided(schedule, running, now=TICK + 40).missed
    assert missed is not None
    assert missed.startswith(f"no run was made for {format_second(TICK)}: more than 30 s have passed since")
    assert running.name in missed


def test_ticks_of_a_suspension_are_not_missed() -> None:
    assert decided(since(TICK - 5 * MINUTE, suspend=True)).missed is None
