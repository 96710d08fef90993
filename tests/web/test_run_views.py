"""Saved views of the list of runs: a user's own, which that user alone sees, and the project's, which its developers write."""

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, expect
from support.browser import looks_right, signed_in, violations
from support.callers import SignedIn
from support.web import EMAIL, PASSWORD, Parts, Stack
from tidegate_web.runs import saved_views
from tidegate_web.store.queries import project_moves

RTL = "\u202egnp.eligible"


@pytest.fixture
def anna(parts: Parts) -> SignedIn:
    return parts.member("developer", email="anna@example.com")


@pytest.fixture
def bert(parts: Parts) -> SignedIn:
    return parts.member("viewer", email="bert@example.com")


def views_path(who: SignedIn, **query: str) -> str:
    return f"/projects/{who.project}/views" + (f"?{urlencode(query)}" if query else "")


def save(
    who: SignedIn, name: str, *, of: str = "me", query: dict[str, str] | None = None, columns: bool = False
) -> Any:
    fields = {"name": name, "of": of, "act": "save"} | ({"columns": "1"} if columns else {})
    return who.form(views_path(who, **(query or {"phase": "Failed"})), **fields)


def act(who: SignedIn, what: str, view: int, query: dict[str, str] | None = None, **fields: str) -> Any:
    return who.form(views_path(who, **(query or {})), act=what, id=str(view), **fields)


def menu(who: SignedIn, query: dict[str, str] | None = None) -> dict[str, dict[str, str]]:
    """The views that are linked on the list's page, each with its query."""
    text = list_page(who, query)
    found = re.findall(r'<nav class="tg-popup" aria-label="Views">.*?</nav>', text, re.DOTALL)[0]
    links = re.findall(r'<a href="([^"]*)"[^>]*><bdi>(.*?)</bdi>', found)
    return {html.unescape(name): query_of(address) for address, name in links}


def list_page(who: SignedIn, query: dict[str, str] | None = None) -> str:
    answer = who.client.get(f"/projects/{who.project}/runs?{urlencode(query or {})}")
    assert answer.status_code == 200, answer.text
    return answer.text


def query_of(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(html.unescape(address)).query).items()}


def stored(parts: Parts, name: str) -> Any:
    (row,) = parts.rows("SELECT * FROM run_views WHERE name = :name", name=name)
    return row


def test_the_filters_of_the_list_are_saved_and_lead_back_to_it(parts: Parts, anna: SignedIn) -> None:
    query = {"phase": "Failed,Expired", "task": "mail & more", "key": "tenant/ä"}
    answer = save(anna, "  Broken mail ", query=query)
    assert answer.status_code == 303
    assert query_of(answer.headers["Location"]) == query
    assert menu(anna) == {"Broken mail": query}


def test_what_is_no_filter_is_not_saved(parts: Parts, anna: SignedIn) -> None:
    save(anna, "plain", query={"task": "mail", "after": "xyz", "evil": "<script>", "project": "other"})
    assert stored(parts, "plain").filters == {"task": "mail"}
    assert save(anna, "odd", query={"phase": "Exploded"}).status_code == 422
    assert save(anna, "odd", query={"columns": "none-such"}).status_code == 422
    assert save(anna, "long", query={"q": "ä" * 500}).status_code == 422
    assert list(menu(anna)) == ["plain"]


def test_the_view_whose_filters_are_on_is_marked(anna: SignedIn) -> None:
    save(anna, "Failed ones")
    save(anna, "Mine", query={"requestedBy": "anna@example.com"})
    marked = re.compile(r'aria-current="page"><bdi>(.*?)</bdi>')
    assert marked.findall(list_page(anna, {"phase": "Failed"})) == ["Failed ones"]
    assert marked.findall(list_page(anna, {"phase": "Failed", "task": "mail"})) == []
    assert marked.findall(list_page(anna)) == []


def test_a_view_may_have_columns_which_all_see_who_open_it(anna: SignedIn, bert: SignedIn) -> None:
    columns = "phase,name,batch,tags"
    save(anna, "With tags", of="project", query={"phase": "Failed", "columns": columns}, columns=True)
    assert menu(bert) == {"With tags": {"phase": "Failed", "columns": columns}}
    assert 'aria-current="page"><bdi>With tags' in list_page(bert, menu(bert)["With tags"])
    save(anna, "Without", query={"phase": "Failed", "columns": columns})
    assert menu(anna)["Without"] == {"phase": "Failed"}


def test_nobody_else_sees_or_changes_ones_own_views(parts: Parts, anna: SignedIn, bert: SignedIn) -> None:
    save(anna, "Secret plans")
    view = stored(parts, "Secret plans").id
    admin = parts.sign_in()
    for other in (bert, admin):
        assert menu(other) == {}
        assert "Secret plans" not in other.client.get(views_path(other)).text
        for what in ("rename", "replace", "delete"):
            fields = {"name": "Mine now", "confirmed": "1"}
            assert act(other, what, view, {"phase": "Running"}, **fields).status_code == 404
    assert save(bert, "Secret plans").status_code == 303  # the name is free for another user
    assert menu(anna) == menu(bert) == {"Secret plans": {"phase": "Failed"}}
    # Nor do admins of the project read it in the audit log.
    assert "Secret plans" not in (admin.get("audit").text)


