"""The audit log: append only, but for failures that are counted, and for what is past its retention."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from sqlalchemy import Connection, Insert, Integer, cast, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.times import rfc3339
from tidegate_web.store.models import Audit
from tidegate_web.store.records import clean
from tidegate_web.store.rows import all_rows

ENTRY = (
    Audit.id, Audit.at, Audit.actor, Audit.address, Audit.action, Audit.project, Audit.target, Audit.outcome, Audit.detail,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry of the audit log."""

    id: int
    at: datetime
    actor: str
    address: str
    action: str
    project: str | None
    target: str | None
    outcome: str
    detail: JsonObject


def write(
    connection: Connection,
    *,
    actor: str,
    address: str,
    action: str,
    outcome: str,
    project: str | None = None,
    target: str | None = None,
    detail: Mapping[str, object] | None = None,
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


def count(
    connection: Connection,
    *,
    actor: str,
    address: str,
    action: str,
    outcome: str,
    now: datetime,
    window_seconds: int,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Write down what any client may cause as often as they like: one entry for all alike in a window of time, with their number."""
    since = datetime.fromtimestamp(now.timestamp() // window_seconds * window_seconds, UTC)
    counted_detail = {**clean(detail or {}), "count": 1, "lastAt": rfc3339(now)}
    statement = pg_insert(Audit).values(
        at=now,
        actor=clean(actor),
        address=address,
        action=action,
        outcome=outcome,
        detail=counted_detail,
        counted_since=since,
    )
    counted = func.jsonb_build_object("count", cast(Audit.detail["count"].astext, Integer) + 1)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[Audit.action, Audit.outcome, Audit.actor, Audit.address, Audit.counted_since],
            index_where=Audit.counted_since.is_not(None),
            set_={"detail": statement.excluded.detail.concat(counted)},
        )
    )


def forget(connection: Connection, *, before: datetime, limit: int) -> int:
    """Delete some entries older than this; how many there were."""
    some = select(Audit.id).where(Audit.at < before).order_by(Audit.at).limit(limit)
    return len(connection.execute(delete(Audit).where(Audit.id.in_(some)).returning(Audit.id)).all())


@cache
def _write() -> Insert:
    return insert(Audit).inline()  # its number isn't needed


def write_late(
    connection: Connection,
    *,
    actor: str,
    address: str,
    action: str,
    outcome: str,
    project: str | None,
    target: str | None,
    detail: Mapping[str, object],
    at: datetime,
) -> None:
    """Write down what happened a while ago, unless it is written."""
    same = (
        Audit.at == at,
        Audit.actor == clean(actor),
        Audit.action == action,
        Audit.target.is_not_distinct_from(None if target is None else clean(target)),
    )
    if connection.execute(select(Audit.id).where(*same)).first() is None:
        write(
            connection,
            actor=actor,
            address=address,
            action=action,
            outcome=outcome,
            project=project,
            target=target,
            detail=detail,
            at=at,
        )


def page(
    connection: Connection,
    *,
    project: str | None,
    before: int,
    limit: int,
    actor: str | None = None,
    action: str | None = None,
) -> list[AuditRow]:
    """Entries older than ``before``, newest first; of one project, or of all and of the installation itself."""
    statement = select(*ENTRY).where(Audit.id < before).order_by(Audit.id.desc()).limit(limit)
    for column, value in ((Audit.project, project), (Audit.actor, actor), (Audit.action, action)):
        if value is not None:
            statement = statement.where(column == value)
    return all_rows(AuditRow, connection.execute(statement))
