"""The pages of Tasks, Queues and Schedules follow the cluster, and leave alone what a user is doing on them."""

import pytest
from playwright.sync_api import Page, expect
from support.runs import Json
from support.web import Stack

REFRESHED_MS = 12_000
"""Two looks of the page, and some."""


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has names of its own."""
    return shared_stack


def visit(page: Page, stack: Stack, kind: str) -> None:
    page.goto(f"/projects/{stack.project}/{kind}")
    page.evaluate("window.stayed = true")


def test_queues_are_followed(stack: Stack, page: Page) -> None:
    visit(page, stack, "queues")
    expect(page.locator("#fragment")).to_contain_text("No Queues yet")
    stack.runs.queue("slow", paused=True)
    stack.runs.queue_status("slow", pending=3, running=2)
    row = page.get_by_role("row", name="slow")
    expect(row).to_contain_text("paused", timeout=REFRESHED_MS)
    stack.runs.queue_status("slow", pending=4, running=2)
    expect(row.locator("td").nth(1)).to_have_text("4", timeout=REFRESHED_MS)
    stack.runs.kube.delete("queues.tidegate.dev", "slow")
    expect(page.locator("#fragment")).to_contain_text("No Queues yet", timeout=REFRESHED_MS)
    assert page.evaluate("window.stayed") is True


def test_schedules_are_followed(stack: Stack, page: Page) -> None:
    visit(page, stack, "schedules")
    stack.runs.schedule("nightly", suspend=True)
    expect(page.get_by_role("row", name="nightly")).to_contain_text("suspended", timeout=REFRESHED_MS)
    assert page.evaluate("window.stayed") is True


def test_an_open_form_keeps_its_text_and_the_focus_while_rows_come_and_go(stack: Stack, page: Page) -> None:
    for name in ("a-first", "m-mine"):
        stack.runs.task(name, image="pictures:1")
    visit(page, stack, "tasks")
    page.get_by_role("row", name="m-mine").get_by_text("Run", exact=True).click()
    form = page.get_by_role("form", name="Run m-mine")
    payload = form.get_by_label("Payload")
    payload.fill('{"width": 320}')
    payload.evaluate("(area) => area.setSelectionRange(3, 5)")
    stack.runs.kube.delete("tasks.tidegate.dev", "a-first")
    stack.runs.task("b-second", image="pictures:2")
    expect(page.get_by_role("row", name="b-second")).to_be_visible(timeout=REFRESHED_MS)
    expect(page.get_by_role("row", name="a-first")).to_have_count(0)
    expect(form).to_be_visible()
    expect(payload).to_be_focused()
    expect(payload).to_have_value('{"width": 320}')
    assert payload.evaluate("(area) => [area.selectionStart, area.selectionEnd]") == [3, 5]
    form.get_by_role("button", name="Start a run").click()
    name = page.get_by_role("status").get_by_role("link").inner_text()
    made: Json = stack.runs.get(name)
    assert made["spec"]["payload"] == {"width": 320}


def test_what_a_form_has_answered_stays_while_the_page_refreshes(stack: Stack, page: Page) -> None:
    stack.runs.task("resize", image="pictures:1")
    visit(page, stack, "tasks")
    page.get_by_role("row", name="resize").get_by_text("Run", exact=True).click()
    form = page.get_by_role("form", name="Run resize")
    form.get_by_label("Payload").fill("[")
    form.get_by_role("button", name="Start a run").click()
    expect(page.get_by_role("alert")).to_contain_text("must be JSON")
    stack.runs.task("other", image="pictures:2")
    expect(page.get_by_role("row", name="other")).to_be_visible(timeout=REFRESHED_MS)
    expect(page.get_by_role("alert")).to_contain_text("must be JSON")
