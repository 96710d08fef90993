"""Runs and logs in months: made before they are needed, carried over from before, and dropped when nothing has to stay."""

import threading
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from support.archive import EVERYTHING, NOW, HandClock, a_run, archive, keep_for, kept, months
from support.servers import Postgres, wait_until
from support.web import Parts, Stack, make_quarantine, until
from tidegate_web.commands import main
from tidegate_web.mirror.pruner import Pruner
from tidegate_web.settings import WebSettings
from tidegate_web.store import partitions, schema
from tidegate_web.store.engine import make_engine
from tidegate_web.store.partitions import Month
from tidegate_web.store.queries import logs, run_keys, run_list, runs
from tidegate_web.store.queries.run_list import RunFilter


@pytest.fixture
def engine(stack: Stack) -> Engine:
    return stack.services("web").engine


@pytest.fixture
def pruner(engine: Engine) -> Pruner:
    return Pruner(
        engine=engine,
        clock=HandClock(),
        quarantine=make_quarantine(),
        stop=threading.Event(),
        seconds=1,
        audit_days=400,
        retention_days=0,
    )


def test_a_run_of_a_month_without_a_partition_is_stored_all_the_same(engine: Engine) -> None:
    old, early = datetime(2019, 2, 3, tzinfo=UTC), datetime(2044, 12, 31, 23, 59, 59, tzinfo=UTC)
    archive(engine, a_run("old", created=old), a_run("early", created=early))
    assert {Month(2019, 2), Month(2044, 12)} <= set(months(engine))
    assert all(names == {"old", "early"} for names in kept(engine).values())


def test_two_that_need_a_month_at_once_make_one(engine: Engine) -> None:
    created = datetime(2018, 5, 6, tzinfo=UTC)
    errors: list[BaseException] = []

    def store(number: int) -> None:
        try:
            archive(engine, a_run(f"r{number}", created=created))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=store, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(kept(engine)["runs"]) == 4


def test_no_uid_is_there_twice_whatever_time_it_comes_with(engine: Engine) -> None:
    first = a_run("once", created=NOW)
    again = a_run("once", created=NOW - timedelta(days=400), uid=first.uid, version=2)
    with engine.begin() as connection:
        runs.upsert(connection, [first])
        assert runs.upsert(connection, [again]) == [first.uid]
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT created, resource_version FROM runs")).all()
    assert [tuple(row) for row in rows] == [(NOW, 2)]


def test_months_are_there_before_they_begin(engine: Engine, pruner: Pruner) -> None:
    pruner._clock.time = datetime(2031, 11, 30, 23, 59, tzinfo=UTC)  # type: ignore[attr-defined]
    pruner.look()
    assert {Month(2031, 11), Month(2031, 12), Month(2032, 1), Month(2032, 2)} <= set(months(engine))


