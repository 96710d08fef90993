"""The page of a project's batches, in a browser: how far each is, and what of it failed."""

import pytest
from playwright.sync_api import Page, expect
from support.browser import looks_right
from support.web import Parts, Stack


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has batches of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


def a_batch(stack: Stack, parts: Parts, name: str, *phases: str) -> None:
    """Runs of these phases, which the archive has."""
    for number, phase in enumerate(phases):
        run = f"{name.lower().replace(' ', '-')}-{number}"
        stack.runs.create(run, task={"image": "a:1"}, batch=name)
        stack.runs.status(run, phase=phase)
        assert parts.sign_in().get(f"runs/{run}").status_code == 200


def test_a_batch_shows_how_far_it_is_and_leads_to_what_failed(stack: Stack, parts: Parts, page: Page) -> None:
    page.goto(f"/projects/{stack.project}/batches")
    expect(page.locator("body")).to_contain_text("No batches in the last 7 days")
    a_batch(stack, parts, "May 1", "Succeeded", "Succeeded", "Failed", "Running")
    a_batch(stack, parts, "May 2", "Pending")
    page.goto(f"/projects/{stack.project}/runs")
    page.get_by_role("link", name="Batches", exact=True).click()
    row = page.get_by_role("row", name="May 1")
    expect(row).to_contain_text("4 runs, 75 % ended")
    expect(row.get_by_role("img", name="1 Failed, 1 Running, 2 Succeeded")).to_be_visible()
    expect(page.get_by_role("row", name="May 2")).to_contain_text("1 run, 0 % ended")
    looks_right(page)
    row.get_by_role("link", name="1", exact=True).first.click()
    expect(page.locator("#list")).to_contain_text("may-1-2")
    expect(page.locator("#list")).not_to_contain_text("may-1-0")


def test_a_range_is_in_the_address(stack: Stack, parts: Parts, page: Page) -> None:
    page.goto(f"/projects/{stack.project}/batches")
    page.get_by_role("navigation", name="Range").get_by_role("link", name="30d").click()
    expect(page).to_have_url(f"/projects/{stack.project}/batches?range=30d")
    answer = parts.sign_in().get(f"/projects/{stack.project}/batches?range=1y")
    assert (answer.status_code, "must be one of 24h, 7d, 30d" in answer.text) == (422, True)
    cursor = parts.sign_in().get(f"/projects/{stack.project}/batches?after=no-cursor")
    assert "is not a cursor" in cursor.text
