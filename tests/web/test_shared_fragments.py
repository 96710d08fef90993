"""Open lists that show the same share the fragment of an event; each form keeps its session's token, and each caller their own acts."""

import re
from pathlib import Path

from playwright.sync_api import Browser, Page, Request, expect
from support.browser import come, signed_in
from support.callers import SignedIn
from support.history import statements
from support.runs import now
from support.servers import wait_until
from support.stacks import site_of
from support.web import EMAIL, PASSWORD, Parts, Stack, until

BOUND_OF_A_SHARED_ONE = 1
"""SELECTs: whose session it is, and what they are."""


def fragment(who: SignedIn, query: str = "") -> str:
    answer = who.client.get(f"/projects/{who.project}/runs{query}", headers={"X-Fragment": "1"})
    assert answer.status_code == 200, answer.text
    return answer.text


def token(text: str) -> str:
    (found,) = re.findall(r'<form class="tg-bulk".*?name="csrf_token" value="([^"]*)"', text, re.DOTALL)
    return str(found)


def verbs(text: str) -> list[str]:
    return re.findall(r'name="act" value="(\w+)"', text)


def becomes(stack: Stack, parts: Parts, phase: str) -> None:
    """Return when the event of the run's new phase is there: because of it the page asks."""
    before = parts.services.events.last(stack.project)
    stack.runs.status("one", phase=phase, startedAt=now())
    until(parts, "one", lambda row: row.phase == phase)
    wait_until(lambda: parts.services.events.last(stack.project) != before, what="its event")


def test_a_shared_fragment_costs_no_query_of_runs(stack: Stack, parts: Parts) -> None:
    stack.mirror()
    stack.runs.create("one")
    until(parts, "one", lambda row: True)
    first, second = parts.member("developer", email="a@example.com"), parts.member("developer", email="b@example.com")
    whole = fragment(first)
    with statements(parts.engine) as asked:
        again = fragment(second)
    assert len(asked) <= BOUND_OF_A_SHARED_ONE, [statement for statement, _ in asked]
    assert token(whole) != token(again)
    assert again.replace(token(again), "") == whole.replace(token(whole), "")


def test_its_forms_are_taken_from_each_session(stack: Stack, parts: Parts) -> None:
    stack.mirror()
    uid = stack.runs.create("one")["metadata"]["uid"]
    until(parts, "one", lambda row: True)
    for email in ("a@example.com", "b@example.com"):
        who = parts.member("developer", email=email)
        sent = {"csrf_token": token(fragment(who)), "act": "cancel", "uid": uid}
        answer = who.client.post(f"/projects/{who.project}/runs", data=sent)
        assert answer.status_code == 200, answer.text


def test_who_may_less_shares_none_of_the_acts(stack: Stack, parts: Parts) -> None:
    stack.mirror()
    stack.runs.create("one")
    until(parts, "one", lambda row: True)
    assert "cancel" in verbs(fragment(parts.member("developer")))
    assert verbs(fragment(parts.member("viewer"))) == []


def test_another_address_is_another_fragment(stack: Stack, parts: Parts) -> None:
    stack.mirror()
    stack.runs.create("one")
    until(parts, "one", lambda row: True)
    me = parts.sign_in()
    assert ">one</a>" in fragment(me)
    assert "Nothing matches" in fragment(me, "?phase=Failed")
    assert ">one</a>" in fragment(me)


def test_an_event_makes_a_new_one_at_once(stack: Stack, parts: Parts) -> None:
    stack.mirror()
    stack.runs.create("one")
    until(parts, "one", lambda row: row.phase != "Running")
    me = parts.sign_in()
    for phase in ("Running", "Retrying") * 5:
        becomes(stack, parts, phase)
        assert f'tone-{phase.lower()}">' in fragment(me)


def test_a_page_that_is_hidden_asks_once_when_it_is_seen_again(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    with site_of(stack, tmp_path) as site, signed_in(browser, site, email=EMAIL, password=PASSWORD) as page:
        page.goto("/")
        stack.runs.create("one")
        row = come(page, page.locator("tr", has_text="one"))
        expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")
        asked: list[Request] = []
        page.on("request", lambda request: asked.append(request) if "x-fragment" in request.headers else None)
        show(page, "hidden")
        for phase in ("Running", "Retrying", "Succeeded"):
            stack.runs.status("one", phase=phase, startedAt=now())
            expect(row.locator(".c-phase .tg-badge")).to_have_text(phase)
        assert asked == []
        with page.expect_response(lambda answer: "x-fragment" in answer.request.headers):
            show(page, "visible")
        assert len(asked) == 1


def show(page: Page, state: str) -> None:
    page.evaluate(
        """(state) => {
          Object.defineProperty(document, "hidden", { value: state === "hidden", configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )
