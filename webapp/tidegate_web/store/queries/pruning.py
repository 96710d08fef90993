"""Forgetting archived runs that a project keeps no longer, with everything that is kept of them. It is no longer counted, either."""

from collections import Counter
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    TableClause,
    Text,
    case,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    table,
)
from sqlalchemy import column as sql_column
from sqlalchemy.orm import InstrumentedAttribute

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
from tidegate_web.store.queries import archiving, project_bytes
from tidegate_web.store.queries.run_keys import rows_of

_ROW = project_bytes.ROW_BYTES
COUNTED: tuple[tuple[InstrumentedAttribute[str], ColumnElement[int]], ...] = (
    (Checkpoint.run_uid, func.octet_length(Checkpoint.data) + _ROW),
    (Result.run_uid, func.octet_length(Result.data) + _ROW),
    (RunMetadata.run_uid, func.octet_length(cast(RunMetadata.data, Text)) + _ROW),
)
"""Tables with rows of a run that aren't partitioned: where its uid stands, and what a row counts for."""
UNCOUNTED = (AttemptProgress.run_uid, LogEnd.run_uid)
"""Those whose rows count for nothing: a few small ones a run."""


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
    delete_runs(
        connection,
        list(places),
        chunks=rows_of(places, uid=LogChunk.run_uid, created=LogChunk.run_created),
        rows=rows_of(places, uid=Run.uid, created=Run.created),
    )


def delete_runs(
    connection: Connection, uids: list[str], *, chunks: list[ColumnElement[bool]], rows: list[ColumnElement[bool]]
) -> None:
    """Delete what these conditions say of partitioned tables, and all that is kept of the runs beside them."""
    freed: Counter[str] = Counter()
    _delete(connection, LogChunk.run_uid, *chunks, size=func.octet_length(LogChunk.data) + _ROW, freed=freed)
    archived = case((Run.deleted_at.is_not(None), archiving.SIZE), else_=0)
    _delete(connection, Run.uid, *rows, size=archived, freed=freed)
    forget_beside(connection, uids, freed=freed)


def forget_beside(connection: Connection, uids: list[str], *, freed: Counter[str] | None = None) -> None:
    """Delete what isn't in a partition. ``freed``: what went before, to be counted with it."""
    freed = Counter() if freed is None else freed
    for uid, size in COUNTED:
        _delete(connection, uid, uid.in_(uids), size=size, freed=freed)
    for uid in (*UNCOUNTED, RunKey.uid):
        connection.execute(delete(uid.class_).where(uid.in_(uids)))
    project_bytes.add(connection, {project: -size for project, size in freed.items()})


def _delete(
    connection: Connection,
    uid: InstrumentedAttribute[str],
    *where: ColumnElement[bool],
    size: ColumnElement[int],
    freed: Counter[str],
) -> None:
    """Delete rows of runs whose key is still there, and add up what they counted for, by project."""
    gone = delete(uid.class_).where(*where).returning(uid.label("uid"), size.label("bytes")).cte("gone")
    of_project = (
        select(RunKey.project, func.sum(gone.c.bytes).label("bytes"))
        .join(RunKey, RunKey.uid == gone.c.uid)
        .group_by(RunKey.project)
    )
    freed.update({row.project: int(row.bytes) for row in connection.execute(of_project)})


def nothing_stays(connection: Connection, month: Month, *, now: datetime, default_days: int) -> bool:
    """Whether every run of a month is archived and past what its project keeps."""
    part = _partition(month)
    kept_days = func.nullif(func.coalesce(ProjectSettings.retention_days, default_days), 0)
    days = func.make_interval(0, 0, 0, kept_days)
    stays = (
        select(literal(1))
        .select_from(part.outerjoin(ProjectSettings, ProjectSettings.project == part.c.project))
        .where(
            or_(
                part.c.deleted_at.is_(None),
                kept_days.is_(None),
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


def _partition(month: Month) -> TableClause:
    columns = [sql_column(name, Run.__table__.c[name].type) for name in ("uid", "project", "finished_at", "deleted_at")]
    return table(month.partition_of("runs"), *columns)
