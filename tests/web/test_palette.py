"""Keys and the palette: from anywhere to a page, a run or a task, and to what the page's buttons do, with the keyboard alone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import signed_in, violations
from support.servers import wait_until
from support.web import EMAIL, PASSWORD, Stack


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has names of its own."""
    return shared_stack


@pytest.fixture
def page(stack: Stack, browser: Browser, site: str) -> Iterator[Page]:
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as made:
        made.goto(f"/projects/{stack.project}/runs")
        yield made


def a_run(stack: Stack, name: str) -> None:
    stack.runs.create(name, taskRef={"name": "resize"})
    assert stack.parts("web").sign_in().get(f"runs/{name}").status_code == 200  # it is in the archive now


def typed(page: Page, text: str) -> None:
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Go to or do")).to_be_focused()
    page.keyboard.type(text)


def test_a_run_is_found_by_a_part_of_its_name(stack: Stack, page: Page) -> None:
    a_run(stack, "import-orders")
    typed(page, "port-ord")
    expect(page.get_by_role("option", name="import-orders")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Enter")
    expect(page.locator("#head")).to_contain_text("import-orders")


def test_a_task_leads_to_its_page(stack: Stack, page: Page) -> None:
    stack.runs.task("thumbnails", image="pictures:1", entrypoint="pictures:resize")
    typed(page, "humbn")
    page.get_by_role("option", name="thumbnails").click()
    expect(page).to_have_url(f"{page.url.partition('/projects')[0]}/projects/{stack.project}/tasks/thumbnails")


def test_a_page_is_found_by_its_name_and_chosen_with_arrows(stack: Stack, page: Page) -> None:
    typed(page, "page")
    expect(page.get_by_role("option", name="Overview")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("option", name="Runs")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    typed(page, "schedules")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Schedules", level=1)).to_be_visible()
    typed(page, "nothing is called like this")
    expect(page.get_by_text("Nothing is called so.")).to_be_visible()


def test_what_the_buttons_of_a_page_do_is_done_from_the_palette(stack: Stack, page: Page) -> None:
    a_run(stack, "unwanted")
    page.goto(f"/projects/{stack.project}/runs/unwanted")
    page.on("dialog", lambda dialog: dialog.accept())
    typed(page, "act cancel")
    page.keyboard.press("Enter")
    wait_until(lambda: bool(stack.runs.get("unwanted")["spec"].get("cancel")), what="the run to be cancelled")


def test_rows_are_reached_and_chosen_by_keys(stack: Stack, page: Page) -> None:
    a_run(stack, "row-one")
    a_run(stack, "row-two")
    page.goto(f"/projects/{stack.project}/runs?q=row-")
    names = page.locator("a.tg-name")
    page.keyboard.press("j")
    expect(names.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(names.nth(1)).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator("td.c-pick input").nth(1)).to_be_checked()
    page.keyboard.press("k")
    expect(names.nth(0)).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.get_by_role("heading", name="Tasks", level=1)).to_be_visible()


def test_keys_are_explained_and_do_nothing_while_one_types(stack: Stack, page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_label("Search").fill("")
    page.get_by_label("Search").press_sequentially("gt?jx")
    expect(page.get_by_label("Search")).to_have_value("gt?jx")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible()
