"""Every page in a browser, with something on it: nothing is cut off, axe finds nothing, the console stays silent.

With TIDEGATE_SCREENSHOTS=FOLDER each is photographed too (`make screenshots`).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from sqlalchemy import text
from support.browser import looks_right, signed_in
from support.stacks import pages_of
from support.web import EMAIL, PASSWORD, Parts, Stack
from tidegate_web.store import partitions

FOLDER = os.environ.get("TIDEGATE_SCREENSHOTS")
NO_PAGES = {
    "pages.home": "leads to another page",
    "pages.favicon": "a picture",
    "pages.runs_as_csv": "a file",
    "pages.runs_as_json": "a file",
    "pages.log_text": "a file",
}
PAGES = {
    "overview_page": "/projects/{project}/overview?range=1h",
    "list_runs": "/projects/{project}/runs",
    "views_page": "/projects/{project}/views?phase=Failed&columns=phase,name,tags",
    "show_run": "/projects/{project}/runs/{run}?events=1",
    "run_graph": "/projects/{project}/runs/{run}/graph",
    "edit_replay": "/projects/{project}/runs/{run}/replay",
    "bulk_page": "/projects/{project}/bulk/{bulk}",
    "tasks_page": "/projects/{project}/tasks",
    "show_task": "/projects/{project}/tasks/resize",
    "edit_definition": "/projects/{project}/tasks/resize/edit",
    "confirm_deletion": "/projects/{project}/tasks/resize/delete",
    "new_definition": "/projects/{project}/schedules:new",
    "queues_page": "/projects/{project}/queues",
    "show_queue": "/projects/{project}/queues/pictures",
    "schedules_page": "/projects/{project}/schedules",
    "show_schedule": "/projects/{project}/schedules/nightly",
    "plan_backfill": "/projects/{project}/schedules/nightly/backfill?from=2026-11-02T00:00&until=2026-11-08T00:00",
    "batches_page": "/projects/{project}/batches",
    "pools_page": "/projects/{project}/pools",
    "show_pool": "/projects/{project}/pools/models",
    "members_page": "/projects/{project}/members",
    "keys_page": "/projects/{project}/keys",
    "webhooks_page": "/projects/{project}/webhooks",
    "webhook_page": "/projects/{project}/webhooks/{webhook}",
    "audit_page": "/projects/{project}/audit",
    "settings_page": "/projects/{project}/settings",
    "list_projects": "/projects",
    "account_page": "/account",
    "users_page": "/users",
    "user_page": "/users/{user}",
    "whole_audit_page": "/audit",
    "usage_page": "/usage",
    "health": "/health",
}


@dataclass(frozen=True, kw_only=True)
class Site:
    """The web app, and what its pages are about."""

    address: str
    names: dict[str, Any]


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    """One for all."""
    return shared_stack


@pytest.fixture(scope="module")
def parts(stack: Stack) -> Parts:
    return stack.parts("web")


@pytest.fixture(scope="module")
def site(stack: Stack, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    names = {"project": stack.project, **filled(stack, parts)}
    with pages_of(stack, tmp_path_factory.mktemp("web")) as address:
        yield Site(address=address, names=names)


@pytest.fixture(scope="module")
def page(browser: Browser, site: Site) -> Iterator[Page]:
    with signed_in(browser, site.address, email=EMAIL, password=PASSWORD, timezone="Europe/Berlin") as made:
        yield made


def filled(stack: Stack, parts: Parts) -> dict[str, Any]:
    """A project with something of everything; the names that the addresses of its pages have."""
    definitions(stack)
    workers(stack, parts)
    uid = runs(stack, parts)
    me = parts.sign_in()
    parts.member("developer", email="anna@example.com")
    view = {"act": "save", "name": "Failed pictures", "of": "project"}
    assert me.form(f"/projects/{stack.project}/views?phase=Failed", **view).status_code == 303
    webhook = {"url": "https://hooks.example.com/tidegate", "phases": ["Failed"]}
    made: Any = me.post("webhooks", webhook).json
    assert me.post("api-keys", {"name": "ci", "role": "operator"}).status_code == 201
    bulk: Any = me.post("runs:bulk", {"action": "cancel", "filter": {"task": "resize", "phase": "Pending"}}).json
    users: Any = parts.rows("SELECT id FROM users WHERE email = 'anna@example.com'")
    return {"run": uid, "webhook": made["id"], "bulk": bulk["id"], "user": users[0].id}


def definitions(stack: Stack) -> None:
    made = stack.runs
    schema = {"type": "object", "required": ["width"], "properties": {"width": {"type": "integer"}}}
    image = "registry.example.com/pictures:1.4"
    words = "Makes thumbnails of each picture that customers upload."
    made.task(
        "resize", image=image, entrypoint="pictures:resize", queue="pictures", description=words, payloadSchema=schema
    )
    made.task("report", image="registry.example.com/reports:2.0", command=["python", "-m", "reports"])
    made.queue("pictures", concurrencyLimit=3, concurrencyLimitPerKey=1, maxPending=500)
    made.queue_status("pictures", pending=2, running=2, oldestPendingAt=at(minutes=4))
    made.queue("mail", rateLimit={"runs": 10, "perSeconds": 60}, paused=True)
    template = {"spec": {"taskRef": {"name": "resize"}, "payload": {"width": 320}}}
    made.schedule("nightly", cron="30 2 * * MON-FRI", timeZone="Europe/Berlin", template=template)
    made.schedule_status("nightly", lastScheduleTime=at(minutes=600), nextScheduleTime=at(minutes=-600))
    made.pool("models", image="registry.example.com/models:1.4", preload=["app.models"], replicas=3, slots=4)
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "1 of 3 workers are connected"}
    ready["lastTransitionTime"] = at(minutes=90)
    made.pool_status("models", readyReplicas=1, slots=4, busy=2, waiting=0, conditions=[ready])


def workers(stack: Stack, parts: Parts) -> None:
    """Those of the pool: one that works, one that has just been made and one whose image isn't there."""
    container = {"name": "worker", "image": "", "imageID": "", "ready": False, "restartCount": 0}
    running = {**container, "ready": True, "restartCount": 1, "state": {"running": {"startedAt": at(minutes=90)}}}
    running["lastState"] = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    conditions = [{"type": "Ready", "status": "True"}]
    name = "models-1f0a52c9-6d5b7c9f4-{}".format
    stack.runs.worker(
        name("8xkq2"), pool="models", node="node-1", phase="Running", conditions=conditions, containerStatuses=[running]
    )
    for one, node, reason, message in (
        ("jw7mh", "node-2", "ContainerCreating", ""),
        ("p4zcd", "node-3", "ImagePullBackOff", 'Back-off pulling image "registry.example.com/models:1.4"'),
    ):
        waiting = {"waiting": {"reason": reason, "message": message}}
        stack.runs.worker(name(one), pool="models", node=node, containerStatuses=[{**container, "state": waiting}])
    for number in (1, 2):
        run = f"classify-{number}"
        stack.runs.create(run, taskRef={"name": "classify"})
        attempt = {"number": 1, "pool": "models", "podName": name("8xkq2"), "podUid": "u", "handover": run}
        stack.runs.status(run, phase="Running", startedAt=at(minutes=1), attempts=[attempt])
        assert parts.sign_in().get(f"runs/{run}").status_code == 200  # it is in the archive now


