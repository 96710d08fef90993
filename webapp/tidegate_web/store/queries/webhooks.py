"""Webhooks and their deliveries. A delivery is written with the end of the run that it tells of, in one transaction."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.shared.webhook_events import TEST, run_finished
from tidegate_web.store.models import TERMINAL_PHASES, AnyRow, Webhook, WebhookDelivery

SHOWN = (
    Webhook.id, Webhook.project, Webhook.url, Webhook.phases, Webhook.tasks, Webhook.created, Webhook.created_by,
    Webhook.disabled_at, Webhook.disabled_reason,
)  # fmt: skip
DELIVERY = (
    WebhookDelivery.id, WebhookDelivery.run_uid, WebhookDelivery.payload, WebhookDelivery.state,
    WebhookDelivery.attempts, WebhookDelivery.next_at, WebhookDelivery.last_at, WebhookDelivery.last_status,
    WebhookDelivery.last_error, WebhookDelivery.created,
)  # fmt: skip
LEASE = timedelta(seconds=60)
"""So long a delivery that was begun is left to whoever began it."""


def create(connection: Connection, **values: Any) -> AnyRow:
    return connection.execute(pg_insert(Webhook).values(**values).returning(*SHOWN)).one()


def listed(connection: Connection, *, project: str) -> list[AnyRow]:
    return list(connection.execute(select(*SHOWN).where(Webhook.project == project).order_by(Webhook.id)))


def find(connection: Connection, *, project: str, webhook_id: int) -> AnyRow | None:
    return connection.execute(select(*SHOWN).where(Webhook.project == project, Webhook.id == webhook_id)).one_or_none()


def change(connection: Connection, *, project: str, webhook_id: int, values: dict[str, Any]) -> AnyRow | None:
    """Change some columns; None when there is no such webhook."""
    return connection.execute(
        update(Webhook).where(Webhook.project == project, Webhook.id == webhook_id).values(**values).returning(*SHOWN)
    ).one_or_none()


def remove(connection: Connection, *, project: str, webhook_id: int) -> bool:
    """Delete a webhook and its deliveries; False when there was none."""
    statement = delete(Webhook).where(Webhook.project == project, Webhook.id == webhook_id).returning(Webhook.id)
    return connection.execute(statement).first() is not None


def tell(connection: Connection, rows: Sequence[Any]) -> None:
    """Write deliveries for those of the rows that have ended and that somebody wants to hear of; once a run."""
    ended = {row.uid: row for row in rows if row.phase in TERMINAL_PHASES}
    if not ended:
        return
    hooks = connection.execute(
        select(Webhook.id, Webhook.project, Webhook.phases, Webhook.tasks).where(
            Webhook.project.in_({row.project for row in ended.values()}), Webhook.disabled_at.is_(None)
        )
    ).all()
    wanted = [
        {"webhook_id": hook.id, "run_uid": row.uid, "payload": run_finished(row)}
        for hook in hooks
        for row in ended.values()
        if hook.project == row.project
        and (hook.phases is None or row.phase in hook.phases)
        and (hook.tasks is None or row.task in hook.tasks)
    ]
    if wanted:
        connection.execute(
            pg_insert(WebhookDelivery)
            .values(wanted)
            .on_conflict_do_nothing(index_elements=[WebhookDelivery.webhook_id, WebhookDelivery.run_uid])
        )


def add_test(connection: Connection, *, webhook_id: int, at: str) -> AnyRow:
    """A delivery that tells of nothing, to see whether it arrives."""
    payload = {"type": TEST, "timestamp": at, "data": {}}
    return connection.execute(
        pg_insert(WebhookDelivery).values(webhook_id=webhook_id, payload=payload).returning(*DELIVERY)
    ).one()


def deliveries(connection: Connection, *, webhook_id: int, before: int, limit: int) -> list[AnyRow]:
    """Deliveries older than ``before``, newest first."""
    return list(
        connection.execute(
            select(*DELIVERY)
            .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.id < before)
            .order_by(WebhookDelivery.id.desc())
            .limit(limit)
        )
    )


def replay(connection: Connection, *, webhook_id: int, delivery_id: int) -> AnyRow | None:
    """Send a delivery again, as if it were new; None when there is no such one."""
    return connection.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.id == delivery_id)
        .values(state="pending", attempts=0, next_at=func.now())
        .returning(*DELIVERY)
    ).one_or_none()


def due(connection: Connection, *, now: datetime, each: int, but: Sequence[int] = (), limit: int = 500) -> list[AnyRow]:
    """Deliveries whose time has come, longest due first, at most ``each`` of a webhook and none of some: id, webhook_id, project."""
    place = func.row_number().over(
        partition_by=WebhookDelivery.webhook_id, order_by=(WebhookDelivery.next_at, WebhookDelivery.id)
    )
    found = (
        select(
            WebhookDelivery.id,
            WebhookDelivery.webhook_id,
            Webhook.project,
            WebhookDelivery.next_at,
            place.label("place"),
        )
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(WebhookDelivery.state == "pending", WebhookDelivery.next_at <= now, Webhook.disabled_at.is_(None))
        .where(WebhookDelivery.webhook_id.not_in(but))
        .subquery()
    )
    return list(
        connection.execute(
            select(found.c.id, found.c.webhook_id, found.c.project)
            .where(found.c.place <= each)
            .order_by(found.c.place, found.c.next_at, found.c.id)
            .limit(limit)
        )
    )


def claim(connection: Connection, *, ids: Sequence[int], now: datetime) -> list[AnyRow]:
    """Those of these deliveries that are still due; for a while they are nobody else's."""
    mine = connection.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(ids), WebhookDelivery.state == "pending", WebhookDelivery.next_at <= now)
        .values(next_at=now + LEASE)
        .returning(WebhookDelivery.id)
    ).scalars()
    return list(
        connection.execute(
            select(
                WebhookDelivery.id,
                WebhookDelivery.webhook_id,
                Webhook.project,
                WebhookDelivery.payload,
                WebhookDelivery.attempts,
                Webhook.url,
                Webhook.secret,
            )
            .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
            .where(WebhookDelivery.id.in_(mine.all()))
            .order_by(WebhookDelivery.id)
        )
    )


def attempted(
    connection: Connection,
    *,
    delivery_id: int,
    state: str,
    at: datetime,
    next_at: datetime | None,
    status: int | None,
    error: str | None,
) -> None:
    """Write down what became of an attempt."""
    connection.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id)
        .values(
            state=state,
            attempts=WebhookDelivery.attempts + 1,
            next_at=next_at or at,
            last_at=at,
            last_status=status,
            last_error=error,
        )
    )


def disable(connection: Connection, *, webhook_id: int, now: datetime, reason: str) -> None:
    """Send nothing more to it."""
    connection.execute(
        update(Webhook)
        .where(Webhook.id == webhook_id, Webhook.disabled_at.is_(None))
        .values(disabled_at=now, disabled_reason=reason)
    )


def forget_old(connection: Connection, *, before: datetime, limit: int = 5000) -> int:
    """Drop deliveries that are over for long, and those that nobody will send any more."""
    over = or_(WebhookDelivery.state != "pending", WebhookDelivery.next_at < before)
    ids = select(WebhookDelivery.id).where(WebhookDelivery.created < before, over).limit(limit)
    result = connection.execute(
        delete(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).returning(WebhookDelivery.id)
    )
    return len(result.all())
