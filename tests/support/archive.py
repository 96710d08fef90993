"""Archived runs of any time, with something of everything that is kept of a run, and the time that a test says it is."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text
from tidegate_web.store import partitions
from tidegate_web.store.partitions import Month
from tidegate_web.store.queries import logs, metadata, project_bytes, project_settings, results, runs
from tidegate_web.store.records import RunRecord, run_record

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class HandClock:
    """The time is what the test says."""

    def __init__(self, time: datetime = NOW) -> None:
        self.time = time

    def now(self) -> datetime:
        return self.time


def a_run(
    name: str, *, created: datetime, project: str = "p", uid: str | None = None, version: int = 1, ended: bool = True
) -> RunRecord:
    """A run that ended within the minute, or goes on."""
    status = {"phase": "Succeeded", "finishedAt": (created + timedelta(seconds=50)).isoformat()} if ended else {}
    return run_record(
        {
            "metadata": {
                "uid": uid or str(uuid.uuid4()),
                "name": name,
                "namespace": project,
                "creationTimestamp": created.isoformat(),
                "resourceVersion": str(version),
            },
            "spec": {"taskRef": {"name": "t"}},
            "status": status,
        },
        default_ttl_seconds=60,
    )


def archive(engine: Engine, *records: RunRecord) -> None:
    """Store runs, with something of everything that is kept of a run, and let the cluster forget them."""
    with engine.begin() as connection:
        runs.upsert(connection, records)
        for record in records:
            uid, at = record.uid, record.created
            where: Any = {"run_uid": uid, "project": record.project, "attempt": 1, "pod_uid": "p", "pod_name": "pod"}
            logs.add_chunk(
                connection, logs.Chunk(**where, run_created=at, place=logs.Place(position=6), data=b"hello\n")
            )
            logs.add_end(connection, logs.End(**where, mark="complete"))
            results.save(connection, project=record.project, run_uid=uid, attempt=1, data=b"1", at=at)
            results.save_checkpoint(connection, project=record.project, run_uid=uid, attempt=1, data=b"1", at=at)
            metadata.change(connection, project=record.project, run_uid=uid, at=at, apply=lambda _: {"x": 1})
            runs.save_progress(connection, uid=uid, attempt=1, progress=1, message=None, at=at)
        runs.mark_deleted(connection, uids=[record.uid for record in records], now=NOW)
        connection.execute(text("DELETE FROM outbox"))


EVERYTHING = (
    "runs",
    "run_keys",
    "log_chunks",
    "log_ends",
    "results",
    "checkpoints",
    "run_metadata",
    "attempt_progress",
)


def kept(engine: Engine) -> dict[str, set[str]]:
    """Names of the runs that each table has rows of."""
    with engine.connect() as connection:
        names = {str(row.uid): row.name for row in connection.execute(text("SELECT uid, name FROM run_keys"))}
        found = {}
        for table in EVERYTHING:
            column = "uid" if table in ("runs", "run_keys") else "run_uid"
            uids = connection.execute(text(f"SELECT {column} FROM {table}")).scalars()  # noqa: S608
            found[table] = {names.get(str(uid), f"? {uid}") for uid in uids}
        return found


def months(engine: Engine) -> list[Month]:
    with engine.connect() as connection:
        return partitions.present(connection)


def keep_for(engine: Engine, days: int | None, *, project: str = "p") -> None:
    with engine.begin() as connection:
        project_settings.set_retention_days(connection, project=project, days=days)


def recounted_just_now(engine: Engine) -> None:
    """No mirror counts again within a day: of a run that isn't in Postgres yet, a recount finds nothing."""
    with engine.begin() as connection:
        project_bytes.correct(connection, {"-": 0}, now=datetime.now(UTC))
