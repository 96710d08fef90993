"""The columns of the list of runs: each user chooses them once for all projects, and the list draws them, live as well."""

import html
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import event
from support.browser import come, looks_right, signed_in
from support.callers import SignedIn
from support.runs import now
from support.stacks import site_of
from support.web import EMAIL, PASSWORD, Parts, Stack
from tidegate_web.shared.run_columns import DEFAULT, LABELS

CHOICE = "/account/run-columns"
SPEC: dict[str, Any] = {
    "taskRef": {"name": "mail"},
    "queue": "slow",
    "priority": 7,
    "concurrencyKey": "tenant <b>",
    "batch": "May",
    "parentRun": "root",
    "tags": ["night", "eu"],
}


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


def choose(who: SignedIn, *names: str, act: str = "save", query: str = "") -> Any:
    fields = {"csrf_token": who.csrf, "act": act, "column": list(names)}
    return who.client.post(f"{CHOICE}?project={who.project}{query}", data=fields)


def page(who: SignedIn, query: str = "", **headers: str) -> str:
    answer = who.client.get(f"/projects/{who.project}/runs{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.text


def heads(who: SignedIn, query: str = "") -> list[str]:
    """The heads of the columns that a user sees."""
    return [html.unescape(text) for text in re.findall(r'<th class="c-(?!pick)[^>]*>([^<]*)</th>', page(who, query))]


def cells(text: str) -> dict[str, str]:
    """The text of each cell of the first row, by its column."""
    row = re.findall(r"<tr id=.*?</tr>", text, re.DOTALL)[0]
    found = re.findall(r'<td class="c-(\w+)[^>]*>(.*?)</td>', row, re.DOTALL)
    plain = {
        name: " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", cell)).split()) for name, cell in found
    }
    return {name: html.unescape(cell) for name, cell in plain.items() if name != "pick"}


def a_run(stack: Stack, me: SignedIn, name: str = "nightly") -> None:
    labels = {"tidegate.dev/schedule": "every-night"}
    stack.runs.create_for("anna@example.com", name, labels=labels, **SPEC)
    assert me.get(f"runs/{name}").status_code == 200  # it is in the archive now


def test_without_a_choice_the_list_is_as_ever(stack: Stack, me: SignedIn) -> None:
    a_run(stack, me)
    assert heads(me) == [LABELS[name] for name in DEFAULT]


def test_a_user_sees_the_columns_that_they_have_chosen_in_their_order(stack: Stack, me: SignedIn) -> None:
    a_run(stack, me)
    answer = choose(me, "tags", "key", "task", query="&task=mail")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/projects/{me.project}/runs?task=mail"
    assert heads(me) == ["Status", "Run", "Task", "Key", "Tags"]
    assert choose(me, act="reset").status_code == 303
    assert heads(me) == [LABELS[name] for name in DEFAULT]


def test_every_column_shows_what_it_says(stack: Stack, me: SignedIn) -> None:
    a_run(stack, me)
    choose(me, *LABELS)
    shown = cells(page(me))
    assert list(shown) == list(LABELS)
    assert "<b>" not in re.findall(r'<td class="c-key.*?</td>', page(me))[0].replace("<bdi>", "")
    ago = {name: shown.pop(name) for name in ("waited", "created")}
    assert ago["created"].endswith("ago") or ago["created"] == "just now"
    assert shown == {
        "phase": "Pending",
        "name": "nightly",
        "task": "mail",
        "queue": "slow",
        "priority": "7",
        "key": "tenant <b>",
        "schedule": "every-night",
        "batch": "May",
        "parent": "root",
        "tags": "night, eu",
        "requestedBy": "anna@example.com",
        "attempts": "–",
        "duration": "–",
        "started": "–",
        "finished": "–",
    }


def test_the_choice_is_the_users_and_holds_in_all_projects(stack: Stack, parts: Parts, me: SignedIn) -> None:
    a_run(stack, me)
    anna = parts.member("viewer", email="anna@example.com")
    choose(anna, "tags")
    assert heads(anna) == ["Status", "Run", "Tags"]
    assert heads(me) == [LABELS[name] for name in DEFAULT]
    again = parts.sign_in(email="anna@example.com")  # in another browser
    assert heads(again) == ["Status", "Run", "Tags"]
    answer = again.form(f"{CHOICE}?project=elsewhere", act="reset")
    assert answer.headers["Location"] == "/projects/elsewhere/runs"
    assert again.form(CHOICE, act="reset").headers["Location"] == "/projects"


@pytest.mark.parametrize("names", [["none-such"], ["tags", "<script>"], ["x" * 10_000], ["tags"] * 100, ["tags,key"]])
def test_what_is_no_column_is_refused(me: SignedIn, names: list[str]) -> None:
    choose(me, "batch")
    assert choose(me, *names).status_code == 422
    assert me.client.get(f"/projects/{me.project}/runs?columns={','.join(names) + ',none-such'}").status_code == 422
    assert me.form(f"{CHOICE}?project={me.project}", act="other").status_code == 422
    assert me.client.post(CHOICE, data={"act": "reset"}).status_code == 403  # without its token
    assert 'value="batch" checked' in page(me)


