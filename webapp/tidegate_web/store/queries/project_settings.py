"""What admins of a project have set for it."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import ProjectSettings


def retention_days(connection: Connection, *, project: str) -> int | None:
    """How long the project's archived runs are kept; None for ever."""
    return connection.execute(
        select(ProjectSettings.retention_days).where(ProjectSettings.project == project)
    ).scalar_one_or_none()


def set_retention_days(connection: Connection, *, project: str, days: int | None) -> None:
    statement = pg_insert(ProjectSettings).values(project=project, retention_days=days)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[ProjectSettings.project], set_={"retention_days": statement.excluded.retention_days}
        )
    )


def retentions(connection: Connection) -> dict[str, int]:
    """The projects that don't keep their runs for ever, and for how many days they do."""
    rows = connection.execute(
        select(ProjectSettings.project, ProjectSettings.retention_days).where(
            ProjectSettings.retention_days.is_not(None)
        )
    )
    return {row.project: row.retention_days for row in rows}
