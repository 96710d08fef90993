"""The pages about people and keys, in a browser: what is made there works, and a secret is shown once."""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from playwright.sync_api import Browser, Page, expect
from support.browser import signed_in
from support.oidc import CLIENT_SECRET, OidcProvider
from support.pods import Pod
from support.receiver import Receiver
from support.servers import wait_until
from support.web import EMAIL, PASSWORD, Parts, Stack

EVE = "eve@example.com"
NEW_PASSWORD = "a password nobody has guessed"


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: what each test makes is its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(shared_parts: Parts) -> Parts:
    return shared_parts


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("site") / "web.log"
    with stack.process("all", actor="web", log=log, namespaces=[stack.project]) as web:
        yield f"http://127.0.0.1:{web.port}"


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as made:
        yield made


@pytest.fixture
def refused(browser: Browser, site: str) -> Iterator[Page]:
    """A page for those who send what is wrong."""
    with signed_in(browser, site, email=EMAIL, password=PASSWORD, refusals=True) as made:
        yield made


def test_a_user_is_invited_joins_and_is_listed(stack: Stack, browser: Browser, site: str, page: Page) -> None:
    page.goto(f"/projects/{stack.project}/members")
    form = page.get_by_role("form", name="Invite")
    form.get_by_label("Email").fill("bob@example.com")
    form.get_by_label("Role").select_option("developer")
    form.get_by_role("button", name="Invite").click()
    link = page.locator("[data-secret]").inner_text()
    expect(page.get_by_role("row", name="bob@example.com")).to_contain_text("Developer")
    context = browser.new_context(base_url=site)
    bob = context.new_page()
    bob.goto(link)
    expect(bob.locator("body")).to_contain_text(f"invites bob@example.com to the project {stack.project}")
    bob.get_by_label("Your name").fill("Bob")
    bob.get_by_label("Choose a password").fill(NEW_PASSWORD)
    bob.get_by_role("button", name="Join").click()
    expect(bob.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    expect(bob.get_by_role("link", name="API keys")).to_have_count(0)
    context.close()
    page.goto(f"/projects/{stack.project}/members")
    expect(page.get_by_role("row", name="bob@example.com")).to_contain_text("Bob")
    expect(page.locator("[data-secret]")).to_have_count(0)
    page.get_by_label("Role of bob@example.com").select_option("viewer")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_label("Role of bob@example.com")).to_have_value("viewer")
    page.get_by_role("button", name="Remove bob@example.com").click()
    expect(page.locator("body")).to_contain_text("No members yet")


def test_a_key_is_made_used_and_revoked(stack: Stack, site: str, page: Page) -> None:
    page.goto(f"/projects/{stack.project}/keys")
    expect(page.locator("body")).to_contain_text("No keys yet")
    form = page.get_by_role("form", name="New key")
    form.get_by_label("Name").fill("ci")
    form.get_by_label("Tasks").fill("resize, report")
    form.get_by_label("Days").fill("30")
    form.get_by_role("button", name="Make a key").click()
    key = page.locator("[data-secret]").inner_text()
    row = page.get_by_role("row", name="ci")
    expect(row).to_contain_text(key[:11])
    expect(row).to_contain_text("report, resize")

    def listed() -> int:
        with urllib3.PoolManager() as pool:
            url = f"{site}/api/v1/projects/{stack.project}/runs"
            return pool.request("GET", url, headers={"Authorization": f"Bearer {key}"}).status

    assert listed() == 200
    page.goto(f"/projects/{stack.project}/keys")
    expect(page.locator("body")).not_to_contain_text(key)
    page.get_by_role("button", name="Revoke ci").click()
    expect(page.locator("body")).to_contain_text("No keys yet")
    assert listed() == 401
    page.goto(f"/projects/{stack.project}/audit")
    expect(page.get_by_role("row", name="api-key.revoke")).to_contain_text("done")


