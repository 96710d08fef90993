"""What admins of a project have set for it."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import ProjectSettings
from tidegate_web.store.queries import run_keys


def retention_days(connection: Connection, *, project: str) -> int | None:
    """What the project has set for how long its archived runs are kept: 0 for ever, None what the installation says."""
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


def retentions(connection: Connection, *, default_days: int) -> dict[str, int]:
    """The projects that don't keep their runs for ever, and for how many days they do."""
    rows = connection.execute(
        select(ProjectSettings.project, ProjectSettings.retention_days).where(
            ProjectSettings.retention_days.is_not(None)
        )
    )
    own = {row.project: row.retention_days for row in rows}
    default = dict.fromkeys(run_keys.projects(connection), default_days)
    return {project: days for project, days in (default | own).items() if days}