def test_migrate_makes_the_months_ahead(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.create_database("months_ahead")
    monkeypatch.setenv("TIDEGATE_DATABASE_URL", url)
    assert main(["migrate"]) == 0
    engine = make_engine(WebSettings(database_url=url), name="tests")
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {months(engine)[-1].partition_of('runs')}"))
    assert main(["migrate"]) == 0
    assert months(engine) == [Month.of(datetime.now(UTC)).after(number) for number in range(4)]
    engine.dispose()


def test_runs_are_kept_for_ever_unless_their_project_says_otherwise(engine: Engine, pruner: Pruner) -> None:
    archive(engine, a_run("old", created=NOW - timedelta(days=4000)))
    for days in (None, 4001):
        keep_for(engine, days)
        pruner.look()
        assert all(names == {"old"} for names in kept(engine).values())


def test_what_is_past_its_retention_goes_with_everything_kept_of_it(engine: Engine, pruner: Pruner) -> None:
    keep_for(engine, 30)
    archive(
        engine,
        a_run("past", created=NOW - timedelta(days=31)),
        a_run("young", created=NOW - timedelta(days=29)),
        a_run("of-another-project", created=NOW - timedelta(days=31), project="q"),
    )
    with engine.begin() as connection:
        runs.upsert(connection, [a_run("in-the-cluster", created=NOW - timedelta(days=31))])
        runs.upsert(connection, [a_run("goes-on", created=NOW - timedelta(days=31), ended=False)])
    pruner.look()
    left = kept(engine)
    assert left["runs"] == left["run_keys"] == {"young", "of-another-project", "in-the-cluster", "goes-on"}
    assert all(left[table] == {"young", "of-another-project"} for table in EVERYTHING[2:])


def test_more_than_a_batch(engine: Engine, pruner: Pruner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_web.mirror.pruner.AT_ONCE", 3)
    keep_for(engine, 30)
    for number in range(10):
        # In two months, of which one has to stay.
        archive(engine, a_run(f"r{number}", created=NOW - timedelta(days=55 + number)))
    archive(engine, a_run("stays", created=NOW - timedelta(days=55), project="q"))
    pruner.look()
    assert all(names == {"stays"} for names in kept(engine).values())
    assert Month(2026, 9) in months(engine)


def test_a_month_in_which_nothing_stays_is_dropped(engine: Engine, pruner: Pruner) -> None:
    keep_for(engine, 30)
    keep_for(engine, 10, project="q")
    archive(
        engine,
        a_run("past", created=datetime(2026, 5, 6, tzinfo=UTC)),
        a_run("past-too", created=datetime(2026, 5, 31, 23, 59, tzinfo=UTC), project="q"),
        a_run("stays", created=datetime(2026, 6, 1, tzinfo=UTC), project="keeps"),
    )
    pruner.look()
    assert Month(2026, 5) not in months(engine)
    assert Month(2026, 6) in months(engine)
    assert all(names == {"stays"} for names in kept(engine).values())
    # The month can come back: an etcd restored from a backup has its runs again.
    archive(engine, a_run("back", created=datetime(2026, 5, 6, tzinfo=UTC), project="keeps"))
    assert all(names == {"stays", "back"} for names in kept(engine).values())


@pytest.mark.parametrize("ended", [True, False])
def test_a_month_with_a_run_that_is_in_the_cluster_stays(engine: Engine, pruner: Pruner, ended: bool) -> None:
    keep_for(engine, 30)
    archive(engine, a_run("past", created=datetime(2026, 5, 6, tzinfo=UTC)))
    with engine.begin() as connection:
        runs.upsert(connection, [a_run("here", created=datetime(2026, 5, 7, tzinfo=UTC), ended=ended)])
    pruner.look()
    assert Month(2026, 5) in months(engine)
    assert kept(engine)["runs"] == {"here"}


def test_a_month_waits_while_it_is_read_and_goes_another_time(engine: Engine, pruner: Pruner) -> None:
    keep_for(engine, 30)
    archive(engine, a_run("past", created=datetime(2026, 5, 6, tzinfo=UTC)))
    with engine.connect() as reader:
        reader.execute(text("SELECT * FROM runs")).all()
        pruner.look()
    assert Month(2026, 5) in months(engine)
    pruner.look()
    assert Month(2026, 5) not in months(engine)


def test_this_month_and_those_ahead_stay_though_they_are_empty(engine: Engine, pruner: Pruner) -> None:
    keep_for(engine, 1)
    pruner.look()
    assert {Month(2026, number) for number in (11, 12)} | {Month(2027, 1)} <= set(months(engine))


def test_the_mirror_prunes(stack: Stack, parts: Parts) -> None:
    stack.runs.create("old", taskRef={"name": "t"})
    stack.runs.status("old", phase="Succeeded", finishedAt="2020-01-01T00:00:00Z", ttlSecondsAfterFinished=0)
    keep_for(parts.engine, 30, project=stack.project)
    stack.mirror(prune_seconds=0.1)
    stack.runs.create("sentinel", taskRef={"name": "t"})
    until(parts, "sentinel", lambda row: True)
    me = parts.sign_in()

    def gone() -> bool:
        return not stack.runs.exists("old") and me.get("runs/old").status_code == 404

    wait_until(gone, what="the end of an old run")


def test_a_name_means_its_newest_run_across_months(engine: Engine) -> None:
    archive(engine, *(a_run("again", created=NOW - timedelta(days=40 * number)) for number in range(4)))
    with engine.connect() as connection:
        found = runs.find(connection, project="p", reference="again")
        listed = run_list.page(connection, project="p", wanted=RunFilter(), limit=3)
        rest = run_list.page(connection, project="p", wanted=RunFilter(), limit=3, after=listed.after)
    assert found is not None
    assert found.created == NOW
    assert [row.created for row in (*listed.rows, *rest.rows)] == [NOW - timedelta(days=40 * n) for n in range(4)]
    assert rest.after is None


OLD_RUN = """
INSERT INTO runs (uid, project, name, created, resource_version, phase, tags, attempt, labels, spec, status, parent_run)
VALUES (:uid, 'p', :name, :created, 7, 'Succeeded', '{a}', 1, '{}', '{"x": null}', '{}', NULL)
"""
OLD_CHUNK = """
INSERT INTO log_chunks (run_uid, attempt, pod_uid, pod_name, position, size, data, created)
VALUES (:uid, 1, 'pod', 'pod', :position, 6, :data, :written)
"""


@pytest.fixture
def owner(postgres: Postgres) -> Iterator[str]:
    """A database of a user who is no superuser, as a team gets it from its database people."""
    url = postgres.create_database("carried_over")
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN NOSUPERUSER")
        connection.execute("ALTER DATABASE carried_over OWNER TO plain")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SCHEMA public OWNER TO plain")
    yield url.replace("tidegate@", "plain@")
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("DROP DATABASE carried_over WITH (FORCE)")
        connection.execute("DROP ROLE plain")


def test_what_was_stored_before_is_carried_over_by_the_owner_of_the_database(owner: str) -> None:
    engine = make_engine(WebSettings(database_url=owner), name="tests")
    schema.upgrade(engine, to="0003")
    times = [datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), NOW]
    uids = [str(uuid.uuid4()) for _ in times]
    orphan = str(uuid.uuid4())
    with engine.begin() as connection:
        for number, (uid, created) in enumerate(zip(uids, times, strict=True)):
            connection.execute(text(OLD_RUN), {"uid": uid, "name": f"r{number}", "created": created})
        for position, uid in enumerate((uids[0], uids[0], uids[2], orphan)):
            data = zlib.compress(b"hello\n")
            written = datetime(2024, 3, 1, tzinfo=UTC)
            connection.execute(
                text(OLD_CHUNK), {"uid": uid, "position": 6 * position, "data": data, "written": written}
            )
        last = connection.execute(text("SELECT max(id) FROM log_chunks")).scalar_one()
    assert schema.upgrade(engine) == ("0003", schema.head())
    assert {Month(2024, 3), Month(2025, 12), Month(2026, 1), Month(2026, 11)} <= set(months(engine))
    with engine.begin() as connection:
        for number, (uid, created) in enumerate(zip(uids, times, strict=True)):
            for reference in (uid, f"r{number}"):
                found = runs.find(connection, project="p", reference=reference)
                assert found is not None
                assert (found.uid, found.created, found.tags, found.spec) == (uid, created, ["a"], {"x": None})
        chunks = logs.chunks(connection, run_uid=uids[0], run_created=times[0])
        assert [(chunk.position, chunk.text) for chunk in chunks] == [(0, "hello\n"), (6, "hello\n")]
        # New chunks go on counting.
        where: Any = {"run_uid": uids[1], "project": "p", "attempt": 1, "pod_uid": "pod", "pod_name": "pod"}
        added = logs.add_chunk(
            connection, logs.Chunk(**where, run_created=times[1], place=logs.Place(position=1), data=b"x")
        )
        assert added == last + 1
        # And the months of both tables are the same.
        for month in partitions.present(connection):
            assert connection.execute(
                text("SELECT to_regclass(:name)"), {"name": month.partition_of("log_chunks")}
            ).scalar_one()
        assert run_keys.created(connection, [*uids, orphan]) == dict(zip(uids, times, strict=True))
    engine.dispose()
