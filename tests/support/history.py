"""A long history of archived runs, made by SQL in seconds; what queries of it cost, by Postgres's own account."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, event, text
from tidegate_web.store import partitions

AT_ONCE = 100_000
DAYS = 360
"""How far back the history goes."""

_FILL = """
INSERT INTO runs (
  uid, project, name, created, resource_version, phase, reason, message, task, queue, schedule, batch, parent_run, tags,
  attempt, queued_at, started_at, finished_at, expires_at, deleted_at, submitted_by, labels, spec, status
)
SELECT
  md5(:project || i)::uuid, :project, task || '-' || substr(md5('name' || i), 1, 8), created, i, phase,
  CASE WHEN phase = 'Failed' THEN 'Error' END,
  CASE WHEN phase = 'Failed' THEN 'exit code 1: no such file: /data/in/' || md5('file' || i) || '.csv' END,
  task, 'queue-' || i % 7,
  CASE WHEN i % 5 = 0 THEN 'schedule-' || i % 20 END,
  CASE WHEN i % 10 = 1 THEN 'batch-' || i / 1000 END,
  CASE WHEN i % 20 = 2 THEN 'parent-' || i / 1000 END,
  CASE WHEN i % 1000 = 3 THEN ARRAY['customer-' || i / 1000, 'nightly'] WHEN i % 4 = 0 THEN ARRAY['nightly']
    ELSE ARRAY[]::text[] END,
  1, created, created + interval '2 seconds', created + interval '30 seconds', created + interval '1 day',
  CASE WHEN created < CAST(:now AS timestamptz) - interval '1 day' THEN created + interval '1 day' END,
  CASE WHEN i % 3 = 1 THEN 'user-' || i % 50 END,
  '{}', jsonb_build_object('taskRef', jsonb_build_object('name', task), 'payload', jsonb_build_object('file', md5('file' || i)))
    || CASE WHEN i % 10 = 4 THEN jsonb_build_object('concurrencyKey', 'key-' || i / 1000) ELSE '{}' END,
  jsonb_build_object('phase', phase, 'attempts', jsonb_build_array(jsonb_build_object('number', 1, 'podName', 'pod-' || i)))
FROM (
  SELECT
    i, 'task-' || CASE WHEN i % 3 = 0 THEN 0 ELSE i * 7919 % 40 END AS task,
    date_trunc('second', CAST(:now AS timestamptz) - make_interval(secs => CAST(:seconds AS float) * i / CAST(:runs AS float))) AS created,
    CASE WHEN i % 100 < 95 THEN 'Succeeded' WHEN i % 100 < 98 THEN 'Failed' WHEN i % 100 < 99 THEN 'Cancelled'
      WHEN i % 200 < 150 THEN 'Expired' ELSE 'Skipped' END AS phase
  FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS i
) AS numbered
"""
_GRAPH = """
INSERT INTO runs (
  uid, project, name, created, resource_version, phase, task, parent_run, tags, attempt, queued_at, started_at, finished_at,
  expires_at, labels, spec, status
)
SELECT
  md5(:project || '-graph-' || i)::uuid, :project, 'graph-' || i, created, i, 'Succeeded', 'step-' || i % 60,
  CASE WHEN i > :wide THEN 'graph-' || i % :wide + 1 WHEN i > 0 THEN 'graph-0' END,
  ARRAY[]::text[], 1, created, created, created + interval '1 hour', created + interval '30 days', '{}',
  CASE WHEN i > 2 * :wide
    THEN jsonb_build_object('dependsOn', jsonb_build_array(jsonb_build_object('name', 'graph-' || i - :wide))) ELSE '{}' END,
  '{"phase": "Succeeded"}'
FROM (
  SELECT i, date_trunc('second', CAST(:now AS timestamptz)) - interval '1 hour' + make_interval(secs => i) AS created
  FROM generate_series(0, CAST(:runs AS bigint) - 1) AS i
) AS numbered
"""
_KEYS = "INSERT INTO run_keys (uid, project, name, created) SELECT uid, project, name, created FROM runs WHERE project = :project"
_LOGS = """
INSERT INTO log_chunks (run_uid, run_created, attempt, pod_uid, pod_name, position, size, data)
SELECT uid, created, 1, 'pod-' || resource_version, 'pod', 0, 6, :data
FROM runs WHERE project = :project AND resource_version % :every = 0
"""
_ENDS = """
INSERT INTO log_ends (run_uid, attempt, pod_uid, pod_name, mark)
SELECT run_uid, attempt, pod_uid, pod_name, 'complete' FROM log_chunks
"""


def fill(engine: Engine, *, project: str, runs: int, now: datetime, days: int = DAYS, logs_every: int = 10) -> None:
    """Runs of a project, evenly spread over the days before ``now``; nothing of it is in the cluster any more but the
    last day's. Number ``i`` is the older the greater it is."""
    seconds = days * 86400
    with engine.begin() as connection:
        months = {partitions.Month.of(now - timedelta(days=day)) for day in range(days + 1)}
        partitions.ensure(connection, [month.begin for month in months])
    for first in range(0, runs, AT_ONCE):
        with _patient(engine) as connection:
            last = min(first + AT_ONCE, runs) - 1
            values = {"project": project, "now": now, "seconds": seconds, "runs": runs, "first": first, "last": last}
            connection.execute(text(_FILL), values)
    with _patient(engine) as connection:
        connection.execute(text(_KEYS), {"project": project})
        connection.execute(text(_LOGS), {"project": project, "every": logs_every, "data": zlib.compress(b"hello\n")})
        connection.execute(text(_ENDS + "ON CONFLICT DO NOTHING"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM (ANALYZE) runs, run_keys, log_chunks, log_ends"))
        connection.execute(text("RESET statement_timeout"))


def fill_graph(engine: Engine, *, project: str, runs: int, wide: int, now: datetime) -> str:
    """Runs of the last hour that belong together; the uid of the first, which has started ``wide`` others.

    Each of these has started its part of the rest, and each of the rest but the first ``wide`` needs an older one.
    """
    values = {"project": project, "now": now, "runs": runs, "wide": wide}
    with engine.begin() as connection:
        connection.execute(text(_GRAPH), values)
        added = text(f"{_KEYS} AND name LIKE 'graph-%' RETURNING uid, name")
        uids = {row.name: str(row.uid) for row in connection.execute(added, {"project": project})}
    return uids["graph-0"]


@contextmanager
def _patient(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        yield connection


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """What is asked of Postgres meanwhile: queries with their parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            seen.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def plan(connection: Connection, statement: str, parameters: Any) -> dict[str, Any]:
    """How Postgres does it, and what it reads."""
    row = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters).scalar_one()
    found: dict[str, Any] = row[0]["Plan"]
    return found


def nodes(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All steps of a plan."""
    yield found
    for inner in found.get("Plans", []):
        yield from nodes(inner)


def pages_read(found: dict[str, Any]) -> int:
    """8 KiB pages, from memory or from disk."""
    return int(found["Shared Hit Blocks"]) + int(found["Shared Read Blocks"])


def large_relations(connection: Connection, *, rows: int = 1000) -> set[str]:
    """Tables and partitions in which looking at every row would be felt."""
    return set(
        connection.execute(
            text("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > :rows"), {"rows": rows}
        ).scalars()
    )
