"""The overview of a project: what it counts, from what is kept and what isn't yet, and what its page says of it."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, event, text
from support.archive import NOW, HandClock
from support.browser import signed_in, violations
from support.stacks import site_of
from support.web import EMAIL, PASSWORD, Parts, Stack, make_quarantine
from tidegate_web.mirror.rollup import Rollup
from tidegate_web.runs import project_overview
from tidegate_web.runs.project_overview import RANGES, ProjectOverview
from tidegate_web.store import partitions
from tidegate_web.store.queries import rollups

HOSTILE = "<img src=x onerror=alert(1)>\u202e" + "x" * 9000


@pytest.fixture(scope="module")
def parts(shared_stack: Stack) -> Parts:
    """One for all: each test has the archive for itself."""
    return shared_stack.parts("web")


@pytest.fixture
def engine(parts: Parts) -> Iterator[Engine]:
    """Of an archive without runs."""
    yield parts.engine
    with parts.engine.begin() as connection:
        connection.execute(text("TRUNCATE runs, run_keys, run_rollups, failure_rollups, rollup_marks"))


def ran(
    engine: Engine, *, ago: timedelta, now: datetime = NOW, phase: str = "Succeeded", took: float = 10, **given: Any
) -> None:
    """A run of the archive that ended some time ago."""
    finished = now - ago
    started = finished - timedelta(seconds=took)
    created = started - timedelta(seconds=2)
    values = {
        "project": "p", "phase": phase, "created": created, "queued_at": created, "started_at": started,
        "finished_at": finished, "task": "report", "reason": None, "message": None,
    } | given  # fmt: skip
    with engine.begin() as connection:
        partitions.ensure(connection, [created])
        uid = connection.execute(
            text(
                "INSERT INTO runs (uid, name, resource_version, attempt, tags, labels, spec, status, project, phase, created,"
                " queued_at, started_at, finished_at, task, reason, message) VALUES (gen_random_uuid(), 'r', 1, 1, '{}', '{}',"
                " '{}', '{}', :project, :phase, :created, :queued_at, :started_at, :finished_at, :task, :reason, :message)"
                " RETURNING uid"
            ),
            values,
        ).scalar_one()
        connection.execute(
            text("INSERT INTO run_keys (uid, project, name, created) VALUES (:uid, :project, 'r', :created)"),
            values | {"uid": uid},
        )


def counter(engine: Engine, clock: HandClock) -> Rollup:
    return Rollup(engine=engine, clock=clock, quarantine=make_quarantine(), stop=threading.Event())


def seen(parts: Parts, name: str, clock: HandClock) -> ProjectOverview:
    found = project_overview.project_overview(replace(parts.services, clock=clock), "p", RANGES[name])
    assert found is not None
    return found


def failures(found: ProjectOverview) -> list[tuple[Any, ...]]:
    return [(each.task, each.reason, each.message, each.runs, sum(each.sparks)) for each in found.failures]


@pytest.mark.parametrize("name", list(RANGES))
def test_what_is_kept_says_the_same_as_the_runs(parts: Parts, engine: Engine, name: str) -> None:
    clock = HandClock()
    for minutes in (0, 1, 14, 16, 59, 61, 120, 1000, 2000, 9000, 20_000, 40_000):
        ran(engine, ago=timedelta(minutes=minutes, seconds=30), took=minutes + 1)
        ran(engine, ago=timedelta(minutes=minutes), phase="Failed", reason="Error", message=f"number {minutes} is bad")
    uncounted = seen(parts, name, clock)
    counter(engine, clock).look()
    counted = seen(parts, name, clock)
    assert failures(counted) == failures(uncounted)
    assert replace(counted, failures=[]) == replace(uncounted, failures=[])
    assert counted.phases["Failed"] >= 3
    assert sum(sum(bucket.phases.values()) for bucket in counted.buckets) == sum(counted.phases.values())
    ((task, reason, message, runs, sparks),) = failures(counted)
    assert (task, reason, message) == ("report", "Error", "number # is bad")
    assert runs == sparks >= counted.phases["Failed"]


def test_what_ends_after_the_last_count_is_counted_at_once(parts: Parts, engine: Engine) -> None:
    clock = HandClock()
    ran(engine, ago=timedelta(minutes=5))
    counter(engine, clock).look()
    clock.time += timedelta(minutes=1)
    ran(engine, ago=timedelta(seconds=10), now=clock.time, phase="Failed", reason="Error", message="late")
    assert seen(parts, "24h", clock).phases == {"Succeeded": 1, "Failed": 1}


def test_a_page_over_a_long_time_reads_what_is_kept(parts: Parts, engine: Engine) -> None:
    clock = HandClock()
    ran(engine, ago=timedelta(days=20))
    counter(engine, clock).look()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM runs"))
    assert seen(parts, "30d", clock).phases == {"Succeeded": 1}


def kept_steps(engine: Engine) -> list[tuple[int, int]]:
    """The seconds of each step of which something is kept, and the runs that it counts."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT step, sum(runs) FROM run_rollups GROUP BY step ORDER BY step"))
        return [(step, runs) for step, runs in rows]


