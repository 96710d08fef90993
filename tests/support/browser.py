"""A real Chromium, and pages that complain aloud."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import APIRequestContext, Browser, Locator, Page, expect, sync_playwright

from support.callers import csrf_token_of
from support.servers import ensure_chromium

NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
"""Clusters of other tests come and go, and with them interfaces of this machine: Chromium then drops its connections."""
PATIENCE_MS = 60_000
"""So long a page is waited for: other tests have the machine as well."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    program = ensure_chromium()
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def signed_in(
    browser: Browser,
    site: str,
    *,
    email: str,
    password: str,
    refusals: bool = False,
    timezone: str | None = None,
    by_form: bool = False,
) -> Iterator[Page]:
    """A page that has signed in; whatever it complains about on its console fails the test, but for answers of 4xx where
    ``refusals`` are what the test is about. ``timezone``: that of the viewer, else the machine's. ``by_form``: as people do it, so that the page shows
    what they see first; else nothing is drawn before the test's own pages, which saves each test a second."""
    context = browser.new_context(base_url=site, timezone_id=timezone)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request", lambda asked: complaints.append(asked.url) if not asked.url.startswith((site, "data:")) else None
    )
    if by_form:
        page.goto("/")
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
    else:
        _sign_in(context.request, email=email, password=password)
    yield page
    context.close()
    left = [text for text in complaints if NETWORK_CHANGED not in text and not (refusals and "status of 4" in text)]
    assert left == [], f"the page complains: {left}"


def _sign_in(client: APIRequestContext, *, email: str, password: str) -> None:
    """Get the context its session."""
    form: dict[str, str | float | bool] = {
        "email": email,
        "password": password,
        "csrf_token": csrf_token_of(client.get("/login").text()),
    }
    answer = client.post("/login", form=form, max_redirects=0)
    assert answer.status == 303, f"{email} can't sign in: {answer.status} {answer.text()}"


def come(page: Page, wanted: Locator) -> Locator:
    """What has just come to a list, once the list is asked to show it."""
    newer = page.locator("#newer a")
    expect(wanted.or_(newer).first).to_be_visible()
    while not wanted.is_visible():
        newer.click()
        expect(wanted.or_(newer).first).to_be_visible()
    return wanted


AXE: Final = Axe().axe_script
FIND_VIOLATIONS: Final = """() => axe.run({resultTypes: ["violations"]}).then(({violations}) =>
  violations.flatMap(({id, nodes}) => nodes.map(({html}) => `${id}: ${html.slice(0, 300)}`)))"""


def violations(page: Page) -> list[str]:
    """What axe has to say against a page: rule and element."""
    # The script has half a megabyte, so a page gets it once. What is right with a page is more still, and stays there.
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE)
    found: list[str] = page.evaluate(FIND_VIOLATIONS)
    return found


def looks_right(page: Page) -> None:
    """At the width of a phone and of a desk nothing is cut off, and axe finds nothing in either theme."""
    for width in (360, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = violations(page)
            assert found == [], found
    page.emulate_media(color_scheme="light")
