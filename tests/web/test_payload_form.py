"""Forms that start a run: fields from the payload schema, JSON beside them, and checks as one types."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from support.browser import looks_right, signed_in
from support.web import EMAIL, PASSWORD, Stack

Json = dict[str, Any]

SCHEMA: Json = {
    "type": "object",
    "required": ["width", "format"],
    "properties": {
        "width": {"type": "integer", "minimum": 1, "title": "Width", "description": "Of the new picture, in pixels."},
        "format": {"enum": ["png", "jpeg"]},
        "sharpen": {"type": "boolean", "default": False},
        "crop": {"$ref": "#/$defs/Crop"},
        "note": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "$defs": {"Crop": {"type": "object", "title": "Crop", "properties": {"left": {"type": "number"}}}},
}


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has names of its own."""
    return shared_stack


@pytest.fixture
def plain_page(browser: Browser, site: str) -> Iterator[Page]:
    """A page without JavaScript, signed in."""
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as page:
        kept = page.context.cookies()
    context = browser.new_context(base_url=site, java_script_enabled=False)
    with context:
        context.add_cookies([{**each} for each in kept])  # type: ignore[typeddict-item]  # Playwright has two types for a cookie
        yield context.new_page()


def open_form(page: Page, stack: Stack, task: str, query: str = "") -> Locator:
    page.goto(f"/projects/{stack.project}/tasks/{task}{query}")
    return page.get_by_role("form", name="Run it")


def payload_of_the_run(page: Page, stack: Stack) -> object:
    """Of the run to whose page the form has led."""
    expect(page.locator("#head")).to_be_visible()
    name = page.locator("#head h1").inner_text().strip()
    return stack.runs.get(name)["spec"]["payload"]


def test_a_run_is_started_by_fields_of_the_schema(stack: Stack, page: Page) -> None:
    stack.runs.task("by-fields", image="pictures:1", payloadSchema=SCHEMA)
    form = open_form(page, stack, "by-fields")
    form.get_by_label("Width").fill("320")
    form.get_by_label("format").select_option(label="jpeg")
    form.get_by_label("sharpen").select_option(label="yes")
    form.get_by_role("group", name="Crop").get_by_label("left").fill("1.5")
    form.get_by_label("tags").fill('["a"]')
    form.get_by_text("Further keys", exact=True).click()
    form.get_by_label("Further keys").fill('{"who": "me"}')
    expect(form.get_by_role("status")).to_contain_text("It matches the payload schema.")
    looks_right(page)
    form.get_by_role("button", name="Start a run").click()
    assert payload_of_the_run(page, stack) == {
        "width": 320,
        "format": "jpeg",
        "sharpen": True,
        "crop": {"left": 1.5},
        "tags": ["a"],
        "who": "me",
    }


def test_what_would_be_refused_is_said_as_one_types(stack: Stack, page: Page) -> None:
    stack.runs.task("checked", image="pictures:1", payloadSchema=SCHEMA)
    form = open_form(page, stack, "checked")
    width = form.get_by_label("Width")
    width.fill("0")
    said = form.get_by_role("status")
    expect(said).to_contain_text("the value is less than the minimum of 1")
    expect(said).to_contain_text("$.format is required")
    expect(width).to_have_attribute("aria-invalid", "true")
    looks_right(page)
    said.get_by_role("link", name="$.width").click()
    expect(width).to_be_in_viewport()
    width.fill("wide")
    expect(said).to_contain_text("must be a whole number")
    expect(said).not_to_contain_text("$.width is required")
    width.fill("5")
    form.get_by_label("format").select_option(label="png")
    expect(said).to_contain_text("It matches the payload schema.")
    expect(width).not_to_have_attribute("aria-invalid", "true")