def test_a_webhook_is_added_tried_and_removed(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    with (
        Receiver() as receiver,
        stack.process(
            "all", actor="web", log=tmp_path / "web.log", namespaces=[stack.project], webhook_allow=["127.0.0.0/8"]
        ) as web,
        signed_in(browser, f"http://127.0.0.1:{web.port}", email=EMAIL, password=PASSWORD) as page,
    ):
        stack.mirror(webhook_allow=["127.0.0.0/8"])
        page.goto(f"/projects/{stack.project}/webhooks")
        form = page.get_by_role("form", name="New webhook")
        form.get_by_label("URL").fill(receiver.url)
        form.get_by_label("Failed").check()
        form.get_by_role("button", name="Add a webhook").click()
        secret = page.locator("[data-secret]").inner_text()
        page.get_by_role("link", name=receiver.url).click()
        page.get_by_role("button", name="Send a test").click()
        wait_until(lambda: bool(receiver.received), what="the test")
        assert receiver.received[0].signed_with(secret)
        wait_until(lambda: (page.reload(), page.get_by_text("delivered").count())[1] == 1, what="the delivery's state")
        page.get_by_role("button", name="Send again").click()
        wait_until(lambda: len(receiver.received) == 2, what="the replay")
        page.get_by_role("button", name="Switch off").click()
        expect(page.locator("body")).to_contain_text("Switched off.")
        page.get_by_role("button", name="Remove").click()
        expect(page.locator("body")).to_contain_text("No webhooks yet")


def test_the_settings_page_shows_what_is_used_and_sets_the_retention(
    stack: Stack, parts: Parts, browser: Browser, tmp_path: Path
) -> None:
    bound = 100 * 1024
    with (
        stack.process(
            "all", actor="web", log=tmp_path / "web.log", namespaces=[stack.project], project_bytes=bound
        ) as web,
        signed_in(browser, f"http://127.0.0.1:{web.port}", email=EMAIL, password=PASSWORD, refusals=True) as page,
    ):
        page.goto(f"/projects/{stack.project}/runs")
        page.get_by_role("link", name="Settings").click()
        archive = page.get_by_role("region", name="Archive")
        expect(archive).to_contain_text("0 B of 100.0 KiB used")
        expect(archive.get_by_role("progressbar")).to_have_attribute("value", "0")
        noise = random.Random(1).randbytes(97 * 1024).hex()  # noqa: S311
        assert Pod(stack, parts).send("result", f'"{noise}"'.encode()).status_code == 200
        page.reload()
        expect(archive).to_contain_text(re.compile(r"(9\d|1\d\d)\.\d KiB of 100\.0 KiB used"))
        expect(archive).to_contain_text("Hardly anything fits any more")
        retention = page.get_by_role("region", name="Retention")
        expect(retention.get_by_label("As the installation says: 90 days")).to_be_checked()
        retention.get_by_label("For so many days").check()
        retention.get_by_label("Days", exact=True).fill("30")
        retention.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status")).to_contain_text("Saved.")
        expect(retention.get_by_label("For so many days")).to_be_checked()
        assert parts.rows("SELECT retention_days AS days FROM project_settings")[0].days == 30
        retention.get_by_label("For ever").check()
        retention.get_by_role("button", name="Save").click()
        expect(retention.get_by_label("For ever")).to_be_checked()
        assert parts.rows("SELECT retention_days AS days FROM project_settings")[0].days == 0
        retention.get_by_label("As the installation says").check()
        retention.get_by_role("button", name="Save").click()
        expect(retention.get_by_label("As the installation says")).to_be_checked()
        # What the browser itself would not send.
        retention.get_by_label("For so many days").check()
        retention.get_by_label("Days", exact=True).evaluate("field => { field.type = 'text'; field.value = 'many' }")
        retention.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("a whole number, at least 1")


def test_what_is_wrong_is_reported_on_the_page_that_sent_it(stack: Stack, refused: Page) -> None:
    page = refused
    page.goto(f"/projects/{stack.project}/keys")
    form = page.get_by_role("form", name="New key")
    form.get_by_label("Name").fill("ci")
    form.get_by_label("Tasks").fill("Not_A_Name")
    form.get_by_role("button", name="Make a key").click()
    expect(page.get_by_role("alert")).to_contain_text("must be a DNS label")


def test_users_are_made_disabled_and_enabled(refused: Page) -> None:
    page = refused
    page.goto("/users")
    form = page.get_by_role("form", name="New user")
    form.get_by_label("Email").fill("carol@example.com")
    form.get_by_role("button", name="Make a user").click()
    expect(page.locator("[data-secret]")).to_contain_text("/password/")
    page.get_by_role("link", name="Disable carol@example.com").click()
    page.get_by_role("button", name="Disable").click()
    page.goto("/users")
    expect(page.get_by_role("row", name="carol@example.com")).to_contain_text("disabled")
    page.get_by_role("button", name="Enable carol@example.com").click()
    expect(page.get_by_role("row", name="carol@example.com")).not_to_contain_text("disabled")
    page.get_by_role("link", name=f"Disable {EMAIL}").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("alert")).to_contain_text("last admin")


