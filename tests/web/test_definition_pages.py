"""The pages of Tasks, Queues, Schedules and WorkerPools, in a browser: what there is, and what is done by hand."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.web import Stack


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has names of its own."""
    return shared_stack


def test_a_task_is_run_with_a_payload(stack: Stack, page: Page) -> None:
    page.goto(f"/projects/{stack.project}/tasks")
    expect(page.locator("body")).to_contain_text("No Tasks yet")
    stack.runs.task(
        "resize", image="pictures:1", entrypoint="pictures:resize", queue="slow", description="Smaller ones."
    )
    page.get_by_role("link", name="Tasks").click()
    row = page.get_by_role("row", name="resize")
    for text in ("Smaller ones.", "pictures:resize", "pictures:1", "slow", "1 h 00 m"):
        expect(row).to_contain_text(text)
    row.get_by_text("Run", exact=True).click()
    form = page.get_by_role("form", name="Run resize")
    form.get_by_label("Payload").fill('{"width": 320')
    form.get_by_role("button", name="Start a run").click()
    expect(page.get_by_role("alert")).to_contain_text("must be JSON")
    row.get_by_text("Run", exact=True).click()
    form.get_by_label("Payload").fill('{"width": 320}')
    form.get_by_role("button", name="Start a run").click()
    link = page.get_by_role("status").get_by_role("link")
    name = link.inner_text()
    made = stack.runs.get(name)
    assert made["spec"]["payload"] == {"width": 320}
    link.click()
    expect(page.locator("#head")).to_contain_text(name)


def test_a_queue_is_paused_and_resumed(stack: Stack, page: Page) -> None:
    stack.runs.queue("slow", concurrencyLimit=2, maxPending=100, rateLimit={"runs": 5, "perSeconds": 60})
    stack.runs.queue_status("slow", pending=3, running=2)
    page.goto(f"/projects/{stack.project}/queues")
    row = page.get_by_role("row", name="slow")
    for text in ("3 of 100", "5 in 1 m 00 s", "open"):
        expect(row).to_contain_text(text)
    page.get_by_role("button", name="Pause slow").click()
    expect(row).to_contain_text("paused")
    page.get_by_role("button", name="Resume slow").click()
    expect(row).to_contain_text("open")


def test_a_schedule_is_triggered_and_suspended(stack: Stack, page: Page) -> None:
    stack.runs.schedule("nightly", cron="0 3 * * *", timeZone="Europe/Berlin")
    stack.runs.schedule_status("nightly", nextScheduleTime="2126-01-01T02:00:00Z")
    page.goto(f"/projects/{stack.project}/schedules")
    row = page.get_by_role("row", name="nightly")
    for text in ("0 3 * * *", "Europe/Berlin", "on"):
        expect(row).to_contain_text(text)
    page.get_by_role("button", name="Trigger nightly").click()
    name = page.get_by_role("status").get_by_role("link").inner_text()
    assert name.startswith("nightly-m")
    assert stack.runs.exists(name)
    page.get_by_role("button", name="Suspend nightly").click()
    expect(row).to_contain_text("suspended")
    page.get_by_role("button", name="Resume nightly").click()
    expect(row.get_by_text("on", exact=True)).to_be_visible()


def test_a_pool_shows_its_workers_and_why_none_comes_and_is_scaled(stack: Stack, page: Page) -> None:
    spec: dict[str, Any] = {"image": "models:1.4", "preload": ["app.models"], "slots": 3}
    stack.runs.pool("models", **spec)
    condition = {"type": "Ready", "status": "False", "reason": "ErrImagePull", "message": "pod models-1: no such image"}
    stack.runs.pool_status("models", readyReplicas=0, slots=0, busy=0, waiting=7, conditions=[condition])
    page.goto(f"/projects/{stack.project}/pools")
    row = page.get_by_role("row", name="models")
    for words in ("models:1.4", "imports app.models", "3 a worker", "not ready", "no such image", "7"):
        expect(row).to_contain_text(words)
    row.locator("summary").click()
    row.get_by_label("Worker pods").fill("5")
    row.get_by_role("button", name="Scale").click()
    expect(page.get_by_role("row", name="models")).to_contain_text("0 of 5")


def test_viewers_only_look_and_operators_do_not_suspend(stack: Stack) -> None:
    parts = stack.parts("web")
    stack.runs.schedule("weekly")
    for role, seen in (("viewer", ()), ("operator", ("Trigger",)), ("developer", ("Trigger", "Suspend"))):
        shown = parts.member(role).get(f"/projects/{stack.project}/schedules").text
        assert tuple(act for act in ("Trigger", "Suspend") if f">{act}<" in shown) == seen
