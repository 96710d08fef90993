"""A run is replayed with another payload, rescheduled and given another priority from its page."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.browser import violations
from support.web import Parts, Stack


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has runs of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


def a_run(stack: Stack, parts: Parts, name: str, *, ended: bool = False, **spec: Any) -> str:
    """Its page's path."""
    stack.runs.create(name, taskRef={"name": "resize"}, **spec)
    if ended:
        stack.runs.status(name, phase="Failed", finishedAt="2026-11-28T10:00:00Z")
    assert parts.sign_in().get(f"runs/{name}").status_code == 200  # it is in the archive now
    return f"/projects/{stack.project}/runs/{name}"


def test_a_run_is_replayed_with_another_payload(stack: Stack, parts: Parts, page: Page) -> None:
    path = a_run(stack, parts, "to-edit", ended=True, payload={"size": 1, "text": "two\nlines"}, tags=["a"])
    page.goto(path)
    page.get_by_role("link", name="Edit and replay").click()
    payload = page.get_by_label("Payload, a JSON object")
    assert json.loads(payload.input_value()) == {"size": 1, "text": "two\nlines"}
    for width in (360, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        found = violations(page)
        assert found == [], found
    payload.fill('{\n  "size": 2,\n  "text" "x"\n}')
    page.get_by_label("Name").fill("edited-again")
    page.get_by_role("button", name="Start a run").click()
    expect(page.get_by_role("alert")).to_contain_text("payload: must be JSON: line 3, column 10")
    assert '"text" "x"' in payload.input_value()  # what was typed is there still
    payload.fill(json.dumps({"size": 2, "long": "x" * 50_000}))
    page.get_by_role("button", name="Start a run").click()
    expect(page.get_by_role("heading", name="edited-again")).to_be_visible()
    made = stack.runs.get("edited-again")["spec"]
    assert made["payload"] == {"size": 2, "long": "x" * 50_000}
    assert (made["taskRef"], made["tags"]) == ({"name": "resize"}, ["a"])


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("[]", "must be a JSON object"),
        ("NaN", "must be JSON"),
        ('{"a": "\\ud800"}', "payload"),
        ("[" * 600, "nested deeper"),
        ('{"a": "' + "x" * 140_000 + '"}', "larger than"),
    ],
)
def test_a_payload_that_can_not_be_one_is_refused_where_it_was_typed(
    stack: Stack, parts: Parts, sent: str, words: str
) -> None:
    name = f"refused-{len(sent)}"
    path = a_run(stack, parts, name, ended=True)
    answer = parts.sign_in().form(f"{path}/replay", payload=sent, name="")
    assert answer.status_code in (413, 422)
    assert words in answer.text
    assert 'role="alert"' in answer.text


def test_a_waiting_run_is_rescheduled_and_started_now(stack: Stack, parts: Parts, page: Page) -> None:
    path = a_run(stack, parts, "later")
    page.goto(path)
    page.get_by_text("Change", exact=True).click()
    page.get_by_label("Not before (UTC)").fill("2027-03-04T05:06")
    page.get_by_role("button", name="Reschedule").click()
    expect(page.get_by_role("heading", name="later")).to_be_visible()
    assert stack.runs.get("later")["spec"]["startAfter"] == "2027-03-04T05:06:00Z"
    page.get_by_text("Change", exact=True).click()
    expect(page.get_by_label("Not before (UTC)")).to_have_value("2027-03-04T05:06")
    page.get_by_role("button", name="Do not delay it").click()
    expect(page.get_by_role("heading", name="later")).to_be_visible()
    assert "startAfter" not in stack.runs.get("later")["spec"]


def test_a_waiting_run_gets_another_priority(stack: Stack, parts: Parts, page: Page) -> None:
    path = a_run(stack, parts, "urgent", priority=3)
    page.goto(path)
    page.get_by_text("Change", exact=True).click()
    expect(page.get_by_label("Priority, −1000 to 1000")).to_have_value("3")
    for width in (360, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        box = page.locator(".tg-run-form").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        found = violations(page)
        assert found == [], found
    page.get_by_label("Priority, −1000 to 1000").fill("-40")
    page.get_by_role("button", name="Set the priority").click()
    expect(page.get_by_role("heading", name="urgent")).to_be_visible()
    assert stack.runs.get("urgent")["spec"]["priority"] == -40
    entries: Any = parts.sign_in().get("audit").json
    (entry,) = [each for each in entries["items"] if each["action"] == "run.prioritize"]
    assert (entry["target"], entry["detail"], entry["outcome"]) == ("urgent", {"priority": -40}, "done")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"act": "prioritize", "priority": "5000"}, "priority"),
        ({"act": "prioritize", "priority": "x"}, "must be a whole number"),
        ({"act": "prioritize", "priority": "9" * 3000}, "priority"),
        ({"act": "reschedule", "startAfter": "tomorrow"}, "must be a date and a time"),
        ({"act": "reschedule", "startAfter": "99999-01-01T00:00"}, "must be a date and a time"),
    ],
)
def test_a_change_that_is_none_is_refused_on_the_page(
    stack: Stack, parts: Parts, fields: dict[str, str], words: str
) -> None:
    name = f"unchanged-{len(str(fields))}"
    path = a_run(stack, parts, name)
    answer = parts.sign_in().form(f"{path}/change", **fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert stack.runs.get(name)["spec"]["priority"] == 0


def test_a_run_that_has_ended_is_changed_no_more(stack: Stack, parts: Parts) -> None:
    path = a_run(stack, parts, "over", ended=True)
    answer = parts.sign_in().form(f"{path}/change", act="prioritize", priority="5")
    assert answer.status_code == 409
    assert "has ended" in answer.text