def test_a_form_that_was_refused_comes_back_as_it_was_sent(stack: Stack, page: Page) -> None:
    stack.runs.task("refused", image="pictures:1", payloadSchema=SCHEMA)
    form = open_form(page, stack, "refused")
    form.get_by_label("Width").fill("7")
    form.get_by_label("tags").fill("[1]")
    form.get_by_role("button", name="Start a run").click()
    expect(page.get_by_role("alert")).to_contain_text("payloadSchema")
    expect(form.get_by_label("Width")).to_have_value("7")
    expect(form.get_by_label("tags")).to_have_value("[1]")
    expect(form.get_by_role("status")).to_contain_text("It would be refused.")


def test_the_same_payload_is_written_as_json_and_back(stack: Stack, page: Page) -> None:
    stack.runs.task("two-ways", image="pictures:1", payloadSchema=SCHEMA)
    form = open_form(page, stack, "two-ways")
    form.get_by_label("Width").fill("11")
    form.get_by_role("button", name="Write it as JSON").click()
    text = form.get_by_label("Payload, a JSON object")
    expect(text).to_have_value('{\n  "width": 11\n}')
    text.fill('{"width": 12, "format": "png", "note": "\\n two lines", "extra": [1]}')
    form.get_by_role("button", name="Fill in fields").click()
    expect(form.get_by_label("Width")).to_have_value("12")
    expect(form.get_by_label("Further keys")).to_have_value('{\n  "extra": [\n    1\n  ]\n}')
    expect(form.get_by_label("note")).to_have_value("\n two lines")
    # What the fields can't hold stays JSON, and nothing that was typed is lost.
    form.get_by_role("button", name="Write it as JSON").click()
    whole = {"width": 12, "format": "png", "note": "\n two lines", "extra": [1]}
    expect(text).to_have_value(re.compile("two lines"))
    assert json.loads(text.input_value()) == whole
    text.fill('{"width": "wide"}')
    form.get_by_role("button", name="Fill in fields").click()
    expect(text).to_have_value('{\n  "width": "wide"\n}')
    expect(form).to_contain_text("values that the fields of the payload schema can't hold")


def test_a_payload_as_json_is_checked_too(stack: Stack, page: Page) -> None:
    stack.runs.task("no-schema", image="pictures:1")
    form = open_form(page, stack, "no-schema")
    form.get_by_label("Payload, a JSON object").fill('{"a": 1,}')
    expect(form.get_by_role("status")).to_contain_text("line 1, column 9")
    form.get_by_label("Payload, a JSON object").fill("[1]")
    expect(form.get_by_role("status")).to_contain_text("must be a JSON object")
    form.get_by_label("Payload, a JSON object").fill('{"a": 1}')
    expect(form.get_by_role("status")).to_contain_text("It is a JSON object.")


def test_without_a_script_the_same_is_checked_and_started(stack: Stack, plain_page: Page) -> None:
    stack.runs.task("plain", image="pictures:1", payloadSchema=SCHEMA)
    form = open_form(plain_page, stack, "plain")
    form.get_by_label("Width").fill("-1")
    form.get_by_role("button", name="Check").click()
    expect(form.get_by_role("status")).to_contain_text("less than the minimum of 1")
    form.get_by_label("Width").fill("640")
    form.get_by_role("button", name="Write it as JSON").click()
    form.get_by_label("Payload, a JSON object").fill('{"width": 640, "format": "png"}')
    form.get_by_role("button", name="Start a run").click()
    assert payload_of_the_run(plain_page, stack) == {"width": 640, "format": "png"}


@pytest.mark.parametrize(
    ("schema", "sent"),
    [(None, {"$.width": "5"}), (None, {}), (SCHEMA, {"$.width": "5", "$.format": '"png"', "$.height": "7"})],
)
def test_a_field_that_the_schema_has_no_more_is_not_left_out_unsaid(
    stack: Stack, schema: Json | None, sent: dict[str, str]
) -> None:
    name = f"changed-{len(sent)}"
    stack.runs.task(name, image="pictures:1", **({"payloadSchema": schema} if schema else {}))
    me = stack.parts("web").sign_in()
    fields = {"csrf_token": me.csrf, "by": "fields"} | sent
    answer = me.client.post(f"/projects/{stack.project}/tasks/{name}", data=fields)
    assert answer.status_code == 409
    assert "The payload schema has changed" in answer.text
    assert [
        run for run in stack.runs.kube.listed("taskruns.tidegate.dev") if run["spec"].get("taskRef") == {"name": name}
    ] == []


