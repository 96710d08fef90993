"""Settings of a project: how long its history is kept; and how much of its room it has used."""

from dataclasses import dataclass

from tidegate_web.audit.audited import audited
from tidegate_web.auth.actor import Actor
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.store.queries import project_bytes, project_settings


@dataclass(frozen=True, kw_only=True)
class CurrentSettings:
    """What holds now. ``retention_days``: None where the installation's setting holds."""

    retention_days: int | None
    used_bytes: int


def current(made: Services, project: str) -> CurrentSettings:
    """A project's settings."""
    with made.engine.connect() as connection:
        return CurrentSettings(
            retention_days=project_settings.retention_days(connection, project=project),
            used_bytes=project_bytes.used(connection, [project])[project],
        )


def change(made: Services, actor: Actor, project: str, *, retention_days: int | None) -> None:
    """Set all of them."""
    require_project(made, project, to_write=True)
    detail = {"retentionDays": retention_days}
    with audited(made, actor, "project.settings", project=project, detail=detail), made.engine.begin() as connection:
        project_settings.set_retention_days(connection, project=project, days=retention_days)