def runs(stack: Stack, parts: Parts) -> str:
    """Runs of several phases; the uid of one that was retried and failed."""
    phases = ["Succeeded"] * 7 + ["Failed", "Succeeded", "Cancelled", "Running", "Running", "Pending", "Pending"]
    for number, phase in enumerate(phases):
        name, key = f"resize-{number:02d}", f"customer-{number % 3}"
        labels = {"tidegate.dev/schedule": "nightly"} if number % 2 else {}
        stack.runs.create_for(
            "anna@example.com", name, labels=labels, taskRef={"name": "resize"}, queue="pictures", concurrencyKey=key,
            payload={"width": 320, "picture": f"in/{number}.jpg"}, tags=["thumbnails"], batch=f"import-{number // 8}",
        )  # fmt: skip
        stack.runs.status(name, **status(phase, number))
        assert parts.sign_in().get(f"runs/{name}").status_code == 200  # it is in the archive now
        made_before(parts, name, minutes=minutes_of(number) + 1.5)
    return str(stack.runs.get("resize-07")["metadata"]["uid"])


def made_before(parts: Parts, name: str, *, minutes: float) -> None:
    """As if the run had been created so long ago."""
    then = datetime.now(UTC) - timedelta(minutes=minutes)
    with parts.engine.begin() as connection:
        partitions.ensure(connection, [then])
        for table in ("runs", "run_keys"):
            moved = text(f"UPDATE {table} SET created = :then WHERE name = :name")  # noqa: S608 - one of two names
            connection.execute(moved, {"then": then, "name": name})