def test_six_hours_that_are_over_are_added_up(parts: Parts, engine: Engine) -> None:
    clock = HandClock()
    for hours in (0.1, 30, 31, 32, 60):
        ran(engine, ago=timedelta(hours=hours))
    counting = counter(engine, clock)
    counting.look()
    assert kept_steps(engine) == [(900, 5), (3600, 5), (21600, 4)]
    shown = seen(parts, "30d", clock)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM run_rollups WHERE step = 21600"))
    assert seen(parts, "30d", clock) == shown, "hours serve where six are not added up"
    counting.look()
    assert kept_steps(engine)[-1] == (21600, 4)


def test_six_hours_are_added_up_again_where_an_hour_was_counted_again(parts: Parts, engine: Engine) -> None:
    clock = HandClock()
    ran(engine, ago=timedelta(hours=20))
    counter(engine, clock).look()
    with engine.begin() as connection:
        # As an older version of the mirror leaves it: it does not know of six hours.
        connection.execute(text("UPDATE run_rollups SET runs = 3 WHERE step = 3600"))
    assert seen(parts, "30d", clock).phases == {"Succeeded": 1}
    counter(engine, clock).look()
    assert seen(parts, "30d", clock).phases == {"Succeeded": 3}


def test_runs_that_are_stored_late_are_counted(parts: Parts, engine: Engine) -> None:
    """As after hours in which the mirror was away: runs had ended, and come when it is back."""
    clock = HandClock()
    ran(engine, ago=timedelta(hours=9))
    counter(engine, clock).look()
    clock.time += timedelta(hours=5)
    again = counter(engine, clock)
    again.look()
    clock.time += timedelta(minutes=5)
    ran(engine, ago=timedelta(hours=4), now=clock.time)
    again.look()
    assert seen(parts, "24h", clock).phases == {"Succeeded": 2}


def test_the_seventh_look_costs_little(parts: Parts, engine: Engine) -> None:
    """Once a term has caught up, a look counts the last hours alone."""
    clock = HandClock()
    ran(engine, ago=timedelta(days=3))
    worker = counter(engine, clock)
    worker.look()
    clock.time += timedelta(minutes=20)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    worker.look()
    assert len(statements) <= 30, statements


def test_times_are_right_to_six_percent(parts: Parts, engine: Engine) -> None:
    clock = HandClock()
    for seconds in range(1, 101):
        ran(engine, ago=timedelta(minutes=seconds), took=float(seconds))
    counter(engine, clock).look()
    found = seen(parts, "24h", clock)
    assert found.took.p50 == pytest.approx(50, rel=0.065)
    assert found.took.p95 == pytest.approx(95, rel=0.065)
    assert found.waited.p50 == pytest.approx(2, rel=0.065)


def test_kinds_of_failures_are_bounded_and_the_most_frequent_stay(parts: Parts, engine: Engine) -> None:
    clock = HandClock()
    for letter in range(rollups.MOST_KINDS + 20):
        word = "".join(chr(ord("g") + int(digit)) for digit in str(letter))
        ran(engine, ago=timedelta(minutes=1), phase="Failed", reason="Error", message=word)
    for _ in range(3):
        ran(engine, ago=timedelta(minutes=2), phase="Failed", reason="Error", message="frequent")
    counter(engine, clock).look()
    assert failures(seen(parts, "24h", clock))[0][2:4] == ("frequent", 3)
    with engine.connect() as connection:
        assert (
            connection.execute(
                text("SELECT max(n) FROM (SELECT count(*) AS n FROM failure_rollups GROUP BY at) AS c")
            ).scalar()
            == rollups.MOST_KINDS
        )


