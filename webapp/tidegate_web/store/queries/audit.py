"""The audit log: append only."""

from typing import Any

from sqlalchemy import Connection, insert, select

from tidegate_web.store.models import AnyRow, Audit
from tidegate_web.store.records import clean


def write(
    connection: Connection,
    *,
    actor: str,
    address: str,
    action: str,
    outcome: str,
    project: str | None = None,
    target: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    connection.execute(
        insert(Audit).values(
            actor=clean(actor),
            address=address,
            action=action,
            outcome=outcome,
            project=project,
            target=clean(target) if target is not None else None,
            detail=clean(detail or {}),
        )
    )


def page(
    connection: Connection,
    *,
    project: str | None,
    before: int,
    limit: int,
    actor: str | None = None,
    action: str | None = None,
) -> list[AnyRow]:
    """Entries older than ``before``, newest first; of one project, or of all and of the installation itself."""
    statement = select(*Audit.__table__.columns).where(Audit.id < before).order_by(Audit.id.desc()).limit(limit)
    for column, value in ((Audit.project, project), (Audit.actor, actor), (Audit.action, action)):
        if value is not None:
            statement = statement.where(column == value)
    return list(connection.execute(statement))
