"""Tasks, Queues, Schedules and WorkerPools are made and changed from the dashboard: checked by the cluster, compared, then stored."""

from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect
from support.browser import looks_right
from support.callers import SignedIn
from support.web import Parts, Stack


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has objects of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


def spec_of(stack: Stack, kind: str, name: str) -> Any:
    return stack.runs.kube.get(f"{kind}.tidegate.dev", name)["spec"]


def test_a_task_is_changed_after_its_mistakes_were_named_and_the_change_was_shown(stack: Stack, page: Page) -> None:
    stack.runs.task("edited", image="a:1", timeoutSeconds=60)
    page.goto(f"/projects/{stack.project}/tasks/edited")
    page.get_by_role("link", name="Edit", exact=True).click()
    text = page.get_by_label("Manifest (YAML)")
    assert "timeoutSeconds: 60" in text.input_value()
    written = text.input_value()
    line = written.splitlines().index("  timeoutSeconds: 60") + 1
    text.fill(written.replace("timeoutSeconds: 60", "timeoutSeconds: -1"))
    page.get_by_role("button", name="Check and compare").click()
    mistakes = page.locator("#mistakes li")
    expect(mistakes.filter(has_text="spec.timeoutSeconds")).to_contain_text(f"Line {line}")
    expect(mistakes.filter(has_text="timeoutSeconds: -1")).to_be_visible()
    text.fill(written.replace("timeoutSeconds: 60", "timeoutSeconds: 90") + "  imagee: b:2\n")
    page.get_by_role("button", name="Check and compare").click()
    expect(mistakes).to_have_count(1)
    expect(mistakes).to_contain_text("spec.imagee: unknown field")
    expect(mistakes).to_contain_text(f"Line {len(written.splitlines()) + 1}")
    text.fill(written.replace("timeoutSeconds: 60", "timeoutSeconds: 90"))
    looks_right(page)
    page.get_by_role("button", name="Check and compare").click()
    changes = page.locator("#changes")
    expect(changes).to_contain_text('-     "timeoutSeconds": 60')
    expect(changes).to_contain_text('+     "timeoutSeconds": 90')
    assert spec_of(stack, "tasks", "edited")["timeoutSeconds"] == 60
    looks_right(page)
    page.get_by_role("button", name="Store it").click()
    expect(page.get_by_role("heading", name="edited")).to_be_visible()
    assert spec_of(stack, "tasks", "edited")["timeoutSeconds"] == 90


@pytest.mark.parametrize(
    ("plural", "kind", "resource"),
    [
        ("tasks", "Task", "tasks"),
        ("queues", "Queue", "queues"),
        ("schedules", "Schedule", "schedules"),
        ("pools", "WorkerPool", "workerpools"),
    ],
)
def test_one_of_each_kind_is_made_from_what_the_page_begins_with(
    stack: Stack, page: Page, plural: str, kind: str, resource: str
) -> None:
    page.goto(f"/projects/{stack.project}/{plural}")
    page.get_by_role("link", name=f"New {kind}").click()
    text = page.get_by_label("Manifest (YAML)")
    page.get_by_role("button", name="Check and compare").click()
    expect(page.locator("#mistakes")).to_contain_text("metadata.name: must be a name")
    text.fill(text.input_value().replace("  name: \n", f"  name: new-{plural}\n"))
    page.get_by_role("button", name="Check and compare").click()
    expect(page.locator("#changes")).to_contain_text("This would be made")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator("main")).to_contain_text(f"new-{plural}")
    assert spec_of(stack, resource, f"new-{plural}")
    # Once more it would be another's.
    page.goto(f"/projects/{stack.project}/{plural}:new")
    text.fill(text.input_value().replace("  name: \n", f"  name: new-{plural}\n"))
    page.get_by_role("button", name="Check and compare").click()
    expect(page.get_by_role("alert")).to_contain_text("It has changed since you looked at it")


def edit(caller: SignedIn, path: str, text: str, *, seen: str = "", act: str = "save") -> Any:
    return caller.form(f"/projects/{caller.project}/{path}", text=text, seen=seen, act=act)


def manifest(name: str, *, kind: str = "Task", spec: str = "{image: 'a:1'}", more: str = "") -> str:
    return f"apiVersion: tidegate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}{more}}}\nspec: {spec}\n"


