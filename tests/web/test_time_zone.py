"""The zone of the times that a user sees: their browser's, or the one that they choose for their account."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import looks_right, signed_in
from support.web import EMAIL, PASSWORD, Parts, Stack


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


@pytest.fixture
def page(browser: Browser, site: str, parts: Parts) -> Iterator[Page]:
    """Of a user whose browser is in India, and who has chosen no zone yet."""
    with signed_in(browser, site, email=EMAIL, password=PASSWORD, timezone="Asia/Kolkata", refusals=True) as made:
        choose(made, "That of the browser")
        yield made


def choose(page: Page, zone: str) -> None:
    page.goto("/account")
    form = page.get_by_role("form", name="Change the time zone")
    form.get_by_label("Time zone").select_option(label=zone)
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("button", name="Save")).to_be_visible()


def test_times_are_in_the_zone_that_the_user_has_chosen(stack: Stack, parts: Parts, page: Page) -> None:
    stack.runs.schedule("noon", cron="0 12 * * *", timeZone="UTC")
    ticks = f"/projects/{stack.project}/schedules/noon"
    first = page.locator("#next li time").first
    page.goto(ticks)
    expect(first).to_contain_text("17:30")
    choose(page, "Asia/Tokyo")
    looks_right(page)
    page.goto(ticks)
    expect(first).to_contain_text("21:00")
    expect(page.locator("[data-zone-name]")).to_have_text("Asia/Tokyo")
    (entry,) = parts.rows("SELECT detail FROM audit WHERE action = 'user.time-zone' ORDER BY id DESC LIMIT 1")
    assert entry.detail == {"zone": "Asia/Tokyo"}
    choose(page, "That of the browser")
    page.goto(ticks)
    expect(first).to_contain_text("17:30")


def test_a_zone_that_there_is_not_is_refused(parts: Parts) -> None:
    me = parts.sign_in()
    for zone in ("Mars/Base", "../etc/passwd", "x" * 5000):
        answer = me.client.post("/account", data={"csrf_token": me.csrf, "act": "zone", "zone": zone})
        assert answer.status_code == 422, zone
    assert parts.rows("SELECT 1 FROM users WHERE time_zone IS NOT NULL") == []
