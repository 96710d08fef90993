"""What the page of a run says beside its log: the runs before it, its manifest, and what to type."""

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect
from support.browser import signed_in, violations
from support.runs import now
from support.servers import wait_until
from support.stacks import site_of
from support.web import EMAIL, PASSWORD, Parts, Stack


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has a task of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with site_of(stack, tmp_path_factory.mktemp("logs")) as address:
        yield address


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
    expect(previous).to_contain_text("2 of 3 succeeded")
    expect(previous).to_contain_text("median 30 s")
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


def test_the_manifest_is_folded_and_copied(browser: Browser, stack: Stack, site: str, page: Page) -> None:
    payload = {"html": "<b>", "list": [1, {"a": "b: c"}], "text": "two\nlines"}
    stack.runs.create("written", taskRef={"name": "writes"}, payload=payload)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/projects/{stack.project}/runs/written")
    text = page.locator("#manifest code").first
    expect(text).to_be_hidden()
    page.get_by_text("Manifest (YAML)").focus()
    page.keyboard.press("Enter")
    expect(text).to_be_visible()
    page.get_by_role("button", name="Copy: manifest").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".tg-copied")).to_be_visible()
    copied = yaml.safe_load(page.evaluate("navigator.clipboard.readText()"))
    assert copied["metadata"] == {"name": "written", "namespace": stack.project}
    assert (copied["spec"]["taskRef"], copied["spec"]["payload"]) == ({"name": "writes"}, payload)
    for width in (360, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        found = violations(page)
        assert found == [], found
    # What it shows makes the same run under another name.
    copied["metadata"]["name"] = "written-again"
    stack.plane.kubectl("create", "-f", "-", stdin=yaml.safe_dump(copied))
    assert stack.runs.get("written-again")["spec"] == stack.runs.get("written")["spec"]
    context = browser.new_context(base_url=site, java_script_enabled=False)
    context.add_cookies(page.context.cookies())  # type: ignore[arg-type]
    plain = context.new_page()
    plain.goto(f"/projects/{stack.project}/runs/written")
    plain.get_by_text("Manifest (YAML)").click()
    expect(plain.locator("#manifest code").first).to_contain_text("kind: TaskRun")
    context.close()


def test_a_viewer_sees_no_values_of_the_environment_in_the_manifest(stack: Stack, parts: Parts) -> None:
    stack.runs.create("secretive", taskRef={"name": "t"}, env=[{"name": "PASSWORD", "value": "s3cret"}])
    path = f"/projects/{stack.project}/runs/secretive"
    assert "s3cret" in parts.member("operator").get(path).text
    seen = parts.member("viewer").get(path).text
    assert "s3cret" not in seen
    assert "value: (hidden)" in seen


def test_the_command_to_cancel_cancels(stack: Stack, page: Page) -> None:
    stack.runs.create("typed", taskRef={"name": "t"})
    page.goto(f"/projects/{stack.project}/runs/typed")
    line = page.locator(".tg-command", has_text="Stop it").locator("code").inner_text()
    program, *words = shlex.split(line)
    assert program == "kubectl"
    stack.plane.kubectl(*words)
    assert stack.runs.get("typed")["spec"]["cancel"] is True
    expect(page.get_by_text("Cancelling")).to_be_visible()
