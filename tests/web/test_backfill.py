"""A Schedule's past ticks get the runs that they lack, each tick one."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect
from support.browser import looks_right
from support.web import Parts, Stack
from tidegate_api.times import format_second

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has names of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


def this_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def tick_name(schedule: str, time: datetime) -> str:
    return f"{schedule}-{int(time.timestamp()) // 60}"


def field(time: datetime) -> str:
    """As a browser's field sends it."""
    return time.strftime("%Y-%m-%dT%H:%M")


def ask(page: Page, stack: Stack, schedule: str, since: datetime, until: datetime) -> None:
    page.goto(f"/projects/{stack.project}/schedules/{schedule}/backfill")
    page.get_by_label("From (UTC)").fill(field(since))
    page.get_by_label("Until (UTC)").fill(field(until))
    page.get_by_role("button", name="Show what would start").click()


def names(stack: Stack, schedule: str) -> set[str]:
    return {
        run["metadata"]["name"]
        for run in stack.runs.kube.listed("taskruns.tidegate.dev", f"tidegate.dev/schedule={schedule}")
    }


def test_ticks_before_a_schedule_was_made_get_a_run_each(stack: Stack, parts: Parts, page: Page) -> None:
    stack.runs.schedule(
        "hourly", cron="0 * * * *", template={"spec": {"task": {"image": "busybox"}, "payload": {"a": 1}}}
    )
    last = this_hour() - HOUR
    page.goto(f"/projects/{stack.project}/schedules/hourly")
    page.get_by_role("link", name="Backfill").click()
    ask(page, stack, "hourly", last - 2 * HOUR, last)
    form = page.get_by_role("form", name="What would start")
    expect(form).to_contain_text("3 runs would start.")
    expect(form.get_by_role("listitem")).to_have_count(3)
    looks_right(page)
    form.get_by_role("button", name="Start 3 runs").click()
    expect(page.get_by_role("status")).to_contain_text("3 runs started.")
    wanted = {tick_name("hourly", last - ago * HOUR) for ago in range(3)}
    assert names(stack, "hourly") == wanted
    made = stack.runs.get(min(wanted))
    assert made["spec"]["payload"] == {"a": 1}
    assert made["spec"]["batch"].startswith("hourly-backfill-")
    (entry,) = parts.rows("SELECT detail FROM audit WHERE action = 'schedule.backfill' AND target = 'hourly'")
    assert entry.detail["made"] == 3
    page.get_by_role("link", name="Show them").click()
    expect(page.locator("#list tbody tr")).to_have_count(3)
    # Asked for again, with a tick more: the others have their run.
    ask(page, stack, "hourly", last - 3 * HOUR, last)
    expect(form).to_contain_text("1 run would start. 3 ticks have a run.")


def test_a_tick_that_the_operator_has_still_to_deal_with_is_left_to_it(stack: Stack, page: Page) -> None:
    stack.runs.schedule("waiting", cron="0 * * * *")
    last = this_hour() - HOUR
    stack.runs.schedule_status("waiting", lastScheduleTime=format_second((last - 2 * HOUR).timestamp()))
    ask(page, stack, "waiting", last - 3 * HOUR, last)
    expect(page.get_by_role("form", name="What would start")).to_contain_text("2 runs would start.")
    stack.runs.kube.patch("schedules.tidegate.dev", "waiting", {"spec": {"suspend": True}})
    ask(page, stack, "waiting", last - 3 * HOUR, last)
    expect(page.get_by_role("form", name="What would start")).to_contain_text("4 runs would start.")


def test_what_has_changed_since_it_was_shown_is_shown_again(stack: Stack, page: Page) -> None:
    stack.runs.schedule("changing", cron="0 * * * *")
    last = this_hour() - HOUR
    ask(page, stack, "changing", last - HOUR, last)
    stack.runs.kube.patch("schedules.tidegate.dev", "changing", {"spec": {"cron": "*/30 * * * *"}})
    page.get_by_role("button", name="Start 2 runs").click()
    expect(page.get_by_role("alert")).to_contain_text("3 ticks have no run by now, and 2 were confirmed.")
    assert names(stack, "changing") == set()
    page.get_by_role("button", name="Start 3 runs").click()
    expect(page.get_by_role("status")).to_contain_text("3 runs started.")