@pytest.mark.parametrize("role", ["viewer", "operator", "developer", "admin"])
def test_developers_write_the_views_of_the_project_and_all_see_them(parts: Parts, anna: SignedIn, role: str) -> None:
    save(anna, "Shared", of="project")
    view = stored(parts, "Shared").id
    user = parts.member(role, email="user@example.com")
    may = role in ("developer", "admin")
    assert menu(user) == {"Shared": {"phase": "Failed"}}
    page = user.client.get(views_path(user, task="mail")).text
    assert ('value="rename"' in page, '<option value="project"' in page) == (may, may)
    expected = 303 if may else 403
    assert save(user, "Theirs", of="project").status_code == expected
    assert act(user, "rename", view, name="Renamed").status_code == expected
    assert act(user, "replace", view, {"task": "mail"}).status_code == expected
    assert act(user, "delete", view, confirmed="1").status_code == expected
    assert save(user, "Own").status_code == 303
    left = {"Theirs": {"phase": "Failed"}} if may else {"Shared": {"phase": "Failed"}}
    assert menu(anna) == left


def test_a_view_is_renamed_gets_other_filters_and_is_deleted_once_that_is_confirmed(
    parts: Parts, anna: SignedIn
) -> None:
    save(anna, "First")
    view = stored(parts, "First").id
    assert act(anna, "rename", view, name="Second").status_code == 303
    assert act(anna, "replace", view, {"task": "mail", "columns": "phase,name,tags"}).status_code == 303
    assert menu(anna) == {"Second": {"task": "mail", "columns": "phase,name,tags"}}
    assert act(anna, "replace", view, {"task": "mail"}).status_code == 303
    assert menu(anna) == {"Second": {"task": "mail"}}
    asked = act(anna, "delete", view)
    assert asked.status_code == 200
    assert "Delete the view" in asked.text
    assert list(menu(anna)) == ["Second"]
    assert act(anna, "delete", view, confirmed="1").status_code == 303
    assert menu(anna) == {}
    assert act(anna, "delete", view).status_code == 404
    assert act(anna, "delete", 4711).status_code == 404
    assert anna.form(views_path(anna), act="delete", id="x").status_code == 422
    assert anna.form(views_path(anna), act="other").status_code == 422


def test_a_name_is_given_once_among_a_users_own_and_once_in_the_project(parts: Parts, anna: SignedIn) -> None:
    assert [save(anna, "Twice", of=of).status_code for of in ("me", "project")] == [303, 303]
    for of in ("me", "project"):
        answer = save(anna, "Twice", of=of)
        assert answer.status_code == 409
        assert "There is a view of this name already." in answer.text
        assert 'value="Twice"' in answer.text  # what was typed stays
    save(anna, "Other")
    assert act(anna, "rename", stored(parts, "Other").id, name="Twice").status_code == 409
    assert act(anna, "rename", stored(parts, "Other").id, name="Other").status_code == 303


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 64, "x" * 10_000, RTL, "a\u2066b", "two\nlines", "a\x1b[31mb", "a\u2028b", "\u200b"]
)
def test_names_are_one_line_of_printable_characters(anna: SignedIn, name: str) -> None:
    answer = save(anna, name)
    assert answer.status_code == 422
    assert RTL not in html.unescape(answer.text).replace(f'value="{RTL}"', "")
    assert menu(anna) == {}


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=1>', "שלום", "{{ 7 * 7 }}", "x" * 63]
)
def test_odd_names_are_shown_as_they_were_given(
    stack: Stack, parts: Parts, anna: SignedIn, browser: Browser, name: str
) -> None:
    save(anna, name, of="project")
    assert list(menu(anna)) == [name]
    with parts.served() as address, signed_in(browser, address, email=EMAIL, password=PASSWORD) as page:
        page.goto(f"/projects/{stack.project}/runs?phase=Failed")
        page.locator("#views summary").click()
        expect(page.get_by_role("navigation", name="Views").get_by_role("link", name=name, exact=True)).to_be_visible()
        looks_right(page)
        page.goto(views_path(anna))
        expect(page.locator(".tg-views .tg-name")).to_have_text(name)
        looks_right(page)


def test_there_are_so_many_and_no_more(parts: Parts, anna: SignedIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_views, "MOST", 2)
    for of in ("me", "project"):
        assert [save(anna, f"View {number}", of=of).status_code for number in range(3)] == [303, 303, 409]
    view = parts.rows("SELECT id FROM run_views WHERE owner_id IS NOT NULL LIMIT 1")[0].id
    assert act(anna, "rename", view, name="Still renamed").status_code == 303


def test_a_form_without_its_token_saves_nothing(anna: SignedIn) -> None:
    assert anna.client.post(views_path(anna), data={"act": "save", "name": "x"}).status_code == 403
    assert menu(anna) == {}


