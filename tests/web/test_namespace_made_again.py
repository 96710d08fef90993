"""A namespace that is deleted and made again under its name: access to the old one opens nothing of the new one, and its archive is its own."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import text
from support.browser import signed_in
from support.callers import SignedIn, WithKey
from support.namespaces import annotate_namespace, delete_namespace, make_namespace, uid_of
from support.runs import RunMaker
from support.servers import wait_until
from support.web import EMAIL, PASSWORD, MirrorThread, Parts, Stack, finish, until
from tidegate_web.mirror import namespace_uids
from tidegate_web.store.queries import runs as run_rows
from tidegate_web.store.records import run_record

BODY = {"taskRef": {"name": "nightly"}}
KEY = {"Idempotency-Key": "2026-11-27"}


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_web.mirror.namespace_poller.LOOK_SECONDS", 0.2)


class Before:
    """A project with a member, a key, a webhook, settings, and a run that has ended."""

    def __init__(self, stack: Stack, parts: Parts) -> None:
        self.parts = parts
        self.me = parts.sign_in()
        self.bob: SignedIn = parts.member("admin", email="bob@example.com")
        made: Any = self.bob.post("api-keys", {"name": "ci", "role": "developer"}).json
        self.key = WithKey(client=parts.client(), key=made["key"], id=made["id"], project=stack.project)
        assert self.bob.post("webhooks", {"url": "https://hooks.example.com/x"}).status_code == 201
        assert self.bob.call("PUT", "settings", {"retentionDays": 30}).status_code == 200
        assert self.bob.post("invitations", {"email": "eve@example.com", "role": "admin"}).status_code == 201
        first: Any = self.key.post("runs", BODY, headers=KEY)
        assert first.status_code == 201, first.text
        self.run = first.json
        finish(stack, self.run["name"])
        until(parts, self.run["name"], lambda found: found.phase == "Succeeded")
        self.uid = uid_of(stack.runs)
        self.former = f"{stack.project}@{self.uid[:8]}"


def until_open(parts: Parts, me: SignedIn) -> None:
    """Until the project is the new namespace's, as this process sees it."""

    def is_open() -> bool:
        parts.services.projects.directory.forget()
        moves = parts.rows("SELECT * FROM project_moves WHERE completed IS NULL")
        return not moves and me.get("runs").status_code == 200

    wait_until(is_open, what="the new project")


def until_set_apart(before: Before) -> None:
    wait_until(
        lambda: bool(before.parts.rows("SELECT * FROM project_moves WHERE completed IS NOT NULL")), what="the move"
    )
    until_open(before.parts, before.me)


def test_who_had_access_to_the_old_namespace_has_none_to_the_new_one(
    stack: Stack, parts: Parts, mirror: MirrorThread
) -> None:
    before = Before(stack, parts)
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    until_set_apart(before)
    assert before.bob.get("runs").status_code == 403
    assert before.bob.post("runs", BODY).status_code == 403
    assert before.key.get("runs").status_code == 403
    assert before.key.post("runs", BODY).status_code == 403
    for what in ("members", "api-keys", "webhooks", "invitations", "runs"):
        assert (before.me.get(what).json or {})["items"] == [], what
    assert (before.me.get("settings").json or {})["retentionDays"] != 30
    audited: Any = before.me.get("audit").json
    assert [entry["action"] for entry in audited["items"]] == []


