"""The list of runs as a place to work: pages in both directions, acts on many runs, and what matches as a file."""

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from support.browser import signed_in, violations
from support.callers import SignedIn
from support.runs import Json, now
from support.servers import wait_until
from support.stacks import pages_of
from support.web import EMAIL, PASSWORD, Parts, Stack, until
from tidegate_web.pages import run_export, run_list

SIZE = 3
"""Runs a page, in the tests of pages."""


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    return parts.sign_in()


def make(stack: Stack, parts: Parts, *names: str, **spec: Any) -> None:
    """Runs in cluster and archive, oldest first."""
    spec = {"taskRef": {"name": "mail"}} | spec
    me = parts.sign_in()
    for name in names:
        stack.runs.create(name, **spec)
        assert me.get(f"runs/{name}").status_code == 200  # it is in the archive now


def listed(me: SignedIn, query: str) -> tuple[list[str], dict[str, str]]:
    """The names on a page of the list, and its ways to other pages by their relation."""
    answer = me.client.get(f"/projects/{me.project}/runs{query}")
    assert answer.status_code == 200, answer.text
    ways = re.findall(r'rel="(next|prev)" href="[^"]*(\?[^"]*)"', answer.text)
    return re.findall(r'class="tg-name"[^>]*>([^<]*)<', answer.text), {rel: html.unescape(to) for rel, to in ways}


def test_one_goes_back_to_newer_runs_page_by_page(
    stack: Stack, parts: Parts, me: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_list, "PAGE", SIZE)
    names = [f"page-{number}" for number in range(3 * SIZE)]
    make(stack, parts, *names)
    newest = listed(me, "")[0]
    there = [listed(me, "?task=mail")]
    while "next" in there[-1][1]:
        there.append(listed(me, there[-1][1]["next"]))
    assert sorted(name for page, _ in there for name in page) == sorted(names)
    assert "prev" not in there[0][1]
    back = [there[-1]]
    while "prev" in back[-1][1]:
        back.append(listed(me, back[-1][1]["prev"]))
    assert [page for page, _ in back] == [page for page, _ in there][::-1]
    assert back[-1][0] == newest
    assert "next" in back[-1][1]


def test_newer_than_the_last_but_one_is_the_whole_newest_page(
    stack: Stack, parts: Parts, me: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_list, "PAGE", SIZE)
    make(stack, parts, *(f"page-{number}" for number in range(SIZE + 1)))
    page, ways = listed(me, "")
    last, ways = listed(me, ways["next"])
    assert len(last) == 1
    assert listed(me, ways["prev"])[0] == page


@pytest.mark.parametrize("query", ["?before=x", "?after=x", "?top=x", "?before="])
def test_a_cursor_that_is_none_of_ours_is_refused_or_none(me: SignedIn, query: str) -> None:
    status = me.client.get(f"/projects/{me.project}/runs{query}").status_code
    assert status == (200 if query.endswith("=") else 422)


# Acts


def cancelled(stack: Stack) -> set[str]:
    runs = stack.runs.kube.listed("taskruns.tidegate.dev")
    return {run["metadata"]["name"] for run in runs if run["spec"].get("cancel")}


@pytest.fixture
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pages_of(stack, tmp_path_factory.mktemp("web")) as made:
        yield made


def test_runs_are_chosen_and_cancelled_by_hand(stack: Stack, parts: Parts, browser: Browser, site: str) -> None:
    make(stack, parts, "first", "second", "third")
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as page:
        page.goto(f"/projects/{stack.project}/runs")
        bar = page.get_by_role("form", name="Act on chosen runs")
        expect(bar).to_be_hidden()
        page.get_by_label("All on this page").check()
        expect(bar).to_contain_text("3 chosen")
        page.get_by_label("Choose second").uncheck()
        expect(bar).to_contain_text("2 chosen")
        assert violations(page) == []
        page.get_by_role("button", name="Cancel…").click()
        expect(page.get_by_role("heading")).to_contain_text("Cancel 2 runs?")
        assert violations(page) == []
        page.get_by_role("button", name="Cancel 2 runs").click()
        expect(page.get_by_role("heading")).to_contain_text("Cancelled 2 of 2 runs")
        assert violations(page) == []
    assert cancelled(stack) == {"first", "third"}


def test_what_is_chosen_stays_chosen_while_the_list_changes(
    stack: Stack, parts: Parts, browser: Browser, site: str
) -> None:
    mirror = stack.mirror()
    make(stack, parts, "first", "second")
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as page:
        page.goto(f"/projects/{stack.project}/runs")
        page.get_by_label("Choose first").check()
        stack.runs.status("second", phase="Running", startedAt=now())
        expect(page.get_by_role("row", name="second")).to_contain_text("Running")
        expect(page.get_by_label("Choose first")).to_be_checked()
        expect(page.get_by_role("form", name="Act on chosen runs")).to_contain_text("1 chosen")
    mirror.end()


def test_runs_that_come_are_counted_and_push_no_row_away(
    stack: Stack, parts: Parts, browser: Browser, site: str
) -> None:
    mirror = stack.mirror()
    make(stack, parts, "first", tags=["x"])
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as page:
        page.goto(f"/projects/{stack.project}/runs?tag=x")
        expect(page.get_by_role("row", name="first")).to_be_visible()
        stack.runs.create("of-others", taskRef={"name": "mail"})
        for count, name in enumerate(("second", "third"), start=1):
            stack.runs.create(name, taskRef={"name": "mail"}, tags=["x"])
            expect(page.get_by_role("link", name=f"{count} new", exact=True)).to_be_visible()
        assert violations(page) == []
        expect(page.locator("a.tg-name")).to_have_text(["first"])
        page.get_by_role("link", name="2 new").click()
        expect(page.locator("a.tg-name")).to_have_count(3)
        expect(page.locator("#newer")).to_have_count(0)
        assert page.url.endswith("/runs?tag=x")
    mirror.end()