def test_an_api_key_sees_the_views_of_the_project_and_saves_none(parts: Parts, anna: SignedIn) -> None:
    save(anna, "Shared", of="project")
    save(anna, "Own")
    key = parts.key("admin")
    page = key.get(f"/projects/{anna.project}/runs").text
    assert ("Shared" in page, "<bdi>Own" in page) == (True, False)
    for of in ("me", "project"):
        body = {"data": {"act": "save", "name": "By key", "of": of}}
        assert (
            key.client.post(views_path(anna), headers={"Authorization": f"Bearer {key.key}"}, **body).status_code == 403
        )


def test_every_write_is_in_the_audit_log(parts: Parts, anna: SignedIn, bert: SignedIn) -> None:
    save(anna, "Shared", of="project")
    view = stored(parts, "Shared").id
    act(anna, "rename", view, name="Renamed")
    act(anna, "delete", view, confirmed="1")
    save(bert, "Not mine to make", of="project")
    save(bert, "Own")
    rows = parts.rows("SELECT * FROM audit WHERE action LIKE 'view.%' ORDER BY id")
    assert [(row.actor, row.action, row.target, row.outcome) for row in rows] == [
        ("anna@example.com", "view.create", "Shared", "done"),
        ("anna@example.com", "view.change", "Shared", "done"),
        ("anna@example.com", "view.delete", "Renamed", "done"),
        ("bert@example.com", "view.create", "Not mine to make", "refused 403"),
        ("bert@example.com", "view.create", str(stored(parts, "Own").id), "done"),
    ]
    assert rows[0].detail == {"of": "project", "filters": {"phase": "Failed"}, "columns": None}
    assert rows[4].detail == {"of": "user"}


def test_who_leaves_the_project_sees_no_view_of_it_and_who_is_deleted_leaves_none(parts: Parts, bert: SignedIn) -> None:
    save(bert, "Own")
    assert bert.call("DELETE", "members/me").status_code == 204
    assert bert.client.get(views_path(bert)).status_code == 403
    with parts.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM users WHERE email = 'bert@example.com'")
    assert parts.rows("SELECT * FROM run_views") == []


def test_views_go_with_the_data_of_a_project_to_its_former_name(parts: Parts, anna: SignedIn) -> None:
    save(anna, "Own")
    save(anna, "Shared", of="project")
    former = f"{anna.project}@12345678"
    with parts.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO run_views (project, name, filters, created_by) VALUES (%s, 'Shared', '{}', 'x')", (former,)
        )
        project_moves.begin(connection, source=anna.project, target=former, runs_before=None)
    rows = parts.rows("SELECT project, name, created_by FROM run_views ORDER BY name")
    assert [tuple(row) for row in rows] == [(former, "Own", "anna@example.com"), (former, "Shared", "x")]


def test_the_list_is_shown_without_views_while_postgres_is_away(stack: Stack, parts: Parts, anna: SignedIn) -> None:
    save(anna, "Own")
    assert menu(anna) == {"Own": {"phase": "Failed"}}
    stack.postgres.stop()
    page = list_page(anna)
    assert "Saved views can't be shown now." in html.unescape(page)
    assert "<bdi>Own" not in page
    assert anna.client.get(views_path(anna)).status_code == 503
    assert save(anna, "Another").status_code == 503
    stack.postgres.start()
    assert menu(anna) == {"Own": {"phase": "Failed"}}


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_view_is_saved_opened_and_deleted_by_hand(
    stack: Stack, parts: Parts, anna: SignedIn, browser: Browser, script: bool
) -> None:
    with parts.served() as address:
        context = browser.new_context(base_url=address, java_script_enabled=script)
        page = context.new_page()
        page.goto(f"/projects/{stack.project}/runs?phase=Failed")
        page.get_by_label("Email").fill("anna@example.com")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.locator("#views summary").click()
        page.get_by_role("link", name="Save or change views…").click()
        expect(page.get_by_label("Filters")).to_contain_text("Phase Failed")
        page.get_by_label("Name", exact=True).fill("Broken")
        page.get_by_label("For").select_option("Everybody of the project")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("main").get_by_role("link", name="Broken").click()
        expect(page).to_have_url(re.compile(r"/runs\?phase=Failed$"))
        expect(page.locator("#views summary")).to_have_text("Broken")
        page.locator("#views summary").click()
        page.get_by_role("link", name="Save or change views…").click()
        page.get_by_role("button", name="Delete Broken…").click()
        expect(page.get_by_text("It goes for everybody of the project.")).to_be_visible()
        if script:
            assert violations(page) == []
        page.get_by_role("button", name="Delete the view").click()
        expect(page.get_by_role("link", name="Broken")).to_have_count(0)
        context.close()


def test_the_palette_finds_the_views_of_the_list(stack: Stack, parts: Parts, anna: SignedIn, browser: Browser) -> None:
    save(anna, "Broken mail", of="project")
    with parts.served() as address, signed_in(browser, address, email=EMAIL, password=PASSWORD) as page:
        page.goto(f"/projects/{stack.project}/runs")
        page.keyboard.press("Control+k")
        page.keyboard.type("view broken")
        page.get_by_role("option", name="Broken mail").click()
        expect(page).to_have_url(re.compile(r"/runs\?phase=Failed$"))
