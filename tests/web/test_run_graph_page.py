"""The page of the graph around a run, in a browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text
from support.browser import looks_right, signed_in
from support.history import fill_graph
from support.web import EMAIL, PASSWORD, Parts, Stack
from tidegate_web.pages.run_graph import MOST_LISTED
from tidegate_web.store import partitions


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has runs of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as made:
        yield made


def a_run(stack: Stack, parts: Parts, name: str, *needs: str, phase: str = "Succeeded", **spec: Any) -> None:
    """A run that the archive has."""
    wanted: dict[str, Any] = {"task": {"image": "a:1"}} | spec
    if needs:
        wanted["dependsOn"] = [{"name": each} for each in needs]
    stack.runs.create(name, **wanted)
    stack.runs.status(name, phase=phase)
    assert parts.sign_in().get(f"runs/{name}").status_code == 200


def place(page: Page, name: str) -> float:
    """How far to the right a run's box is."""
    box = page.locator("#graph g", has_text=name).first.bounding_box()
    assert box is not None
    return box["x"]


def test_what_a_run_needs_what_needs_it_and_what_it_started(stack: Stack, parts: Parts, page: Page) -> None:
    a_run(stack, parts, "fetch")
    a_run(stack, parts, "load", "fetch", phase="Running")
    a_run(stack, parts, "report", "load", "not-made-yet", phase="Pending")
    a_run(stack, parts, "part", parentRun="load", phase="Failed")
    page.goto(f"/projects/{stack.project}/runs/load")
    page.get_by_role("link", name="Graph", exact=True).click()
    expect(page.get_by_role("heading", name="4 runs")).to_be_visible()
    rows = page.locator(".tg-graph-list li")
    expect(rows).to_have_count(5)
    expect(rows.filter(has_text="not-made-yet").first).to_contain_text("missing")
    expect(rows.filter(has_text="needs load, not-made-yet")).to_contain_text("report")
    expect(rows.filter(has_text="started by load")).to_contain_text("Failed")
    expect(page.locator("#graph .tg-here")).to_contain_text("load")
    assert page.locator("#graph .tg-edge-needs").count() == 3
    assert page.locator("#graph .tg-edge-started").count() == 1
    places = [place(page, name) for name in ("fetch", "load", "report")]
    assert places == sorted(places)
    looks_right(page)
    rows.filter(has_text="started by load").get_by_role("link").click()
    expect(page.get_by_role("heading", name="part")).to_be_visible()


def test_a_run_alone_is_a_graph_of_one(stack: Stack, parts: Parts) -> None:
    a_run(stack, parts, "alone")
    answer = parts.sign_in().get(f"/projects/{stack.project}/runs/alone/graph")
    assert (answer.status_code, "1 run<" in answer.text) == (200, True)
    assert parts.sign_in().get(f"/projects/{stack.project}/runs/none/graph").status_code == 404


@pytest.fixture
def fan_out(stack: Stack, parts: Parts) -> Iterator[str]:
    """The uid of a run that has started 250 others, of 60 tasks."""
    now = parts.services.clock.now()
    with parts.engine.begin() as connection:
        partitions.ensure(connection, [now])
    yield fill_graph(parts.engine, project=stack.project, runs=251, wide=250, now=now)
    with parts.engine.begin() as connection:
        connection.execute(text("DELETE FROM runs WHERE name LIKE 'graph-%'"))
        connection.execute(text("DELETE FROM run_keys WHERE name LIKE 'graph-%'"))


def test_a_box_of_many_runs_leads_to_them(stack: Stack, page: Page, fan_out: str) -> None:
    page.goto(f"/projects/{stack.project}/runs/{fan_out}/graph")
    expect(page.get_by_role("heading", name="251 runs")).to_be_visible()
    box = page.locator(".tg-graph-list").get_by_role("link", name="step-1 × 5", exact=True)
    assert page.locator("#graph a", has_text="step-1 × 5").get_attribute("href") == box.get_attribute("href")
    box.click()
    inner = page.locator(".tg-graph-inner")
    expect(inner).to_have_count(5)
    assert [each.inner_text().split()[0] for each in inner.all()] == [
        f"graph-{number}" for number in (1, 61, 121, 181, 241)
    ]
    looks_right(page)
    inner.first.get_by_role("link").click()
    expect(page.get_by_role("heading", name="graph-1")).to_be_visible()


def test_a_box_names_its_oldest_runs_and_how_many_more_there_are(stack: Stack, parts: Parts, fan_out: str) -> None:
    with parts.engine.begin() as connection:
        connection.execute(text("UPDATE runs SET task = 'one' WHERE name LIKE 'graph-%'"))
    answer = parts.sign_in().get(f"/projects/{stack.project}/runs/{fan_out}/graph", query_string={"box": "1//one"})
    assert answer.text.count('class="tg-graph-inner"') == MOST_LISTED
    assert "and 50 younger ones" in answer.text


@pytest.mark.parametrize("box", ["", "99//none", "../x", "<script>alert(1)</script>"])
def test_a_box_that_is_not_there_is_ignored(parts: Parts, stack: Stack, fan_out: str, box: str) -> None:
    answer = parts.sign_in().get(f"/projects/{stack.project}/runs/{fan_out}/graph", query_string={"box": box})
    assert (answer.status_code, "tg-graph-inner" in answer.text, "<script>alert" in answer.text) == (200, False, False)


def test_names_and_tasks_that_try_to_be_html_are_text(stack: Stack, parts: Parts) -> None:
    a_run(stack, parts, "odd", phase="Failed")
    with parts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET task = '<script>alert(1)</script>' WHERE name = 'odd'")
    answer = parts.sign_in().get(f"/projects/{stack.project}/runs/odd/graph")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
