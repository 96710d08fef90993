"""The pages of one Task, one Queue and one Schedule: what it is, how its runs fare, and what is done to it."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import looks_right, signed_in
from support.web import EMAIL, PASSWORD, Parts, Stack


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has names of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


def a_run(
    stack: Stack, parts: Parts, name: str, *, labels: dict[str, str] | None = None, status: Any, **spec: Any
) -> None:
    """A run of this status, which the archive has."""
    stack.runs.create(name, labels=labels, **spec)
    stack.runs.status(name, **status)
    assert parts.sign_in().get(f"runs/{name}").status_code == 200  # it is in the archive now


def ended(phase: str, *, seconds: int, reason: str | None = None) -> dict[str, Any]:
    found = {"phase": phase, "startedAt": "2026-11-28T10:00:00Z", "finishedAt": f"2026-11-28T10:00:{seconds:02d}Z"}
    return found | ({"reason": reason} if reason else {})


def test_a_task_shows_how_its_runs_fare_and_what_it_is(stack: Stack, parts: Parts, page: Page) -> None:
    schema = {"type": "object", "properties": {"width": {"type": "integer"}}}
    stack.runs.task("shrink", image="pictures:1", entrypoint="pictures:shrink", queue="pages", payloadSchema=schema)
    for name, status in (
        ("shrink-1", ended("Succeeded", seconds=10)),
        ("shrink-2", ended("Succeeded", seconds=20)),
        ("shrink-3", ended("Failed", seconds=40, reason="Error")),
        ("shrink-4", {"phase": "Running", "startedAt": "2026-11-28T10:00:00Z"}),
    ):
        a_run(stack, parts, name, taskRef={"name": "shrink"}, payload={"width": 1}, status=status)
    page.goto(f"/projects/{stack.project}/tasks")
    page.get_by_role("link", name="shrink", exact=True).click()
    for words in ("67 %", "of the last 3", "20 s", "40 s"):
        expect(page.locator("#stats")).to_contain_text(words)
    expect(page.get_by_role("img", name="Durations of the last 4 runs")).to_be_visible()
    expect(page.locator("#what")).to_contain_text("pictures:shrink")
    expect(page.locator("#schema")).to_be_visible()
    expect(page.get_by_role("link", name="Tasks", exact=True).first).to_be_visible()
    looks_right(page)
    page.locator("#manifest summary").click()
    expect(page.locator("#manifest")).to_contain_text("entrypoint: pictures:shrink")
    page.locator("#history").get_by_role("link", name="Error 1").click()
    expect(page.locator("#list")).to_contain_text("shrink-3")
    expect(page.locator("#list")).not_to_contain_text("shrink-1")


def test_a_task_is_run_later_with_a_payload_that_it_had_before(stack: Stack, parts: Parts, page: Page) -> None:
    stack.runs.task("again", image="pictures:1")
    for name, had in (("again-1", {"width": 320}), ("again-2", {"width": 640, "name": "</textarea><b>"})):
        a_run(stack, parts, name, taskRef={"name": "again"}, payload=had, status=ended("Succeeded", seconds=1))
    page.goto(f"/projects/{stack.project}/tasks/again")
    recent, payload = page.locator("#recent"), page.get_by_label("Payload, a JSON object")
    expect(payload).to_have_value("{}")
    recent.get_by_role("link", name="again-2").click()
    assert json.loads(payload.input_value()) == {"width": 640, "name": "</textarea><b>"}
    payload.fill('{"width": NaN}')
    page.get_by_label("Not before (UTC)").fill("2126-01-01T03:00")
    page.get_by_label("Name").fill("again-3")
    page.get_by_role("button", name="Start a run").click()
    expect(page.get_by_role("alert")).to_contain_text("NaN is no number of JSON")
    assert (payload.input_value(), page.get_by_label("Name").input_value()) == ('{"width": NaN}', "again-3")
    payload.fill('{"width": 100}')
    page.get_by_role("button", name="Start a run").click()
    expect(page.get_by_role("heading", name="again-3")).to_be_visible()
    spec = stack.runs.get("again-3")["spec"]
    assert (spec["payload"], spec["startAfter"]) == ({"width": 100}, "2126-01-01T03:00:00Z")


def test_what_is_typed_stays_while_the_page_refreshes(stack: Stack, page: Page) -> None:
    stack.runs.task("typed", image="pictures:1")
    page.goto(f"/projects/{stack.project}/tasks/typed")
    page.get_by_label("Payload, a JSON object").fill('{"half": ')
    with page.expect_response(lambda answer: "X-Fragment".lower() in answer.request.headers):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_label("Payload, a JSON object")).to_have_value('{"half": ')


def test_a_schedule_shows_when_it_comes_in_words_and_in_the_zone_of_the_viewer(
    stack: Stack, parts: Parts, browser: Browser, site: str
) -> None:
    template = {"spec": {"taskRef": {"name": "resize"}, "payload": {"all": True}}}
    stack.runs.schedule("weekdays", cron="30 2 * * MON-FRI", timeZone="Europe/Berlin", template=template)
    labels = {"tidegate.dev/schedule": "weekdays"}
    run = {"taskRef": {"name": "resize"}}
    a_run(stack, parts, "weekdays-1", labels=labels, status=ended("Failed", seconds=3, reason="OOMKilled"), **run)
    with signed_in(browser, site, email=EMAIL, password=PASSWORD, timezone="America/New_York") as page:
        page.goto(f"/projects/{stack.project}/schedules")
        expect(page.get_by_role("row", name="weekdays")).to_contain_text("At 02:30, Monday through Friday")
        page.get_by_role("link", name="weekdays", exact=True).click()
        when = page.locator("#when")
        for words in ("30 2 * * MON-FRI", "At 02:30, Monday through Friday", "Europe/Berlin", "begins beside it"):
            expect(when).to_contain_text(words)
        ticks = page.locator("#next li")
        expect(ticks).to_have_count(5)
        expect(ticks.first.locator("time").first).to_have_text(_at_half_past_in_new_york())
        expect(page.locator("[data-zone-name]")).to_have_text("America/New_York")
        expect(page.locator("#history")).to_contain_text("weekdays-1")
        looks_right(page)


def _at_half_past_in_new_york() -> re.Pattern[str]:
    # 02:30 in Berlin: 20:30 the evening before, or an hour later where one clock is changed and the other isn't.
    return re.compile(r"^(Sun|Mon|Tue|Wed|Thu), \d\d \w+ \d{4}, 2[01]:30$")


def test_a_schedule_is_triggered_with_another_payload_and_suspended(stack: Stack, page: Page) -> None:
    template = {"spec": {"taskRef": {"name": "resize"}, "payload": {"all": True}}}
    stack.runs.schedule("by-hand", cron="0 0 31 2 *", template=template)
    page.goto(f"/projects/{stack.project}/schedules/by-hand")
    expect(page.locator("#next")).to_contain_text("never comes true")
    payload = page.get_by_label("Payload, a JSON object")
    assert json.loads(payload.input_value()) == {"all": True}
    payload.fill('{"all": false}')
    page.get_by_role("button", name="Start a run").click()
    name = page.locator("#head h1").inner_text()
    assert stack.runs.get(name)["spec"]["payload"] == {"all": False}
    page.goto(f"/projects/{stack.project}/schedules/by-hand")
    page.get_by_role("button", name="Suspend").click()
    expect(page.locator("#next")).to_contain_text("until it is resumed")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#when")).to_contain_text("on")


def test_a_schedule_that_the_operator_cannot_use_says_why(stack: Stack, page: Page) -> None:
    stack.runs.schedule("bad-zone", cron="0 3 * * *", timeZone="Mars/Base")
    page.goto(f"/projects/{stack.project}/schedules/bad-zone")
    expect(page.locator("#when")).to_contain_text("'Mars/Base' is not a zone of the IANA database")


def test_a_queue_shows_who_waits_by_key_and_gets_other_limits(stack: Stack, parts: Parts, page: Page) -> None:
    stack.runs.queue(
        "pages", concurrencyLimit=2, concurrencyLimitPerKey=1, rateLimit={"runs": 5, "perSeconds": 60, "burst": 2}
    )
    stack.runs.queue_status("pages", pending=3, running=2, oldestPendingAt="2026-11-28T10:00:00Z")
    for name, key, phase in (
        ("key-1", "tenant-a", "Running"),
        ("key-2", "tenant-a", "Pending"),
        ("key-3", "<i>b</i>", "Starting"),
        ("key-4", None, "Retrying"),
    ):
        given: dict[str, Any] = {"concurrencyKey": key} if key else {}
        a_run(
            stack, parts, name, task={"image": "a:1"}, queue="pages", status={"phase": phase, "queue": "pages"}, **given
        )
    page.goto(f"/projects/{stack.project}/queues")
    page.get_by_role("link", name="pages", exact=True).click()
    for words in ("of 2", "in 1 m 00 s"):
        expect(page.locator("#stats")).to_contain_text(words)
    keys = page.locator("#keys-of-queue")
    for words in ("tenant-a1 waiting, 1 running", "<i>b</i>0 waiting, 1 running", "without a key1 waiting, 0 running"):
        expect(keys).to_contain_text(words)
    expect(page.locator("#state")).to_contain_text("It is full")
    looks_right(page)
    limits = page.locator("#limits")
    limits.get_by_label("Running at once").fill("5")
    limits.get_by_label("Of one key").fill("")
    limits.get_by_label("in so many seconds").fill("")
    limits.get_by_role("button", name="Set the limits").click()
    expect(page.get_by_role("alert")).to_contain_text("rateSeconds")
    expect(limits.get_by_label("Running at once")).to_have_value("5")
    limits.get_by_label("Runs started").fill("")
    limits.get_by_label("at once after a pause").fill("")
    limits.get_by_role("button", name="Set the limits").click()
    expect(page.locator("#stats")).to_contain_text("any")
    assert stack.runs.kube.get("queues.tidegate.dev", "pages")["spec"] == {"concurrencyLimit": 5, "paused": False}
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_contain_text("Nothing of it starts")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state")).to_contain_text("open")


def test_what_is_gone_from_the_cluster_still_shows_its_runs(stack: Stack, parts: Parts) -> None:
    a_run(stack, parts, "orphan-1", taskRef={"name": "gone"}, status=ended("Succeeded", seconds=1))
    caller = parts.sign_in()
    shown = caller.get(f"/projects/{stack.project}/tasks/gone")
    assert shown.status_code == 200
    assert "There is no such Task." in shown.text
    assert "orphan-1" in shown.text
    assert "Start a run" not in shown.text
    for path in ("tasks/never-was", "queues/never-was", "schedules/never-was", "tasks/Not%20a%20name"):
        assert caller.get(f"/projects/{stack.project}/{path}").status_code == 404


def test_acts_are_offered_by_role(stack: Stack, parts: Parts) -> None:
    stack.runs.task("rights", image="a:1", env=[{"name": "PASSWORD", "value": "seven"}])
    stack.runs.queue("rights", concurrencyLimit=1)
    stack.runs.schedule("rights")
    acts = {"tasks": ("Start a run",), "queues": (">Pause<", "Set the limits"), "schedules": ("Start a run", "Suspend")}
    wanted = {
        "viewer": {"tasks": 0, "queues": 0, "schedules": 0},
        "operator": {"tasks": 1, "queues": 1, "schedules": 1},
        "developer": {"tasks": 1, "queues": 2, "schedules": 2},
    }
    members = {}
    for role, counts in wanted.items():
        members[role] = member = parts.member(role)
        for plural, count in counts.items():
            shown = member.get(f"/projects/{stack.project}/{plural}/rights").text.replace("</svg> ", "</svg>")
            offered = [act for act in acts[plural] if act.strip("><") in shown]
            assert len(offered) == count, (role, plural, offered)
    assert "seven" not in members["viewer"].get(f"/projects/{stack.project}/tasks/rights").text
    assert "seven" in members["operator"].get(f"/projects/{stack.project}/tasks/rights").text


def test_the_form_of_limits_takes_whole_numbers_alone(stack: Stack, parts: Parts) -> None:
    stack.runs.queue("numbers", concurrencyLimit=1)
    caller = parts.sign_in()
    for field, value in (
        ("concurrencyLimit", "-1"),
        ("concurrencyLimitPerKey", "0"),
        ("maxPending", "1.5"),
        ("rateRuns", "٣"),
    ):
        answer = caller.form(f"/projects/{stack.project}/queues/numbers/limits", act="limit", **{field: value})
        assert answer.status_code == 422, (field, answer.text)
        assert f"{field}: must be a whole number" in answer.text
    assert stack.runs.kube.get("queues.tidegate.dev", "numbers")["spec"]["concurrencyLimit"] == 1
