"""Forgetting archived runs that a project keeps no longer, with everything that is kept of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, literal, or_, select, table
from sqlalchemy import column as sql_column

from tidegate_web.store.models import (
    AttemptProgress,
    Checkpoint,
    LogChunk,
    LogEnd,
    ProjectSettings,
    Result,
    Run,
    RunKey,
    RunMetadata,
    Timestamp,
)
from tidegate_web.store.partitions import Month
from tidegate_web.store.queries.run_keys import rows_of

BESIDE = (
    (AttemptProgress, AttemptProgress.run_uid),
    (Checkpoint, Checkpoint.run_uid),
    (LogEnd, LogEnd.run_uid),
    (Result, Result.run_uid),
    (RunMetadata, RunMetadata.run_uid),
    (RunKey, RunKey.uid),
)
"""Tables with rows of a run that aren't partitioned, and where its uid stands in them."""


def past(connection: Connection, *, project: str, before: datetime, limit: int) -> dict[str, datetime]:
    """Archived runs of a project that ended before a time: when each was created, by uid."""
    rows = connection.execute(
        select(Run.uid, Run.created)
        .where(Run.project == project, Run.finished_at < before, Run.deleted_at.is_not(None))
        .order_by(Run.finished_at)
        .limit(limit)
    )
    return {row.uid: row.created for row in rows}


def forget(connection: Connection, places: dict[str, datetime]) -> None:
    """Delete runs, row by row."""
    connection.execute(delete(LogChunk).where(*rows_of(places, uid=LogChunk.run_uid, created=LogChunk.run_created)))
    forget_beside(connection, list(places))
    connection.execute(delete(Run).where(*rows_of(places, uid=Run.uid, created=Run.created)))


def forget_beside(connection: Connection, uids: list[str]) -> None:
    """Delete what isn't in a partition."""
    for model, uid in BESIDE:
        connection.execute(delete(model).where(uid.in_(uids)))


def nothing_stays(connection: Connection, month: Month, *, now: datetime) -> bool:
    """Whether every run of a month is archived and past what its project keeps."""
    part = _partition(month)
    days = func.make_interval(0, 0, 0, ProjectSettings.retention_days)
    stays = (
        select(literal(1))
        .select_from(part.outerjoin(ProjectSettings, ProjectSettings.project == part.c.project))
        .where(
            or_(
                part.c.deleted_at.is_(None),
                ProjectSettings.retention_days.is_(None),
                part.c.finished_at >= literal(now, Timestamp) - days,
            )
        )
        .limit(1)
    )
    return connection.execute(stays).first() is None


def uids_of(connection: Connection, month: Month, *, after: str, limit: int) -> list[str]:
    """Uids of a month's runs, in their order."""
    part = _partition(month)
    return list(
        connection.execute(select(part.c.uid).where(part.c.uid > after).order_by(part.c.uid).limit(limit)).scalars()
    )


def _partition(month: Month) -> Any:
    columns = [sql_column(name, Run.__table__.c[name].type) for name in ("uid", "project", "finished_at", "deleted_at")]
    return table(month.partition_of("runs"), *columns)