def minutes_of(number: int) -> float:
    """How long ago a run of that number started."""
    return 40 - 2 * number


def at(*, minutes: float, seconds: float = 0) -> str:
    """So long ago."""
    return (datetime.now(UTC) - timedelta(minutes=minutes, seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def status(phase: str, number: int) -> dict[str, Any]:
    minutes, image = minutes_of(number), "registry.example.com/pictures:1.4"
    found: dict[str, Any] = {"phase": phase, "queue": "pictures", "queuedAt": at(minutes=minutes + 1)}
    if phase == "Pending":
        return found | {"reason": "ConcurrencyLimit", "message": "Queue pictures runs 3 of 3 at once"}
    found["startedAt"] = at(minutes=minutes)
    attempt = {"number": 1, "jobName": "job", "podName": f"resize-{number}-pod", "nodeName": "node-1", "image": image}
    begin = {"createdAt": at(minutes=minutes, seconds=20), "scheduledAt": at(minutes=minutes, seconds=15)}
    attempts = [attempt | begin | {"startedAt": at(minutes=minutes)}]
    if phase != "Running":
        found["finishedAt"] = attempts[0]["finishedAt"] = at(minutes=minutes, seconds=-20 - 7 * (number % 5))
        attempts[0]["outcome"] = phase
    if phase == "Failed":
        wrong = {"reason": "Error", "message": "ValueError: width must be positive", "exitCode": 1}
        first = attempt | {"outcome": "Failed", **wrong, "startedAt": at(minutes=minutes + 1)}
        first |= {"createdAt": at(minutes=minutes + 1, seconds=9), "finishedAt": at(minutes=minutes, seconds=40)}
        attempts = [first, attempts[0] | wrong | {"number": 2}]
        found |= {"reason": "Error", "message": wrong["message"]}
    return found | {"attempts": attempts}


def test_none_is_forgotten(parts: Parts) -> None:
    """A page that is added has to be looked at here too."""
    rules = [rule for rule in parts.app.url_map.iter_rules() if rule.endpoint.startswith("pages.")]
    there = {rule.endpoint for rule in rules if "GET" in (rule.methods or ())}
    assert there - NO_PAGES.keys() == {f"pages.{name}" for name in PAGES}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole(name: str, page: Page, site: Site) -> None:
    page.goto(PAGES[name].format(**site.names))
    assert "Something went wrong" not in page.inner_text("body")
    looks_right(page)
    if FOLDER:
        page.set_viewport_size({"width": 1280, "height": 800})
        page.screenshot(path=Path(FOLDER) / f"{name.removesuffix('_page').replace('_', '-')}.png")


@pytest.mark.parametrize("path", ["/login", "/forgot", "/password/no-such-token", "/no-such-page"])
def test_what_strangers_see_is_whole(path: str, browser: Browser, site: Site) -> None:
    context = browser.new_context(base_url=site.address)
    page = context.new_page()
    page.goto(path)
    looks_right(page)
    context.close()
