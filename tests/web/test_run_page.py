"""What the page of a run says beside its log: the runs before it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import signed_in, violations
from support.runs import now
from support.servers import wait_until
from support.web import EMAIL, PASSWORD, Stack


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has a task of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    logs = tmp_path_factory.mktemp("logs")
    with (
        stack.process("all", actor="web", log=logs / "web", namespaces=[stack.project]) as web,
        stack.process("mirror", actor="mirror", log=logs / "mirror", namespaces=[stack.project]),
    ):
        yield f"http://127.0.0.1:{web.port}"


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as made:
        yield made


def test_a_run_is_shown_with_the_runs_of_its_task_before_it(stack: Stack, page: Page) -> None:
    begin = datetime.now(UTC) - timedelta(hours=1)
    for number, (phase, seconds) in enumerate([("Succeeded", 30), ("Failed", 60), ("Succeeded", 15)]):
        name = f"before-{number}"
        stack.runs.create(name, taskRef={"name": "report"})
        ended = f"{begin + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
        stack.runs.status(name, phase=phase, startedAt=f"{begin:%Y-%m-%dT%H:%M:%SZ}", finishedAt=ended)
    unrelated = stack.runs.create("unrelated", taskRef={"name": "other"})
    # Runs of one second are in the order of their uids.
    wait_until(lambda: now() > unrelated["metadata"]["creationTimestamp"], what="the next second")
    stack.runs.create("this", taskRef={"name": "report"})
    stack.runs.status("this", phase="Running", startedAt=now(), attempts=[{"number": 1}])
    page.goto(f"/projects/{stack.project}/runs/this")
    previous = page.get_by_role("region", name="Previous runs of this task")
    items = previous.get_by_role("listitem")
    expect(items).to_have_count(3)
    expect(previous).to_contain_text("2 of 3 succeeded · median 30 s")
    failed = items.filter(has_text="before-1")
    expect(failed).to_contain_text("Failed")
    expect(failed).to_contain_text("1 m 00 s")
    assert failed.locator("rect").get_attribute("width") == "100.0"
    assert items.filter(has_text="before-2").locator("rect").get_attribute("width") == "25.0"
    for width in (360, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        found = violations(page)
        assert found == [], found
    failed.get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="before-1")).to_be_visible()
    page.goto(f"/projects/{stack.project}/runs/this")
    page.get_by_role("link", name="All runs of report").click()
    expect(page.locator("tr", has_text="before-0")).to_be_visible()
    expect(page.locator("tr", has_text="unrelated")).to_have_count(0)


def test_a_first_run_and_one_without_a_task_have_none(stack: Stack, page: Page) -> None:
    stack.runs.create("first", taskRef={"name": "never-before"})
    page.goto(f"/projects/{stack.project}/runs/first")
    expect(page.get_by_role("heading", name="first")).to_be_visible()
    expect(page.get_by_role("region", name="Previous runs of this task")).to_have_count(0)
