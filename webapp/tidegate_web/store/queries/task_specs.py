"""Specs of Tasks that runs were started with: written once for all runs of a project that used them."""

from datetime import datetime

from sqlalchemy import Connection, Text, cast, delete, func, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.shared.archive_bound import NO_BOUND, ArchiveBound
from tidegate_web.store.models import Run, TaskSpecText
from tidegate_web.store.queries import project_bytes


def keep(
    connection: Connection,
    *,
    project: str,
    spec_hash: str,
    spec: str,
    now: datetime,
    bound: ArchiveBound = NO_BOUND,
) -> None:
    """Store a spec, or that it was used again. ProjectFullError where there is no room for a new one."""
    mine = (TaskSpecText.project == project, TaskSpecText.hash == spec_hash)
    if connection.execute(update(TaskSpecText).where(*mine).values(seen=now).returning(TaskSpecText.hash)).first():
        return
    growth = project_bytes.document(len(spec.encode()))
    project_bytes.check(connection, project=project, growth=growth, bound=bound)
    statement = pg_insert(TaskSpecText).values(project=project, hash=spec_hash, spec=spec, seen=now)
    if connection.execute(statement.on_conflict_do_nothing().returning(TaskSpecText.hash)).first():
        project_bytes.add(connection, {project: growth})


def find(connection: Connection, *, project: str, spec_hash: str) -> str | None:
    """The text of a spec, None where it was never seen or is kept no longer."""
    return connection.execute(
        select(TaskSpecText.spec).where(TaskSpecText.project == project, TaskSpecText.hash == spec_hash)
    ).scalar_one_or_none()


def forget(connection: Connection, *, project: str, before: datetime, limit: int = 1000) -> None:
    """Delete specs of a project that were last used before a time, and by no run that is still kept."""
    attempt = func.jsonb_build_array(func.jsonb_build_object(literal("specHash", Text), TaskSpecText.hash))
    used = select(Run.uid).where(Run.project == project, Run.status["attempts"].contains(cast(attempt, JSONB)))
    unused = (
        select(TaskSpecText.project, TaskSpecText.hash)
        .where(TaskSpecText.project == project, TaskSpecText.seen < before, ~used.exists())
        .limit(limit)
    )
    gone = (
        delete(TaskSpecText)
        .where(tuple_(TaskSpecText.project, TaskSpecText.hash).in_(unused))
        .returning((func.octet_length(TaskSpecText.spec) + project_bytes.ROW_BYTES).label("bytes"))
        .cte("gone")
    )
    freed = connection.execute(select(func.coalesce(func.sum(gone.c.bytes), 0))).scalar_one()
    project_bytes.add(connection, {project: -int(freed)})
