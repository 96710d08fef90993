"""A person's way through the pages, in a real Chromium, against the real processes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from support.browser import come, signed_in
from support.kubelet import Kubelet
from support.runs import now
from support.servers import wait_until
from support.web import EMAIL, PASSWORD, Process, Stack
from tidegate_api.job_names import job_name


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: what each test makes is its own."""
    return shared_stack


@pytest.fixture(scope="module")
def web(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The program as a small installation runs it: everything people use in one process, and the mirror."""
    folder = tmp_path_factory.mktemp("web")
    with (
        stack.process("all", actor="web", log=folder / "web.log", namespaces=[stack.project]) as web,
        stack.process("mirror", actor="mirror", log=folder / "mirror.log", namespaces=[stack.project]),
    ):
        yield web


@pytest.fixture(scope="module")
def site(web: Process) -> str:
    return f"http://127.0.0.1:{web.port}"


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    """A page that has signed in; whatever it complains about on its console fails the test."""
    with signed_in(browser, site, email=EMAIL, password=PASSWORD, by_form=True) as made:
        yield made


@pytest.mark.quick
def test_from_sign_in_to_a_run_that_changes_before_ones_eyes(
    stack: Stack, web: Process, page: Page, tmp_path: Path
) -> None:
    # The list, empty at first, fills by itself.
    expect(page).to_have_url(re.compile(f"/projects/{stack.project}/runs$"))
    expect(page.get_by_text("No runs yet")).to_be_visible()
    expect(page.get_by_text("kubectl apply")).to_be_visible()
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")
    page.evaluate("window.stayed = true")
    run = stack.runs.create("resize", taskRef={"name": "photos"}, payload={"album": "iceland"})
    row = page.locator("tr", has_text="resize")
    expect(row).to_contain_text("Pending")
    stack.runs.status("resize", phase="Running", startedAt=now(), attempts=[{"number": 1, "startedAt": now()}])
    expect(row).to_contain_text("Running")
    expect(page.locator(".tg-stat", has_text="Running")).to_contain_text("1")

    # One run's page: logs, progress, its end.
    row.get_by_role("link", name="resize").click()
    expect(page.get_by_role("heading", name="resize")).to_be_visible()
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")
    expect(page.locator("#data")).to_contain_text("iceland")
    page.evaluate("window.stayed = true")
    uid = run["metadata"]["uid"]
    with Kubelet(stack.runs.kube, name="browser-node", folder=tmp_path / "pki") as kubelet:
        pod = f"{job_name('resize', uid, 1)}-pod"
        made = stack.runs.pod(pod, owner=stack.runs.job(run), run_uid=uid, node=kubelet.name)
        stack.runs.pod_state(pod)
        log = kubelet.log(pod)
        log.write(b"loading <b>album</b>\n")
        expect(page.locator("[data-log]")).to_contain_text("loading <b>album</b>")
        token = stack.runs.token(made)
        headers = {"Authorization": f"Bearer {token}"}
        reported = page.request.post(
            f"http://127.0.0.1:{web.internal_port}/internal/v1/runs/{uid}/progress",
            headers=headers,
            data={"progress": 0.42, "message": "photo 42"},
        )
        assert reported.status == 204
        expect(page.locator("#progress")).to_contain_text("42 %")
        expect(page.locator("#progress")).to_contain_text("photo 42")
        log.write(b"done\n", close=True)
        stack.runs.pod_state(pod, exit_code=0)
        attempt = {"number": 1, "podName": pod, "outcome": "Succeeded", "exitCode": 0}
        stack.runs.status(
            "resize",
            phase="Succeeded",
            finishedAt=now(),
            result={"photos": 248},
            attempts=[attempt | {"startedAt": now(), "finishedAt": now()}],
        )
        expect(page.locator("#head")).to_contain_text("Succeeded")
        expect(page.locator("#data")).to_contain_text("248")
        expect(page.locator("[data-log]")).to_contain_text("done")
    assert page.evaluate("window.stayed") is True  # nothing was reloaded


def test_cancel_filters_and_signing_out(stack: Stack, page: Page) -> None:
    stack.runs.create("long", taskRef={"name": "a"})
    stack.runs.create("other", taskRef={"name": "b"})
    page.on("dialog", lambda dialog: dialog.accept())
    come(page, page.get_by_role("link", name="long")).click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelling")).to_be_visible()
    assert stack.runs.get("long")["spec"]["cancel"] is True
    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name="Runs").click()
    page.get_by_role("combobox", name="Task").select_option("b")
    expect(page.locator("tr", has_text="long")).to_have_count(0)
    expect(page.locator("tr", has_text="other")).to_have_count(1)
    page.get_by_label("Search").fill("nothing like it")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_label("Account").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    page.goto(f"/projects/{stack.project}/runs")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_a_run_that_has_ended_is_run_again(stack: Stack, page: Page) -> None:
    stack.runs.create("import", taskRef={"name": "import"}, payload={"day": 3})
    page.on("dialog", lambda dialog: dialog.accept())
    come(page, page.get_by_role("link", name="import")).click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_role("button", name="Replay")).to_have_count(0)
    stack.runs.status("import", phase="Failed", reason="NonZeroExit", finishedAt=now())
    old = page.url
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    assert page.url != old
    new = page.locator("#head h1").inner_text()
    spec = stack.runs.get(new)["spec"]
    assert (spec["taskRef"], spec["payload"]) == ({"name": "import"}, {"day": 3})
    assert stack.runs.get("import")["status"]["phase"] == "Failed"


def test_a_step_that_waits_for_a_person_is_approved_and_held(stack: Stack, page: Page) -> None:
    stack.runs.create("deploy", taskRef={"name": "deploy"}, suspend=True)
    stack.runs.status("deploy", phase="Pending", reason="Suspended", message="Suspended until spec.suspend is false")
    come(page, page.get_by_role("link", name="deploy")).click()
    expect(page.locator("#head")).to_contain_text("Suspended")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Suspend")).to_be_visible()
    assert stack.runs.get("deploy")["spec"]["suspend"] is False
    stack.runs.status("deploy", phase="Running", reason=None, message=None, startedAt=now())
    expect(page.locator("#head")).to_contain_text("Running")
    expect(page.locator("#held")).to_have_count(0)
    page.get_by_role("button", name="Suspend").click()
    expect(page.locator("#held")).to_contain_text("this attempt goes on")
    assert stack.runs.get("deploy")["spec"]["suspend"] is True
    stack.runs.status("deploy", phase="Succeeded", finishedAt=now())
    expect(page.locator("#head")).to_contain_text("Succeeded")
    expect(page.get_by_role("button", name=re.compile("Resume|Suspend|Cancel"))).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_pages_fit_the_window(browser: Browser, stack: Stack, site: str, width: int, scheme: str) -> None:
    name = f"a-name-as-long-as-names-can-get-0123456789-{width}".ljust(63, "0")
    run = stack.runs.create(name, taskRef={"name": "t"})
    stack.runs.status(name, phase="Failed", reason="Error", message="x" * 300, finishedAt=now())
    context = browser.new_context(
        base_url=site,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("tr", has_text=name)).to_contain_text("Failed")
    for path in (
        f"/projects/{stack.project}/runs",
        f"/projects/{stack.project}/runs/{run['metadata']['uid']}",
        "/health",
    ):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, path
        assert page.evaluate("document.documentElement.getAttribute('data-bs-theme')") == scheme
    context.close()


def test_a_new_phase_is_shown_before_the_rest_of_the_page_is_there(stack: Stack, web: Process, page: Page) -> None:
    """And stays, when an answer comes that was asked for before."""
    for name in ("first", "second"):
        stack.runs.create(name, taskRef={"name": "photos"})
    page.goto(f"/projects/{stack.project}/runs")
    badges = {
        name: come(page, page.locator("tr", has_text=name)).locator(".c-phase .tg-badge")
        for name in ("first", "second")
    }
    expect(badges["second"]).to_have_text("Pending")
    expect(page.locator("[data-live]")).to_have_attribute("data-state", "live")
    page.evaluate(
        """() => {
          const row = [...document.querySelectorAll("tr")].find((each) => each.textContent.includes("second"));
          window.seen = [];
          new MutationObserver(() => window.seen.push(row.querySelector(".tg-badge").textContent)).observe(row, {childList: true, subtree: true, characterData: true});
        }"""
    )
    held: list[tuple[Route, str]] = []

    def hold(route: Route) -> None:
        if held or "x-fragment" not in route.request.headers:
            route.continue_()
        else:
            held.append((route, route.fetch().text()))

    page.route("**/runs*", hold)
    stack.runs.status("first", phase="Running", startedAt=now())
    expect(badges["first"]).to_have_text("Running")
    wait_until(lambda: page.evaluate("1") == 1 and len(held) == 1, what="the fragment that is asked for")
    stack.runs.status("second", phase="Running", startedAt=now())
    expect(badges["second"]).to_have_text("Running")
    route, old = held[0]
    assert old.count("Pending") > 0
    route.fulfill(body=old, content_type="text/html")
    expect(page.locator("tr", has_text="second").locator(".c-duration [data-since]")).to_be_visible()
    seen = page.evaluate("window.seen")
    assert "Running" in seen
    assert "Pending" not in seen[seen.index("Running") :]
