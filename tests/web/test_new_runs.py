"""What the creation of runs leaves in Postgres: once, whole, also with several writers of the same rows at the same time."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from support.servers import wait_until
from support.web import Stack
from tidegate_web.audit.recording import AuditAction
from tidegate_web.shared.clock import SystemClock
from tidegate_web.store.queries import erasure, new_runs, run_keys, runs
from tidegate_web.store.queries.new_runs import NewRun, UsedKey
from tidegate_web.store.records import RunRecord, run_record

WHO = "ada@example.com"


@pytest.fixture
def engine(stack: Stack) -> Engine:
    return stack.services("web").engine


def a_new_run(*, created: datetime | None = None, version: int = 7, **spec: Any) -> RunRecord:
    """A run as the apiserver answers to its creation."""
    uid = str(uuid.uuid4())
    metadata = {
        "uid": uid,
        "name": f"run-{uid[:8]}",
        "namespace": "p",
        "creationTimestamp": (created or datetime.now(UTC)).isoformat(),
        "resourceVersion": str(version),
        "labels": {"team": "a"},
        "annotations": {"tidegate.dev/requested-by": WHO},
    }
    body = {"taskRef": {"name": "t"}, "tags": ["a", "b"], "payload": {"text": "x\x00y", "n": [1, 2.5, None]}}
    return run_record({"metadata": metadata, "spec": body | spec}, default_ttl_seconds=60)


def keep(engine: Engine, *records: RunRecord, **more: Any) -> None:
    new_runs.keep(engine, [NewRun(record=record, submitted_by=WHO, **more) for record in records])


def rows(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(statement)))


def test_a_row_is_the_one_that_the_mirror_would_write(engine: Engine) -> None:
    ours, theirs = a_new_run(), a_new_run()
    keep(engine, ours)
    with engine.begin() as connection:
        runs.upsert(connection, [theirs])
    found = {row.uid: row._asdict() for row in rows(engine, "SELECT * FROM runs")}
    mine, other = found[uuid.UUID(ours.uid)], found[uuid.UUID(theirs.uid)]
    different = {name for name in mine if mine[name] != other[name]}
    assert different == {"uid", "name", "created", "submitted_by"}
    assert mine["created"] == ours.created
    events = [row.event for row in rows(engine, "SELECT event FROM outbox ORDER BY id")]
    assert [event.keys() for event in events] == [events[0].keys()] * 2
    assert events[0]["uid"] == ours.uid


def test_of_a_run_that_the_mirror_has_only_who_asked_is_added(engine: Engine) -> None:
    first = a_new_run()
    with engine.begin() as connection:
        runs.upsert(connection, [first])
        connection.execute(text("UPDATE runs SET phase = 'Running', resource_version = 9"))
    keep(engine, first)
    (row,) = rows(engine, "SELECT * FROM runs")
    assert (row.submitted_by, row.phase, row.resource_version) == (WHO, "Running", 9)
    assert len(rows(engine, "SELECT * FROM outbox")) == 1


def test_of_a_run_that_was_deleted_for_good_nothing_comes_back(engine: Engine) -> None:
    erased, other = a_new_run(), a_new_run()
    with engine.begin() as connection:
        erasure.note(connection, uid=erased.uid, now=datetime.now(UTC))
    keep(engine, erased, other)
    for table in ("runs", "run_keys"):
        assert [str(row.uid) for row in rows(engine, f"SELECT uid FROM {table}")] == [other.uid]  # noqa: S608
    assert [row.event["uid"] for row in rows(engine, "SELECT event FROM outbox")] == [other.uid]


def test_a_month_that_has_no_partition_gets_one(engine: Engine) -> None:
    old = a_new_run(created=datetime.now(UTC) - timedelta(days=4000))
    keep(engine, a_new_run(), old)
    assert len(rows(engine, "SELECT * FROM runs")) == 2
    assert len(rows(engine, "SELECT * FROM outbox")) == 2


def test_keys_and_who_did_it_are_written_with_the_run_or_not_at_all(engine: Engine) -> None:
    run = a_new_run()
    key = UsedKey(project="p", task="t", key="k", digest=b"\x01\xff", run_uid=run.uid, created=run.created)
    deed = AuditAction(
        clock=SystemClock(), actor=WHO, address="", action="run.create", project="p", target="x\x00", detail={"a": 1}
    )
    refused = {**vars(deed.entry()), "actor": None}
    with pytest.raises(Exception, match="actor"):
        keep(engine, run, key=key, audit=refused)
    for table in ("runs", "run_keys", "outbox", "idempotency_keys", "audit"):
        assert rows(engine, f"SELECT * FROM {table} WHERE to_jsonb({table})::text LIKE '%{run.name}%'") == []  # noqa: S608
    keep(engine, run, key=key, audit=vars(deed.entry()))
    (kept,) = rows(engine, "SELECT * FROM idempotency_keys")
    assert (kept.digest, str(kept.run_uid)) == (b"\x01\xff", run.uid)
    (entry,) = rows(engine, "SELECT * FROM audit WHERE action = 'run.create'")
    assert (entry.target, entry.detail, entry.at) == ("x\ufffd", {"a": 1}, deed.entry().at)


def test_a_key_keeps_its_first_run(engine: Engine) -> None:
    first, second = a_new_run(), a_new_run()
    for run in (first, second):
        key = UsedKey(project="p", task="t", key="k", digest=b"1", run_uid=run.uid, created=run.created)
        keep(engine, run, key=key)
    (kept,) = rows(engine, "SELECT * FROM idempotency_keys")
    assert str(kept.run_uid) == first.uid


def test_locks_are_taken_in_the_mirrors_order(engine: Engine) -> None:
    """The mirror has written the key and not yet the row: a writer that took the row's lock first would wait for ever."""
    run = a_new_run()
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(max_workers=1) as pool:
        with engine.begin() as connection:
            run_keys.keep(connection, [run])
            kept = pool.submit(keep, engine, run)
            wait_until(lambda: bool(rows(engine, waiting)), what="the other to wait")
            runs.upsert(connection, [run])
        kept.result(timeout=120)
    (row,) = rows(engine, "SELECT submitted_by FROM runs")
    assert row.submitted_by == WHO
    assert len(rows(engine, "SELECT * FROM outbox")) == 1


def test_writers_of_the_same_runs_at_the_same_time_do_not_deadlock(engine: Engine) -> None:
    def ours(records: list[RunRecord]) -> None:
        keep(engine, *records)

    def theirs(records: list[RunRecord]) -> None:
        with engine.begin() as connection:
            runs.upsert(connection, records[::-1])

    with ThreadPoolExecutor(max_workers=4) as pool:
        for _ in range(30):
            records = [a_new_run() for _ in range(20)]
            for done in [pool.submit(act, records) for act in (ours, theirs, ours, theirs)]:
                done.result(timeout=120)
    assert len(rows(engine, "SELECT * FROM runs WHERE submitted_by IS NOT NULL")) == 600
    assert len(rows(engine, "SELECT * FROM outbox")) == 600
