"""While Postgres is away: what is in the cluster is shown from there, writes go on, and are in the audit log afterwards."""

import html
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy.exc import OperationalError
from support.callers import SignedIn
from support.pods import Pod
from support.runs import now
from support.servers import wait_until
from support.web import EMAIL, PASSWORD, Parts, Stack, finish, until
from tidegate_web.audit.recording import KEY, Entry
from tidegate_web.store import schema
from tidegate_web.store.engine import make_engine

Json = dict[str, Any]


@pytest.fixture
def me(parts: Parts) -> SignedIn:
    """A user who was seen lately."""
    signed_in = parts.sign_in()
    assert signed_in.get("/api/v1/me").status_code == 200
    return signed_in


@pytest.fixture
def without_postgres(stack: Stack, me: SignedIn) -> Iterator[SignedIn]:
    """The same, with three runs in the cluster, and Postgres away."""
    stack.runs.create("first", taskRef={"name": "resize"}, tags=["night"], batch="b")
    finish(stack, "first", phase="Failed")
    stack.runs.create("second", taskRef={"name": "mail"}, payload={"to": "x"})
    stack.runs.status("second", phase="Running", startedAt=now(), attempts=[{"number": 1, "startedAt": now()}])
    stack.runs.create_for("anna", "third", taskRef={"name": "mail"}, concurrencyKey="tenant")
    stack.postgres.stop()
    yield me
    stack.postgres.start()


def names(me: SignedIn, query: str = "") -> list[str]:
    answer = me.get(f"runs?{query}")
    assert answer.status_code == 200, answer.text
    return [run["name"] for run in (answer.json or {})["items"]]


def test_runs_are_listed_from_the_cluster_and_say_so(without_postgres: SignedIn) -> None:
    answer = without_postgres.get("runs").json or {}
    assert (answer["source"], answer["truncated"], answer["after"]) == ("cluster", False, None)
    assert {run["name"]: run["phase"] for run in answer["items"]} == {
        "first": "Failed",
        "second": "Running",
        "third": "Pending",
    }
    created = [(run["createdAt"], run["uid"]) for run in answer["items"]]
    assert created == sorted(created, reverse=True)
    assert (without_postgres.get("/api/v1/projects").json or {})["items"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("phase=Failed", {"first"}),
        ("phase=Running,Pending", {"second", "third"}),
        ("task=mail", {"second", "third"}),
        ("task=mail&phase=Running", {"second"}),
        ("tag=night", {"first"}),
        ("batch=b", {"first"}),
        ("key=tenant", {"third"}),
        ("requestedBy=anna", {"third"}),
        ("requestedBy=bert", set()),
        ("queue=none", set()),
        ("q=SECON", {"second"}),
        ("q=night", {"first"}),
        ("from=2999-01-01T00:00:00Z", set()),
        ("to=2999-01-01T00:00:00Z", {"first", "second", "third"}),
    ],
)
def test_a_list_is_narrowed_as_ever(without_postgres: SignedIn, query: str, found: set[str]) -> None:
    assert set(names(without_postgres, query)) == found


def test_a_list_goes_on_page_by_page(without_postgres: SignedIn) -> None:
    whole = names(without_postgres)
    first = without_postgres.get("runs?limit=2").json or {}
    rest = without_postgres.get(f"runs?limit=2&after={first['after']}").json or {}
    assert [run["name"] for run in first["items"] + rest["items"]] == whole
    assert rest["after"] is None
    assert without_postgres.get("runs?after=nonsense").status_code == 422


def test_the_list_goes_back_and_counts_what_has_come(stack: Stack, without_postgres: SignedIn) -> None:
    place = f"/projects/{without_postgres.project}/runs"
    top = re.findall(r'data-top="([^"]+)"', without_postgres.client.get(place).text)[0]
    oldest = (without_postgres.get("runs?limit=2").json or {})["after"]
    back = without_postgres.client.get(f"{place}?before={oldest}").text
    assert len(re.findall('class="tg-name"', back)) == 3  # one is newer than that place, so it is the newest page
    # Runs of one second are in the order of their uids.
    newest = max(run["createdAt"] for run in (without_postgres.get("runs").json or {})["items"])
    wait_until(lambda: now()[:19] > newest[:19], what="the next second")
    stack.runs.create("fourth", taskRef={"name": "mail"})
    wait_until(lambda: "fourth" in names(without_postgres), what="the next look at the cluster")
    page = without_postgres.client.get(f"{place}?top={top}").text
    assert (" 1 new<" in page, ">fourth<" in page) == (True, False)