def test_a_replay_and_a_trigger_have_the_same_form(stack: Stack, page: Page) -> None:
    stack.runs.task("again", image="pictures:1", payloadSchema=SCHEMA)
    run_spec = {"taskRef": {"name": "again"}, "payload": {"width": 1, "format": "png"}}
    stack.runs.schedule("again-nightly", template={"spec": run_spec})
    page.goto(f"/projects/{stack.project}/schedules/again-nightly")
    form = page.get_by_role("form", name="Trigger it now")
    expect(form.get_by_label("Width")).to_have_value("1")
    form.get_by_label("Width").fill("0")
    expect(form.get_by_role("status")).to_contain_text("less than the minimum of 1")
    form.get_by_label("Width").fill("2")
    form.get_by_role("button", name="Start a run").click()
    assert payload_of_the_run(page, stack) == {"width": 2, "format": "png"}
    page.goto(f"{page.url}/replay")
    expect(page.get_by_label("Width")).to_have_value("2")
    page.get_by_label("Width").fill("3")
    expect(page.get_by_role("status")).to_contain_text("It matches the payload schema.")
    looks_right(page)
    page.get_by_role("button", name="Start a run").click()
    assert payload_of_the_run(page, stack) == {"width": 3, "format": "png"}


HOSTILE = "<img src=x onerror=alert(1)>\u202e" + "w" * 10_000


def test_words_of_a_schema_are_text_and_overflow_nothing(stack: Stack, page: Page) -> None:
    properties = {
        "key": {"type": "string", "title": HOSTILE, "description": HOSTILE, "default": HOSTILE},
        "<b>": {"enum": [HOSTILE, "x"]},
        "inner": {"type": "object", "title": HOSTILE, "properties": {"a": {"type": "string"}}},
    }
    stack.runs.task("hostile", image="pictures:1", payloadSchema={"type": "object", "properties": properties})
    form = open_form(page, stack, "hostile")
    expect(form).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("img[src=x]").count() == 0
    looks_right(page)


def test_a_task_is_put_on_a_schedule_with_the_payload_of_its_form(stack: Stack, page: Page) -> None:
    stack.runs.task("scheduled", image="pictures:1", payloadSchema=SCHEMA)
    form = open_form(page, stack, "scheduled")
    form.get_by_label("Width").fill("99")
    form.get_by_label("format").select_option(label="png")
    form.get_by_role("button", name="Put it on a schedule").click()
    text = page.get_by_label("Manifest (YAML)")
    said = page.get_by_role("status")
    draft = text.input_value()
    text.fill(draft.replace("name: ''", "name: weekly").replace("30 2 * * *", "0 9 * * MON"))
    expect(said).to_contain_text("At 09:00, only on Monday")
    expect(said.get_by_role("listitem")).to_have_count(5)
    looks_right(page)
    text.fill(draft.replace("name: ''", "name: weekly").replace("30 2 * * *", "61 9 * * MON"))
    expect(said).to_contain_text("The cron expression can't be read.")
    text.fill(draft.replace("spec:", "spec: ["))
    expect(said).to_contain_text("Line")
    text.fill(draft.replace("name: ''", "name: weekly"))
    expect(said).to_contain_text("At 02:30")
    page.get_by_role("button", name="Check and compare").click()
    page.get_by_role("button", name="Make it").click()
    expect(page).to_have_url(f"/projects/{stack.project}/schedules/weekly", timeout=10_000)
    made = stack.runs.kube.get("schedules.tidegate.dev", "weekly")
    run_spec = made["spec"]["template"]["spec"]
    assert (run_spec["taskRef"], run_spec["payload"]) == ({"name": "scheduled"}, {"width": 99, "format": "png"})
