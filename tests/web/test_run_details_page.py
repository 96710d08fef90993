"""The page of a run: its time to scale, its JSON, what its Task has become, and what the cluster says of it."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import PATIENCE_MS, looks_right, signed_in, violations
from support.stacks import site_of
from support.web import EMAIL, PASSWORD, Parts, Stack
from tidegate_api.spec_hash import spec_hash


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has a task of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with site_of(stack, tmp_path_factory.mktemp("logs")) as address:
        yield address


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as made:
        yield made


def path_of(stack: Stack, run: str) -> str:
    return f"/projects/{stack.project}/runs/{run}"


def created(run: Any) -> datetime:
    return datetime.fromisoformat(run["metadata"]["creationTimestamp"])


def written(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def a_retried_run(stack: Stack, name: str) -> None:
    """A run that took a minute: it waited, failed, and succeeded."""
    at = created(stack.runs.create(name, taskRef={"name": name}))

    def after(seconds: int) -> str:
        return written(at + timedelta(seconds=seconds))

    first = {"createdAt": after(5), "scheduledAt": after(6), "startedAt": after(10), "finishedAt": after(20)}
    second = {"createdAt": after(40), "startedAt": after(42), "finishedAt": after(60)}
    stack.runs.status(
        name,
        phase="Succeeded",
        startedAt=first["startedAt"],
        finishedAt=after(60),
        attempts=[
            {"number": 1, "outcome": "Failed", "reason": "Error", **first},
            {"number": 2, "outcome": "Succeeded", **second},
        ],
    )


def test_the_timeline_is_to_scale_and_says_the_same_in_words(stack: Stack, page: Page) -> None:
    a_retried_run(stack, "retried")
    page.goto(path_of(stack, "retried"))
    line = page.get_by_role("region", name="Timeline")
    second = line.get_by_role("listitem").filter(has_text="Attempt 2")
    words = "begins 20 s after the run was created: Back-off and waiting 20 s, Scheduling 2 s, Succeeded 18 s"
    expect(second).to_contain_text(words)
    bars = second.locator("rect").evaluate_all(
        "all => all.map(one => [one.getAttribute('x'), one.getAttribute('width')])"
    )
    assert bars == [["33.333%", "33.334%"], ["66.667%", "3.333%"], ["70.0%", "30.0%"]]
    whole = second.locator("rect").last.bounding_box()
    # One looks closer, at the second attempt alone, and back; the address has what is shown.
    second.get_by_role("link", name="Attempt 2").click()
    expect(page).to_have_url(re.compile(r"from=16\.0&to=60"))
    expect(line.locator("#span-waiting rect")).to_have_count(0)
    closer = second.locator("rect").last.bounding_box()
    assert whole is not None
    assert closer is not None
    assert closer["width"] > 1.2 * whole["width"]
    page.reload()
    expect(line.locator("#span-waiting rect")).to_have_count(0)
    line.get_by_role("link", name="All of it").focus()
    page.keyboard.press("Enter")
    expect(line.locator("#span-waiting rect")).to_have_count(1)
    expect(line.get_by_role("link", name="All of it")).to_be_focused()
    line.get_by_role("link", name="Zoom in").click()
    expect(page).to_have_url(re.compile(r"from=15\.0&to=45\.0"))
    # Links lead on from what is shown: the next is there when the page has been refreshed.
    expect(line.get_by_role("link", name="Later")).to_have_attribute("href", re.compile(r"from=30\.0&to=60\.0"))
    line.get_by_role("link", name="Later").click()
    expect(page).to_have_url(re.compile(r"from=30\.0&to=60\.0"))


def test_what_goes_on_grows_while_one_looks(stack: Stack, page: Page) -> None:
    at = created(stack.runs.create("growing", taskRef={"name": "growing"}))
    started = {"createdAt": written(at), "startedAt": written(at)}
    stack.runs.status("growing", phase="Running", startedAt=written(at), attempts=[{"number": 1, **started}])
    page.goto(path_of(stack, "growing"))
    running = page.locator("#timeline rect[data-ongoing]")
    expect(running).to_have_count(1)
    # Less than at the look before: when the time has doubled, other marks are drawn, and may stand further to the right.
    page.wait_for_function(
        """() => {
          const mark = [...document.querySelectorAll("#timeline .tg-spans-axis text")].at(-1);
          const before = window.markBefore;
          window.markBefore = { text: mark?.textContent, x: parseFloat(mark?.getAttribute("x")) };
          return before?.text === window.markBefore.text && window.markBefore.x < before.x;
        }""",
        timeout=PATIENCE_MS,
    )
    expect(running).to_have_attribute("width", "100%")


def test_an_attempt_shows_what_it_has_used_and_a_killed_one_says_why_it_does_not(stack: Stack, page: Page) -> None:
    more = {"outOfMemory": {"resources": {"limits": {"memory": "1Gi"}}}}
    resources = {"requests": {"memory": "256Mi"}, "limits": {"memory": "512Mi"}}
    task = {"image": "x", "entrypoint": "a:b", "retry": more, "resources": resources}
    at = written(created(stack.runs.create("hungry", task=task)))
    ended = {"startedAt": at, "finishedAt": at}
    used = {"cpuMilliseconds": 1234, "memoryPeakBytes": 210 * 2**20}
    stack.runs.status(
        "hungry",
        phase="Failed",
        startedAt=at,
        finishedAt=at,
        attempts=[
            {"number": 1, "outcome": "Failed", "reason": "Error", "exitCode": 1, "usage": used, **ended},
            {"number": 2, "outcome": "Failed", "reason": "Error", "exitCode": 1, **ended},
            {"number": 3, "outcome": "Failed", "reason": "OOMKilled", "exitCode": 137, **ended},
            {"number": 4, "outcome": "Timeout", "reason": "Timeout", "exitCode": 137, **ended},
            {"number": 5, "outcome": "Failed", "reason": "Error", "exitCode": 1, "usage": used, **ended},
        ],
    )
    page.goto(path_of(stack, "hungry"))
    words = "CPU 1.2 s · memory peak 210 MiB of 512 MiB limit (request 256 MiB)"
    expect(page.locator("#attempt-1")).to_contain_text(words)
    meter = page.get_by_role("meter", name="Memory peak of its limit, attempt 1")
    expect(meter).to_have_js_property("value", 210 * 2**20)
    expect(meter).to_have_js_property("max", 512 * 2**20)
    expect(page.locator("#attempt-2")).to_contain_text("Usage: not reported by this image.")
    expect(page.locator("#attempt-3")).to_contain_text("it was ended for its memory, before it could report")
    expect(page.locator("#attempt-4")).to_contain_text("it was ended before it could report")
    expect(page.locator("#attempt-5")).to_contain_text("of 1 GiB limit (request 256 MiB)")
    looks_right(page)


def test_json_folds_and_is_copied_whole(browser: Browser, stack: Stack, site: str, page: Page) -> None:
    payload = {"html": "</details><script>x()</script>", "deep": {"er": {"list": [1, {"last": None}]}}, "name": "Zoë"}
    stack.runs.create("folded", taskRef={"name": "folded"}, payload=payload)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(path_of(stack, "folded"))
    data = page.get_by_role("region", name="Payload and result")
    expect(data.get_by_text('"last"')).to_be_hidden()
    data.get_by_text('"er"').click()
    data.get_by_text('"list"').click()
    data.get_by_text("{", exact=True).last.click()
    expect(data.get_by_text('"last"')).to_be_visible()
    data.get_by_role("button", name="Copy: payload").click()
    expect(page.locator(".tg-copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert json.loads(copied) == payload
    assert copied == json.dumps(json.loads(copied), indent=2, ensure_ascii=False)  # as people write it
    # What one has opened or closed stays so when the page is refreshed.
    data.get_by_text('"deep"').click()
    expect(data.get_by_text('"er"')).to_be_hidden()
    stack.runs.status("folded", phase="Pending", reason="Suspended", message="held")
    expect(page.locator("#head")).to_contain_text("Suspended")
    expect(data.get_by_text('"er"')).to_be_hidden()


SPEC = {"image": "pictures:1", "entrypoint": "pictures:resize", "env": [{"name": "KEY", "value": "s3cret"}]}


def a_run_of(stack: Stack, name: str) -> None:
    """A run of a Task, and the Task."""
    spec = stack.runs.task(name, **SPEC)["spec"]
    stack.runs.create(name, taskRef={"name": name})
    attempt = {"number": 1, "pool": "warm", "podName": "warm-1", "handover": "h", "specHash": spec_hash(spec)}
    stack.runs.status(name, phase="Running", resolvedTask=spec, attempts=[attempt])


def change_task(stack: Stack, name: str, **spec: object) -> None:
    stack.runs.kube.patch("tasks.tidegate.dev", name, {"spec": spec})


def test_what_ran_is_compared_with_the_task_as_it_is_now(stack: Stack, page: Page) -> None:
    a_run_of(stack, "edited")
    page.goto(path_of(stack, "edited"))
    footer = page.locator("#diff")
    footer.get_by_role("link", name="Compare with the Task edited").click()
    expect(footer).to_contain_text("is the same now")
    change_task(stack, "edited", image="pictures:2")
    page.reload()
    expect(footer.locator(".tg-diff-new")).to_contain_text('"image": "pictures:2"')
    expect(footer.locator(".tg-diff-old")).to_contain_text('"image": "pictures:1"')
    stack.runs.kube.delete("tasks.tidegate.dev", "edited")
    page.reload()
    expect(footer).to_contain_text("There is no such Task.")


def test_a_viewer_sees_no_values_in_the_comparison(stack: Stack, parts: Parts) -> None:
    a_run_of(stack, "compared")
    change_task(stack, "compared", image="pictures:2", env=[{"name": "KEY", "value": "0ther"}])
    path = f"{path_of(stack, 'compared')}?diff=1"
    seen = parts.member("viewer").get(path).text
    assert "pictures:2" in seen
    assert not any(secret in seen for secret in ("s3cret", "0ther"))
    assert "0ther" in parts.member("operator").get(path).text


def test_the_clusters_events_are_shown_when_they_are_asked_for(stack: Stack, page: Page) -> None:
    run = stack.runs.create("noted", taskRef={"name": "noted"})
    page.goto(path_of(stack, "noted"))
    page.get_by_role("link", name="Show its Events").click()
    expect(page.get_by_text("The cluster has no Events of it any more.")).to_be_visible()
    about = {"kind": "TaskRun", "namespace": stack.project, "name": "noted", "uid": run["metadata"]["uid"]}
    metadata = {"name": "noted.1", "namespace": stack.project}
    words = {"type": "Warning", "reason": "Refused", "message": "<b>no</b> room", "count": 3}
    stack.runs.kube.create(
        {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": about, **words}
    )
    page.reload()
    item = page.get_by_role("list", name="Events, oldest first").get_by_role("listitem")
    expect(item).to_contain_text("Refused TaskRun noted · 3 times")
    expect(item).to_contain_text("<b>no</b> room")


def test_the_page_has_no_barriers_and_fits_narrow_screens(stack: Stack, page: Page) -> None:
    a_retried_run(stack, "wide-and-narrow-" + "x" * 40)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(path_of(stack, "wide-and-narrow-" + "x" * 40) + "?events=1&diff=1")
        for width in (360, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
            found = violations(page)
            assert found == [], found


def test_a_window_that_is_none_is_refused(stack: Stack, parts: Parts) -> None:
    stack.runs.create("window", taskRef={"name": "t"})
    viewer, path = parts.member("viewer", email="window@example.com"), path_of(stack, "window")
    assert [viewer.get(f"{path}?{bad}").status_code for bad in ("from=x", "to=nan", "from=1&to=")] == [422] * 3
    assert viewer.get(f"{path}?from=-1e308&to=1e308").status_code == 200