def test_failures_that_were_rare_and_are_frequent_now_are_counted_whole(parts: Parts, engine: Engine) -> None:
    clock = HandClock()
    for letter in "ghijklmnopqr":
        for _ in range(2):
            ran(engine, ago=timedelta(hours=3), phase="Failed", reason="Error", message=letter)
    ran(engine, ago=timedelta(hours=2), phase="Failed", reason="Error", message="rare")
    counter(engine, clock).look()
    for _ in range(2):
        ran(engine, ago=-timedelta(seconds=1), phase="Failed", reason="Error", message="rare")
    clock.time += timedelta(minutes=1)
    found = seen(parts, "24h", clock)
    assert len(found.failures) == project_overview.GROUPS
    assert failures(found)[0][2:] == ("rare", 3, 3)


@pytest.mark.parametrize(
    "message",
    [HOSTILE, "", "0x7f3a at 12 of 8b3c0000-1111-2222-3333-444444444444", "नमस्ते \u0000".replace("\u0000", "")],
)
def test_any_message_is_kept(parts: Parts, engine: Engine, message: str) -> None:
    clock = HandClock()
    ran(engine, ago=timedelta(minutes=1), phase="Failed", reason="Error", message=message)
    counter(engine, clock).look()
    ((_, _, kept, runs, _),) = failures(seen(parts, "6h", clock))
    assert runs == 1
    assert len(kept) <= rollups.MESSAGE_CHARACTERS
    assert not any(character.isdigit() for character in kept)


# The page


@pytest.fixture(scope="module")
def site(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with site_of(shared_stack, tmp_path_factory.mktemp("logs")) as address:
        yield address


@pytest.fixture
def page(browser: Browser, site: str) -> Iterator[Page]:
    with signed_in(browser, site, email=EMAIL, password=PASSWORD) as made:
        yield made


def test_the_page_says_what_fails_what_waits_and_what_comes_next(parts: Parts, engine: Engine, page: Page) -> None:
    project, now = parts.project, datetime.now(NOW.tzinfo)
    for minutes in (3, 30, 300):
        ran(engine, ago=timedelta(minutes=minutes), now=now, project=project, took=30)
        ran(
            engine, ago=timedelta(minutes=minutes), now=now, project=project, phase="Failed", task="mail",
            reason="Error", message=f"{HOSTILE} {minutes}",
        )  # fmt: skip
    errors: list[str] = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(f"/projects/{project}/overview")
    expect(page.locator("#stats")).to_contain_text("50.0 %")
    failures = page.get_by_role("region", name="What fails")
    expect(failures.get_by_role("listitem")).to_have_count(1)
    expect(failures).to_contain_text("<img src=x")
    expect(failures.get_by_label("3 failures")).to_be_visible()
    expect(page.get_by_role("img", name="Runs that ended, by outcome")).to_be_visible()
    expect(page.get_by_role("region", name="Health")).to_contain_text("Postgres")
    found = violations(page)
    assert found == [], found
    page.get_by_role("link", name="Last 1 hour").click()
    expect(page).to_have_url(f"{page.url.split('/projects')[0]}/projects/{project}/overview?range=1h")
    expect(failures.get_by_label("2 failures")).to_be_visible()
    failures.get_by_role("link", name="all of mail").click()
    expect(page.get_by_role("list", name="Active filters")).to_contain_text("mail")
    for width in (360, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"/projects/{project}/overview?range=30d")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.emulate_media(color_scheme="dark")
        found = violations(page)
        assert found == [], found
    assert errors == []


def test_an_unknown_range_is_refused(parts: Parts) -> None:
    assert parts.sign_in().client.get(f"/projects/{parts.project}/overview?range=1y").status_code == 422


def test_a_page_costs_a_fixed_number_of_queries(parts: Parts, engine: Engine) -> None:
    me = parts.sign_in()
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    def asked() -> int:
        statements.clear()
        assert me.client.get(f"/projects/{parts.project}/overview").status_code == 200
        return len(statements)

    before = asked()
    now = datetime.now(NOW.tzinfo)
    for minutes in range(40):
        ran(
            engine,
            ago=timedelta(minutes=minutes),
            now=now,
            project=parts.project,
            phase="Failed",
            message="x" * minutes,
        )
    assert asked() <= before <= 16, statements
