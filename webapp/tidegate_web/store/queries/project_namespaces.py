"""Which namespace each project's data belongs to, by uid."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.store.models import ProjectMove, ProjectNamespace


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The namespace that a project's data belongs to. ``moving``: rows of another namespace are still among them."""

    uid: str
    moving: bool


def bind_first(connection: Connection, *, project: str, uid: str, created: datetime) -> None:
    """Bind a project that is bound to no namespace yet; one that is stays as it is."""
    values = {"project": project, "namespace_uid": uid, "namespace_created": created}
    connection.execute(pg_insert(ProjectNamespace).values(values).on_conflict_do_nothing())


def bind(connection: Connection, *, project: str, uid: str, created: datetime) -> None:
    """Bind a project to this namespace, whatever it was bound to."""
    connection.execute(
        update(ProjectNamespace)
        .where(ProjectNamespace.project == project)
        .values(namespace_uid=uid, namespace_created=created)
    )


def bound(connection: Connection, *, project: str, lock: bool = False) -> Bound | None:
    """What a project is bound to; None while it is bound to nothing. ``lock``: holds it until the end of the transaction."""
    moving = exists().where(
        or_(ProjectMove.source == project, ProjectMove.target == project), ProjectMove.completed.is_(None)
    )
    statement = select(ProjectNamespace.namespace_uid, moving.label("moving")).where(
        ProjectNamespace.project == project
    )
    row = connection.execute(statement.with_for_update(of=ProjectNamespace) if lock else statement).one_or_none()
    return None if row is None else Bound(uid=row.namespace_uid, moving=row.moving)


def former(connection: Connection, *, project: str, uid: str) -> str | None:
    """The former project of this name whose namespace had this uid."""
    return connection.execute(
        select(ProjectNamespace.project).where(
            ProjectNamespace.project.startswith(f"{project}@", autoescape=True), ProjectNamespace.namespace_uid == uid
        )
    ).scalar_one_or_none()


def all_former(connection: Connection) -> list[str]:
    """All former projects, by name."""
    statement = select(ProjectNamespace.project).where(ProjectNamespace.project.contains("@"))
    return list(connection.execute(statement.order_by(ProjectNamespace.project)).scalars())
