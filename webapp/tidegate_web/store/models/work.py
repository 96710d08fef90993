"""Work that is under way: keys of creations, acts on many runs, events to publish, webhooks to send."""

from datetime import datetime
from typing import Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from tidegate_web.shared.json_types import JsonObject
from tidegate_web.store.models.base import Base, Timestamp, Uid

BulkAction = Literal["cancel", "replay", "delete"]
DeliveryState = Literal["pending", "delivered", "failed"]


class IdempotencyKey(Base):
    """What a key was used for: reserved before its run is created, ``run_uid`` once it is. ``task`` is empty for an
    inline one."""

    __tablename__ = "idempotency_keys"
    project: Mapped[str] = mapped_column(Text, primary_key=True)
    task: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    run_uid: Mapped[str | None] = mapped_column(Uid)
    created: Mapped[datetime] = mapped_column(Timestamp, index=True)


class MetRun(Base):
    """A run that an idempotency key of another run has met, also of another author: the first may read its status."""

    __tablename__ = "met_runs"
    run_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    met_uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    created: Mapped[datetime] = mapped_column(Timestamp, index=True)


class BulkOperation(Base):
    """One act over many runs, worked at by ``worker`` who was ``heard`` of last; ``tasks`` are those of a limited key."""

    __tablename__ = "bulk_operations"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project: Mapped[str] = mapped_column(Text)
    action: Mapped[BulkAction] = mapped_column(Text)
    requested_by: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    tasks: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    total: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    done: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    failed: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    finished: Mapped[datetime | None] = mapped_column(Timestamp)
    aborted: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    worker: Mapped[str | None] = mapped_column(Text)
    heard: Mapped[datetime | None] = mapped_column(Timestamp)

    __table_args__ = (Index("ix_bulk_operations_open", "id", postgresql_where=text("finished IS NULL")),)


class BulkItem(Base):
    """One run of a bulk operation; ``problem`` says why it failed."""

    __tablename__ = "bulk_items"
    operation_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("bulk_operations.id", ondelete="CASCADE"), primary_key=True
    )
    uid: Mapped[str] = mapped_column(Uid, primary_key=True)
    done: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    problem: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("ix_bulk_items_left", "operation_id", "uid", postgresql_where=text("NOT done")),
        Index("ix_bulk_items_failed", "operation_id", "uid", postgresql_where=text("problem IS NOT NULL")),
    )


class Outbox(Base):
    """Events written with the change that they report, until they are published."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project: Mapped[str] = mapped_column(Text)
    event: Mapped[JsonObject] = mapped_column(JSONB)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())


class Webhook(Base):
    """Who wants to hear of runs that have ended. The secret is encrypted; ``phases`` and ``tasks`` None: all."""

    __tablename__ = "webhooks"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project: Mapped[str] = mapped_column(Text, index=True)
    url: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    phases: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    tasks: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    created_by: Mapped[str] = mapped_column(Text)
    disabled_at: Mapped[datetime | None] = mapped_column(Timestamp)
    disabled_reason: Mapped[str | None] = mapped_column(Text)


class WebhookDelivery(Base):
    """One request to a webhook: ``pending`` until it is ``delivered`` or ``failed``."""

    __tablename__ = "webhook_deliveries"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    webhook_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("webhooks.id", ondelete="CASCADE"))
    run_uid: Mapped[str | None] = mapped_column(Uid)
    payload: Mapped[JsonObject] = mapped_column(JSONB)
    state: Mapped[DeliveryState] = mapped_column(Text, server_default="pending")
    attempts: Mapped[int] = mapped_column(Integer, server_default="0")
    next_at: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now())
    last_at: Mapped[datetime | None] = mapped_column(Timestamp)
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Text)
    created: Mapped[datetime] = mapped_column(Timestamp, server_default=func.now(), index=True)

    __table_args__ = (
        UniqueConstraint("webhook_id", "run_uid"),
        Index("ix_webhook_deliveries_webhook_id_id", "webhook_id", "id"),
        Index("ix_webhook_deliveries_pending", "next_at", postgresql_where=text("state = 'pending'")),
    )
