"""Specs of Tasks that runs were started with: written once for all runs of a project that used them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Text, cast, delete, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import Run, TaskSpecText


def keep(connection: Connection, *, project: str, spec_hash: str, spec: str, now: datetime) -> None:
    """Store a spec, or that it was used again."""
    statement = pg_insert(TaskSpecText).values(project=project, hash=spec_hash, spec=spec, seen=now)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[TaskSpecText.project, TaskSpecText.hash], set_={"seen": statement.excluded.seen}
        )
    )


def find(connection: Connection, *, project: str, spec_hash: str) -> str | None:
    """The text of a spec, None where it was never seen or is kept no longer."""
    return connection.execute(
        select(TaskSpecText.spec).where(TaskSpecText.project == project, TaskSpecText.hash == spec_hash)
    ).scalar_one_or_none()


def forget(connection: Connection, *, project: str, before: datetime, limit: int = 1000) -> None:
    """Delete specs of a project that were last used before a time, and by no run that is still kept."""
    attempt: Any = func.jsonb_build_array(func.jsonb_build_object(literal("specHash", Text), TaskSpecText.hash))
    used = select(Run.uid).where(Run.project == project, Run.status["attempts"].contains(cast(attempt, JSONB)))
    unused = (
        select(TaskSpecText.project, TaskSpecText.hash)
        .where(TaskSpecText.project == project, TaskSpecText.seen < before, ~used.exists())
        .limit(limit)
    )
    connection.execute(delete(TaskSpecText).where(tuple_(TaskSpecText.project, TaskSpecText.hash).in_(unused)))