def test_one_signs_out_everywhere_else_and_changes_the_password(parts: Parts, browser: Browser, site: str) -> None:
    parts.member("viewer", email=EVE)
    with (
        signed_in(browser, site, email=EVE, password=PASSWORD) as page,
        signed_in(browser, site, email=EVE, password=PASSWORD) as other,
    ):
        other.goto("/")
        expect(other.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
        page.goto("/account")
        page.get_by_role("button", name="Sign out everywhere else").click()
        expect(page.get_by_role("status")).to_contain_text("signed out")
        other.reload()
        expect(other.get_by_label("Password")).to_be_visible()
        page.get_by_label("Your password").fill(PASSWORD)
        page.get_by_label("New password").fill(NEW_PASSWORD)
        page.get_by_role("button", name="Change", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("Your password is changed")
    with signed_in(browser, site, email=EVE, password=NEW_PASSWORD) as again:
        again.goto("/")
        expect(again.get_by_role("heading", name="Runs", exact=True)).to_be_visible()


def test_signing_in_by_the_button_of_a_provider(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    people = {"ada": {"email": EMAIL, "email_verified": True, "name": "Ada"}}
    with OidcProvider(people) as provider:
        settings: dict[str, Any] = {
            "oidc_discovery_url": provider.discovery_url,
            "oidc_client_id": "tidegate",
            "oidc_client_secret": CLIENT_SECRET,
            "oidc_label": "our directory",
            "passwords": False,
            "namespaces": [stack.project],
        }
        with stack.process("all", actor="web", log=tmp_path / "web.log", **settings) as web:
            context = browser.new_context(base_url=f"http://127.0.0.1:{web.port}")
            page = context.new_page()
            page.goto("/")
            expect(page.get_by_label("Password")).to_have_count(0)
            page.get_by_role("link", name="Sign in with our directory").click()
            page.get_by_placeholder("Enter any login").fill("ada")
            page.get_by_placeholder("and password").fill("any")
            page.get_by_role("button", name="Sign-in").click()
            page.get_by_role("button", name="Continue").click()
            expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
            context.close()


def test_an_admin_of_the_installation_makes_a_project(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    name = f"{stack.project}-of-the-page"
    with (
        stack.process("all", actor="web", log=tmp_path / "web.log") as web,
        signed_in(browser, f"http://127.0.0.1:{web.port}", email=EMAIL, password=PASSWORD, refusals=True) as page,
    ):
        page.goto("/projects")
        form = page.get_by_role("form", name="New project")
        form.get_by_label("New project").fill("kube-mine")
        form.get_by_role("button", name="Make a project").click()
        expect(page.get_by_role("alert")).to_contain_text("can't be projects")

        form.get_by_label("New project").fill(name)
        form.get_by_role("button", name="Make a project").click()
        expect(page).to_have_url(re.compile(f"/projects/{name}/runs$"))
        expect(page.get_by_text("No runs yet")).to_be_visible()
        page.get_by_label(f"Project {name}, choose another").click()
        page.get_by_role("link", name="All projects").click()
        expect(page.get_by_role("link", name=name)).to_be_visible()