def test_what_has_changed_meanwhile_is_not_overwritten(stack: Stack, parts: Parts) -> None:
    seen = stack.runs.task("contested", image="a:1")["metadata"]["resourceVersion"]
    caller = parts.sign_in()
    stack.runs.kube.patch("tasks.tidegate.dev", "contested", {"spec": {"image": "a:2"}})
    answer = edit(caller, "tasks/contested/edit", manifest("contested", spec="{image: 'a:3'}"), seen=seen)
    assert answer.status_code == 412
    assert "It has changed since you looked at it" in answer.text
    assert "a:3" in answer.text  # what was written is there still
    assert spec_of(stack, "tasks", "contested")["image"] == "a:2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (manifest("other"), "metadata.name: must be mine"),
        (manifest("mine", kind="Queue"), "kind: must be Task"),
        ('{"a": "\\ud800"}', "valid Unicode"),
        (manifest("mine", more=", namespace: kube-system"), "metadata.namespace: must be"),
        (manifest("mine", more=", ownerReferences: []"), "metadata.ownerReferences: can"),
        (manifest("mine", more=", annotations: {a: b}"), "metadata.annotations: a can"),
        (manifest("mine", more=", labels: {tidegate.dev/x: y}"), "metadata.labels: may not use Tidegate"),
        (manifest("mine", more=", labels: 3"), "metadata.labels: must be an object"),
        (manifest("mine", spec="[]"), "spec: must be an object"),
        (manifest("mine") + "extra: 1\n", "extra: unknown field"),
        (manifest("mine", spec="{image: 'a:1', queue: Not_a_name}"), "spec.queue"),
        ("a: &x [1]\nb: [*x, *x]", "anchors and aliases"),
        ("<script>alert(1)</script>", "it must be an object"),
    ],
)
def test_what_is_no_manifest_of_it_is_refused(stack: Stack, parts: Parts, text: str, said: str) -> None:
    if not stack.runs.kube.find("tasks.tidegate.dev", "mine"):
        stack.runs.task("mine", image="a:0")
    seen = stack.runs.kube.get("tasks.tidegate.dev", "mine")["metadata"]["resourceVersion"]
    for act in ("check", "save"):
        answer = edit(parts.sign_in(), "tasks/mine/edit", text, seen=seen, act=act)
        assert answer.status_code == 422, act
        assert said in answer.text.replace("&#39;", "'")
        assert "<script>alert" not in answer.text
    assert spec_of(stack, "tasks", "mine")["image"] == "a:0"


def test_what_kubectl_prints_can_be_stored_again(stack: Stack, parts: Parts) -> None:
    stack.runs.task("printed", image="a:1")
    found = stack.runs.kube.get("tasks.tidegate.dev", "printed")
    found["spec"]["image"] = "a:2"
    text, seen = yaml.safe_dump(found), found["metadata"]["resourceVersion"]
    assert edit(parts.sign_in(), "tasks/printed/edit", text, seen=seen).status_code == 303
    assert spec_of(stack, "tasks", "printed")["image"] == "a:2"


def test_a_check_stores_and_audits_nothing(stack: Stack, parts: Parts) -> None:
    caller = parts.sign_in()
    answer = edit(caller, "tasks:new", manifest("checked"), act="check")
    assert (answer.status_code, "The cluster takes it" in answer.text) == (200, True)
    assert stack.runs.kube.find("tasks.tidegate.dev", "checked") is None
    stored = edit(caller, "tasks:new", manifest("checked"))
    assert stored.status_code == 303
    entries: Any = caller.get("audit").json
    assert [(e["action"], e["outcome"]) for e in entries["items"] if e["target"] == "checked"] == [("task.put", "done")]


def test_nothing_to_store_is_said(stack: Stack, parts: Parts) -> None:
    stack.runs.task("same", image="a:1")
    caller = parts.sign_in()
    seen = stack.runs.kube.get("tasks.tidegate.dev", "same")["metadata"]["resourceVersion"]
    answer = edit(caller, "tasks/same/edit", manifest("same"), seen=seen, act="check")
    assert "Nothing would change" in answer.text
    assert "Store it" not in answer.text


def test_a_queue_is_deleted_once_it_is_said_what_becomes_of_its_runs(stack: Stack, parts: Parts, page: Page) -> None:
    stack.runs.queue("unwanted", concurrencyLimit=1)
    stack.runs.create("waits-in-it", taskRef={"name": "resize"}, queue="unwanted")
    assert parts.sign_in().get("runs/waits-in-it").status_code == 200  # it is in the archive now
    page.goto(f"/projects/{stack.project}/queues/unwanted")
    page.get_by_role("link", name="Edit", exact=True).click()
    page.get_by_role("link", name="Delete…").click()
    expect(page.locator("form.card")).to_contain_text("1 run of it has not ended.")
    looks_right(page)
    # What another has changed in the meantime is not deleted unseen.
    stack.runs.kube.patch("queues.tidegate.dev", "unwanted", {"spec": {"concurrencyLimit": 2}})
    page.get_by_role("button", name="Delete unwanted").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert stack.runs.kube.find("queues.tidegate.dev", "unwanted") is not None
    page.get_by_role("button", name="Delete unwanted").click()
    expect(page).to_have_url(f"/projects/{stack.project}/queues")
    assert stack.runs.kube.find("queues.tidegate.dev", "unwanted") is None
    (entry,) = parts.rows(
        "SELECT outcome FROM audit WHERE action = 'queue.delete' AND target = 'unwanted' ORDER BY id DESC LIMIT 1"
    )
    assert entry.outcome == "done"
