"""The audit log: append only."""

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, insert, select

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
    at: datetime | None = None,
) -> None:
    """``at``: when it was, if not now."""
    values = {
        "actor": clean(actor),
        "address": address,
        "action": action,
        "outcome": outcome,
        "project": project,
        "target": clean(target) if target is not None else None,
        "detail": clean(detail or {}),
    }
    connection.execute(_write(), values if at is None else values | {"at": at})


@cache
def _write() -> Insert:
    return insert(Audit).inline()  # nobody asks for its number


def write_late(connection: Connection, *, at: datetime, **entry: Any) -> None:
    """Write down what happened a while ago, unless it is written."""
    same = (
        Audit.at == at,
        Audit.actor == clean(entry["actor"]),
        Audit.action == entry["action"],
        Audit.target.is_not_distinct_from(clean(entry["target"])),
    )
    if connection.execute(select(Audit.id).where(*same)).first() is None:
        write(connection, at=at, **entry)


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