def test_a_run_that_another_has_started_is_not_started_again(stack: Stack, page: Page) -> None:
    stack.runs.schedule("raced", cron="0 * * * *")
    last = this_hour() - HOUR
    ask(page, stack, "raced", last, last)
    # The archive does not have it: no mirror runs here.
    taken = stack.runs.create(tick_name("raced", last), labels={"tidegate.dev/schedule": "raced"})
    page.get_by_role("button", name="Start 1 run").click()
    expect(page.get_by_role("status")).to_contain_text("0 runs started. 1 had been started in the meantime.")
    assert stack.runs.get(tick_name("raced", last))["metadata"]["uid"] == taken["metadata"]["uid"]


@pytest.mark.parametrize(
    ("spec", "hours", "words"),
    [
        ({"cron": "* * * * *"}, 9, "more than 500 ticks are in this time"),
        ({"cron": "61 * * * *"}, 1, "cron '61 * * * *'"),
        ({"cron": "0 * * * *", "timeZone": "Mars/Base"}, 1, "not a zone of the IANA database"),
        ({"cron": "0 * * * *"}, -1, "must not be before the beginning"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    stack: Stack, page: Page, request: pytest.FixtureRequest, spec: dict[str, str], hours: int, words: str
) -> None:
    name = f"refused-{sum(map(ord, request.node.name))}"
    stack.runs.schedule(name, **spec)
    last = this_hour() - HOUR
    ask(page, stack, name, last - hours * HOUR, last)
    expect(page.get_by_role("alert")).to_contain_text(words)


def test_runs_that_the_next_tick_would_cancel_are_not_started(stack: Stack, page: Page) -> None:
    stack.runs.schedule("replacing", cron="0 * * * *", concurrencyPolicy="Replace")
    last = this_hour() - HOUR
    ask(page, stack, "replacing", last, last)
    page.get_by_role("button", name="Start 1 run").click()
    expect(page.get_by_role("alert")).to_contain_text("Suspend the Schedule first.")
    assert names(stack, "replacing") == set()
    stack.runs.kube.patch("schedules.tidegate.dev", "replacing", {"spec": {"suspend": True}})
    page.get_by_role("button", name="Start 1 run").click()
    expect(page.get_by_role("status")).to_contain_text("1 run started.")


def test_over_http_a_dry_run_starts_nothing_and_then_each_tick_gets_its_run(stack: Stack, parts: Parts) -> None:
    stack.runs.schedule("called", cron="0 * * * *", template={"spec": {"task": {"image": "busybox"}}})
    last = this_hour() - HOUR
    asked = {"from": format_second((last - HOUR).timestamp()), "until": format_second(last.timestamp())}
    me = parts.key("operator")
    planned = me.post("schedules/called:backfill", {**asked, "dryRun": True})
    ticks = [format_second((last - ago * HOUR).timestamp()) for ago in (1, 0)]
    nothing: dict[str, Any] = {"there": 0, "started": 0, "batch": None, "problems": []}
    assert (planned.status_code, planned.json) == (200, {**asked, "ticks": ticks, **nothing})
    assert names(stack, "called") == set()
    done: Any = me.post("schedules/called:backfill", asked).json
    assert (done["ticks"], done["started"]) == (ticks, 2)
    assert names(stack, "called") == {tick_name("called", last - ago * HOUR) for ago in (0, 1)}
    assert {stack.runs.get(name)["spec"]["batch"] for name in names(stack, "called")} == {done["batch"]}


@pytest.mark.parametrize(
    ("role", "body", "status"),
    [
        ("viewer", {"from": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}, 403),
        ("operator", {"from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, 422),
        ("operator", {"from": "2020-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, 422),
        ("operator", {"from": "yesterday", "until": "2026-01-01T00:00:00Z"}, 422),
        ("operator", {"from": "0001-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z"}, 422),
        ("operator", {"from": "2026-01-01T00:00:00Z"}, 422),
    ],
)
def test_over_http_a_time_that_is_none_is_refused(
    stack: Stack, parts: Parts, role: str, body: dict[str, str], status: int
) -> None:
    name = f"refused-{uuid4().hex[:8]}"
    stack.runs.schedule(name, cron="0 * * * *", suspend=True)
    assert parts.key(role).post(f"schedules/{name}:backfill", body).status_code == status
    assert names(stack, name) == set()
