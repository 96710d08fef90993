"""Webhooks and their deliveries. A delivery is written with the end of the run that it reports, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.shared.webhook_events import TEST, run_finished
from tidegate_web.store.models import Webhook, WebhookDelivery
from tidegate_web.store.models.work import DeliveryState
from tidegate_web.store.records import RunRecord
from tidegate_web.store.rows import all_rows, row_of, row_or_none
from tidegate_web.store.run_rows import RunSummaryRow

SHOWN = (
    Webhook.id, Webhook.project, Webhook.url, Webhook.phases, Webhook.tasks, Webhook.created, Webhook.created_by,
    Webhook.disabled_at, Webhook.disabled_reason,
)  # fmt: skip
DELIVERY = (
    WebhookDelivery.id, WebhookDelivery.run_uid, WebhookDelivery.payload, WebhookDelivery.state,
    WebhookDelivery.attempts, WebhookDelivery.next_at, WebhookDelivery.last_at, WebhookDelivery.last_status,
    WebhookDelivery.last_error, WebhookDelivery.created,
)  # fmt: skip
CLAIMED = (
    WebhookDelivery.id, WebhookDelivery.webhook_id, Webhook.project, WebhookDelivery.payload, WebhookDelivery.attempts,
    Webhook.url, Webhook.secret,
)  # fmt: skip
LEASE = timedelta(seconds=60)
"""So long a delivery that was begun is left to the process that began it."""


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook, without its secret."""

    id: int
    project: str
    url: str
    phases: list[str] | None
    tasks: list[str] | None
    created: datetime
    created_by: str
    disabled_at: datetime | None
    disabled_reason: str | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery, and what became of it."""

    id: int
    run_uid: str | None
    payload: JsonObject
    state: DeliveryState
    attempts: int
    next_at: datetime
    last_at: datetime | None
    last_status: int | None
    last_error: str | None
    created: datetime


@dataclass(frozen=True, slots=True)
class DueDeliveryRow:
    """A delivery whose time has come."""

    id: int
    webhook_id: int
    project: str


@dataclass(frozen=True, slots=True)
class ClaimedDeliveryRow:
    """A delivery that is to be sent now, with all that it takes."""

    id: int
    webhook_id: int
    project: str
    payload: JsonObject
    attempts: int
    url: str
    secret: bytes


def create(connection: Connection, **values: object) -> WebhookRow:
    return row_of(WebhookRow, connection.execute(pg_insert(Webhook).values(**values).returning(*SHOWN)).one())


def listed(connection: Connection, *, project: str) -> list[WebhookRow]:
    found = select(*SHOWN).where(Webhook.project == project).order_by(Webhook.id)
    return all_rows(WebhookRow, connection.execute(found))


def find(connection: Connection, *, project: str, webhook_id: int) -> WebhookRow | None:
    found = select(*SHOWN).where(Webhook.project == project, Webhook.id == webhook_id)
    return row_or_none(WebhookRow, connection.execute(found).one_or_none())


def change(connection: Connection, *, project: str, webhook_id: int, values: Mapping[str, object]) -> WebhookRow | None:
    """Change some columns; None when there is no such webhook."""
    mine = (Webhook.project == project, Webhook.id == webhook_id)
    changed = update(Webhook).where(*mine).values(**values).returning(*SHOWN)
    return row_or_none(WebhookRow, connection.execute(changed).one_or_none())


def remove(connection: Connection, *, project: str, webhook_id: int) -> bool:
    """Delete a webhook and its deliveries; False when there was none."""
    statement = delete(Webhook).where(Webhook.project == project, Webhook.id == webhook_id).returning(Webhook.id)
    return connection.execute(statement).first() is not None


def add_deliveries(connection: Connection, rows: Sequence[RunRecord | RunSummaryRow]) -> None:
    """Write deliveries for those of the rows that have ended and that a webhook wants; once a run."""
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


def add_test(connection: Connection, *, webhook_id: int, at: str) -> DeliveryRow:
    """A test delivery, to see whether it arrives."""
    payload = {"type": TEST, "timestamp": at, "data": {}}
    added = pg_insert(WebhookDelivery).values(webhook_id=webhook_id, payload=payload).returning(*DELIVERY)
    return row_of(DeliveryRow, connection.execute(added).one())


def deliveries(connection: Connection, *, webhook_id: int, before: int, limit: int) -> list[DeliveryRow]:
    """Deliveries older than ``before``, newest first."""
    found = (
        select(*DELIVERY)
        .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.id < before)
        .order_by(WebhookDelivery.id.desc())
        .limit(limit)
    )
    return all_rows(DeliveryRow, connection.execute(found))


def replay(connection: Connection, *, webhook_id: int, delivery_id: int) -> DeliveryRow | None:
    """Send a delivery again, as if it were new; None when there is no such one."""
    again = (
        update(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.id == delivery_id)
        .values(state="pending", attempts=0, next_at=func.now())
        .returning(*DELIVERY)
    )
    return row_or_none(DeliveryRow, connection.execute(again).one_or_none())


def due(
    connection: Connection, *, now: datetime, each: int, but: Sequence[int] = (), limit: int = 500
) -> list[DueDeliveryRow]:
    """Deliveries whose time has come, longest due first, at most ``each`` of a webhook and none of some."""
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
    first = (
        select(found.c.id, found.c.webhook_id, found.c.project)
        .where(found.c.place <= each)
        .order_by(found.c.place, found.c.next_at, found.c.id)
        .limit(limit)
    )
    return all_rows(DueDeliveryRow, connection.execute(first))


def claim(connection: Connection, *, ids: Sequence[int], now: datetime) -> list[ClaimedDeliveryRow]:
    """Those of these deliveries that are still due; for a while no other process takes them."""
    mine = connection.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(ids), WebhookDelivery.state == "pending", WebhookDelivery.next_at <= now)
        .values(next_at=now + LEASE)
        .returning(WebhookDelivery.id)
    ).scalars()
    whole = (
        select(*CLAIMED)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(WebhookDelivery.id.in_(mine.all()))
        .order_by(WebhookDelivery.id)
    )
    return all_rows(ClaimedDeliveryRow, connection.execute(whole))


def attempted(
    connection: Connection,
    *,
    delivery_id: int,
    state: DeliveryState,
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
    """Drop deliveries that are over for long, and those that will never be sent."""
    over = or_(WebhookDelivery.state != "pending", WebhookDelivery.next_at < before)
    ids = select(WebhookDelivery.id).where(WebhookDelivery.created < before, over).limit(limit)
    result = connection.execute(
        delete(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).returning(WebhookDelivery.id)
    )
    return len(result.all())