def test_the_choice_is_in_the_audit_log(parts: Parts, me: SignedIn) -> None:
    choose(me, "tags")
    choose(me, act="reset")
    rows = parts.rows("SELECT * FROM audit WHERE action = 'user.columns' ORDER BY id")
    assert [(row.actor, row.outcome, row.detail["columns"]) for row in rows] == [
        (EMAIL, "done", ["phase", "name", "tags"]),
        (EMAIL, "done", "default"),
    ]


def test_columns_in_the_address_come_before_the_choice_and_stay_in_all_links(stack: Stack, me: SignedIn) -> None:
    a_run(stack, me)
    choose(me, "tags")
    there = "?columns=phase,name,batch"
    assert heads(me, there) == ["Status", "Run", "Batch"]
    text = page(me, there)
    tabs = re.findall(r'<nav class="tg-tabs".*?</nav>', text, re.DOTALL)[0]
    assert tabs.count("columns=phase,name,batch") == tabs.count("href=")
    assert 'name="columns" value="phase,name,batch"' in text
    assert "Show yours" in text


def test_the_columns_are_read_with_the_user_and_no_statement_is_added(stack: Stack, parts: Parts, me: SignedIn) -> None:
    a_run(stack, me)
    statements: list[str] = []
    event.listen(parts.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    page(me)
    plain = len(statements)
    choose(me, "tags", "key", "priority")
    statements.clear()
    page(me)
    assert len(statements) == plain


def test_the_choice_holds_while_postgres_is_away(stack: Stack, parts: Parts, me: SignedIn) -> None:
    stack.runs.create("away", **SPEC)
    choose(me, "tags", "priority", "key")
    assert me.get("/api/v1/me").status_code == 200
    stack.postgres.stop()
    assert heads(me) == ["Status", "Run", "Priority", "Key", "Tags"]
    shown = cells(page(me))
    assert (shown["priority"], shown["key"], shown["tags"]) == ("7", "tenant <b>", "night, eu")
    assert choose(me, "tags").status_code == 503
    stack.postgres.start()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_columns_are_chosen_by_hand(stack: Stack, parts: Parts, me: SignedIn, browser: Browser, script: bool) -> None:
    a_run(stack, me)
    with parts.served() as address:
        context = browser.new_context(base_url=address, java_script_enabled=script)
        shown = context.new_page()
        shown.goto(f"/projects/{stack.project}/runs?task=mail")
        shown.get_by_label("Email").fill(EMAIL)
        shown.get_by_label("Password").fill(PASSWORD)
        shown.get_by_role("button", name="Sign in").click()
        shown.locator("#columns summary").click()
        form = shown.get_by_role("form", name="Columns")
        expect(form.get_by_label("Status")).to_be_disabled()
        form.get_by_label("Tags").check()
        form.get_by_label("Task").uncheck()
        form.get_by_role("button", name="Save").click()
        expect(shown.locator("th.c-tags")).to_be_visible()
        expect(shown.locator("th.c-task")).to_have_count(0)
        expect(shown.locator("td.c-tags")).to_have_text("night, eu")
        shown.locator("#columns summary").click()
        form.get_by_role("button", name="Reset to default").click()
        expect(shown.locator("th.c-task")).to_be_visible()
        expect(shown.locator("th.c-tags")).to_have_count(0)
        context.close()


def test_what_comes_and_changes_live_has_the_chosen_columns(
    stack: Stack, parts: Parts, me: SignedIn, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    a_run(stack, me, "first")
    choose(me, "tags", "key", "started")
    with (
        site_of(stack, tmp_path_factory.mktemp("web")) as address,
        signed_in(browser, address, email=EMAIL, password=PASSWORD) as shown,
    ):
        shown.goto(f"/projects/{stack.project}/runs")
        expect(shown.locator("[data-live]")).to_have_attribute("data-state", "live")
        first = shown.locator("tr", has_text="first")
        expect(first.locator("td.c-started")).to_have_text("–")
        attempts = [{"number": 1, "startedAt": now()}]
        stack.runs.status("first", phase="Running", startedAt=now(), attempts=attempts)
        expect(first.locator("td.c-started time")).to_be_visible()
        stack.runs.create("second", **SPEC | {"tags": ["fresh"]})
        second = come(shown, shown.locator("tr", has_text="second"))
        expect(second.locator("td.c-tags")).to_have_text("fresh")
        expect(second.locator("td.c-key")).to_have_text("tenant <b>")
        expect(second.locator("td.c-task")).to_have_count(0)


def test_all_columns_at_once_look_right(stack: Stack, parts: Parts, me: SignedIn, browser: Browser) -> None:
    a_run(stack, me)
    choose(me, *LABELS)
    with parts.served() as address, signed_in(browser, address, email=EMAIL, password=PASSWORD) as shown:
        shown.goto(f"/projects/{stack.project}/runs")
        looks_right(shown)
        shown.locator("#columns summary").click()
        looks_right(shown)
