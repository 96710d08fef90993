"""The page of one WorkerPool: its workers one by one, the runs that they have, and why no worker comes."""

import html
from collections.abc import Iterable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.browser import looks_right
from support.proxy import FaultyProxy
from support.web import Parts, Stack
from tidegate_web.cluster import client
from tidegate_web.definitions import pool_workers

Json = dict[str, Any]
RUNNING = {"running": {"startedAt": "2026-11-28T10:00:00Z"}}
READY: Json = {"conditions": [{"type": "Ready", "status": "True"}]}
HOSTILE = '"><img src=x onerror=alert(1)><b>not</b>'


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all: each test has names of its own."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


def container(state: Json, **fields: Any) -> Json:
    """The container of a worker, as a status has it."""
    made = {"name": "worker", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    return {"containerStatuses": [made | fields]}


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def condition(status: str, reason: str, message: str) -> list[Json]:
    since = "2026-11-28T10:00:00Z"
    return [{"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": since}]


def taken(stack: Stack, parts: Parts, pool: str, pod: str, names: Iterable[str], **status: Any) -> None:
    """Runs that a worker has, which the archive knows."""
    for name in names:
        stack.runs.create(name, task={"pool": pool, "entrypoint": "a:b"})
        last = {"number": 2, "pool": pool, "podName": pod, "podUid": "u", "handover": f"h-{name}"}
        attempts = [{"number": 1, "pool": pool, "podName": "an-earlier-one", "outcome": "Disrupted"}, last]
        stack.runs.status(name, **({"phase": "Running", "attempts": attempts} | status))
        assert parts.sign_in().get(f"runs/{name}").status_code == 200  # it is in the archive now


def path(stack: Stack, name: str) -> str:
    return f"/projects/{stack.project}/pools/{name}"


def test_workers_are_shown_with_their_states_and_the_runs_that_they_have(
    stack: Stack, parts: Parts, page: Page
) -> None:
    stack.runs.pool("warm", image="models:1.4", preload=["app.models"], replicas=4, slots=2, memoryPerRun="1Gi")
    connected = condition("True", "Ready", "2 of 4 workers are connected")
    stack.runs.pool_status("warm", readyReplicas=2, slots=4, busy=3, waiting=7, conditions=connected)
    ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    one = container(RUNNING, ready=True, restartCount=3, lastState=ended)
    stack.runs.worker("warm-a", pool="warm", node="node-7", phase="Running", **READY, **one)
    stack.runs.worker("warm-b", pool="warm", node="node-8", **container(waiting("ContainerCreating")))
    drains = container(RUNNING, ready=True)
    stack.runs.worker("warm-c", pool="warm", node="node-8", phase="Running", **READY, **drains)
    stack.runs.kube.delete("pods", "warm-c", wait=False)
    stack.runs.worker("warm-d", pool="warm")
    stack.runs.worker("another", pool="cold")
    taken(stack, parts, "warm", "warm-a", ["warm-1", "warm-2"])
    taken(stack, parts, "warm", "warm-c", ["warm-3"])
    taken(stack, parts, "cold", "another", ["cold-1"])
    taken(stack, parts, "warm", "warm-a", ["warm-4"], phase="Retrying", reason="BackOff")

    page.goto(f"/projects/{stack.project}/pools")
    page.get_by_role("link", name="warm", exact=True).click()
    for words in ("Ready2of 4 workers", "Slots42 a worker", "Busy3of 4", "Waiting7"):
        expect(page.locator("#stats")).to_contain_text(words)
    expect(page.locator("#no-worker")).to_have_count(0)
    for words in ("models:1.4", "app.models", "1Gi", "10 m 00 s", "2 of 4 workers are connected"):
        expect(page.locator("#state")).to_contain_text(words)
    for name, said in (
        ("warm-a", ("ready", "on node-7", "2 of 2", "3last: OOMKilled")),
        ("warm-b", ("starting", "on node-8", "0 of 2")),
        ("warm-c", ("draining", "ends in", "at the latest", "1 of 2", "warm-3")),
        ("warm-d", ("starting", "0 of 2")),
    ):
        for each in said:
            expect(page.locator(f"#worker-{name}")).to_contain_text(each)
    expect(page.locator("#workers tbody tr")).to_have_count(4)
    expect(page.locator("#workers")).not_to_contain_text("warm-4")
    looks_right(page)
    page.locator("#manifest summary").click()
    expect(page.locator("#manifest")).to_contain_text("kind: WorkerPool")
    page.locator("#worker-warm-a").get_by_role("link", name="warm-2").click()
    expect(page.locator("#head h1")).to_have_text("warm-2")
    page.locator("#attempts").get_by_role("link", name="warm", exact=True).first.click()
    expect(page.get_by_role("heading", name="warm", exact=True)).to_be_visible()


def test_a_pool_whose_image_is_not_there_says_so_and_follows_what_happens(stack: Stack, page: Page) -> None:
    stack.runs.pool("pulling", image="no-such:1")
    message = 'pod pulling-a, container worker: Back-off pulling image "no-such:1"'
    stack.runs.pool_status("pulling", conditions=condition("False", "ImagePullBackOff", message))
    back_off = waiting("ImagePullBackOff", 'Back-off pulling image "no-such:1"')
    stack.runs.worker("pulling-a", pool="pulling", node="node-7", **container(back_off))
    page.goto(path(stack, "pulling"))
    expect(page.locator("#no-worker")).to_contain_text(f"No worker is ready: ImagePullBackOff. {message}")
    worker = page.locator("#worker-pulling-a")
    for words in ("not ready", "ImagePullBackOff", 'Back-off pulling image "no-such:1"'):
        expect(worker).to_contain_text(words)
    looks_right(page)
    stack.runs.worker_status("pulling-a", phase="Running", **READY, **container(RUNNING, ready=True))
    connected = condition("True", "Ready", "1 of 1 workers are connected")
    stack.runs.pool_status("pulling", readyReplicas=1, slots=4, busy=0, waiting=0, conditions=connected)
    expect(worker.get_by_text("ready", exact=True)).to_be_visible()
    expect(page.locator("#no-worker")).to_have_count(0)


def test_a_pool_is_scaled_from_its_page(stack: Stack, page: Page) -> None:
    stack.runs.pool("scaled", image="models:1.4")
    page.goto(path(stack, "scaled"))
    expect(page.locator("#no-worker")).to_contain_text("No worker is known yet")
    expect(page.locator("#workers")).to_contain_text("There is no worker pod.")
    page.get_by_label("Worker pods").fill("5")
    page.get_by_role("button", name="Scale", exact=True).click()
    expect(page.locator("#stats")).to_contain_text("of 5 workers")
    assert stack.runs.kube.get("workerpools.tidegate.dev", "scaled")["spec"]["replicas"] == 5
    page.get_by_role("link", name="Delete…").click()
    expect(page.get_by_role("heading", name="Delete WorkerPool scaled?")).to_be_visible()
    page.get_by_role("link", name="Keep it").click()
    expect(page).to_have_url(path(stack, "scaled"))


def test_what_a_pod_says_is_text_and_an_odd_one_is_shown_with_what_it_has(stack: Stack, page: Page) -> None:
    stack.runs.pool("odd", image=HOSTILE)
    stack.runs.pool_status("odd", conditions=condition("False", "Error", HOSTILE))
    stack.runs.worker("odd-a", pool="odd", node="node-7", **container(waiting("Odd", HOSTILE + "x" * 2_000)))
    stack.runs.worker("odd-b", pool="odd", phase="Failed", reason=HOSTILE, message="\u202eright to left")
    stack.runs.worker("odd-c", pool="odd", conditions=[{"type": "Ready", "status": "Unknown"}])
    page.goto(path(stack, "odd"))
    expect(page.locator("#worker-odd-a")).to_contain_text(HOSTILE)
    expect(page.locator("#worker-odd-b")).to_contain_text(HOSTILE)
    expect(page.locator("#worker-odd-c")).to_contain_text("starting")
    expect(page.locator("#no-worker")).to_contain_text(HOSTILE)
    expect(page.locator("#content img")).to_have_count(0)
    looks_right(page)


def test_pods_without_a_status_or_a_name_do_not_break_the_page(stack: Stack, proxy: FaultyProxy) -> None:
    stack.runs.pool("bare", image="models:1.4")
    stack.runs.worker("bare-a", pool="bare", phase="Running", **READY)
    me = stack.parts("web", kubeconfig=proxy.kubeconfig("web")).sign_in()
    odd: list[Any] = [{}, {"metadata": {"name": HOSTILE}, "status": None}, {"metadata": {"name": 7}, "spec": []}]
    with proxy.on(path="/pods$").alter(lambda found: found["items"].extend(odd)):
        shown = me.get(path(stack, "bare"))
    assert shown.status_code == 200
    assert "bare-a" in shown.text
    assert shown.text.count("(without a name)") >= 2
    assert "<img src=x" not in shown.text


def test_of_many_workers_a_part_is_shown_and_the_others_counted(stack: Stack, proxy: FaultyProxy) -> None:
    stack.runs.pool("many", image="models:1.4", replicas=1000)
    me = stack.parts("web", kubeconfig=proxy.kubeconfig("web")).sign_in()
    ready = [{"metadata": {"name": f"many-{number:04d}"}, "status": READY} for number in range(1_000)]
    ready[900]["status"] = container(waiting("ErrImagePull", "no space left"))
    with proxy.on(path="/pods$").alter(lambda found: found.update(items=ready)):
        shown = me.get(path(stack, "many")).text
    assert shown.count('id="worker-') == 200
    assert "and 800 more" in shown
    # The one that someone may have to look at is among them.
    assert "no space left" in shown


def test_pods_are_read_up_to_a_number(stack: Stack, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 1)
    monkeypatch.setattr(pool_workers, "PAGE", 1)
    monkeypatch.setattr(pool_workers, "LOOKED_AT", 2)
    stack.runs.pool("pages", image="models:1.4")
    for name in ("pages-a", "pages-b", "pages-c"):
        stack.runs.worker(name, pool="pages")
    shown = parts.sign_in().get(path(stack, "pages")).text
    assert shown.count('id="worker-') == 2
    assert "and at least 1 more" in shown


def test_where_pods_cannot_be_listed_the_rest_is_shown(stack: Stack, parts: Parts, proxy: FaultyProxy) -> None:
    stack.runs.pool("unseen", image="models:1.4")
    taken(stack, parts, "unseen", "unseen-a", ["unseen-1"])
    me = stack.parts("web", kubeconfig=proxy.kubeconfig("web")).sign_in()
    for rule, said in (
        (proxy.on(path="/pods$").answer(403), "Kubernetes refuses this"),
        (proxy.on(path="/pods$").drop(), "Kubernetes doesn't answer."),
    ):
        with rule:
            shown = me.get(path(stack, "unseen"))
        assert rule.hits == 1
        assert shown.status_code == 200
        for words in ("The worker pods can't be listed", said, "models:1.4", "unseen-a", "not known", "unseen-1"):
            assert words in html.unescape(shown.text)


def test_while_the_cluster_is_away_the_runs_of_the_archive_are_shown(
    stack: Stack, parts: Parts, proxy: FaultyProxy
) -> None:
    stack.runs.pool("away", image="models:1.4")
    taken(stack, parts, "away", "away-a", ["away-1"])
    me = stack.parts("web", kubeconfig=proxy.kubeconfig("web")).sign_in()
    with proxy.on(path="/workerpools/").drop(), proxy.on(path="/pods$").drop() as pods:
        shown = me.get(path(stack, "away"))
    assert shown.status_code == 200
    for words in ("The WorkerPool away can't be shown: Kubernetes doesn't answer.", "away-a", "away-1"):
        assert words in html.unescape(shown.text)
    assert "Scale it" not in shown.text
    # What doesn't answer is asked once.
    assert pods.hits == 0


def test_acts_are_offered_to_developers_alone(stack: Stack, parts: Parts) -> None:
    stack.runs.pool("rights", image="a:1", env=[{"name": "PASSWORD", "value": "seven"}])
    for role, acts in (("viewer", False), ("operator", False), ("developer", True)):
        member = parts.member(role)
        shown = member.get(path(stack, "rights"))
        assert shown.status_code == 200
        assert [act in shown.text for act in (">Edit<", "Delete…", "Scale it")] == [acts] * 3, role
        assert ("seven" in shown.text) is (role != "viewer")
        answer = member.form(path(stack, "rights"), act="scale", replicas="0")
        assert answer.status_code == (303 if acts else 403)
    refused = parts.sign_in().form(path(stack, "rights"), act="scale", replicas="1001")
    assert refused.status_code == 422
    assert "replicas: must be a whole number from 0 to 1000" in refused.text


def test_an_unknown_pool_is_404_and_one_that_is_deleted_shows_workers_that_still_drain(
    stack: Stack, parts: Parts
) -> None:
    caller = parts.sign_in()
    for name in ("never-was", "Not%20a%20name", "a,b", "x" * 64):
        assert caller.get(path(stack, name)).status_code == 404, name
    assert caller.get("/projects/never-was/pools/warm").status_code == 404
    stack.runs.worker("left-a", pool="left", node="node-7", **container(RUNNING))
    stack.runs.kube.delete("pods", "left-a", wait=False)
    shown = caller.get(path(stack, "left"))
    assert shown.status_code == 200
    for words in ("There is no such WorkerPool.", "left-a", "draining"):
        assert words in shown.text