def test_of_more_runs_than_are_looked_at_a_part_is_listed(
    without_postgres: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tidegate_web.cluster.client.PAGE", "tidegate_web.runs.in_cluster.PAGE"):
        monkeypatch.setattr(name, 1)
    monkeypatch.setattr("tidegate_web.runs.in_cluster.MOST", 2)
    answer = without_postgres.get("runs").json or {}
    assert (len(answer["items"]), answer["truncated"]) == (2, True)


def test_a_run_is_answered_by_name_and_by_uid(without_postgres: SignedIn) -> None:
    found = without_postgres.get("runs/second").json or {}
    assert (found["source"], found["phase"], found["spec"]["payload"]) == ("cluster", "Running", {"to": "x"})
    assert (without_postgres.get(f"runs/{found['uid']}").json or {})["name"] == "second"
    attempts = (without_postgres.get("runs/second/attempts").json or {})["items"]
    assert [attempt["number"] for attempt in attempts] == [1]
    assert without_postgres.get("runs/second/events").status_code == 200
    assert without_postgres.get("runs/first/why").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["runs/archived", "runs/6f1b7a36-5a3c-4a5e-9d2e-0a8d4f7c1b11", "runs/second/logs", "members", "stats", "audit"],
)
def test_what_only_the_archive_has_is_503(without_postgres: SignedIn, path: str) -> None:
    answer = without_postgres.get(path)
    assert answer.status_code == 503
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Retry-After"]


def test_pages_of_definitions_show_the_runs_that_the_cluster_has(stack: Stack, without_postgres: SignedIn) -> None:
    stack.runs.task("mail", image="a:1")
    stack.runs.queue("default", concurrencyLimit=1)
    stack.runs.schedule("nightly")
    stack.runs.pool("warm", image="runner")
    stack.runs.create("in-a-worker", task={"pool": "warm", "entrypoint": "a:b"})
    stack.runs.status("in-a-worker", phase="Running", attempts=[{"number": 1, "pool": "warm", "podName": "warm-1"}])
    for path, words in (
        ("tasks/mail", ("second", "third", "The database doesn't answer", "Start a run")),
        ("queues/default", ("The database doesn't answer", "Set the limits")),
        ("schedules/nightly", ("The database doesn't answer", "Every minute")),
        ("pools/warm", ("The database doesn't answer", "warm-1", "in-a-worker")),
        ("batches", ("The database doesn't answer",)),
    ):
        answer = without_postgres.client.get(f"/projects/{stack.project}/{path}")
        assert answer.status_code == 200, path
        assert [word for word in words if word not in html.unescape(answer.text)] == [], path


def test_pages_show_what_the_cluster_has_and_say_so(stack: Stack, without_postgres: SignedIn) -> None:
    for path in ("runs", "runs?task=mail", "runs/second"):
        page = without_postgres.get(f"/projects/{stack.project}/{path}")
        assert page.status_code == 200, page.text
        assert "The database doesn't answer" in page.text
        assert "second" in page.text
    members = without_postgres.get(f"/projects/{stack.project}/members")
    assert members.status_code == 503
    assert "database" in members.text


def test_a_page_shows_all_of_it_again_by_itself(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    stack.runs.create("here", taskRef={"name": "t"})
    with stack.process("all", actor="web", log=tmp_path / "log", namespaces=[stack.project]) as web:
        context = browser.new_context(base_url=f"http://127.0.0.1:{web.port}")
        page = context.new_page()
        page.goto("/")
        page.get_by_label("Email").fill(EMAIL)
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_text("No runs yet")).to_be_visible()  # there is no mirror
        stack.postgres.stop()
        page.reload()
        expect(page.get_by_text("The database doesn't answer")).to_be_visible()
        expect(page.locator("tr", has_text="here")).to_contain_text("Pending")
        page.locator("tr", has_text="here").get_by_role("link", name="here").click()
        expect(page.get_by_text("The database doesn't answer")).to_be_visible()
        expect(page.locator("[data-log]")).to_contain_text("Logs are in the database")
        page.go_back()
        stack.postgres.start()
        expect(page.get_by_text("The database doesn't answer")).to_have_count(0)
        context.close()


def test_runs_are_cancelled_held_released_put_off_replayed_and_created(
    stack: Stack, without_postgres: SignedIn
) -> None:
    me = without_postgres
    cancelled = me.post("runs/second:cancel")
    assert cancelled.status_code == 202, cancelled.text
    assert (cancelled.json or {})["spec"]["cancel"] is True
    held, released = me.post("runs/third:suspend").json or {}, me.post("runs/third:resume").json or {}
    assert [each["spec"]["suspend"] for each in (held, released)] == [True, False]
    later = me.post("runs/third:reschedule", {"startAfter": "2999-01-01T00:00:00Z"})
    assert (later.json or {})["spec"]["startAfter"] == "2999-01-01T00:00:00Z"
    again = me.post("runs/first:replay", {"name": "again"})
    assert again.status_code == 201, again.text
    assert stack.runs.exists("again")
    made = me.post("runs", {"name": "new", "taskRef": {"name": "t"}})
    assert made.status_code == 201
    assert "new" in names(me)
    assert (me.get(f"runs/{(made.json or {})['uid']}").json or {})["name"] == "new"
    key = {"Idempotency-Key": "once"}
    assert me.post("runs", {"taskRef": {"name": "t"}}, headers=key).status_code == 503
    assert me.call("DELETE", "runs/first").status_code == 503
    assert stack.runs.exists("first")