def sent(me: SignedIn, query: str = "", **fields: Any) -> Any:
    """What the list's form sends, as a browser without script does."""
    data = {"csrf_token": me.csrf} | fields
    return me.client.post(f"/projects/{me.project}/runs{query}", data=data, headers={"X-CSRFToken": me.csrf})


def next_form(page: str) -> tuple[str, dict[str, str]]:
    """(query of its address, hidden fields) of the form of a page that asks back."""
    form = re.findall(r'<form method="post" action="([^"]*/runs[^"]*)"', page)
    fields = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', page)
    return "?" + html.unescape(form[0]).partition("?")[2], dict(fields)


def test_all_that_match_are_meant_and_more_than_were_asked_about_are_asked_about_again(
    stack: Stack, parts: Parts, me: SignedIn
) -> None:
    make(stack, parts, "one", "two", tags=["x"])
    make(stack, parts, "other")
    asked = sent(me, "?tag=x", act="cancel", all="1")
    assert "Cancel 2 runs?" in asked.text
    query, fields = next_form(asked.text)
    assert "to=" in query  # what comes later doesn't match
    make(stack, parts, "late", tags=["x"])
    again = sent(me, "?tag=x", **fields, act="cancel")
    assert "Cancel 3 runs?" in again.text
    assert cancelled(stack) == set()
    query, fields = next_form(again.text)
    done = sent(me, query, **fields, act="cancel")
    assert done.status_code == 303
    wait_until(lambda: "Cancelled 3 of 3 runs" in me.client.get(done.location).text, what="the end")
    assert cancelled(stack) == {"one", "two", "late"}
    assert "Refused" not in me.client.get(done.location).text


def test_runs_of_which_one_is_refused_are_named(stack: Stack, parts: Parts, me: SignedIn) -> None:
    make(stack, parts, "one")
    uid = parts.rows("SELECT uid FROM runs WHERE name = 'one'")[0].uid
    nobody = "00000000-0000-0000-0000-000000000000"
    done = sent(me, act="cancel", confirmed="2", uid=[str(uid), nobody])
    wait_until(lambda: "Cancelled 1 of 2 runs" in me.client.get(done.location).text, what="the end")
    assert nobody in me.client.get(done.location).text


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"act": "cancel"}, 422),
        ({"act": "cancel", "uid": "../x"}, 422),
        ({"act": "cancel", "uid": ["00000000-0000-0000-0000-000000000000"] * 2}, 200),
        ({"act": "cancel", "all": "1"}, 422),
        ({"act": "burn", "all": "1"}, 422),
        ({}, 422),
    ],
    ids=str,
)
def test_a_form_of_nothing_or_of_others_is_refused(me: SignedIn, fields: Json, status: int) -> None:
    assert sent(me, **fields).status_code == status


def test_each_role_sees_the_acts_that_it_may(stack: Stack, parts: Parts) -> None:
    make(stack, parts, "one")
    for role, acts in (("viewer", []), ("operator", ["Cancel", "Replay"]), ("admin", ["Cancel", "Replay", "Delete"])):
        me = parts.member(role)
        page = me.client.get(f"/projects/{me.project}/runs").text
        assert [act for act in ("Cancel", "Replay", "Delete") if f">{act}…<" in page] == acts
        assert ('name="uid"' in page) == bool(acts)
        assert sent(me, act="delete", all="1").status_code == (200 if role == "admin" else 403)


# Files


def rows_of(me: SignedIn, query: str = "") -> list[dict[str, str]]:
    answer = me.client.get(f"/projects/{me.project}/runs.csv{query}")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert f'filename="{me.project}-runs.csv"' in answer.headers["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_what_matches_is_given_as_a_file_in_pieces(
    stack: Stack, parts: Parts, me: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate_web.runs.export.PIECE", 2)
    make(stack, parts, *(f"run-{number}" for number in range(5)), tags=["x", "y z"])
    make(stack, parts, "other")
    found = rows_of(me, "?tag=x")
    assert sorted(row["name"] for row in found) == [f"run-{number}" for number in range(5)]
    assert {row["tags"] for row in found} == {"x y z"}
    answer = me.client.get(f"/projects/{me.project}/runs.json?tag=x")
    items = json.loads(answer.text)["items"]
    assert [item["name"] for item in items] == [row["name"] for row in found]
    assert items == me.get("runs?tag=x&limit=500").json["items"]  # type: ignore[index]


def test_no_cell_is_a_formula(stack: Stack, parts: Parts, me: SignedIn) -> None:
    mirror = stack.mirror()
    make(stack, parts, "evil")
    stack.runs.status("evil", phase="Failed", finishedAt=now(), message='=cmd|"/c calc"!A1\nand, more')
    until(parts, "evil", lambda row: row.phase == "Failed")
    mirror.end()
    assert [row["message"] for row in rows_of(me)] == ['\'=cmd|"/c calc"!A1\nand, more']


def test_more_than_a_file_holds_is_refused_and_not_cut(
    stack: Stack, parts: Parts, me: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate_web.runs.export.MOST_EXPORTED", 1)
    make(stack, parts, "one", "two")
    answer = me.client.get(f"/projects/{me.project}/runs.csv")
    assert answer.status_code == 422
    assert "More than 1 runs match" in answer.text
    assert len(rows_of(me, "?q=two")) == 1


def test_a_file_has_a_column_for_all_that_the_list_shows() -> None:
    assert {"name", "phase", "reason", "message", "task", "queue", "attempts", "createdAt"} <= set(run_export.COLUMNS)