def test_the_new_project_begins_empty(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    before = Before(stack, parts)
    name, uid = before.run["name"], before.run["uid"]
    assert before.me.get(f"runs/{uid}").status_code == 200
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    until_set_apart(before)
    assert [before.me.get(f"runs/{each}").status_code for each in (name, uid)] == [404, 404]
    assert before.me.get(f"runs/{uid}/logs").status_code == 404
    again: Any = before.me.post("runs", BODY, headers=KEY)
    assert again.status_code == 201
    assert (again.json["name"], again.json["uid"] != uid) == (name, True)


def test_the_old_archive_is_kept_apart_for_those_who_could_read_it(
    stack: Stack, parts: Parts, mirror: MirrorThread
) -> None:
    before = Before(stack, parts)
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    until_set_apart(before)
    listed: Any = before.bob.get("/api/v1/projects?former=true").json
    assert listed["items"] == [{"name": before.former, "role": "admin"}]
    assert listed == before.me.get("/api/v1/projects?former=true").json
    assert (parts.member("viewer").get("/api/v1/projects?former=true").json or {})["items"] == []
    for reader in (before.bob, before.me, before.key):
        found: Any = reader.get(f"/api/v1/projects/{before.former}/runs").json
        assert [run["uid"] for run in found["items"]] == [before.run["uid"]]
        assert reader.get(f"/api/v1/projects/{before.former}/runs/{before.run['name']}/logs").status_code == 200
        assert reader.post(f"/api/v1/projects/{before.former}/runs", BODY).status_code == 404
    (written,) = parts.rows("SELECT * FROM audit WHERE action = 'project.set-apart'")
    assert (written.project, written.detail["namespaceUid"]) == (before.former, before.uid)


def test_the_project_is_closed_while_no_mirror_sets_the_old_data_apart(stack: Stack) -> None:
    one, two = stack.parts("web"), stack.parts("web")
    mirror = stack.mirror()
    before = Before(stack, one)
    beside = WithKey(client=two.client(), key=before.key.key, id=before.key.id, project=stack.project)
    assert beside.get("runs").status_code == 200
    mirror.end()
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    for parts in (one, two):
        parts.services.projects.directory.forget()
    for caller in (before.key, beside, before.bob, before.me):
        for answer in (caller.get("runs"), caller.post("runs", BODY)):
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2"), answer.text
    assert stack.runs.kube.names("taskruns.tidegate.dev") == []
    stack.mirror()
    until_set_apart(before)
    assert [caller.get("runs").status_code for caller in (before.key, beside, before.bob)] == [403, 403, 403]


def test_it_stays_closed_while_postgres_is_away(stack: Stack) -> None:
    parts = stack.parts("web")
    mirror = stack.mirror()
    before = Before(stack, parts)
    mirror.end()
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    stack.postgres.stop()
    parts.services.projects.directory.forget()
    assert before.key.post("runs", BODY).status_code == 503
    stack.postgres.start()


def test_a_move_that_is_cut_off_goes_on_with_the_next_mirror(
    stack: Stack, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stack.mirror()
    before = Before(stack, parts)
    for number in range(4):
        stack.runs.create(f"more-{number}")
        until(parts, f"more-{number}", lambda found: True)
    first.end()
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    monkeypatch.setattr(namespace_uids, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(namespace_uids, "STEPS_AT_ONCE", 1)
    cut = stack.mirror()
    wait_until(lambda: bool(of_project(parts, before.former)), what="the first run to move")
    cut.end()
    if of_project(parts, stack.project):  # it was cut off in between
        parts.services.projects.directory.forget()
        assert before.me.get("runs").status_code == 503
    stack.mirror()
    until_set_apart(before)
    assert of_project(parts, stack.project) == []
    assert len(of_project(parts, before.former)) == 5
    (outcome,) = {(row.phase, row.reason) for row in of_project(parts, before.former) if row.name.startswith("more")}
    assert outcome == ("Cancelled", "Deleted")


def of_project(parts: Parts, project: str) -> list[Any]:
    return parts.rows("SELECT * FROM runs WHERE project = :project", project=project)


def test_a_run_of_the_old_namespace_that_is_written_late_is_moved_too(
    stack: Stack, parts: Parts, mirror: MirrorThread
) -> None:
    before = Before(stack, parts)
    late = stack.runs.create("late")
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    until_set_apart(before)
    old = late["metadata"] | {"uid": "5eb5ad24-8c3c-4a43-8c4e-0a5a1c1e0b5f", "name": "later"}
    made = run_record(late | {"metadata": old}, default_ttl_seconds=60)
    with parts.engine.begin() as connection:
        run_rows.upsert(connection, [made])
    until(parts, "later", lambda found: found.project == before.former)
    assert (before.me.get("runs").json or {})["items"] == []


def test_news_of_an_old_run_does_not_bring_it_into_the_new_project(
    stack: Stack, parts: Parts, mirror: MirrorThread
) -> None:
    before = Before(stack, parts)
    last = stack.runs.get(before.run["name"])
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    until_set_apart(before)
    last["metadata"]["resourceVersion"] = str(int(last["metadata"]["resourceVersion"]) + 1_000_000)
    with parts.engine.begin() as connection:
        run_rows.upsert(connection, [run_record(last, default_ttl_seconds=60)])
    assert of_project(parts, stack.project) == []


def test_runs_of_the_new_namespace_that_come_before_the_move_stay_in_it(stack: Stack, parts: Parts) -> None:
    first = stack.mirror()
    before = Before(stack, parts)
    first.end()
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    stack.runs.create("new")
    stack.mirror()
    until_set_apart(before)
    until(parts, "new", lambda found: found.project == stack.project)
    assert [row.name for row in of_project(parts, before.former)] == [before.run["name"]]


def test_a_restored_namespace_continues_the_one_that_it_names(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    before = Before(stack, parts)
    delete_namespace(stack.runs)
    uid = make_namespace(stack.runs, continues=before.uid)
    wait_until(
        lambda: bool(parts.rows("SELECT * FROM project_namespaces WHERE namespace_uid = :uid", uid=uid)),
        what="the new uid",
    )
    parts.services.projects.directory.forget()
    assert_all_is_back(before)
    assert (before.me.get("/api/v1/projects?former=true").json or {})["items"] == []


def test_data_that_was_set_apart_comes_back_by_the_annotation(stack: Stack, parts: Parts, mirror: MirrorThread) -> None:
    before = Before(stack, parts)
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    until_set_apart(before)
    assert before.me.call("PUT", "settings", {"retentionDays": 7}).status_code == 200
    annotate_namespace(stack.runs, continues=before.uid)

    def is_back() -> bool:
        return not parts.rows("SELECT * FROM project_namespaces WHERE project = :project", project=before.former)

    wait_until(is_back, what="the data to come back")
    assert_all_is_back(before)
    assert (before.me.get("settings").json or {})["retentionDays"] == 7  # what the project has set meanwhile stands
    assert (before.me.get("/api/v1/projects?former=true").json or {})["items"] == []


def assert_all_is_back(before: Before) -> None:
    assert before.bob.get("runs").status_code == 200
    assert before.key.get(f"runs/{before.run['uid']}").status_code == 200
    assert len((before.me.get("webhooks").json or {})["items"]) == 1


def test_a_namespace_that_names_the_data_of_another_project_gets_none_of_it(stack: Stack, parts: Parts) -> None:
    other = RunMaker(stack.plane, f"{stack.project}-thief")
    stack.mirror(namespaces=[stack.project, other.project])
    before = Before(stack, parts)
    make_namespace(other, continues=before.uid)
    wait_until(lambda: is_bound(parts, other.project), what="the other project")
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    until_set_apart(before)
    annotate_namespace(other, continues=before.uid, again="true")
    delete_namespace(stack.runs)
    make_namespace(stack.runs)  # the other namespace is looked at between this one and its move
    wait_until(
        lambda: len(parts.rows("SELECT * FROM project_namespaces WHERE project LIKE '%@%'")) == 2, what="a second move"
    )
    assert [row.project for row in parts.rows("SELECT * FROM runs")] == [before.former]


def is_bound(parts: Parts, project: str) -> bool:
    return bool(parts.rows("SELECT * FROM project_namespaces WHERE project = :project", project=project))


def test_events_of_the_old_namespace_are_not_shown_in_the_new_one(
    stack: Stack, parts: Parts, mirror: MirrorThread
) -> None:
    before = Before(stack, parts)
    events = parts.services.events
    wait_until(lambda: events.last(stack.project) > 0, what="an event")
    first = events.last(stack.project) - 1
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    until_set_apart(before)
    assert events.after(stack.project, first) in (None, [])


def test_one_project_that_cannot_be_bound_holds_up_no_other(
    stack: Stack, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"{stack.project}-beside"
    RunMaker(stack.plane, other).make_project()
    settle: Callable[..., bool] = namespace_uids.NamespaceUids.settle

    def breaks(self: Any, namespace: namespace_uids.ProjectNamespace) -> bool:
        if namespace.project == stack.project:
            raise RuntimeError("broken")
        return settle(self, namespace)

    monkeypatch.setattr(namespace_uids.NamespaceUids, "settle", breaks)
    mirror = stack.mirror(namespaces=[stack.project, other])
    wait_until(lambda: is_bound(parts, other), what="the other project")
    wait_until(lambda: mirror.set_aside("ProjectNamespace") == 1, what="the broken one")


def test_a_move_is_forgotten_after_a_while(
    stack: Stack, parts: Parts, mirror: MirrorThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace_uids, "LATE_RUNS", timedelta(seconds=0.5))
    before = Before(stack, parts)
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    wait_until(
        lambda: bool(of_project(parts, before.former)) and not parts.rows("SELECT * FROM project_moves"),
        what="the move to be forgotten",
    )
    until_open(parts, before.me)


def test_a_project_from_before_bindings_keeps_what_it_has(stack: Stack, parts: Parts) -> None:
    first = stack.mirror()
    before = Before(stack, parts)
    first.end()
    with parts.engine.begin() as connection:
        connection.execute(text("DELETE FROM project_namespaces"))
    stack.mirror()
    wait_until(lambda: bool(parts.rows("SELECT * FROM project_namespaces")), what="the binding")
    assert before.bob.get("runs").status_code == 200


def test_the_page_of_projects_leads_to_the_former_one(
    stack: Stack, parts: Parts, mirror: MirrorThread, browser: Browser
) -> None:
    before = Before(stack, parts)
    delete_namespace(stack.runs)
    make_namespace(stack.runs)
    until_set_apart(before)
    with parts.served() as url, signed_in(browser, url, email=EMAIL, password=PASSWORD) as page:
        page.goto(f"{url}/projects")
        page.get_by_role("link", name=before.former).click()
        expect(page.get_by_role("link", name=before.run["name"]).first).to_be_visible()
        page.get_by_role("link", name=before.run["name"]).first.click()
        expect(page.locator("h1")).to_contain_text(before.run["name"])