def test_audit_rows_of_that_time_are_written_when_it_is_back(
    stack: Stack, parts: Parts, without_postgres: SignedIn
) -> None:
    before = parts.services.clock.now()
    assert without_postgres.post("runs/second:cancel").status_code == 202
    assert without_postgres.post("runs/first:cancel").status_code == 409
    after = parts.services.clock.now()
    stack.postgres.start()
    stack.mirror()
    query = "SELECT * FROM audit WHERE action = 'run.cancel' ORDER BY at"
    wait_until(lambda: len(parts.rows(query)) == 2, what="the audit rows")
    rows = parts.rows(query)
    assert [(row.actor, row.target, row.outcome) for row in rows] == [
        ("ada@example.com", "second", "done"),
        ("ada@example.com", "first", "refused 409"),
    ]
    assert all(before <= row.at <= after for row in rows)
    wait_until(lambda: parts.services.redis.llen(KEY) == 0, what="nothing to wait")
    until(parts, "second", lambda row: bool(row.spec.get("cancel")))


def test_an_audit_row_is_written_once_whichever_process_dies_in_between(parts: Parts, me: SignedIn) -> None:
    made = parts.services
    entry = Entry(
        at=made.clock.now(), actor="a", address="", action="x", outcome="done", project=None, target=None, detail={}
    )
    made.redis.rpush(KEY, "nonsense")
    assert made.audit.keep(entry)
    # As one leaves it that is killed after it wrote and before it said so.
    assert made.audit.write(parts.engine) == 2
    made.redis.rpush(KEY, entry.as_text())
    assert made.audit.write(parts.engine) == 1
    assert made.audit.write(parts.engine) == 0
    assert len(parts.rows("SELECT * FROM audit WHERE action = 'x'")) == 1


def test_what_waits_to_be_written_is_bounded(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_web.audit.recording.MOST", 2)
    made = parts.services
    entry = Entry(
        at=made.clock.now(), actor="a", address="", action="x", outcome="done", project=None, target=None, detail={}
    )
    assert [made.audit.keep(entry) for _ in range(3)] == [True, True, False]


def test_a_postgres_that_does_not_answer_at_all_is_found_out_once(stack: Stack) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://tidegate@127.0.0.1:{silent.getsockname()[1]}/tidegate"
        engine = make_engine(stack.settings("web", database_url=url), name="tests")
        for _ in range(5):
            with pytest.raises(OperationalError):
                engine.connect()
        engine.dispose()
        silent.settimeout(0)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # the first alone was tried
            silent.accept()


def test_before_the_schema_is_there_it_is_as_if_postgres_were_away(stack: Stack) -> None:
    # So an install begins: Postgres answers before 'migrate' has done its work.
    url = stack.postgres.create_database("bare")
    parts = stack.parts("web", database_url=url)
    assert Pod(stack, parts).report({"progress": 0.1}).status_code == 204
    answer = parts.client().get("/api/v1/me", headers={"Authorization": f"Bearer tg_{'A' * 32}"})
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    schema.upgrade(parts.engine)
    assert parts.client().get("/api/v1/me", headers={"Authorization": f"Bearer tg_{'A' * 32}"}).status_code == 401


def test_with_the_apiserver_away_history_is_read_and_writes_are_503(stack: Stack, parts: Parts, me: SignedIn) -> None:
    mirror = stack.mirror()
    stack.runs.create("kept", taskRef={"name": "t"})
    until(parts, "kept", lambda row: True)
    mirror.end()
    assert me.get("runs").status_code == 200
    stack.plane.stop_apiserver()
    try:
        assert names(me) == ["kept"]
        assert (me.get("runs/kept").json or {})["phase"] == "Pending"
        assert me.get(f"/projects/{stack.project}/runs/kept").status_code == 200
        for method, path, body in (
            ("POST", "runs", {"taskRef": {"name": "t"}}),
            ("POST", "runs/kept:cancel", None),
            ("PUT", "queues/q", {"spec": {}}),
        ):
            assert me.call(method, path, body).status_code == 503, path
        stack.postgres.stop()
        assert me.get("runs").status_code == 503
    finally:
        stack.postgres.start()
        stack.plane.start_apiserver()
